"""Vocos (Siuzdak 2023): log-mel frames to samples through a predicted spectrum and its inverse transform."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codex_worker.stabletts.configuration import VocosSettings
from codex_worker.stabletts.layers import Conv, compute_dtype
from codex_worker.stabletts.padding import Padding

NORM_EPSILON = 1e-6
KERNEL_SIZE = 7
LARGEST_MAGNITUDE = 100.0
SMALLEST_ENVELOPE = 1e-11


class ConvNeXtBlock(nn.Module):
    """A depthwise convolution over time, then two pointwise layers (Liu et al. 2022)."""

    def __init__(self, settings: VocosSettings) -> None:
        super().__init__()
        self.dwconv = nn.Conv1d(
            settings.dim, settings.dim, KERNEL_SIZE, padding=KERNEL_SIZE // 2, groups=settings.dim
        )
        self.norm = nn.LayerNorm(settings.dim, eps=NORM_EPSILON)
        self.pwconv1 = nn.Linear(settings.dim, settings.intermediate_dim)
        self.pwconv2 = nn.Linear(settings.intermediate_dim, settings.dim)
        self.gamma = nn.Parameter(torch.full((settings.dim,), 1.0 / settings.num_layers))

    def forward(self, x: Tensor, padding: Padding) -> Tensor:
        """Transform x [B, T, C]."""
        spread = self.dwconv(padding.clear(x).transpose(1, 2)).transpose(1, 2)
        hidden = self.pwconv2(F.gelu(self.pwconv1(self.norm(spread))))
        return x + self.gamma * hidden


class Backbone(nn.Module):
    """The stack of ConvNeXt blocks at the frame rate."""

    def __init__(self, settings: VocosSettings) -> None:
        super().__init__()
        self.embed = Conv(settings.input_channels, settings.dim, KERNEL_SIZE)
        self.norm = nn.LayerNorm(settings.dim, eps=NORM_EPSILON)
        self.convnext = nn.ModuleList(ConvNeXtBlock(settings) for _ in range(settings.num_layers))
        self.final_layer_norm = nn.LayerNorm(settings.dim, eps=NORM_EPSILON)

    def forward(self, mel: Tensor, padding: Padding) -> Tensor:
        """Transform mel [B, T, M] to [B, T, C]."""
        x = self.norm(self.embed(padding.clear(mel)))
        for block in self.convnext:
            x = block(x, padding)
        return self.final_layer_norm(x)


class InverseSTFT(nn.Module):
    """Overlap-add of frames, cut to hop_length samples a frame ("same" padding)."""

    window: Tensor

    def __init__(self, n_fft: int, hop_length: int) -> None:
        super().__init__()
        if n_fft % hop_length:
            raise ValueError(f"n_fft {n_fft} must be a multiple of hop_length {hop_length}")
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.register_buffer("window", torch.hann_window(n_fft))

    def forward(self, spectrum: Tensor, padding: Padding) -> Tensor:
        """Turn spectrum [B, T, n_fft / 2 + 1] into samples [B, T * hop_length], zero behind a row's end."""
        frames = padding.clear(torch.fft.irfft(spectrum, self.n_fft) * self.window)
        samples = self._overlap_add(frames)
        weight = self.window.square().expand(1, frames.shape[1], -1)
        envelope = self._overlap_add(padding.clear(weight))
        end = padding.counts(samples.device)[:, None] * self.hop_length
        real = torch.arange(samples.shape[1], device=samples.device) < end
        return torch.where(real, samples / envelope.clamp_min(SMALLEST_ENVELOPE), 0.0)

    def _overlap_add(self, frames: Tensor) -> Tensor:
        batch, count, _ = frames.shape
        depth = self.n_fft // self.hop_length
        parts = frames.reshape(batch, count, depth, self.hop_length)
        total = frames.new_zeros(batch, count + depth - 1, self.hop_length)
        for part in range(depth):
            total[:, part : part + count] += parts[:, :, part]
        edge = (self.n_fft - self.hop_length) // 2
        return total.flatten(1)[:, edge : edge + count * self.hop_length]


class Head(nn.Module):
    """Log magnitude and phase of every frame, and their inverse Fourier transform."""

    def __init__(self, settings: VocosSettings) -> None:
        super().__init__()
        self.out = nn.Linear(settings.dim, settings.n_fft + 2)
        self.istft = InverseSTFT(settings.n_fft, settings.hop_length)

    def forward(self, x: Tensor, padding: Padding) -> Tensor:
        """Turn x [B, T, C] into samples, in float32."""
        log_magnitude, phase = self.out(x.float()).chunk(2, dim=-1)
        magnitude = log_magnitude.exp().clamp_max(LARGEST_MAGNITUDE)
        return self.istft(torch.polar(magnitude, phase), padding)


class Vocos(nn.Module):
    """The vocoder; its parameters have the names of the published weights."""

    def __init__(self, settings: VocosSettings) -> None:
        super().__init__()
        self.settings = settings
        self.backbone = Backbone(settings)
        self.head = Head(settings)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv1d):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, mel: Tensor, lengths: Tensor | Sequence[int]) -> Tensor:
        """Turn mel [B, M, T] of these lengths into samples [B, T * hop_length], zero behind a row's end."""
        dtype = compute_dtype(mel.device)
        padding = Padding.of(lengths, mel.shape[2], mel.device, dtype)
        x = self.backbone(mel.transpose(1, 2).to(dtype), padding)
        with torch.autocast(mel.device.type, enabled=False):
            return self.head(x, padding.to(torch.float32))
