"""What a network makes of a padded batch."""

from torch import Tensor
from transformers import PreTrainedModel


def logits_of(model: PreTrainedModel, inputs: Tensor, mask: Tensor) -> Tensor:
    """CTC logits `[B, T, V]` of inputs `[B, longest, ...]` and their mask `[B, longest]`.

    A Wav2Vec2 whose first convolution normalises over the whole length (`feat_extract_norm: group`, as the
    base models) was trained on padded batches without a mask, and reads worse with one (transformers'
    documentation of Wav2Vec2's `attention_mask`).
    """
    first = next(model.parameters())
    inputs = inputs.to(first.device, first.dtype, non_blocking=True)
    if getattr(model.config, "feat_extract_norm", "layer") == "group":
        return model(inputs).logits
    return model(inputs, attention_mask=mask.to(first.device, non_blocking=True)).logits
