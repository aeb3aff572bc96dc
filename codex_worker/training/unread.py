"""Numbers of updates that are on their way from the device: read every few updates, all at once."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from codex_worker.training.turns import Taken

READ_EVERY = 10
"""Updates between two looks at the device's numbers: each look makes the processor wait."""


@dataclass(frozen=True)
class ReadUpdate:
    """What one update gave."""

    epoch: int  # counted from 1
    update: int  # of that epoch, counted from 1
    batches: int
    losses: dict[str, float]  # summed over the batches
    left_out: bool  # its numbers were not finite, and it changed nothing
    diverged: bool  # and that was not for the scale of its losses (fp16)


@dataclass
class UnreadUpdates:
    """Updates whose numbers nobody has looked at yet, in their order."""

    _waiting: list[tuple[int, int, int, list[str], torch.Tensor]] = field(default_factory=list)

    @property
    def is_full(self) -> bool:
        """Whether so many are waiting that they should be read."""
        return len(self._waiting) >= READ_EVERY

    def add(self, epoch: int, update: int, batches: int, turns: Sequence[Taken]) -> None:
        """Keep an update's numbers (a copy: the next update may write over them)."""
        losses = {name: value for taken in turns for name, value in taken.losses.items()}
        diverged = torch.stack([taken.diverged for taken in turns]).amax()
        numbers = torch.stack([turns[-1].left_out, diverged, *losses.values()])
        self._waiting.append((epoch, update, batches, list(losses), numbers))

    def read(self) -> list[ReadUpdate]:
        """Wait for the device, and give all that was waiting. The only place where a run waits for it."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return []
        table = torch.stack([numbers for *_, numbers in waiting]).tolist()
        return [
            ReadUpdate(
                epoch,
                update,
                batches,
                dict(zip(names, numbers, strict=True)),
                left_out != 0.0,
                diverged != 0.0,
            )
            for (epoch, update, batches, names, _), (left_out, diverged, *numbers) in zip(
                waiting, table, strict=True
            )
        ]
