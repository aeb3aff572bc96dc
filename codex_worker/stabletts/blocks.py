"""The diffusion-transformer block with convolutional feed-forward, for text encoder and estimator."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codex_worker.stabletts.attention import Attention, Rotary
from codex_worker.stabletts.configuration import ModelSettings
from codex_worker.stabletts.dropout import dropout
from codex_worker.stabletts.layers import Conv
from codex_worker.stabletts.padding import Padding

Modulation = tuple[
    Tensor, ...
]  # shift, 1 + scale, gate of attention, then of the feed-forward part; each [B, 1, C]


class FeedForward(nn.Module):
    """Two convolutions over time with SiLU between them, [B, T, C] -> [B, T, C]."""

    def __init__(self, channels: int, filter_channels: int, kernel_size: int, p_dropout: float) -> None:
        super().__init__()
        self.conv_1 = Conv(channels, filter_channels, kernel_size)
        self.conv_2 = Conv(filter_channels, channels, kernel_size)
        self.p_dropout = p_dropout

    def forward(self, x: Tensor, padding: Padding) -> Tensor:
        """Transform x; positions behind a row's end count as zero and come out as anything."""
        hidden = F.silu(self.conv_1(padding.clear(x)), inplace=not torch.is_grad_enabled())
        hidden = dropout(hidden, self.p_dropout, self.training)
        return self.conv_2(padding.clear(hidden))


class DiTConVBlock(nn.Module):
    """Attention and feed-forward, modulated by a condition (adaLN-Zero; Peebles and Xie 2023, 3.2)."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        channels, condition = settings.hidden_channels, settings.gin_channels
        self.attn = Attention(channels, settings.n_heads, settings.p_dropout)
        self.mlp = FeedForward(channels, settings.filter_channels, settings.kernel_size, settings.p_dropout)
        self.adaLN_modulation = nn.Sequential(
            nn.Linear(condition, channels) if condition != channels else nn.Identity(),
            nn.SiLU(),
            nn.Linear(channels, 6 * channels),
        )
        for parameter in self.adaLN_modulation[2].parameters():
            nn.init.zeros_(parameter)

    def modulation(self, condition: Tensor) -> Modulation:
        """Compute what a condition [B, G] does to the block, at every position and solver step alike."""
        parts = self.adaLN_modulation(condition)[:, None].chunk(6, dim=-1)
        return tuple(part + 1 if index in {1, 4} else part for index, part in enumerate(parts))

    def forward(self, x: Tensor, modulation: Modulation, padding: Padding, rotary: Rotary) -> Tensor:
        """Transform x [B, T, C], which must be zero behind each row's end, and is so again afterwards."""
        shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = modulation
        attended = self.attn(_modulated(x, shift, scale), padding, rotary)
        x = torch.addcmul(x, gate, padding.clear(attended))
        transformed = self.mlp(_modulated(x, shift_mlp, scale_mlp), padding)
        return torch.addcmul(x, gate_mlp, padding.clear(transformed))


def _modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return torch.addcmul(shift, F.layer_norm(x, x.shape[-1:]), scale)
