"""From a reference recording's mel spectrogram to one vector for the voice."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codex_worker.stabletts.attention import attend
from codex_worker.stabletts.configuration import ModelSettings
from codex_worker.stabletts.dropout import dropout
from codex_worker.stabletts.layers import Conv
from codex_worker.stabletts.padding import Padding

N_HEADS = 2
KERNEL_SIZE = 5
P_DROPOUT = 0.25


class GatedConv(nn.Module):
    """A convolution with a gated linear unit and a residual path."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = Conv(channels, 2 * channels, KERNEL_SIZE)

    def forward(self, x: Tensor, padding: Padding) -> Tensor:
        """Transform x [B, T, C]."""
        return x + dropout(F.glu(self.conv1(padding.clear(x)), dim=-1), P_DROPOUT, self.training)


class StyleAttention(nn.Module):
    """Self-attention without positions, with the parameter names of nn.MultiheadAttention."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.in_proj_weight = nn.Parameter(torch.empty(3 * channels, channels))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * channels))
        self.out_proj = nn.Linear(channels, channels)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, x: Tensor, padding: Padding) -> Tensor:
        """Attend within x [B, T, C]."""
        batch, length, channels = x.shape
        joined = F.linear(x, self.in_proj_weight, self.in_proj_bias).view(batch, length, 3, N_HEADS, -1)
        query, key, value = (part.transpose(1, 2) for part in joined.unbind(2))
        attended = attend(query, key, value, padding.keys, P_DROPOUT if self.training else 0.0)
        return self.out_proj(attended.transpose(1, 2).reshape(batch, length, channels))


class MelStyleEncoder(nn.Module):
    """Frames, their neighbourhood, attention, and the mean over time (style encoder of Meta-StyleSpeech)."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        width = settings.style_channels
        self.spectral = nn.Sequential(
            nn.Linear(settings.mel_channels, width),
            nn.Mish(),
            nn.Dropout(P_DROPOUT),
            nn.Linear(width, width),
            nn.Mish(),
            nn.Dropout(P_DROPOUT),
        )
        self.temporal = nn.ModuleList([GatedConv(width), GatedConv(width)])
        self.slf_attn = StyleAttention(width)
        self.fc = nn.Linear(width, settings.gin_channels)

    def forward(self, mel: Tensor, padding: Padding) -> Tensor:
        """Summarise mel [B, T, M] as speaker [B, G], in float32, for it conditions everything else."""
        with torch.autocast(mel.device.type, enabled=False):
            x = self.spectral(mel.float())
            for layer in self.temporal:
                x = layer(x, padding)
            x = padding.clear(self.fc(self.slf_attn(x, padding)))
            return x.sum(1) / padding.counts(x.device).clamp_min(1)[:, None].to(x.dtype)
