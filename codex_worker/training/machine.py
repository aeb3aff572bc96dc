"""What a model is trained on: the accelerator and its limits."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch

Precision = Literal["bf16", "fp16", "fp32"]
"""The numbers that products are made of, while sums and weights keep fp32."""


@dataclass(frozen=True)
class Machine:
    """What the training runs on; `memory_bytes` is what it may use of the accelerator's, None without one."""

    device: str = "cpu"
    memory_bytes: int | None = None
    has_bf16: bool = False  # multiplied by the hardware, not emulated
    has_fp16: bool = False  # multiplied by the hardware faster than fp32

    @property
    def precision(self) -> Precision:
        """The quickest numbers that are safe: bf16 has the range of fp32, fp16 needs its losses scaled."""
        if self.has_bf16:
            return "bf16"
        return "fp16" if self.has_fp16 else "fp32"


def this_machine() -> Machine:
    """The accelerator of this machine, or its processor."""
    if not torch.cuda.is_available():
        return Machine()
    # Of a card that others use as well; nobody has set it where CUDA has not begun.
    share = torch.cuda.get_per_process_memory_fraction(0) if torch.cuda.is_initialized() else 1.0
    memory_bytes = int(share * torch.cuda.get_device_properties(0).total_memory)
    return gpu_of(torch.cuda.get_device_capability(0), memory_bytes)


def gpu_of(capability: tuple[int, int], memory_bytes: int) -> Machine:
    """What a GPU of a compute capability multiplies in its hardware.

    bf16 from 8.0 (Ampere) on: torch emulates it on older ones, slower than fp32. fp16 from 7.0 (Volta; the
    T4 is 7.5) on, whose tensor cores sum in fp32; before that it is slower than fp32 or hardly quicker
    (NVIDIA's CUDA C++ programming guide, arithmetic throughput by capability). Memory has no say: both halve
    what is kept for the gradients, and what has to be fp32 for the rest of memory is the recipe's matter.
    """
    has_bf16 = capability >= (8, 0)
    return Machine("cuda", memory_bytes, has_bf16, not has_bf16 and capability >= (7, 0))


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
