"""A project as an audio folder of Hugging Face's `datasets`: clips, texts and verse references, in splits.

    load_dataset("audiofolder", data_dir=FOLDER)

Layout: https://huggingface.co/docs/datasets/audio_dataset ("AudioFolder"): a folder for each split with its
clips and one metadata file. The library reads either a .csv or a .jsonl, and refuses a folder with both.
"""

import csv
import json
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Literal

from codex_worker.audio.encode import FORMATS, encode
from codex_worker.data.held_out import Item, hold_out
from codex_worker.data.project import ChosenCell, SkippedCell
from codex_worker.data.recordings import RecordedCell, decoded
from codex_worker.errors import DataError, UserError

logger = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class DatasetOptions:
    """What goes into a dataset, and how."""

    max_records: int | None = None
    validation_share: float = 0.1
    test_share: float = 0.1
    min_duration_s: float = 0.0
    max_duration_s: float = 3600.0
    min_characters: int = 1
    sample_rate: int = 16_000
    audio_format: str = "wav"
    metadata_format: Literal["csv", "jsonl"] = "csv"
    workers: int = 2

    def __post_init__(self) -> None:
        """Raises UserError for what cannot be."""
        if self.audio_format not in FORMATS:
            raise UserError(f"audio_format {self.audio_format!r} is none of {', '.join(FORMATS)}.")
        if self.metadata_format not in {"csv", "jsonl"}:
            raise UserError(f"metadata_format {self.metadata_format!r} is neither csv nor jsonl.")
        if not (self.validation_share >= 0 and 0 <= self.test_share < 1 - self.validation_share):
            raise UserError("The shares for validation and test must leave something to train on.")
        if self.max_records is not None and self.max_records < 1:
            raise UserError("max_records must be at least 1.")
        if not 4_000 <= self.sample_rate <= 192_000:
            raise UserError(f"sample_rate {self.sample_rate} is not one of a recording of speech.")


@dataclass(frozen=True)
class Record:
    """One row of the metadata."""

    file_name: str
    text: str
    reference: str
    book: str
    chapter: str
    cell_id: str
    notebook: str
    duration_s: float


@dataclass(frozen=True)
class DatasetSummary:
    """What was written, by split, and what was not, with the reasons."""

    records: dict[str, int]
    seconds: dict[str, float]
    left_out: tuple[SkippedCell, ...] = field(default=())


def write_audiofolder(
    cells: Sequence[RecordedCell],
    folder: Path,
    options: DatasetOptions,
    *,
    text_of: Callable[[ChosenCell], str] = lambda chosen: chosen.cell.text,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> DatasetSummary:
    """Writes clips and metadata below `folder`, which must be new or empty, in the order of the project.

    Clips are written once, to the split of their chapter. Raises UserError where the folder has something in
    it, or nothing can be written.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty. Name a new folder for the dataset.")
    left_out: list[SkippedCell] = []
    wanted = list(_with_text(cells, text_of, options, left_out))
    splits = _splits(wanted, options)
    rows: dict[str, list[Record]] = {name: [] for name in SPLITS}
    written = 0
    clips = decoded([cell for cell, _ in wanted], sample_rate=options.sample_rate, workers=options.workers)
    for done, ((cell, outcome), (_, text)) in enumerate(zip(clips, wanted, strict=True), start=1):
        problem = _problem(outcome if isinstance(outcome, DataError) else outcome.duration_s, options)
        if problem is not None or isinstance(outcome, DataError):
            left_out.append(_skipped(cell, problem or str(outcome)))
        else:
            split = splits[cell.key]
            name = f"{written + 1:06d}-{_file_name(cell.label)}.{options.audio_format}"
            (folder / split).mkdir(parents=True, exist_ok=True)
            encode(outcome.samples, outcome.sample_rate, folder / split / name, options.audio_format)
            rows[split].append(_record(cell, name, text, outcome.duration_s))
            written += 1
        on_progress(done, len(wanted))
        if options.max_records is not None and written == options.max_records:
            break
    if not written:
        reasons = "; ".join(dict.fromkeys(entry.reason for entry in left_out[:3]))
        raise UserError(f"There is nothing to write to {folder}. {reasons or 'No cell has a recording.'}")
    for split, records in rows.items():
        if records:
            _write_metadata(folder / split, records, options.metadata_format)
    return DatasetSummary(
        {split: len(records) for split, records in rows.items()},
        {split: sum(record.duration_s for record in records) for split, records in rows.items()},
        tuple(left_out),
    )


def _with_text(
    cells: Sequence[RecordedCell],
    text_of: Callable[[ChosenCell], str],
    options: DatasetOptions,
    left_out: list[SkippedCell],
) -> Iterator[tuple[RecordedCell, str]]:
    for cell in cells:
        text = " ".join(text_of(cell.chosen).split())
        if len(text) >= options.min_characters:
            yield cell, text
        else:
            left_out.append(_skipped(cell, "its text is too short" if text else "no text"))


def _splits(wanted: Sequence[tuple[RecordedCell, str]], options: DatasetOptions) -> dict[str, str]:
    """The split of each cell: whole chapters, or single cells where there are too few chapters."""
    items = [Item(cell.key, cell.chapter, len(text)) for cell, text in wanted]
    held = hold_out(items, [options.validation_share, options.test_share])
    for note in held.notes:
        logger.info(note)
    validation, test = held.parts
    return {
        cell.key: "validation" if cell.key in validation else "test" if cell.key in test else "train"
        for cell, _ in wanted
    }


def _problem(outcome: DataError | float, options: DatasetOptions) -> str | None:
    if isinstance(outcome, DataError):
        return str(outcome)
    if outcome < options.min_duration_s:
        return f"shorter than {options.min_duration_s:g} s"
    if outcome > options.max_duration_s:
        return f"longer than {options.max_duration_s:g} s"
    return None


def _record(cell: RecordedCell, name: str, text: str, duration_s: float) -> Record:
    chosen = cell.chosen
    return Record(
        file_name=name,
        text=text,
        reference=cell.label,
        book=chosen.book,
        chapter=cell.chapter,
        cell_id=chosen.cell.id,
        notebook=chosen.notebook.path,
        duration_s=round(duration_s, 3),
    )


def _write_metadata(folder: Path, records: Sequence[Record], metadata_format: str) -> None:
    path = folder / f"metadata.{metadata_format}"
    with path.open("w", encoding="utf-8", newline="") as file:
        if metadata_format == "jsonl":
            file.writelines(json.dumps(asdict(record), ensure_ascii=False) + "\n" for record in records)
            return
        writer = csv.DictWriter(file, [each.name for each in fields(Record)])
        writer.writeheader()
        writer.writerows(asdict(record) for record in records)


def _file_name(label: str) -> str:
    """A label as a part of a file's name, on any system."""
    return re.sub(r"[^\w.-]+", "_", label).strip("._")[:60] or "clip"


def _skipped(cell: RecordedCell, reason: str) -> SkippedCell:
    chosen = cell.chosen
    return SkippedCell(
        chosen.cell.id, cell.label, chosen.book, reason.replace(str(cell.path), "its recording")
    )
