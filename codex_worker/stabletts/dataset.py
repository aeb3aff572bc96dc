"""What a voice is trained on: ids in memory, mel spectrograms in one file, and batches of both."""

import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codex_worker.data.held_out import Item, hold_out
from codex_worker.errors import SystemFault
from codex_worker.stabletts.configuration import MelSettings
from codex_worker.stabletts.shapes import BatchShape
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


class Batch(NamedTuple):
    """Utterances padded to equal length, and to the rows of a fixed shape: those further down have length 0.

    Mel frames are as the file has them, which is half of what there is to move.
    """

    ids: Tensor  # [B, Tx] int64
    id_lengths: Tensor  # [B]
    stored_mel: Tensor  # [B, Ty, M] float16
    mel_lengths: Tensor  # [B]
    stored_reference: Tensor  # [B, Tr, M] float16: a part of each mel, to hear the voice from
    reference_lengths: Tensor  # [B]

    @property
    def mel(self) -> Tensor:
        """The log-mel [B, M, Ty] in float32."""
        return self.stored_mel.float().transpose(1, 2)

    @property
    def reference(self) -> Tensor:
        """The part to hear the voice from, [B, M, Tr] in float32."""
        return self.stored_reference.float().transpose(1, 2)

    def to(self, device: torch.device) -> "Batch":
        """The same on a device; does not wait for copies from pinned memory."""
        return Batch(*(each.to(device, non_blocking=True) for each in self))


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
        return self.seconds_of(self.utterances)

    def seconds_of(self, utterances: Sequence[EncodedUtterance]) -> float:
        """Seconds of speech in some of them."""
        return sum(utterance.frames for utterance in utterances) / self.mel.frames_per_second

    def mel_of(self, utterance: EncodedUtterance) -> Tensor:
        """The utterance's log-mel [M, T], read from disk."""
        stored = np.empty((utterance.frames, self.mel.n_mels), MEL_TYPE)
        with self.path.open("rb", buffering=0) as file:
            self._read(file, utterance, stored)
        return torch.from_numpy(stored.astype(np.float32)).T

    def collate(
        self,
        utterances: Sequence[EncodedUtterance],
        generator: torch.Generator | None = None,
        shape: BatchShape | None = None,
        *,
        pinned: bool = False,
    ) -> Batch:
        """Pad utterances into a batch. The generator decides which part of each is its reference.

        `shape` is what to pad to, the smallest that holds them without it. `pinned` memory is what a GPU
        copies from while others compute.

        Raises:
            SystemFault: the file has lost its end.
        """
        lengths = [utterance.frames for utterance in utterances]
        parts = [_part(length, generator) for length in lengths]
        if shape is None:
            symbols = max(len(utterance.ids) for utterance in utterances)
            shape = BatchShape(len(utterances), symbols, max(lengths), max(size for _, size in parts))

        def table(frames: int) -> Tensor:
            return torch.empty(shape.rows, frames, self.mel.n_mels, dtype=torch.float16, pin_memory=pinned)

        def counts(known: Sequence[int]) -> Tensor:
            filled = torch.tensor([*known, *[0] * (shape.rows - len(known))])
            return filled.pin_memory() if pinned else filled

        mel, reference = table(shape.frames), table(shape.reference)
        # numpy writes here: a thread that loads ahead must not wake torch's threads for it.
        mels, references = mel.numpy(), reference.numpy()
        with self.path.open("rb", buffering=0) as file:
            for row, (utterance, (start, size)) in enumerate(zip(utterances, parts, strict=True)):
                self._read(file, utterance, mels[row, : utterance.frames])
                mels[row, utterance.frames :] = 0
                references[row, :size] = mels[row, start : start + size]
                references[row, size:] = 0
        mels[len(utterances) :] = 0
        references[len(utterances) :] = 0
        return Batch(
            _padded_ids(utterances, shape, pinned),
            counts([len(utterance.ids) for utterance in utterances]),
            mel,
            counts(lengths),
            reference,
            counts([size for _, size in parts]),
        )

    def _read(self, file: io.FileIO, utterance: EncodedUtterance, into: NDArray[np.float16]) -> None:
        """Read an utterance's frames from the file to where they are wanted, with no copy between."""
        file.seek(utterance.first_frame * self.mel.n_mels * into.itemsize)
        room = into.reshape(-1).view(np.uint8).data
        while room:
            count = file.readinto(room)
            if not count:
                raise SystemFault(f"{self.path} lost the end of {utterance.label}; run the job again")
            room = room[count:]

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


def _padded_ids(utterances: Sequence[EncodedUtterance], shape: BatchShape, pinned: bool) -> Tensor:
    ids = torch.full((shape.rows, shape.symbols), BLANK_ID, pin_memory=pinned)
    rows = ids.numpy()
    for row, utterance in enumerate(utterances):
        rows[row, : len(utterance.ids)] = utterance.ids
    return ids


def _part(length: int, generator: torch.Generator | None) -> tuple[int, int]:
    """Start and size of a random part, a twelfth to a third of the whole (the reference's own practice)."""
    if length < 12:
        return 0, length
    size = int(torch.randint(length // 12, length // 3 + 1, (), generator=generator))
    return int(torch.randint(0, length - size + 1, (), generator=generator)), size
