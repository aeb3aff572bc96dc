"""A moving average of the weights, which is smoother than the weights of any one step."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor


class WeightAverage:
    """Exponential moving average of weights by name (Polyak and Juditsky 1992; Adam paper, section 7.2).

    The decay starts low and rises to `decay`, so that a short run is not averaged with its beginning.
    """

    def __init__(self, weights: Mapping[str, Tensor], decay: float) -> None:
        if not 0.0 < decay < 1.0:
            raise ValueError(f"a decay of {decay} must lie between 0 and 1")
        self.decay = decay
        self._weights = dict(weights)
        self.tensors = {name: value.detach().clone() for name, value in self._weights.items()}
        # On the device, which alone knows at once whether an update was left out.
        device = next(iter(self.tensors.values())).device
        self._updates = torch.zeros((), dtype=torch.float64, device=device)

    @property
    def updates(self) -> int:
        """How many updates the average has seen; waits for the device."""
        return int(self._updates)

    @torch.no_grad()
    def update(self, left_out: Tensor | None = None) -> None:
        """Move the average towards the present weights, unless `left_out` (0-dim) is 1.

        Nothing here waits for the device, so that all of it may be recorded and replayed.
        """
        taken = torch.ones_like(self._updates) if left_out is None else 1.0 - left_out.double()
        self._updates += taken
        decay = ((1 + self._updates) / (10 + self._updates)).clamp_max(self.decay)
        share = ((1.0 - decay) * taken).float()
        averages = list(self.tensors.values())
        moves = torch._foreach_sub([self._weights[name].detach() for name in self.tensors], averages)
        torch._foreach_mul_(moves, share)
        torch._foreach_add_(averages, moves)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Exchange weights and average inside the `with` block."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for name, average in self.tensors.items():
            own = self._weights[name].detach().clone()
            self._weights[name].copy_(average)
            average.copy_(own)

    @torch.no_grad()
    def restore(self, tensors: dict[str, Tensor], updates: int) -> None:
        """Continue from a saved average.

        Raises:
            ValueError: the saved average belongs to another model.
        """
        if {name: value.shape for name, value in tensors.items()} != {
            name: value.shape for name, value in self.tensors.items()
        }:
            raise ValueError("the saved averages have other names or shapes than the model")
        for name, value in tensors.items():
            self.tensors[name].copy_(value)
        self._updates.fill_(updates)
