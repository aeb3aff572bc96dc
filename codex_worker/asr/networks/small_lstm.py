"""The network of preset tiny: two strided convolutions and a bidirectional LSTM before a CTC head.

Of eighteen minutes of speech and ten minutes of a processor it learns more than a Wav2Vec2-BERT of its size,
whose attention has to learn first what comes after what (Graves, Mohamed and Hinton 2013, section 3).
"""

from itertools import pairwise

import torch
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

from codex_worker.asr.features import MEL_BINS


@strict
class SmallLstmConfig(PreTrainedConfig):
    """Sizes of the network. A row of its input holds the log-mel frames of one of its output frames."""

    model_type = "codex-lstm"

    vocab_size: int = 32
    feature_projection_input_dim: int = 4 * MEL_BINS
    conv_width: int = 160
    hidden_size: int = 144  # in each direction
    num_hidden_layers: int = 2
    hidden_dropout: float = 0.2  # between the layers
    pad_token_id: int | None = 0
    bos_token_id: int | None = None
    eos_token_id: int | None = None
    ctc_loss_reduction: str = "mean"
    ctc_zero_infinity: bool = True


class _Front(nn.Module):
    """`[B, T, frames * 80]` rows -> `[B, T, width]`: each convolution halves the number of frames."""

    def __init__(self, config: SmallLstmConfig) -> None:
        super().__init__()
        frames = config.feature_projection_input_dim // MEL_BINS
        widths = [MEL_BINS, *[config.conv_width] * max(frames.bit_length() - 1, 0)]
        if 2 ** (len(widths) - 1) != frames:
            raise ValueError(f"rows of {frames} frames cannot be halved to one")
        self.convolutions = nn.ModuleList(
            nn.Conv1d(before, after, 5, stride=2, padding=2) for before, after in pairwise(widths)
        )

    def forward(self, rows: Tensor, mask: Tensor | None) -> Tensor:
        hidden = rows.reshape(len(rows), -1, MEL_BINS).transpose(1, 2)
        for convolution in self.convolutions:
            if mask is not None:  # what lies behind a recording's end must not reach into it
                frames = mask.repeat_interleave(hidden.shape[2] // mask.shape[1], 1)[:, None]
                hidden = hidden * frames.to(hidden.dtype)
            hidden = nn.functional.gelu(convolution(hidden))
        return hidden.transpose(1, 2)


class _BothWays(nn.Module):
    """An LSTM that reads each recording from its beginning, and another from its end.

    Not torch's own bidirectional one: that begins at a batch's padding, unless the batch is packed, which
    takes twice the time.
    """

    def __init__(self, width: int, hidden_size: int) -> None:
        super().__init__()
        self.onward = nn.LSTM(width, hidden_size, batch_first=True)
        self.back = nn.LSTM(width, hidden_size, batch_first=True)

    def forward(self, hidden: Tensor, turned: Tensor) -> Tensor:
        """`turned [B, T]`: the places of each recording's frames from its end to its beginning."""
        onward, _ = self.onward(hidden)
        turned_round, _ = self.back(_at(hidden, turned))
        return torch.cat([onward, _at(turned_round, turned)], 2)


class _Encoder(nn.Module):
    def __init__(self, config: SmallLstmConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            _BothWays(2 * config.hidden_size if place else config.conv_width, config.hidden_size)
            for place in range(config.num_hidden_layers)
        )
        self.dropout = nn.Dropout(config.hidden_dropout)

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        places = torch.arange(hidden.shape[1], device=hidden.device)
        lengths = hidden.shape[1] if mask is None else mask.long().sum(1, keepdim=True)
        turned = torch.where(places < lengths, lengths - 1 - places, places).expand(len(hidden), -1)
        for place, layer in enumerate(self.layers):
            hidden = layer(hidden if place == 0 else self.dropout(hidden), turned)
        return hidden


def _at(hidden: Tensor, places: Tensor) -> Tensor:
    return hidden.gather(1, places[:, :, None].expand_as(hidden))


class _Reader(nn.Module):
    def __init__(self, config: SmallLstmConfig) -> None:
        super().__init__()
        self.front = _Front(config)
        self.encoder = _Encoder(config)

    def forward(self, rows: Tensor, mask: Tensor | None) -> Tensor:
        return self.encoder(self.front(rows, mask), mask)


class SmallLstmForCTC(PreTrainedModel):
    """About a million parameters."""

    config_class = SmallLstmConfig
    base_model_prefix = "reader"
    main_input_name = "input_features"

    def __init__(self, config: SmallLstmConfig) -> None:
        super().__init__(config)
        self.reader = _Reader(config)
        self.lm_head = nn.Linear(2 * config.hidden_size, config.vocab_size)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """As torch made them."""

    def forward(self, input_features: Tensor, attention_mask: Tensor | None = None) -> CausalLMOutput:
        """Logits `[B, T, V]` of `[B, T, frames * 80]`; `attention_mask [B, T]` is 0 after their ends."""
        return CausalLMOutput(logits=self.lm_head(self.reader(input_features, attention_mask)))

    def _get_feat_extract_output_lengths(self, lengths: Tensor) -> Tensor:
        """One frame comes out of each row."""
        return lengths
