"""Batches read ahead of the updates that need them, in a thread of their own and in their order."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np
import torch

from codex_worker.training.task import LoadingTask, TrainingTask

AHEAD = 2
"""Updates whose batches are read or being read while one is computed."""


@contextmanager
def loaded_ahead(
    task: TrainingTask | LoadingTask, groups: Sequence[Sequence[Any]], seed: int, epoch: int, begin: int
) -> Iterator[Iterator[Sequence[Any]]]:
    """The batches of an epoch's updates from number `begin` on, as `task.losses_of` takes them.

    A task that loads nothing has its batches as they are. The chance in loading follows from the seed and the
    place. What a load raises is raised where its batch is asked for; the thread ends with the block.
    """
    if not isinstance(task, LoadingTask):
        yield iter(groups[begin:])
        return
    load = task.load

    def loaded(update: int) -> list[Any]:
        return [
            load(batch, torch.Generator().manual_seed(_seed_at(seed, epoch, update, number)))
            for number, batch in enumerate(groups[update])
        ]

    with ThreadPoolExecutor(1, "loading") as pool:
        rest = iter(range(begin, len(groups)))
        waiting = deque(pool.submit(loaded, update) for update in islice(rest, AHEAD))
        try:
            yield _in_order(waiting, lambda: (pool.submit(loaded, update) for update in islice(rest, 1)))
        finally:
            for future in waiting:
                future.cancel()


def _in_order(
    waiting: deque[Future[list[Any]]], more: Callable[[], Iterator[Future[list[Any]]]]
) -> Iterator[list[Any]]:
    while waiting:
        first = waiting.popleft()
        found = first.result()
        waiting.extend(more())
        yield found


def _seed_at(*place: int) -> int:
    return int(np.random.SeedSequence(place).generate_state(1)[0])
