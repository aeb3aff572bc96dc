"""The recordings of chosen cells: fetched in one go, decoded in parallel, each failure for its cell alone.

project = Project(callbacks.scanner)
cells = project.choose(cells_for_training, job.options.training)
recorded = fetch_recordings(project.reader, cells.chosen)
for cell, recording in decoded(recorded.cells, sample_rate=16_000):
    ...  # recording is a Recording, or the DataError that says why there is none
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from codex_worker.codex.attachments import SelectedRecording, selected_recording
from codex_worker.codex.choose import Selection, cells_for_training, cells_to_transcribe
from codex_worker.data.faults import Fault
from codex_worker.data.project import ChosenCell, Project, Rule, SkippedCell
from codex_worker.errors import DataError
from codex_worker.job.api import Absence, Fetched, ProjectReader

if TYPE_CHECKING:
    from codex_worker.audio.decode import Clip, Recording

__all__ = [
    "FetchedCells",
    "RecordedCell",
    "cells_for_training",
    "cells_to_transcribe",
    "decoded",
    "fetch_recordings",
    "read_recorded",
]

MAX_RECORDING_S = 3600.0

_NEVER_SENT = "its recording was never sent: whoever made it has to synchronise"
_FAULTS = {
    Absence.NEVER_SENT: Fault.MISSING,
    Absence.NOT_ON_SERVER: Fault.MISSING,
    Absence.OTHER_ON_SERVER: Fault.OTHER_ON_SERVER,
    Absence.NOT_FETCHED: Fault.NOT_FETCHED,
    Absence.TWO_ALIKE: Fault.TWO_ALIKE,
}


@dataclass(frozen=True)
class RecordedCell:
    """A cell with its recording on this machine; `start_s` and `end_s` cut its part out of the file."""

    chosen: ChosenCell
    path: Path
    start_s: float | None = None
    end_s: float | None = None
    expected_duration_s: float | None = None  # of the whole file, as the editor noted it

    @property
    def key(self) -> str:
        """One name for one cell of the project."""
        return self.chosen.key

    @property
    def label(self) -> str:
        """The cell's name for people."""
        return self.chosen.label

    @property
    def text(self) -> str:
        """The cell's words, without markup."""
        return self.chosen.cell.text

    @property
    def chapter(self) -> str:
        """What must not be parted between training and validation."""
        return self.chosen.chapter

    @property
    def clip(self) -> "Clip":
        """What to decode."""
        from codex_worker.audio.decode import Clip

        return Clip(self.path, self.start_s, self.end_s, self.expected_duration_s)


@dataclass(frozen=True)
class FetchedCells:
    """Cells with their recordings, and those whose recording cannot be had."""

    cells: tuple[RecordedCell, ...]
    skipped: tuple[SkippedCell, ...]


def read_recorded(
    reader: ProjectReader, selection: Selection | None = None, rule: Rule = cells_for_training
) -> FetchedCells:
    """Everything from a project to its recorded cells; `skipped` accounts for every other cell.

    Raises UserError where the project has no notebook.
    """
    project = Project(reader)
    cells = project.choose_from(rule, selection or Selection())
    recorded = fetch_recordings(reader, cells.chosen)
    return FetchedCells(recorded.cells, cells.skipped + recorded.skipped)


def fetch_recordings(reader: ProjectReader, chosen: Sequence[ChosenCell]) -> FetchedCells:
    """The selected recordings of these cells, with one request for all of them.

    Those of early projects, which lie in another place, are asked for with a second one.
    """
    takes = {index: selected_recording(entry.cell) for index, entry in enumerate(chosen)}
    fetched = _fetch(reader, (take.pointer_path for take in takes.values()))
    early = (take.legacy_path for take in takes.values() if take.pointer_path not in fetched.files)
    older = _fetch(reader, (path for path in early if path))
    cells: list[RecordedCell] = []
    skipped: list[SkippedCell] = []
    for index, entry in enumerate(chosen):
        take = takes[index]
        path = fetched.files.get(take.pointer_path) or older.files.get(take.legacy_path or "")
        if path is None:
            reason, fault = _why_missing(take, fetched, older)
            skipped.append(SkippedCell(entry.cell.id, entry.label, entry.book, reason, fault=fault))
        else:
            cells.append(_recorded(entry, take, path))
    return FetchedCells(tuple(cells), tuple(skipped))


def decoded(
    cells: Iterable[RecordedCell],
    *,
    sample_rate: int,
    workers: int = 2,
    max_duration_s: float = MAX_RECORDING_S,
) -> Iterator[tuple[RecordedCell, "Recording | DataError"]]:
    """Decodes in threads, ahead of whoever consumes; in order, a few recordings in memory at a time."""
    from codex_worker.audio.decode import decode_many

    cells = list(cells)
    clips = (cell.clip for cell in cells)
    outcomes = decode_many(clips, sample_rate=sample_rate, workers=workers, max_duration_s=max_duration_s)
    for cell, (_, outcome) in zip(cells, outcomes, strict=True):
        yield cell, outcome


def _fetch(reader: ProjectReader, paths: Iterable[str]) -> Fetched:
    wanted = list(dict.fromkeys(paths))
    return reader.fetch_recordings(wanted) if wanted else Fetched({}, {})


def _why_missing(take: SelectedRecording, fetched: Fetched, older: Fetched) -> tuple[str, Fault]:
    """The sentence and the fault; what is known of the old place counts where the usual one has nothing."""
    absence = fetched.absences.get(take.pointer_path, Absence.NEVER_SENT)
    old = take.legacy_path or ""
    if absence is Absence.NEVER_SENT and older.absences.get(old, absence) is not absence:
        return older.missing[old], _FAULTS[older.absences[old]]
    return fetched.missing.get(take.pointer_path, _NEVER_SENT), _FAULTS[absence]


def _recorded(entry: ChosenCell, take: SelectedRecording, path: Path) -> RecordedCell:
    attachment = take.attachment
    is_part = attachment.start_s is not None or attachment.end_s is not None
    return RecordedCell(
        entry,
        path,
        attachment.start_s,
        attachment.end_s,
        None if is_part else attachment.duration_s,
    )
