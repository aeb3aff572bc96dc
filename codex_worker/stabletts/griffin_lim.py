"""A vocoder without weights: Griffin and Lim's phase search (1984), for demos, tests and want of Vocos."""

import torch
from torch import Tensor, nn

from codex_worker.stabletts.configuration import MelSettings
from codex_worker.stabletts.mel import slaney_filterbank
from patches import torchaudio as torchaudio_patch

ITERATIONS = 32


class GriffinLim(nn.Module):
    """Log-mel [B, n_mels, T] -> samples [B, T * hop_length]; phases start at random."""

    inverse_filterbank: Tensor

    def __init__(self, settings: MelSettings, iterations: int = ITERATIONS) -> None:
        super().__init__()
        self.settings = settings
        inverse = torch.linalg.pinv(slaney_filterbank(settings).double()).float()
        self.register_buffer("inverse_filterbank", inverse, persistent=False)
        self.search = torchaudio_patch.load().transforms.GriffinLim(
            n_fft=settings.n_fft, hop_length=settings.hop_length, n_iter=iterations, power=1.0
        )

    @torch.no_grad()
    def forward(self, mel: Tensor) -> Tensor:
        """Turn every frame of mel into samples; silence behind a row's end has to be cut by the caller."""
        with torch.autocast(mel.device.type, enabled=False):
            magnitude = (
                (mel.float().exp().transpose(1, 2) @ self.inverse_filterbank).clamp_min(0).transpose(1, 2)
            )
            # The search centres frame k on sample k * hop, the mel half a hop later: half a hop goes on
            # either side.
            half = self.settings.hop_length // 2
            return nn.functional.pad(self.search(magnitude), (half, half))
