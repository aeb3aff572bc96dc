"""How likely a recording says each of several texts: even a poor reader tells the right one from others."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from codex_worker.asr.corpus import ctc_frames_needed
from codex_worker.asr.transcribe import Transcriber
from codex_worker.asr.words import PIECE_S, cut_at_pauses
from codex_worker.audio.level import trim_silence
from codex_worker.audio.resample import resample
from codex_worker.doctor.examine import SAMPLE_RATE, Compare


def likelihoods_of(transcriber: Transcriber) -> Compare:
    """Logarithms of the probabilities that a recording (16 kHz) says each text; None where it cannot."""
    checkpoint = transcriber.checkpoint
    rate, recipe = checkpoint.frontend.sample_rate, checkpoint.text_recipe

    def compare(samples: np.ndarray, texts: Sequence[str]) -> list[float | None]:
        spoken = resample(trim_silence(samples, SAMPLE_RATE), SAMPLE_RATE, rate)
        log_probs = read_frames(transcriber, spoken)
        labels = [
            checkpoint.vocabulary.encode(text if recipe is None else recipe.apply(text)) for text in texts
        ]
        return text_likelihoods(log_probs, labels, checkpoint.vocabulary.blank_id)

    return compare


def read_frames(transcriber: Transcriber, samples: np.ndarray) -> Tensor:
    """Log probabilities `[frames, symbols]` of a waveform `[N]` at the frontend's rate.

    Long recordings are read in pieces whose probabilities are joined, so memory stays bounded.
    """
    frontend = transcriber.checkpoint.frontend
    pieces = cut_at_pauses(samples, frontend.sample_rate, PIECE_S)
    return torch.cat(
        [transcriber.frame_log_probs([frontend(samples[start:end])])[0] for start, end in pieces]
    )


def text_likelihoods(log_probs: Tensor, labels: Sequence[Sequence[int]], blank_id: int) -> list[float | None]:
    """Summed over all CTC paths through `log_probs [frames, symbols]`, for each text's labels."""
    fitting = [index for index, ids in enumerate(labels) if 0 < ctc_frames_needed(ids) <= len(log_probs)]
    found: list[float | None] = [None] * len(labels)
    if not fitting:
        return found
    losses = torch.nn.functional.ctc_loss(
        log_probs.float().cpu()[:, None].expand(-1, len(fitting), -1),
        torch.tensor([label for index in fitting for label in labels[index]]),
        torch.full((len(fitting),), len(log_probs)),
        torch.tensor([len(labels[index]) for index in fitting]),
        blank=blank_id,
        reduction="none",
    )
    for index, loss in zip(fitting, losses.tolist(), strict=True):
        found[index] = -loss
    return found
