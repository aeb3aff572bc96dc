"""Device work that is the same each time, recorded once as a CUDA graph and replayed with one launch."""

from collections.abc import Callable
from typing import Protocol

import torch

MOST_SHAPES = 24
"""Shapes of batches that are recorded: each takes some memory, and time where it comes up first."""


class Recorder(Protocol):
    """Makes of work on fixed tensors something that does it again at once."""

    def __call__(self, work: Callable[[], None]) -> Callable[[], None]:
        """Do the work once or oftener, without a promise of how often, and return what repeats it.

        Random draws of a repetition follow from the device's generator as it is then; recording leaves the
        generator as it was. Raises RuntimeError where that cannot be repeated.
        """


class CudaGraphs:
    """Records CUDA graphs, which share memory: nothing that one holds is looked at after another ran."""

    def __init__(self) -> None:
        self._memory = torch.cuda.graph_pool_handle()

    def __call__(self, work: Callable[[], None]) -> Callable[[], None]:
        """See `Recorder`; documented at pytorch.org, "CUDA semantics", section "CUDA Graphs"."""
        chance = torch.cuda.get_rng_state()
        try:
            return self._recorded(work)
        finally:
            torch.cuda.set_rng_state(chance)

    def _recorded(self, work: Callable[[], None]) -> Callable[[], None]:
        # What a first time makes (kernels, workspaces, an optimizer's state) cannot be made while recording.
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            work()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # Other threads may allocate meanwhile: they load the next batches into pinned memory.
        with torch.cuda.graph(graph, pool=self._memory, capture_error_mode="thread_local"):
            work()
        return graph.replay
