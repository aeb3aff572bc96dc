"""What is done where memory runs out: less at a time, with the same outcome."""

import gc
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch

from codex_worker.errors import is_out_of_memory

MOST_HALVINGS = 2
"""How often a training halves its batches before it gives up: a machine that small is the wrong one."""

Item = TypeVar("Item")
Made = TypeVar("Made")


@runtime_checkable
class TaskWithParts(Protocol):
    """A `TrainingTask` whose batches are no lists, and that knows how to cut them."""

    def parts(self, batch: Any, count: int) -> Sequence[tuple[Any, float]]:
        """A batch in so many parts at most, each with its share of the batch's losses; 1 in all."""


class BatchPart(list[Any]):
    """Some of a batch's items: about one of so many `parts` that the batch is cut into."""

    def __init__(self, items: Sequence[Any], parts: int) -> None:
        super().__init__(items)
        self.parts = parts


def parts_of(task: object, batch: Any, count: int) -> Sequence[tuple[Any, float]]:
    """A batch in `count` parts, each with its share of the whole: all that was in it, and nothing twice.

    One that cannot be cut stays whole.
    """
    if count == 1:
        return [(batch, 1.0)]
    if isinstance(task, TaskWithParts):
        return task.parts(batch, count)
    if not isinstance(batch, list):
        return [(batch, 1.0)]
    return [
        (BatchPart(batch[at], count), (at.stop - at.start) / len(batch)) for at in slices(len(batch), count)
    ]


def slices(size: int, count: int) -> list[slice]:
    """`size` places in `count` runs of like size, or in single ones where they are fewer."""
    count = max(1, min(size, count))
    ends = [size * number // count for number in range(count + 1)]
    return [slice(start, end) for start, end in pairwise(ends)]


def in_halves(items: Sequence[Item], make: Callable[[Sequence[Item]], list[Made]]) -> list[Made]:
    """What `make` gives for all items; where memory runs out, for each half of them, and so on.

    What is made of an item must not depend on its company. Raises what `make` raises for a single item.
    """
    try:
        return make(items)
    except Exception as error:
        if not is_out_of_memory(error) or len(items) == 1:
            raise
    give_back()  # only now: the error held all that was in memory when it ran out
    middle = len(items) // 2
    return in_halves(items[:middle], make) + in_halves(items[middle:], make)


def give_back() -> None:
    """Return what nobody uses any more to the device, in one piece."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
