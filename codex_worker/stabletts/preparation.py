"""From recordings and their texts to a dataset: decode, trim, level and analyse, in threads.

Whatever cannot be used is left out with a sentence for the report; nothing disappears.
"""

import errno
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import RLock
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codex_worker.audio.ahead import map_ahead
from codex_worker.audio.decode import Clip, Decode, Recording, decode
from codex_worker.audio.level import even_level, trim_silence
from codex_worker.data.faults import Fault, Purpose
from codex_worker.data.usable import LONG_S, Needs, hear, judge, length_fault
from codex_worker.errors import DataError, ResourceError, UserError
from codex_worker.stabletts.configuration import MelSettings
from codex_worker.stabletts.dataset import MEL_TYPE, Dataset, EncodedUtterance, Samples
from codex_worker.stabletts.frontend.encoding import TextFrontend, report_losses
from codex_worker.stabletts.mel import LogMel
from codex_worker.stabletts.symbols import intersperse
from codex_worker.text.graphemes import letter_count
from codex_worker.training.machine import keep_cores, take_one_core

"""From here on a recording is cut where an aligner is at hand, and kept whole where none is."""
MAX_ALIGNED = 100_000_000
"""Symbols times frames of one utterance: its alignment needs some 40 bytes for each."""
NEEDED_MARGIN_S = 0.05
"""What rounding at both ends of a trimmed recording may take from it."""


@dataclass(frozen=True)
class SpokenText:
    """A text and where it is spoken; `label` is its name for people (a verse reference)."""

    id: str
    label: str
    text: str
    path: Path
    start_s: float | None = None
    end_s: float | None = None
    expected_duration_s: float | None = None  # of the whole file, as its project noted it
    chapter: str = ""  # what must not be split between training and validation

    @property
    def clip(self) -> Clip:
        """What to decode."""
        return Clip(self.path, self.start_s, self.end_s, self.expected_duration_s)


@dataclass(frozen=True)
class TextPiece:
    """A part of a long recording, with its part of the text."""

    start_s: float
    end_s: float
    text: str


Analyse = Callable[[Tensor], Tensor]
"""Samples [1, N] to frames [1, M, T], as many values in each as the settings have mel bands."""

Cut = Callable[[Samples, int, str], Sequence[TextPiece]]
"""An aligner: (samples, sample rate, text) to pieces; raises DataError where it cannot align."""


def prepare(
    recorded: Sequence[SpokenText],
    frontend: TextFrontend,
    folder: Path,
    *,
    mel: MelSettings | None = None,
    analyse: Analyse | None = None,
    cut: Cut | None = None,
    workers: int = 2,
    decode: Decode = decode,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Dataset:
    """Decode, trim, level and analyse recordings in threads; mels go to a file in `folder`, in order.

    `analyse` makes the frames of a recording where they are no mel spectrogram.

    The mels of at most twice as many recordings as `workers` wait in memory. `report(done, total)` is called
    after each recording. Raises UserError when nothing can be used, and ResourceError when the disk is full.
    """
    return _Preparation(
        recorded, frontend, folder / "mels.f16", mel or MelSettings(), analyse, cut, decode
    ).run(workers, report)


def ready_samples(recording: Recording) -> Samples:
    """A recording as the network hears it, trimmed and evened.

    Raises DataError when nobody could learn a voice from it.
    """
    found = judge(recording, Path()).against(Purpose.TRAINING)
    if found is not None:
        raise DataError(found.sentence)
    return _ready(recording)


def needs_of(frontend: TextFrontend, mel: MelSettings) -> Needs:
    """What a voice needs of recordings: a frame for each symbol of their texts, blanks included.

    Frontends must not be asked by two threads at once.
    """

    def least_s(text: str) -> float | None:
        ids = intersperse(frontend.encode(text).ids)
        return len(ids) / mel.frames_per_second + NEEDED_MARGIN_S if len(ids) > 1 else None

    return Needs(least_s)


def _ready(recording: Recording) -> Samples:
    return even_level(trim_silence(recording.samples, recording.sample_rate), recording.sample_rate)


@dataclass(frozen=True)
class _Analysed:
    """What becomes one utterance."""

    id: str
    label: str
    text: str
    ids: tuple[int, ...]
    mel: NDArray[np.float16]  # [T, M]
    chapter: str


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
        analyse: Analyse | None,
        cut: Cut | None,
        decode: Decode,
    ) -> None:
        self.recorded = recorded
        self.frontend = frontend
        self.path = path
        self.mel = mel
        self.cut = cut
        self.decode = decode
        self.needs = needs_of(frontend, mel)
        self.analyse = analyse or LogMel(mel)
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
                EncodedUtterance(
                    piece.id, piece.label, piece.text, piece.ids, self.written, frames, piece.chapter
                )
            )
            self.written += frames

    def _prepared(self, one: SpokenText) -> "_Prepared":
        """One recording, in a thread."""
        found = _Prepared()
        try:
            with self.alone:
                limits = self.needs.limits(one.text)
            heard = hear(one.clip, sample_rate=self.mel.sample_rate, limits=limits, decode=self.decode)
            reason = heard.against(Purpose.TRAINING)
            if reason is not None or heard.recording is None:
                raise DataError(reason.sentence if reason else "its recording cannot be heard")
            found.notes += [f"{one.label}: {note}" for note in heard.recording.notes]
            samples = _ready(heard.recording)
            if heard.remarks(Purpose.TRAINING):
                found.clipped.append(one.label)
            if samples.size < LONG_S * self.mel.sample_rate:
                self._add_piece(found, one, samples)
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
        self._add_piece(found, one, samples)
        found.notes.append(f"{one.label}: {duration_s:.0f} s long, kept whole")

    def _add_pieces(
        self, found: "_Prepared", one: SpokenText, pieces: Sequence[TextPiece], samples: Samples
    ) -> None:
        for number, piece in enumerate(pieces, start=1):
            label = f"{one.label}, piece {number}"
            start, end = (round(at * self.mel.sample_rate) for at in (piece.start_s, piece.end_s))
            try:
                part = replace(one, id=f"{one.id}#{number}", label=label, text=piece.text)
                self._add_piece(found, part, samples[start:end])
            except DataError as error:  # the other pieces can be used
                found.left_out.append((label, str(error)))

    def _add_piece(self, found: "_Prepared", one: SpokenText, samples: Samples) -> None:
        with self.alone:
            ids = tuple(intersperse(self.frontend.encode(one.text).ids))
            limits = self.needs.limits(one.text)
        duration_s = samples.size / self.mel.sample_rate
        frames = samples.size // self.mel.hop_length
        # The rule that judged the whole recording; trimming at another rate may have taken the margin.
        if fault := length_fault(duration_s + NEEDED_MARGIN_S, limits):
            raise DataError(fault.sentence)
        if frames * len(ids) > MAX_ALIGNED:
            raise DataError(
                f"its {duration_s / 60:.1f} minutes with {letter_count(one.text)} letters are too long to be "
                "aligned as a whole; split it into verses, or train a transcriber first, which can cut it"
            )
        mel = self.analyse(torch.from_numpy(np.ascontiguousarray(samples))[None])[0]
        found.pieces.append(
            _Analysed(one.id, one.label, one.text, ids, mel.T.numpy().astype(MEL_TYPE), one.chapter)
        )

    def _all_notes(self) -> Iterable[str]:
        yield from self.notes
        if self.clipped:
            yield f"{Fault.PEAKS_CUT.counted(len(self.clipped))}: {_some(self.clipped)}"
        yield from report_losses(self.frontend.encode(each.text) for each in self.utterances)


def _some(labels: Sequence[str], count: int = 10) -> str:
    more = f" and {len(labels) - count} more" if len(labels) > count else ""
    return ", ".join(labels[:count]) + more
