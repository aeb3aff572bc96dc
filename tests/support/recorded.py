"""A stand-in for CUDA graphs where there is no GPU."""

from collections.abc import Callable

import torch


class DoneAgain:
    """Repeats recorded work by doing it again. Like a graph's recorder it does the work once beforehand."""

    def __init__(self) -> None:
        self.recorded = 0
        self.replayed = 0

    def __call__(self, work: Callable[[], None]) -> Callable[[], None]:
        """See `codex_worker.training.graphs.Recorder`."""
        chance = torch.get_rng_state()
        work()
        self.recorded += 1
        torch.set_rng_state(chance)

        def replay() -> None:
            self.replayed += 1
            work()

        return replay
