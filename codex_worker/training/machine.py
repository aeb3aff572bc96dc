"""What a model is trained on: the accelerator and its limits."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Machine:
    """What the training runs on; `memory_bytes` is the accelerator's, None without one."""

    device: str = "cpu"
    memory_bytes: int | None = None
    has_bf16: bool = False  # multiplied by the hardware, not emulated


def this_machine() -> Machine:
    """The accelerator of this machine, or its processor."""
    if not torch.cuda.is_available():
        return Machine()
    return Machine(
        "cuda",
        torch.cuda.get_device_properties(0).total_memory,
        torch.cuda.is_bf16_supported(including_emulation=False),
    )
