"""The network that tells the flow where to go: velocity of noisy mel, given time, content and voice."""

import math
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codex_worker.stabletts.attention import Rotary, rotary_table
from codex_worker.stabletts.blocks import DiTConVBlock, Modulation
from codex_worker.stabletts.configuration import ModelSettings
from codex_worker.stabletts.layers import Conv, compute_dtype
from codex_worker.stabletts.padding import Padding

TIME_SCALE = 1000.0
SLOWEST_PERIOD = 10_000.0


@dataclass(frozen=True)
class Conditions:
    """What stays the same through a solve: computed once for a batch of utterances."""

    content: Tensor  # [B, T, C]: the text's share of the input projection
    modulations: tuple[Modulation, ...]  # the voice's, one for each block
    padding: Padding
    rotary: Rotary


class TimeEmbedding(nn.Module):
    """Sinusoids of a time in [0, 1] and two linear layers."""

    def __init__(self, channels: int, filter_channels: int) -> None:
        super().__init__()
        self.frequencies = channels // 2
        self.layer = nn.Sequential(
            nn.Linear(channels, filter_channels), nn.SiLU(), nn.Linear(filter_channels, channels)
        )

    def forward(self, time: Tensor) -> Tensor:
        """Embed time [N] as [N, C]."""
        steps = torch.arange(self.frequencies, device=time.device, dtype=torch.float32)
        rates = torch.exp(steps * -(math.log(SLOWEST_PERIOD) / (self.frequencies - 1)))
        angles = TIME_SCALE * time.float()[:, None] * rates
        return self.layer(torch.cat([angles.sin(), angles.cos()], dim=-1))


class TimeFusion(nn.Module):
    """Feature-wise linear modulation by the time (Perez et al. 2018): gamma * x + beta."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.film = Conv(channels, 2 * channels)


class EstimatorBlock(nn.Module):
    """A block of the estimator: time first, then voice and attention."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.time_fusion = TimeFusion(settings.hidden_channels)
        self.block = DiTConVBlock(settings)

    def forward(
        self, x: Tensor, film: Tensor, modulation: Modulation, padding: Padding, rotary: Rotary
    ) -> Tensor:
        """Transform x [B, T, C] by film [B or 1, 2C] and the rest."""
        gamma, beta = film[:, None].chunk(2, dim=-1)
        return self.block(padding.clear(torch.addcmul(beta, gamma, x)), modulation, padding, rotary)


class Estimator(nn.Module):
    """A U-shaped stack of DiT blocks with long skips between its halves (StableTTS).

    Parts that do not change during a solve are methods of their own: `conditions` (text and voice) and `film`
    (time).
    """

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        channels, width, mel_channels = (
            settings.hidden_channels,
            settings.filter_channels,
            settings.mel_channels,
        )
        kernel_size = settings.kernel_size
        self.mel_channels = mel_channels
        self.head_channels = channels // settings.n_heads
        self.time_mlp = TimeEmbedding(channels, width)
        self.in_proj = Conv(channels + mel_channels, channels)
        self.blocks = nn.ModuleList(EstimatorBlock(settings) for _ in range(settings.n_dec_layers))
        self.final_proj = Conv(channels, mel_channels)
        self.cond_proj = nn.Sequential(
            Conv(mel_channels, width, kernel_size),
            nn.SiLU(),
            Conv(width, width, kernel_size),
            nn.SiLU(),
            Conv(width, channels, kernel_size),
        )
        self.lsc_layers = nn.ModuleList(
            Conv(2 * channels, channels, kernel_size) for _ in range(settings.n_dec_layers // 2)
        )

    def forward(self, time: Tensor, x: Tensor, mean: Tensor, speaker: Tensor, padding: Padding) -> Tensor:
        """Estimate the velocity of x [B, T, M] at time [B], for mean [B, T, M] and speaker [B, G]."""
        return self.velocity(x, self.film(time), self.conditions(mean, speaker, padding))

    def conditions(self, mean: Tensor, speaker: Tensor, padding: Padding) -> Conditions:
        """Work out what text and voice contribute."""
        dtype = compute_dtype(mean.device)
        with torch.autocast(mean.device.type, enabled=False):
            padding = padding.to(dtype)
            content = self.project_content(mean.to(dtype), padding)
            content = F.linear(
                content, self._input_weight(dtype)[:, self.mel_channels :], _bias(self.in_proj, dtype)
            )
            modulations = tuple(
                tuple(part.to(dtype) for part in layer.block.modulation(speaker.float()))
                for layer in self._layers()
            )
            rotary = rotary_table(mean.shape[1], self.head_channels, mean.device, dtype)
            return Conditions(content, modulations, padding, rotary)

    def film(self, time: Tensor) -> Tensor:
        """Work out what times [N] contribute to each block: [N, blocks, 2C]."""
        dtype = compute_dtype(time.device)
        with torch.autocast(time.device.type, enabled=False):
            embedded = self.time_mlp(time)
            return torch.stack([layer.time_fusion.film(embedded) for layer in self._layers()], dim=1).to(
                dtype
            )

    def velocity(self, x: Tensor, film: Tensor, conditions: Conditions) -> Tensor:
        """Estimate the velocity [B, T, M], float32, of x [B, T, M]; film is [B or 1, blocks, 2C]."""
        padding, half = conditions.padding, len(self.lsc_layers)
        with torch.autocast(x.device.type, enabled=False):
            x = self.project_input(x, conditions)
            skips: list[Tensor] = []
            for index, layer in enumerate(self._layers()):
                if index < half:
                    skips.append(x)
                else:
                    x = self.join(index - half, x, skips.pop(), padding)
                x = layer(x, film[:, index], conditions.modulations[index], padding, conditions.rotary)
            return padding.clear(self.final_proj(x)).float()

    def project_content(self, mean: Tensor, padding: Padding) -> Tensor:
        """Project mean frames [B, T, M] to [B, T, C], looking at neighbouring frames."""
        x = mean
        for layer in self.cond_proj:
            x = layer(padding.clear(x) if isinstance(layer, Conv) else x)
        return x

    def project_input(self, x: Tensor, conditions: Conditions) -> Tensor:
        """Add the noisy frames x [B, T, M] to the content: [B, T, C]."""
        content = conditions.content
        noisy = F.linear(x.to(content.dtype), self._input_weight(content.dtype)[:, : self.mel_channels])
        return conditions.padding.clear(noisy + content)

    def join(self, index: int, x: Tensor, skip: Tensor, padding: Padding) -> Tensor:
        """Bring a long skip back: x and skip [B, T, C] -> [B, T, C]."""
        return padding.clear(self.lsc_layers[index](torch.cat([x, skip], dim=-1)))

    def _layers(self) -> list[EstimatorBlock]:
        return cast(list[EstimatorBlock], list(self.blocks))

    def _input_weight(self, dtype: torch.dtype) -> Tensor:
        return self.in_proj.weight[:, :, 0].to(dtype)


def _bias(layer: Conv, dtype: torch.dtype) -> Tensor | None:
    return None if layer.bias is None else layer.bias.to(dtype)
