"""Dropout that is cheap on a CPU (Srivastava et al. 2014)."""

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

LEVELS = 2**16  # a probability is rounded to a multiple of 1 / LEVELS


def dropout(x: Tensor, p_dropout: float, training: bool = True) -> Tensor:
    """Zero each element of x with probability p_dropout and scale the others so that the mean stays.

    Chance comes from torch's own state. On a CPU torch draws for each element on its own, which costs more
    than the layers around it; there one draw of 64 bits decides four elements, 16 bits each, and the scale is
    that of the probability so rounded.
    """
    if not training or p_dropout == 0.0:
        return x
    if x.device.type != "cpu":
        return F.dropout(x, p_dropout)
    return cast(Tensor, _Dropout.apply(x, round(p_dropout * LEVELS)))


class _Dropout(torch.autograd.Function):
    """Drops elements in `dropped_levels` of LEVELS cases."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dropped_levels: int) -> Tensor:
        ctx.scale = LEVELS / (LEVELS - dropped_levels)
        keep = _keep(x, dropped_levels)
        ctx.save_for_backward(keep)
        return _scaled(x, keep, ctx.scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (keep,) = ctx.saved_tensors
        return _scaled(gradients[0], keep, ctx.scale), None


def _keep(x: Tensor, dropped_levels: int) -> Tensor:
    """1 where an element is kept and 0 elsewhere, in the type of x, which makes the product fast."""
    words = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    bits = words.view(torch.int16)[: x.numel()].view(x.shape)
    return torch.ge(bits, dropped_levels - LEVELS // 2, out=torch.empty(x.shape, dtype=x.dtype))


def _scaled(x: Tensor, keep: Tensor, scale: float) -> Tensor:
    return torch.addcmul(x.new_zeros(()), x, keep, value=scale)  # one pass over memory instead of two
