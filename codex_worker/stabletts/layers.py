"""Layers over [B, T, C] that keep the parameters' published names and shapes.

Channels-last turns every convolution into a matrix product without transposing activations. A layer computes
in the type of its input; `compute_dtype` says which that is under autocast, so that masks and sums keep the
type they need.
"""

from collections.abc import Callable
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def compute_dtype(device: torch.device) -> torch.dtype:
    """The type to compute in on a device: autocast's while it is on, float32 otherwise."""
    if torch.is_autocast_enabled(device.type):
        return torch.get_autocast_dtype(device.type)
    return torch.float32


class RearrangedWeight:
    """Remembers a weight's other layout and type between calls that need no gradient.

    The memory is keyed by the storage and version of its sources, so a loaded or trained weight is rearranged
    anew.
    """

    def __init__(self) -> None:
        self._key: tuple[object, ...] | None = None
        self._value: Tensor | None = None

    def of(self, sources: tuple[Tensor, ...], dtype: torch.dtype, arrange: Callable[..., Tensor]) -> Tensor:
        """Return arrange(*sources in dtype), computed again only where it may have changed."""
        if torch.is_grad_enabled():
            self.forget()
            return arrange(*(source.to(dtype) for source in sources))
        key = (dtype, *((source.data_ptr(), source._version) for source in sources))
        if self._value is None or key != self._key:
            self._value = arrange(*(source.to(dtype) for source in sources)).contiguous()
            self._key = key
        return self._value

    def __reduce__(self) -> tuple[type["RearrangedWeight"], tuple[()]]:
        return RearrangedWeight, ()  # a copied or pickled module starts with nothing remembered

    def forget(self) -> None:
        """Drop what is remembered."""
        self._key = self._value = None


class Conv(nn.Conv1d):
    """A convolution over time, [B, T, in] -> [B, T, out], with nn.Conv1d's parameters."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 1) -> None:
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
        self._matrix = RearrangedWeight()

    def forward(self, x: Tensor) -> Tensor:
        """Convolve x [B, T, in] in x's own type."""
        width = self.kernel_size[0]
        bias = None if self.bias is None else self.bias.to(x.dtype)
        if width == 1:
            return F.linear(x, self._matrix.of((self.weight,), x.dtype, _as_pointwise), bias)
        if self.in_channels > self.out_channels:
            # Multiplying first and shifting after copies less where a convolution narrows.
            taps = F.linear(x, self._matrix.of((self.weight,), x.dtype, _taps_as_outputs))
            total = cast(Tensor, _ShiftedSum.apply(taps, width))
            return total if bias is None else total + bias
        return F.linear(
            _Neighbours.apply(x, width), self._matrix.of((self.weight,), x.dtype, _taps_as_inputs), bias
        )

    def train(self, mode: bool = True) -> "Conv":
        """Switch mode; a change of weights that torch does not count (through .data) is noticed here."""
        self._matrix.forget()
        return super().train(mode)


def _as_pointwise(weight: Tensor) -> Tensor:
    return weight[:, :, 0]


def _taps_as_inputs(weight: Tensor) -> Tensor:
    return weight.permute(0, 2, 1).reshape(weight.shape[0], -1)


def _taps_as_outputs(weight: Tensor) -> Tensor:
    return weight.permute(2, 0, 1).reshape(-1, weight.shape[1])


class _Neighbours(torch.autograd.Function):
    """Set each position's neighbours side by side: [B, T, C] -> [B, T, taps * C], zero beyond the edges."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, taps: int) -> Tensor:
        ctx.taps = taps
        return _spread(x, taps, 1).flatten(2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _gathered(gradients[0].unflatten(-1, (ctx.taps, -1)), -1), None


class _ShiftedSum(torch.autograd.Function):
    """Add each tap of [B, T, taps * C] at its own shift: [B, T, C]; the reverse of `_Neighbours`."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, taps: int) -> Tensor:
        ctx.taps = taps
        return _gathered(y.unflatten(-1, (taps, -1)), 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _spread(gradients[0], ctx.taps, -1).flatten(2), None


def _spread(x: Tensor, taps: int, direction: int) -> Tensor:
    """out[t, tap] = x[t + direction * (tap - taps // 2)]."""
    batch, length, channels = x.shape
    out = x.new_empty(batch, length, taps, channels)
    for tap in range(taps):
        here, there = _overlap(direction * (tap - taps // 2), length)
        out[:, here, tap] = x[:, there]
        out[:, : here.start, tap] = 0
        out[:, here.stop :, tap] = 0
    return out


def _gathered(y: Tensor, direction: int) -> Tensor:
    """out[t] = sum over taps of y[t + direction * (tap - taps // 2), tap]."""
    length, taps = y.shape[1], y.shape[2]
    out = y[:, :, taps // 2].clone()
    for tap in range(taps):
        if tap != taps // 2:
            here, there = _overlap(direction * (tap - taps // 2), length)
            out[:, here] += y[:, there, tap]
    return out


def _overlap(shift: int, length: int) -> tuple[slice, slice]:
    """The positions t, and t + shift, for which both lie within the length."""
    begin, end = min(max(0, -shift), length), max(min(length, length - shift), 0)
    end = max(begin, end)
    return slice(begin, end), slice(begin + shift, end + shift) if end > begin else slice(0, 0)
