"""Threads that compute with torch beside the main one, without taking each other's cores."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


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
