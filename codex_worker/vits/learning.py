"""One pass of a VITS network over recordings with their texts, for its losses (Kim et al. 2021, section 2).

transformers has the parts in both directions, but puts them together for speaking only.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import VitsModel

from codex_worker.stabletts.alignment import durations, expand
from codex_worker.stabletts.padding import Padding
from codex_worker.vits.configuration import frame_samples

SEGMENT_FRAMES = 32  # of each recording that are made into samples (windowed generator training, section 3.2)


@dataclass(frozen=True)
class VitsBatch:
    """Recordings padded to equal length, on the network's device."""

    ids: Tensor  # [B, Tx] int64
    symbols: Padding
    samples: Tensor  # [B, Ty * frame_samples]
    spectrogram: Tensor  # [B, F, Ty]
    frames: Padding


@dataclass(frozen=True)
class Passed:
    """What a pass gave: made and real samples [B, 1, S] of the same places, and the losses of the text."""

    made: Tensor
    real: Tensor
    divergence: Tensor  # of what the recording says from what the text expects (equation 4)
    duration: Tensor  # of the durations that the alignment found


def listen_and_speak(model: VitsModel, batch: VitsBatch) -> Passed:
    """From sound to latents and back to samples, and from the text to what the latents should be."""
    latents, spread = _heard(model, batch)
    frame_mask = _mask(batch.frames, batch.spectrogram)
    flowed = model.flow(latents, frame_mask)
    symbol_mask = _mask(batch.symbols, batch.spectrogram)
    text = model.text_encoder(
        batch.ids, padding_mask=symbol_mask.transpose(1, 2), attention_mask=symbol_mask[:, 0].long()
    )
    mean, log_spread = text.prior_means, text.prior_log_variances
    lasting = durations(_likelihood(mean, log_spread, flowed), batch.symbols, batch.frames)
    expected = expand(mean, lasting, flowed.shape[2]).transpose(1, 2)
    expected_spread = expand(log_spread, lasting, flowed.shape[2]).transpose(1, 2)
    made, real = _segments(model, batch, latents)
    return Passed(
        made,
        real,
        _divergence(flowed, spread, expected, expected_spread, frame_mask),
        _duration_loss(model, text.last_hidden_state, symbol_mask, lasting),
    )


def speak_again(model: VitsModel, batch: VitsBatch) -> tuple[Tensor, Tensor]:
    """Made and real samples [B, 1, S] of the same places, from the sound alone: what a judge is shown."""
    latents, _ = _heard(model, batch)
    return _segments(model, batch, latents)


def _heard(model: VitsModel, batch: VitsBatch) -> tuple[Tensor, Tensor]:
    """A draw of the latents [B, C, Ty], and the logarithm of how far they spread."""
    latents, _, spread = model.posterior_encoder(batch.spectrogram, _mask(batch.frames, batch.spectrogram))
    return latents, spread


def _segments(model: VitsModel, batch: VitsBatch, latents: Tensor) -> tuple[Tensor, Tensor]:
    """A random stretch of each recording, made of its latents and as it was recorded."""
    per_frame = frame_samples(model.config)
    size = min(SEGMENT_FRAMES, latents.shape[2])
    latest = [max(0, length - size) for length in batch.frames.lengths]
    begins = [int(torch.randint(0, last + 1, ())) for last in latest]
    cut = torch.stack([row[:, at : at + size] for row, at in zip(latents, begins, strict=True)])
    real = torch.stack(
        [row[at * per_frame : (at + size) * per_frame] for row, at in zip(batch.samples, begins, strict=True)]
    )
    return model.decoder(cut), real[:, None]


@torch.no_grad()
def _likelihood(mean: Tensor, log_spread: Tensor, flowed: Tensor) -> Tensor:
    """Log likelihood of each frame for each symbol [B, Tx, Ty], from [B, Tx, C] twice and [B, C, Ty]."""
    mean, log_spread, flowed = mean.float(), log_spread.float(), flowed.float()
    precision = torch.exp(-2 * log_spread)
    of_symbol = -0.5 * math.log(2 * math.pi) - log_spread - 0.5 * mean.square() * precision
    return (
        of_symbol.sum(-1, keepdim=True) + precision @ (-0.5 * flowed.square()) + (mean * precision) @ flowed
    )


def _divergence(
    flowed: Tensor, spread: Tensor, expected: Tensor, expected_spread: Tensor, mask: Tensor
) -> Tensor:
    """Equation 4, by the draw that the network made: nats a frame, all [B, C, Ty] but the mask [B, 1, Ty]."""
    far = 0.5 * (flowed - expected).square() * torch.exp(-2 * expected_spread)
    return ((expected_spread - spread - 0.5 + far) * mask).sum() / mask.sum()


def _duration_loss(model: VitsModel, hidden: Tensor, mask: Tensor, lasting: Tensor) -> Tensor:
    """What the durations [B, Tx] of an alignment cost the predictor, a symbol."""
    inputs, wanted = hidden.transpose(1, 2), lasting[:, None].to(hidden.dtype)
    if model.config.use_stochastic_duration_prediction:
        loss: Tensor = model.duration_predictor(inputs, mask, durations=wanted).sum() / mask.sum()
        return loss
    logs = torch.log(wanted + 1e-6) * mask
    return (model.duration_predictor(inputs, mask) - logs).square().sum() / mask.sum()


def _mask(padding: Padding, like: Tensor) -> Tensor:
    """[B, 1, T] of 0 and 1."""
    if padding.mask is None:
        return like.new_ones(len(padding.lengths), 1, padding.size)
    return padding.mask.transpose(1, 2).to(like.dtype)
