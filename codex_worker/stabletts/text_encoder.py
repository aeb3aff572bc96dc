"""From symbol ids to hidden states and the mean mel frame of each symbol."""

from typing import cast

import torch
from torch import Tensor, nn

from codex_worker.stabletts.attention import rotary_table
from codex_worker.stabletts.blocks import DiTConVBlock
from codex_worker.stabletts.configuration import ModelSettings
from codex_worker.stabletts.layers import Conv, compute_dtype
from codex_worker.stabletts.padding import Padding


class TextEncoder(nn.Module):
    """An embedding and DiT blocks conditioned on the speaker (StableTTS; Matcha-TTS, section 2.3)."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        channels = settings.hidden_channels
        self.scale = channels**0.5
        self.head_channels = channels // settings.n_heads
        self.emb = nn.Embedding(settings.n_vocab, channels)
        nn.init.normal_(self.emb.weight, 0.0, channels**-0.5)
        self.encoder = nn.ModuleList(DiTConVBlock(settings) for _ in range(settings.n_enc_layers))
        self.proj = Conv(channels, settings.mel_channels)

    def forward(self, ids: Tensor, speaker: Tensor, padding: Padding) -> tuple[Tensor, Tensor]:
        """Encode ids [B, Tx] for speaker [B, G]: hidden [B, Tx, C], and mean frames [B, Tx, M] in float32."""
        dtype = compute_dtype(ids.device)
        with torch.autocast(ids.device.type, enabled=False):
            x = padding.clear(self.emb(ids) * self.scale).to(dtype)
            typed, rotary = (
                padding.to(dtype),
                rotary_table(ids.shape[1], self.head_channels, ids.device, dtype),
            )
            for block in cast(list[DiTConVBlock], list(self.encoder)):
                modulation = tuple(part.to(dtype) for part in block.modulation(speaker.float()))
                x = block(x, modulation, typed, rotary)
            return x, padding.clear(self.proj(x.float()))
