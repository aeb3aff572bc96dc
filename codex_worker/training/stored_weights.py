"""Weights of a checkpoint that a stranger may have made, against the network that they are for."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from codex_worker.errors import DataError


def require_shapes(file: str, found: Mapping[str, tuple[int, ...]], network: nn.Module) -> None:
    """Raises DataError where the shapes in a file are not those of its network, before a number is read."""
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    wrong = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
    if wrong:
        first = wrong[0]
        raise DataError(
            f"The weights in {file} do not fit their own configuration: {len(wrong)} differ, so {first} "
            f"is {found.get(first, 'missing')} and should be {wanted.get(first, 'absent')}."
        )


def finite(file: str, name: str, value: Tensor) -> Tensor:
    """The numbers, in float32 where they are no whole ones. Raises DataError where some are none."""
    value = value.float() if value.is_floating_point() else value
    if not torch.isfinite(value).all():
        raise DataError(f"{file} has numbers that are not finite in {name}: its training had diverged.")
    return value
