"""A training whose memory runs out: smaller batches from then on, and the same updates."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from codex_worker.errors import ResourceError, clause, is_out_of_memory
from codex_worker.training.memory import MOST_HALVINGS, give_back, parts_of
from codex_worker.training.resume import RunState
from codex_worker.training.task import TrainingTask
from codex_worker.training.turns import Taken, Turn

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Halving:
    """Takes the turns of a run. How often batches were halved is in the run's state, and so is resumed."""

    task: TrainingTask
    state: RunState
    device: torch.device
    tell: Callable[[str], None]  # people, whom it concerns that their machine is small

    def parts(self, batches: Sequence[Any]) -> list[tuple[Any, float]]:
        """What an update's batches are computed in, each with its share of the batch it is of."""
        return self._parts(batches, self.state.halvings)

    def take(
        self,
        turn: Turn,
        loaded: Sequence[Any],
        told: Tensor | None,
        sizes: Sequence[float],
        batches: Sequence[Any],
    ) -> Taken | None:
        """A turn of one network over what was loaded of an update's batches.

        None where memory ran out in it: nothing has changed, and the turn is to be taken again with the
        smaller `parts` that there are now.

        Raises:
            ResourceError: batches were halved often enough, or cannot be.
        """
        try:
            return turn.take(loaded, told, sizes)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            problem, state = clause(error), self.state
            if not self._can_halve(batches):
                raise ResourceError(
                    f"{self.device} ran out of memory in epoch {state.epoch + 1}: {problem}. "
                    "Use a smaller batch size, with more gradient accumulation to make up for it."
                ) from error
        turn.forget()
        give_back()  # only now: the error held all that was in memory when it ran out
        state.halvings += 1
        said = f"{self.device} ran out of memory ({problem}). The training goes on {_in_parts(state)}."
        logger.warning("%s", said)
        self.tell(said)
        return None

    @property
    def remark(self) -> str:
        """What to say of it at the end; empty where memory sufficed."""
        return f"memory ran out, so it was trained {_in_parts(self.state)}" if self.state.halvings else ""

    def _parts(self, batches: Sequence[Any], halvings: int) -> list[tuple[Any, float]]:
        return [part for batch in batches for part in parts_of(self.task, batch, 2**halvings)]

    def _can_halve(self, batches: Sequence[Any]) -> bool:
        halvings = self.state.halvings
        return halvings < MOST_HALVINGS and len(self._parts(batches, halvings + 1)) > len(self.parts(batches))


def _in_parts(state: RunState) -> str:
    return f"with batches in {2**state.halvings} parts, which together make the same updates"
