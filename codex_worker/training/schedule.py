"""The learning rate over a run: a linear warm-up, then a fall to zero."""

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Schedule:
    """A pure function of the step, so a resumed run continues exactly where it was.

    `kind` is the shape of the fall after the warm-up: a straight line, or half a cosine
    (Loshchilov and Hutter 2017, "SGDR", equation 5, without restarts). What `begins` later than the run
    has its warm-up then: of layers that were frozen the optimizer knows nothing, so its first steps are bold.
    """

    kind: Literal["linear", "cosine"]
    total_steps: float
    warmup_steps: float = 0
    begins: float = 0

    def __post_init__(self) -> None:
        if self.kind not in ("linear", "cosine"):
            raise ValueError(f"schedule {self.kind!r} is not known; use 'linear' or 'cosine'")
        if not 0 <= self.warmup_steps <= self.total_steps - self.begins or self.begins < 0:
            raise ValueError(
                f"a warm-up of {self.warmup_steps} steps from step {self.begins} on does not fit into "
                f"{self.total_steps}"
            )

    @property
    def warm_from(self) -> float:
        """The step at which the full rate is reached."""
        return self.begins + self.warmup_steps

    def factor(self, step: float) -> float:
        """Give the share (0 to 1) of the full learning rate for the update at `step`, counted from 0."""
        if step < self.begins or step >= self.total_steps:
            return 0.0
        if step < self.warm_from:
            return min(1.0, (step - self.begins + 1) / self.warmup_steps)
        done = (step - self.warm_from) / (self.total_steps - self.warm_from)
        return 1.0 - done if self.kind == "linear" else 0.5 * (1.0 + math.cos(math.pi * done))
