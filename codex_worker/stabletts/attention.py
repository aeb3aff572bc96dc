"""Self-attention with partial rotary positions, in memory that does not grow with the length squared."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from codex_worker.stabletts.dropout import dropout
from codex_worker.stabletts.layers import Conv, RearrangedWeight
from codex_worker.stabletts.padding import Padding

ROTARY_BASE = 10_000.0
MAX_SCORES = 2**25  # attention scores held at once where no fused kernel drops them (128 MiB in float32)

Rotary = tuple[Tensor, Tensor]


def rotary_table(length: int, head_channels: int, device: torch.device, dtype: torch.dtype) -> Rotary:
    """Return cos and sin, each [T, 1, 1, head_channels / 4], of the angles that turn half of a head.

    Rotary position embedding (Su et al. 2021, RoFormer), on half of the channels. Made anew for each pass, so
    that it follows the device and never holds a tensor of another pass.
    """
    pairs = head_channels // 4
    rates = ROTARY_BASE ** (-torch.arange(pairs, device=device, dtype=torch.float32) / pairs)
    angles = torch.arange(length, device=device, dtype=torch.float32)[:, None] * rates
    return angles.cos().to(dtype)[:, None, None], angles.sin().to(dtype)[:, None, None]


def rotate(x: Tensor, rotary: Rotary) -> Tensor:
    """Turn x [B, T, ..., heads, channels] by position; channel i is paired with i + channels / 4."""
    cos, sin = rotary
    pairs = cos.shape[-1]
    first, second, rest = x.split([pairs, pairs, x.shape[-1] - 2 * pairs], dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin, rest], dim=-1)


class Attention(nn.Module):
    """Multi-head self-attention; the three input projections are one product."""

    def __init__(self, channels: int, n_heads: int, p_dropout: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.p_dropout = p_dropout
        self.conv_q = Conv(channels, channels)
        self.conv_k = Conv(channels, channels)
        self.conv_v = Conv(channels, channels)
        self.conv_o = Conv(channels, channels)
        self._weight = RearrangedWeight()
        self._bias = RearrangedWeight()
        for layer in (self.conv_q, self.conv_k, self.conv_v):
            nn.init.xavier_uniform_(layer.weight)

    def forward(self, x: Tensor, padding: Padding, rotary: Rotary) -> Tensor:
        """Attend within x [B, T, C]; padded keys are ignored, padded queries answer anything."""
        batch, length, channels = x.shape
        inputs = (self.conv_q, self.conv_k, self.conv_v)
        weight = self._weight.of(tuple(layer.weight for layer in inputs), x.dtype, _stack_pointwise)
        bias = self._bias.of(tuple(_bias(layer) for layer in inputs), x.dtype, _stack)
        joined = F.linear(x, weight, bias).view(batch, length, 3, self.n_heads, channels // self.n_heads)
        query, key = rotate(joined[:, :, :2], rotary).unbind(2)
        attended = attend(
            query.transpose(1, 2),
            key.transpose(1, 2),
            joined[:, :, 2].transpose(1, 2),
            padding.keys,
            self.p_dropout if self.training else 0.0,
        )
        return self.conv_o(attended.transpose(1, 2).reshape(batch, length, channels))

    def train(self, mode: bool = True) -> "Attention":
        """Switch mode; a change of weights that torch does not count (through .data) is noticed here."""
        self._weight.forget()
        self._bias.forget()
        return super().train(mode)


def attend(query: Tensor, key: Tensor, value: Tensor, keys: Tensor | None, p_dropout: float) -> Tensor:
    """Scaled dot-product attention over [B, heads, T, channels]; `keys` [B, 1, 1, T] is True where real.

    The fused kernels never hold the T x T scores. The CPU has none with dropout: there the queries go in
    slices, and the backward pass computes each slice again.
    """
    batch, heads, length, _ = query.shape
    if p_dropout == 0.0 or query.device.type != "cpu":
        return F.scaled_dot_product_attention(query, key, value, attn_mask=keys, dropout_p=p_dropout)
    rows = max(1, MAX_SCORES // (batch * heads * length))
    if rows >= length:
        return _attend_openly(query, key, value, keys, p_dropout)
    slices = [
        checkpoint(_attend_openly, part, key, value, keys, p_dropout, use_reentrant=False)
        for part in query.split(rows, dim=2)
    ]
    return torch.cat(slices, dim=2)


def _attend_openly(
    query: Tensor, key: Tensor, value: Tensor, keys: Tensor | None, p_dropout: float
) -> Tensor:
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
    if keys is not None:
        scores = scores.masked_fill(~keys, float("-inf"))
    return dropout(scores.softmax(-1), p_dropout) @ value


def _stack(*parts: Tensor) -> Tensor:
    return torch.cat(parts)


def _stack_pointwise(*parts: Tensor) -> Tensor:
    return torch.cat(parts)[:, :, 0]


def _bias(layer: Conv) -> Tensor:
    assert layer.bias is not None  # noqa: S101 - every projection here has one
    return layer.bias
