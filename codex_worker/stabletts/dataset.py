"""What a voice is trained on: ids in memory, mel spectrograms in one file, and batches of both."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codex_worker.data.held_out import Item, hold_out
from codex_worker.errors import SystemFault
from codex_worker.stabletts.configuration import MelSettings
from codex_worker.stabletts.symbols import BLANK_ID

logger = logging.getLogger(__name__)

MEL_TYPE = np.float16

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class EncodedUtterance:
    """Something to train on: ids with their blanks, and where its mel frames lie in the file."""

    id: str
    label: str
    text: str
    ids: tuple[int, ...]
    first_frame: int
    frames: int
    chapter: str = ""  # what must not be split between training and validation


@dataclass(frozen=True)
class Batch:
    """Utterances padded to equal length. Lengths stay on the CPU."""

    ids: Tensor  # [B, Tx] int64
    id_lengths: Tensor  # [B]
    mel: Tensor  # [B, M, Ty]
    mel_lengths: Tensor  # [B]
    reference: Tensor  # [B, M, Tr]: a part of each mel, to hear the voice from
    reference_lengths: Tensor  # [B]


@dataclass(frozen=True)
class Dataset:
    """Utterances with their mels, and the account of what was left out and why."""

    utterances: tuple[EncodedUtterance, ...]
    path: Path
    mel: MelSettings
    left_out: tuple[tuple[str, str], ...]  # label and why
    notes: tuple[str, ...]

    @property
    def speech_s(self) -> float:
        """Seconds of speech in all."""
        return sum(utterance.frames for utterance in self.utterances) / self.mel.frames_per_second

    def mel_of(self, utterance: EncodedUtterance) -> Tensor:
        """The utterance's log-mel [M, T], read from disk."""
        size = utterance.frames * self.mel.n_mels
        start = utterance.first_frame * self.mel.n_mels * np.dtype(MEL_TYPE).itemsize
        stored = np.fromfile(self.path, MEL_TYPE, size, offset=start)
        if stored.size != size:
            raise SystemFault(f"{self.path} lost the end of {utterance.label}; run the job again")
        return torch.from_numpy(stored.reshape(utterance.frames, self.mel.n_mels).astype(np.float32)).T

    def collate(
        self, utterances: Sequence[EncodedUtterance], generator: torch.Generator | None = None
    ) -> Batch:
        """Pad utterances into a batch. The generator decides which part of each is its reference."""
        id_lengths = [len(utterance.ids) for utterance in utterances]
        lengths = [utterance.frames for utterance in utterances]
        ids = torch.full((len(utterances), max(id_lengths)), BLANK_ID)
        mel = torch.zeros(len(utterances), self.mel.n_mels, max(lengths))
        parts = [_part(length, generator) for length in lengths]
        reference = torch.zeros(len(utterances), self.mel.n_mels, max(size for _, size in parts))
        for row, (utterance, (start, size)) in enumerate(zip(utterances, parts, strict=True)):
            frames = self.mel_of(utterance)
            ids[row, : len(utterance.ids)] = torch.tensor(utterance.ids)
            mel[row, :, : utterance.frames] = frames
            reference[row, :, :size] = frames[:, start : start + size]
        return Batch(
            ids,
            torch.tensor(id_lengths),
            mel,
            torch.tensor(lengths),
            reference,
            torch.tensor([size for _, size in parts]),
        )

    def report(self) -> list[str]:
        """Lines for people: what there is to train on, what was left out, what is worth a look."""
        lines = [
            f"{len(self.utterances)} recordings with {self.speech_s / 60:.1f} minutes of speech can be used"
        ]
        lines += [f"left out {label}: {reason}" for label, reason in self.left_out]
        return lines + list(self.notes)


def split(
    utterances: Sequence[EncodedUtterance], validated: int
) -> tuple[list[EncodedUtterance], list[EncodedUtterance]]:
    """Training and validation utterances, about so many of these, as `data.held_out` chooses them."""
    items = [Item(each.id, each.chapter, each.frames) for each in utterances]
    held = hold_out(items, [validated / max(1, len(items))])
    for note in held.notes:
        logger.info(note)
    ordered = sorted(utterances, key=lambda each: each.id)
    return [each for each in ordered if each.id not in held.parts[0]], [
        each for each in ordered if each.id in held.parts[0]
    ]


def _part(length: int, generator: torch.Generator | None) -> tuple[int, int]:
    """Start and size of a random part, a twelfth to a third of the whole (the reference's own practice)."""
    if length < 12:
        return 0, length
    size = int(torch.randint(length // 12, length // 3 + 1, (), generator=generator))
    return int(torch.randint(0, length - size + 1, (), generator=generator)), size
