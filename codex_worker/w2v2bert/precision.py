"""The numbers that a network reads with: those that the hardware multiplies fastest."""

import warnings
from typing import Literal

import torch
from torch import nn
from transformers import PreTrainedModel

from codex_worker.errors import UserError
from codex_worker.w2v2bert.convolution import with_linear_pointwise

Precision = Literal["bf16", "int8", "fp32"]
# In smaller networks the products are not what takes the time.
WIDE = 512


def fastest_precision(model: PreTrainedModel, device: torch.device) -> Precision:
    """bf16 on a GPU and on a CPU with tile registers (AMX); else int8 where it pays, and fp32.

    Without tile registers a CPU multiplies bf16 no faster than fp32, but int8 three to four times as fast
    where it has the instructions for that (VNNI).
    """
    if device.type != "cpu" or torch.cpu._is_amx_tile_supported():
        return "bf16"
    return "int8" if torch.cpu._is_vnni_supported() and model.config.hidden_size >= WIDE else "fp32"


def with_precision(model: PreTrainedModel, precision: Precision, device: torch.device) -> PreTrainedModel:
    """The network in evaluation mode on `device`. int8 gives a copy, the others change the network itself.

    Raises UserError for int8 on anything but a CPU.
    """
    if precision == "int8":
        if device.type != "cpu":
            raise UserError("int8 is for processors only; a GPU reads in bf16.")
        return _in_int8(model.to(device, torch.float32).eval())
    return model.to(device, torch.bfloat16 if precision == "bf16" else torch.float32).eval()


def _in_int8(model: PreTrainedModel) -> PreTrainedModel:
    """Matrix products in int8: weights by output channel, activations by the range of each input."""
    from torch.ao.quantization import per_channel_dynamic_qconfig, quantize_dynamic

    with warnings.catch_warnings():
        # Torch announces another package for this, which an idle dependency for one call would not be worth.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", UserWarning)
        quantised: PreTrainedModel = quantize_dynamic(
            with_linear_pointwise(model), {nn.Linear: per_channel_dynamic_qconfig}, inplace=True
        )
    # What comes last decides the letters and costs next to nothing.
    quantised.lm_head = model.lm_head
    return quantised
