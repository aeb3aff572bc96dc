"""The numbers that a network reads with: those that the hardware multiplies fastest."""

import torch
from transformers import PreTrainedModel

from codex_worker.training.machine import Precision, this_machine


def fastest_precision(device: torch.device) -> Precision:
    """What a GPU multiplies in its hardware; bf16 on a CPU with tile registers (AMX), where it is faster."""
    if device.type == "cuda":
        return this_machine().precision
    return "bf16" if torch.cpu._is_amx_tile_supported() else "fp32"


def with_precision(model: PreTrainedModel, precision: Precision, device: torch.device) -> PreTrainedModel:
    """The network itself, in evaluation mode on `device`, in those numbers.

    With fp16 its weights stay fp32, and only products are made in fp16 (`fp16_products`): sums of a whole
    network in fp16 leave its range.
    """
    return model.to(device, torch.bfloat16 if precision == "bf16" else torch.float32).eval()


def fp16_products(precision: Precision, device: torch.device) -> torch.autocast:
    """Around a pass of the network: products in fp16 where that was chosen."""
    return torch.autocast(device.type, torch.float16, enabled=precision == "fp16")
