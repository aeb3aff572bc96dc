"""The numbers that a network reads with: those that the hardware multiplies fastest."""

from typing import Literal

import torch
from transformers import PreTrainedModel

Precision = Literal["bf16", "fp32"]


def fastest_precision(device: torch.device) -> Precision:
    """bf16 on a GPU that has it and on a CPU with tile registers (AMX); fp32 where bf16 is no faster."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if torch.cpu._is_amx_tile_supported() else "fp32"


def with_precision(model: PreTrainedModel, precision: Precision, device: torch.device) -> PreTrainedModel:
    """The network itself, in evaluation mode on `device`, in those numbers."""
    return model.to(device, torch.bfloat16 if precision == "bf16" else torch.float32).eval()
