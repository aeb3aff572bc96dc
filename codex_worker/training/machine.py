"""What a model is trained on: the accelerator and its limits."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Machine:
    """What the training runs on; `memory_bytes` is what it may use of the accelerator's, None without one."""

    device: str = "cpu"
    memory_bytes: int | None = None
    has_bf16: bool = False  # multiplied by the hardware, not emulated


def this_machine() -> Machine:
    """The accelerator of this machine, or its processor."""
    if not torch.cuda.is_available():
        return Machine()
    share = torch.cuda.get_per_process_memory_fraction(0)  # of a card that others use as well
    return Machine(
        "cuda",
        int(share * torch.cuda.get_device_properties(0).total_memory),
        torch.cuda.is_bf16_supported(including_emulation=False),
    )


def take_one_core() -> None:
    """First call of a thread that is one of many: torch takes one core for it, not all of them."""
    torch.set_num_threads(1)


@contextmanager
def keep_cores() -> Iterator[None]:
    """Around a pool of threads that `take_one_core`: this thread and later ones have as many as before.

    Torch gives a thread that never asked the number that any thread set last.
    """
    count = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(count)
