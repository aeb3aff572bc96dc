"""What a VITS network hears: linear spectrograms, and mel spectrograms through which gradients flow."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import VitsConfig

from codex_worker.stabletts.mel import SMALLEST_MEL, SMALLEST_POWER, slaney_filterbank
from codex_worker.vits.configuration import mel_settings


class Spectrograms(nn.Module):
    """Spectrograms of samples at a network's rate and frames, as it was trained with them."""

    window: Tensor
    filterbank: Tensor

    def __init__(self, config: VitsConfig) -> None:
        super().__init__()
        self.settings = mel_settings(config)
        self.register_buffer("window", torch.hann_window(self.settings.n_fft), persistent=False)
        self.register_buffer("filterbank", slaney_filterbank(self.settings), persistent=False)

    def linear(self, samples: Tensor) -> Tensor:
        """Magnitudes [B, spectrogram_bins, N / hop_length] of samples [B, N]."""
        edge = self.settings.edge_samples
        padded = F.pad(samples.float()[:, None], (edge, edge), mode="reflect")[:, 0]
        spectrum = torch.stft(
            padded,
            self.settings.n_fft,
            self.settings.hop_length,
            window=self.window,
            center=False,
            return_complex=True,
        )
        return (torch.view_as_real(spectrum).square().sum(-1) + SMALLEST_POWER).sqrt()

    def log_mel(self, samples: Tensor) -> Tensor:
        """Log-mel [B, n_mels, N / hop_length] of samples [B, N]."""
        mel = self.linear(samples).transpose(1, 2) @ self.filterbank
        return mel.transpose(1, 2).clamp_min(SMALLEST_MEL).log()
