"""From samples to log-mel frames."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codex_worker.errors import DataError
from codex_worker.stabletts.configuration import MelSettings

SMALLEST_POWER = 1e-6
SMALLEST_MEL = 1e-5

# Slaney's mel scale (Auditory Toolbox, 1998): linear below 1 kHz, logarithmic above.
_LINEAR_HZ_PER_MEL = 200.0 / 3
_BREAK_HZ = 1000.0
_BREAK_MEL = _BREAK_HZ / _LINEAR_HZ_PER_MEL
_LOG_STEP = math.log(6.4) / 27


class LogMel(nn.Module):
    """Samples [B, N] at the settings' rate -> log-mel [B, n_mels, floor(N / hop_length)]."""

    window: Tensor
    filterbank: Tensor

    def __init__(self, settings: MelSettings) -> None:
        super().__init__()
        self.settings = settings
        self.register_buffer("window", torch.hann_window(settings.n_fft), persistent=False)
        self.register_buffer("filterbank", slaney_filterbank(settings), persistent=False)

    @torch.no_grad()
    def forward(self, samples: Tensor) -> Tensor:
        """Analyse samples in [-1, 1]; raises DataError for fewer than the edges need (17 ms)."""
        settings = self.settings
        edge = settings.edge_samples
        if samples.shape[-1] <= edge:
            raise DataError(
                f"The audio has {samples.shape[-1]} samples at {settings.sample_rate} Hz; "
                f"a mel spectrogram needs more than {edge}."
            )
        with torch.autocast(samples.device.type, enabled=False):
            padded = F.pad(samples.float()[:, None], (edge, edge), mode="reflect")[:, 0]
            spectrum = torch.stft(
                padded,
                settings.n_fft,
                settings.hop_length,
                window=self.window,
                center=False,
                return_complex=True,
            )
            magnitude = (torch.view_as_real(spectrum).square().sum(-1) + SMALLEST_POWER).sqrt()
            mel = (magnitude.transpose(1, 2) @ self.filterbank).transpose(1, 2)
            return mel.clamp_min(SMALLEST_MEL).log()


def slaney_filterbank(settings: MelSettings) -> Tensor:
    """Triangular filters [n_fft / 2 + 1, n_mels], equally spaced on Slaney's scale, each of unit area."""
    highest = settings.f_max_hz or settings.sample_rate / 2
    frequencies = torch.linspace(0, settings.sample_rate // 2, settings.n_fft // 2 + 1)
    edges = _mel_to_hz(
        torch.linspace(_hz_to_mel(settings.f_min_hz), _hz_to_mel(highest), settings.n_mels + 2)
    )
    widths = edges[1:] - edges[:-1]
    distance = edges[None, :] - frequencies[:, None]
    rising = -distance[:, :-2] / widths[:-1]
    falling = distance[:, 2:] / widths[1:]
    triangles = torch.minimum(rising, falling).clamp_min(0)
    return triangles * (2.0 / (edges[2:] - edges[:-2]))


def _hz_to_mel(frequency: float) -> float:
    if frequency < _BREAK_HZ:
        return frequency / _LINEAR_HZ_PER_MEL
    return _BREAK_MEL + math.log(frequency / _BREAK_HZ) / _LOG_STEP


def _mel_to_hz(mels: Tensor) -> Tensor:
    linear = mels * _LINEAR_HZ_PER_MEL
    return torch.where(mels >= _BREAK_MEL, _BREAK_HZ * torch.exp(_LOG_STEP * (mels - _BREAK_MEL)), linear)
