"""From recordings and their texts to a dataset: decode, trim, level and analyse, in threads.

Whatever cannot be used is left out with a sentence for the report; nothing disappears.
"""

import errno
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray

from codex_worker.audio.ahead import map_ahead
from codex_worker.audio.decode import Recording, decode
from codex_worker.audio.level import Levels, even_level, measure, trim_silence
from codex_worker.errors import DataError, ResourceError, UserError
from codex_worker.stabletts.configuration import MelSettings
from codex_worker.stabletts.dataset import MEL_TYPE, Dataset, EncodedUtterance, Samples
from codex_worker.stabletts.frontend.encoding import TextFrontend, report_losses
from codex_worker.stabletts.mel import LogMel
from codex_worker.stabletts.symbols import intersperse
from codex_worker.training.machine import keep_cores, take_one_core

LONG_S = 30.0
"""From here on a recording is cut where an aligner is at hand, and kept whole where none is."""
MAX_RECORDING_S = 3600.0
MAX_ALIGNED = 100_000_000
"""Symbols times frames of one utterance: its alignment needs some 40 bytes for each."""
SILENT_DB = -55.0
CLIPPED_A_LITTLE, CLIPPED_TOO_MUCH = 0.001, 0.05
MISMATCH_FACTOR = 3.0
"""A recording this many times slower or faster than the middle one probably has another text."""


@dataclass(frozen=True)
class SpokenText:
    """A text and where it is spoken; `label` is its name for people (a verse reference)."""

    id: str
    label: str
    text: str
    path: Path
    start_s: float | None = None
    end_s: float | None = None
    expected_duration_s: float | None = None


@dataclass(frozen=True)
class TextPiece:
    """A part of a long recording, with its part of the text."""

    start_s: float
    end_s: float
    text: str


Cut = Callable[[Samples, int, str], Sequence[TextPiece]]
"""An aligner: (samples, sample rate, text) to pieces; raises DataError where it cannot align."""


def prepare(
    recorded: Sequence[SpokenText],
    frontend: TextFrontend,
    folder: Path,
    *,
    mel: MelSettings | None = None,
    cut: Cut | None = None,
    workers: int = 2,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Dataset:
    """Decode, trim, level and analyse recordings in threads; mels go to a file in `folder`, in order.

    The mels of at most twice as many recordings as `workers` wait in memory. `report(done, total)` is called
    after each recording. Raises UserError when nothing can be used, and ResourceError when the disk is full.
    """
    return _Preparation(recorded, frontend, folder / "mels.f16", mel or MelSettings(), cut).run(
        workers, report
    )


def ready_samples(recording: Recording) -> tuple[Samples, Levels]:
    """A recording as the network hears it, trimmed and evened, and its levels before that.

    Raises DataError when there is no speech in it.
    """
    levels = measure(recording.samples, recording.sample_rate)
    if levels.speech_db < SILENT_DB:
        raise DataError(f"it is silent (its loudest parts are at {levels.speech_db:.0f} dB); record it again")
    if levels.clipped_share > CLIPPED_TOO_MUCH:
        raise DataError(
            f"{levels.clipped_share:.0%} of it is clipped: it was recorded much too loud; record it again"
        )
    trimmed = trim_silence(recording.samples, recording.sample_rate)
    return even_level(trimmed, recording.sample_rate), levels


@dataclass(frozen=True)
class _Analysed:
    """What becomes one utterance."""

    id: str
    label: str
    text: str
    ids: tuple[int, ...]
    mel: NDArray[np.float16]  # [T, M]


@dataclass
class _Prepared:
    """What one recording gave."""

    pieces: list[_Analysed] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    clipped: list[str] = field(default_factory=list)


class _Preparation:
    """The state of one pass over the recordings."""

    def __init__(
        self,
        recorded: Sequence[SpokenText],
        frontend: TextFrontend,
        path: Path,
        mel: MelSettings,
        cut: Cut | None,
    ) -> None:
        self.recorded = recorded
        self.frontend = frontend
        self.path = path
        self.mel = mel
        self.cut = cut
        self.analyse = LogMel(mel)
        # Held by whatever must not run twice at once: frontends, aligners, and long recordings for memory.
        self.alone = RLock()
        self.written = 0
        self.utterances: list[EncodedUtterance] = []
        self.left_out: list[tuple[str, str]] = []
        self.notes: list[str] = []
        self.clipped: list[str] = []

    def run(self, workers: int, report: Callable[[int, int], None]) -> Dataset:
        usable = list(self._with_text())
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with keep_cores(), self.path.open("wb") as file:
                prepared = map_ahead(self._prepared, usable, workers=workers, initialise=take_one_core)
                for done, (_, one) in enumerate(prepared, start=1):
                    self._keep(one, file)
                    report(done, len(usable))
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise ResourceError(
                    f"the disk is full: {self.path.parent} has no room for mel spectrograms"
                ) from error
            raise
        if not self.utterances:
            examples = "; ".join(f"{label}: {reason}" for label, reason in self.left_out[:3])
            raise UserError(f"none of {len(self.recorded)} recordings can be used. {examples}")
        return Dataset(
            tuple(self.utterances), self.path, self.mel, tuple(self.left_out), tuple(self._all_notes())
        )

    def _with_text(self) -> Iterator[SpokenText]:
        for one in self.recorded:
            if not one.text.strip():
                self.left_out.append((one.label, "it has no text"))
            elif not self.frontend.encode(one.text).ids:
                reason = f"none of its characters has a symbol ({one.text.strip()[:40]!r})"
                self.left_out.append((one.label, reason))
            else:
                yield one

    def _keep(self, prepared: "_Prepared", file: BinaryIO) -> None:
        self.left_out += prepared.left_out
        self.notes += prepared.notes
        self.clipped += prepared.clipped
        for piece in prepared.pieces:
            piece.mel.tofile(file)
            frames = piece.mel.shape[0]
            self.utterances.append(
                EncodedUtterance(piece.id, piece.label, piece.text, piece.ids, self.written, frames)
            )
            self.written += frames

    def _prepared(self, one: SpokenText) -> "_Prepared":
        """One recording, in a thread."""
        found = _Prepared()
        try:
            recording = decode(
                one.path,
                sample_rate=self.mel.sample_rate,
                start_s=one.start_s,
                end_s=one.end_s,
                expected_duration_s=one.expected_duration_s if one.start_s is None else None,
                max_duration_s=MAX_RECORDING_S,
            )
            found.notes += [f"{one.label}: {note}" for note in recording.notes]
            samples, levels = ready_samples(recording)
            if levels.clipped_share > CLIPPED_A_LITTLE:
                found.clipped.append(one.label)
            if samples.size < LONG_S * self.mel.sample_rate:
                self._add_piece(found, one.id, one.label, one.text, samples)
            else:
                with self.alone:
                    self._add_long(found, one, samples)
        except DataError as error:  # this recording is left out, the others are not
            found.left_out.append((one.label, str(error)))
        return found

    def _add_long(self, found: "_Prepared", one: SpokenText, samples: Samples) -> None:
        duration_s = samples.size / self.mel.sample_rate
        if self.cut is not None:
            try:
                pieces = self.cut(samples, self.mel.sample_rate, one.text)
            except DataError as error:  # it can be used as it is
                found.notes.append(f"{one.label}: {duration_s:.0f} s long and not cut ({error})")
            else:
                found.notes.append(f"{one.label}: {duration_s:.0f} s long, cut into {len(pieces)} pieces")
                self._add_pieces(found, one, pieces, samples)
                return
        self._add_piece(found, one.id, one.label, one.text, samples)
        found.notes.append(f"{one.label}: {duration_s:.0f} s long, kept whole")

    def _add_pieces(
        self, found: "_Prepared", one: SpokenText, pieces: Sequence[TextPiece], samples: Samples
    ) -> None:
        for number, piece in enumerate(pieces, start=1):
            label = f"{one.label}, piece {number}"
            start, end = (round(at * self.mel.sample_rate) for at in (piece.start_s, piece.end_s))
            try:
                self._add_piece(found, f"{one.id}#{number}", label, piece.text, samples[start:end])
            except DataError as error:  # the other pieces can be used
                found.left_out.append((label, str(error)))

    def _add_piece(self, found: "_Prepared", identity: str, label: str, text: str, samples: Samples) -> None:
        with self.alone:
            ids = tuple(intersperse(self.frontend.encode(text).ids))
        duration_s = samples.size / self.mel.sample_rate
        frames = samples.size // self.mel.hop_length
        if frames < len(ids):
            raise DataError(
                f"its {duration_s:.1f} s are shorter than its {len(ids) // 2} letters and signs need; "
                "check that recording and text belong together"
            )
        if frames * len(ids) > MAX_ALIGNED:
            raise DataError(
                f"its {duration_s / 60:.1f} minutes with {len(ids) // 2} letters are too long to be "
                "aligned as a whole; split it into verses, or train a transcriber first, which can cut it"
            )
        mel = self.analyse(torch.from_numpy(np.ascontiguousarray(samples))[None])[0]
        found.pieces.append(_Analysed(identity, label, text, ids, mel.T.numpy().astype(MEL_TYPE)))

    def _all_notes(self) -> Iterable[str]:
        yield from self.notes
        if self.clipped:
            yield f"{len(self.clipped)} recordings are clipped in places: {_some(self.clipped)}"
        pace = float(np.median([each.frames / len(each.ids) for each in self.utterances]))
        for word, odd in (("slowly", MISMATCH_FACTOR), ("fast", 1 / MISMATCH_FACTOR)):
            labels = [
                each.label
                for each in self.utterances
                if (each.frames / len(each.ids) / pace - odd) * (1 if odd > 1 else -1) > 0
            ]
            if labels:
                yield (
                    f"{len(labels)} recordings are spoken oddly {word} for their text; do they belong "
                    f"together? {_some(labels)}"
                )
        yield from report_losses(self.frontend.encode(each.text) for each in self.utterances)


def _some(labels: Sequence[str], count: int = 10) -> str:
    more = f" and {len(labels) - count} more" if len(labels) > count else ""
    return ", ".join(labels[:count]) + more
