"""Layers over [B, T, C] that keep the parameters' published names and shapes.

Channels-last turns every convolution into a matrix product without transposing activations. A layer computes
in the type of its input; `compute_dtype` says which that is under autocast, so that masks and sums keep the
type they need.
"""

from collections.abc import Callable

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
            return _product_then_shift(
                x, self._matrix.of((self.weight,), x.dtype, _taps_as_outputs), bias, width
            )
        return F.linear(_windows(x, width), self._matrix.of((self.weight,), x.dtype, _taps_as_inputs), bias)

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


def _windows(x: Tensor, width: int) -> Tensor:
    """Set each position's neighbours side by side: [B, T, C] -> [B, T, width * C]."""
    length = x.shape[1]
    padded = F.pad(x, (0, 0, width // 2, width // 2))
    return torch.cat([padded[:, tap : tap + length] for tap in range(width)], dim=-1)


def _product_then_shift(x: Tensor, matrix: Tensor, bias: Tensor | None, width: int) -> Tensor:
    """Multiply first and add the shifted taps after: less to copy where a convolution narrows."""
    batch, length, _ = x.shape
    taps = F.pad(F.linear(x, matrix), (0, 0, width // 2, width // 2)).view(
        batch, length + width - 1, width, -1
    )
    total = taps[:, :length, 0] if bias is None else taps[:, :length, 0] + bias
    for tap in range(1, width):
        total = total + taps[:, tap : tap + length, tap]
    return total
