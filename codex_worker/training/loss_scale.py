"""Losses made larger for a training in fp16, whose small gradients would be lost in it otherwise.

Micikevicius et al. 2018, "Mixed Precision Training", section 3.2; how the scale moves is as in torch's
GradScaler, which asks the device whether it may step at every update. Here nothing waits for the device.
"""

import math

import torch
from torch import Tensor

FIRST = 2.0**16
MOST = 2.0**24
GROWS_AFTER = 2_000  # updates in a row whose gradients were finite


class LossScale:
    """The factor on a loss, always a power of two, so that taking it from the gradients again is exact."""

    def __init__(self, device: torch.device) -> None:
        self.factor = torch.full((), FIRST, dtype=torch.float32, device=device)
        self._good = torch.zeros((), dtype=torch.float32, device=device)  # updates since it moved

    def overflowed(self, losses: Tensor, norm: Tensor) -> Tensor:
        """Whether the factor alone may be to blame (0-dim bool): finite losses, no finite gradient's norm."""
        return losses.isfinite().all() & ~norm.isfinite() & (self.factor > 1.0)

    @torch.no_grad()
    def take_from(self, gradients: list[Tensor]) -> None:
        """Give the gradients the size that they have without it."""
        if gradients:
            torch._foreach_mul_(gradients, self.factor.reciprocal())

    @torch.no_grad()
    def move(self, broken: Tensor, told: Tensor | None = None) -> None:
        """After an update: half where its numbers were not finite (`broken`, 0-dim, is 1), twice at times.

        Not where `told` is 1: an update that is left out for other reasons says nothing of it.
        """
        counts = torch.ones_like(broken) if told is None else 1.0 - told
        is_broken = (broken * counts) > 0
        self._good.add_(counts).mul_(~is_broken)
        grows = self._good >= GROWS_AFTER
        step = torch.where(is_broken, 0.5, torch.where(grows, 2.0, 1.0))
        self.factor.mul_(step).clamp_(1.0, MOST)
        self._good.mul_(~grows)

    def state(self) -> dict[str, float]:
        """What a later run goes on with."""
        return {"factor": float(self.factor), "good": float(self._good)}

    def restore(self, state: dict[str, float]) -> None:
        """Go on with what another run left.

        Raises:
            ValueError: it is none.
        """
        factor, good = state["factor"], state["good"]
        if type(factor) is not float or type(good) is not float or not 0 <= good < GROWS_AFTER:
            raise ValueError("the scale of its losses is no scale")
        if not 1.0 <= factor <= MOST or math.frexp(factor)[0] != 0.5:
            raise ValueError("the scale of its losses is no power of two")
        self.factor.fill_(factor)
        self._good.fill_(good)
