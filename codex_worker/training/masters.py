"""Weights in fp32 behind a network that computes in bf16.

Nothing is cast in the middle of a step then, which autocast does with every weight and most activations. An
update is often too small to move a weight of bf16 at all, so the optimizer works on a copy in fp32, and the
network gets it rounded (Micikevicius et al. 2018, "Mixed Precision Training", section 3.1).
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn


class MasterWeights:
    """The fp32 weights of a network whose own parameters are bf16 from now on.

    Buffers keep their numbers. What needs fp32, the loss above all, has to be computed in it by the task.
    """

    def __init__(self, model: nn.Module) -> None:
        self._rounded = {
            name: parameter for name, parameter in model.named_parameters() if parameter.is_floating_point()
        }
        self.tensors = {
            name: nn.Parameter(parameter.detach().float()) for name, parameter in self._rounded.items()
        }
        for parameter in self._rounded.values():
            parameter.data = parameter.data.to(torch.bfloat16)

    def of(self, parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
        """The masters of some of the network's parameters; what has none stands for itself."""
        masters = {id(parameter): self.tensors[name] for name, parameter in self._rounded.items()}
        return [masters.get(id(parameter), parameter) for parameter in parameters]

    def collect(self) -> None:
        """Add the network's gradients to those of the masters, in fp32, and take them from the network."""
        for name, parameter in self._rounded.items():
            if parameter.grad is None:
                continue
            gradient, master = parameter.grad.float(), self.tensors[name]
            master.grad = gradient if master.grad is None else master.grad.add_(gradient)
            parameter.grad = None

    def drop_gradients(self) -> None:
        """Forget what an update that was broken off has left in the network."""
        for parameter in self._rounded.values():
            parameter.grad = None

    @torch.no_grad()
    def round(self) -> None:
        """Give the network the masters as they are now, in bf16."""
        torch._foreach_copy_(list(self._rounded.values()), list(self.tensors.values()))

    @contextmanager
    def in_full(self) -> Iterator[None]:
        """Let the network hold the masters themselves inside the `with` block: to be saved, or read anew."""
        kept = {name: parameter.data for name, parameter in self._rounded.items()}
        for name, parameter in self._rounded.items():
            parameter.data = self.tensors[name].data
        try:
            yield
        finally:
            for name, parameter in self._rounded.items():
                parameter.data = kept[name]
            self.round()
