"""The data doctor: listens to every recording of a project and says what would harm a model, in plain words.

It refuses nothing but what cannot work at all; everything else is a warning with the verses it is about.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from codex_worker.audio.ahead import map_ahead
from codex_worker.audio.breaking_off import breaks_off
from codex_worker.audio.character import longest_beep_s
from codex_worker.audio.decode import Decode, decode
from codex_worker.audio.music import music_s
from codex_worker.contract.counted import counted
from codex_worker.data.faults import FoundFault, Purpose
from codex_worker.data.project import SkippedCell
from codex_worker.data.recordings import FetchedCells, RecordedCell
from codex_worker.data.usable import Heard, Limits, Needs, hear, letter_count
from codex_worker.doctor.examined import Examined
from codex_worker.doctor.findings import POOR_READER_CER, Finding, findings_of
from codex_worker.doctor.measures import Samples, measure_all
from codex_worker.doctor.speakers import guess_speakers
from codex_worker.doctor.swaps import others_to_try
from codex_worker.errors import DataError, UserError

logger = logging.getLogger(__name__)

SAMPLE_RATE = 16_000

Align = Callable[[Samples, str], float]
"""How well a text fits to its recording (16 kHz): 0 not at all, 1 word for word; DataError where unknown."""
Compare = Callable[[Samples, Sequence[str]], list[float | None]]
"""How likely a recording (16 kHz) says each text, as natural logarithms; None for one that it cannot hold."""
LostLetters = Callable[[str], Collection[str]]
"""The letters of a text that a model could not learn or would read as something else."""


@dataclass(frozen=True)
class DataReport:
    """What there is to learn from, what is left out and why, and what is worth a look."""

    examined: tuple[Examined, ...]
    speakers: tuple[int, ...]  # a guess for each of the examined, 0 being the most frequent
    left_out: tuple[SkippedCell, ...]
    findings: tuple[Finding, ...]
    lost_letters: dict[str, int] = field(default_factory=dict)  # letter -> in how many verses

    @property
    def hours(self) -> float:
        """Hours of usable recordings."""
        return sum(each.duration_s for each in self.examined) / 3600

    @property
    def skipped_by_reason(self) -> Counter[str]:
        """How many cells are left out for each reason, without the particulars of each recording."""
        return Counter(entry.fault.heading if entry.fault else entry.reason for entry in self.left_out)

    def hours_by_book(self) -> dict[str, float]:
        """Hours of usable recordings of each book, in the order of the project."""
        hours: dict[str, float] = {}
        for each in self.examined:
            hours[each.book] = hours.get(each.book, 0.0) + each.duration_s / 3600
        return hours

    def hours_by_speaker(self) -> dict[int, float]:
        """Hours of each guessed speaker."""
        hours: dict[int, float] = {}
        for each, speaker in zip(self.examined, self.speakers, strict=True):
            hours[speaker] = hours.get(speaker, 0.0) + each.duration_s / 3600
        return dict(sorted(hours.items()))

    def lines(self) -> list[str]:
        """For a log: the sum, then each finding."""
        minutes = self.hours * 60
        used, unused = len(self.examined), len(self.left_out)
        lines = [
            f"{counted(used, '1 recording', '{n} recordings')} with text can be used, "
            f"{minutes:.1f} minutes in all; {counted(unused, '1 cell is', '{n} cells are')} not used."
        ]
        lines += [f"not used, {count}: {reason}" for reason, count in self.skipped_by_reason.most_common(12)]
        return lines + [str(finding) for finding in self.findings]


def examine(
    recorded: FetchedCells,
    *,
    align: Align | None = None,
    compare: Compare | None = None,
    reader_cer: float | None = None,
    lost_letters: LostLetters | None = None,
    needs: Needs | None = None,
    workers: int = 2,
    decode: Decode = decode,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> DataReport:
    """Listens to all recordings, `workers` at a time; `on_progress(done, total)` may raise to end it.

    Args:
        align: tells how well texts and recordings fit, where there is a transcriber that can tell.
        compare: tells which of several texts a recording says; a reader that is too poor for `align` can.
        reader_cer: the transcriber's character error rate on recordings that it was not trained on, if known.
        needs: what the model that is going to be trained asks of recordings.
    """
    needs = needs or Needs()
    if reader_cer is not None and reader_cer > POOR_READER_CER:
        align = None
    examined: list[Examined] = []
    left_out = list(recorded.skipped)
    cells = recorded.cells
    reader = _Reader.over(cells, align, compare)

    def measured(each: tuple[RecordedCell, Limits]) -> Examined | FoundFault:
        cell, limits = each
        heard = hear(cell.clip, sample_rate=SAMPLE_RATE, limits=limits, decode=decode)
        return _examine(cell, heard, reader)

    # Not in the threads: what a text needs may be asked by one at a time only.
    limited = ((cell, needs.limits(cell.text)) for cell in cells)
    for done, ((cell, _), outcome) in enumerate(map_ahead(measured, limited, workers=workers), start=1):
        if isinstance(outcome, Examined):
            examined.append(outcome)
        else:
            chosen = cell.chosen
            left_out.append(
                SkippedCell(chosen.cell.id, cell.label, chosen.book, outcome.sentence, fault=outcome.fault)
            )
        on_progress(done, len(cells))
    lost = Counter(
        letter for each in examined for letter in (lost_letters(each.text) if lost_letters else ())
    )
    speakers = guess_speakers([each.voice for each in examined])
    return DataReport(
        tuple(examined),
        tuple(speakers),
        tuple(left_out),
        tuple(findings_of(examined, speakers, left_out, lost, reader_cer)),
        dict(lost.most_common()),
    )


def require_usable(report: DataReport) -> None:
    """Raises UserError where there is nothing at all to learn from, with the most frequent reasons."""
    if report.examined:
        return
    reasons = "; ".join(f"{count} x {reason}" for reason, count in report.skipped_by_reason.most_common(3))
    raise UserError(
        "No cell of this project has text and a recording that can be used"
        + (f" ({reasons})." if reasons else ".")
        + " Record some verses that have text, synchronise, and ask again."
    )


@dataclass(frozen=True)
class _Reader:
    """A transcriber's questions to one recording, as far as there is one."""

    align: Align | None
    compare: Compare | None
    texts: Mapping[str, str]
    others: Mapping[str, Sequence[str]]

    @classmethod
    def over(cls, cells: Sequence[RecordedCell], align: Align | None, compare: Compare | None) -> "_Reader":
        """For the recordings of these cells."""
        if compare is None:
            return cls(align, None, {}, {})
        texts = {cell.key: cell.text for cell in cells}
        return cls(align, compare, texts, others_to_try(texts, {cell.key: cell.chapter for cell in cells}))

    def fit(self, samples: Samples, cell: RecordedCell) -> float | None:
        """How well the cell's text fits to its recording."""
        if self.align is None:
            return None
        try:
            return self.align(samples, cell.text)
        except DataError as error:
            logger.info("%s could not be aligned: %s", cell.label, error)
            return None

    def likelihoods(self, samples: Samples, cell: RecordedCell) -> dict[str, float]:
        """How likely the recording says its own text and those of other cells, by their keys."""
        keys = (cell.key, *self.others.get(cell.key, ()))
        if self.compare is None or len(keys) == 1:
            return {}
        try:
            found = self.compare(samples, [self.texts[key] for key in keys])
        except DataError as error:
            logger.info("%s could not be compared with other texts: %s", cell.label, error)
            return {}
        return {
            key: value / max(letter_count(self.texts[key]), 1)
            for key, value in zip(keys, found, strict=True)
            if value is not None
        }


def _examine(cell: RecordedCell, heard: Heard, reader: _Reader) -> Examined | FoundFault:
    """What was measured, or why the recording cannot be used."""
    reason = heard.against(Purpose.TRAINING)
    if reason is not None:
        return reason
    assert heard.recording is not None  # noqa: S101  nothing is used without samples
    samples = heard.recording.samples
    levels, voice = measure_all(samples, SAMPLE_RATE)
    return Examined(
        key=cell.key,
        label=cell.label,
        book=cell.chosen.book,
        text=cell.text,
        duration_s=heard.recording.duration_s,
        speech_s=heard.speech_s,
        levels=levels,
        voice=voice,
        sound=hashlib.sha256(np.ascontiguousarray(samples).tobytes()).hexdigest(),
        fit=reader.fit(samples, cell),
        likelihoods=reader.likelihoods(samples, cell),
        notes=heard.recording.notes,
        faults=tuple(found.fault for found in heard.remarks(Purpose.TRAINING)),
        beep_s=longest_beep_s(samples, SAMPLE_RATE),
        music_s=music_s(samples, SAMPLE_RATE),
        breaks_off=breaks_off(samples, SAMPLE_RATE, levels),
    )
