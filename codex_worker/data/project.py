"""A project as a job's data: notebooks read once, the cells to work on, and the reasons of all others."""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from codex_worker.codex.alike import folded
from codex_worker.codex.cell import Cell
from codex_worker.codex.choose import ChosenCells, Selection, Why, cells_with_text
from codex_worker.codex.languages import METADATA, target_languages
from codex_worker.codex.notebook import Notebook, document_name, read_together
from codex_worker.contract.options import InferenceOptions, TrainingOptions
from codex_worker.data.faults import Fault
from codex_worker.errors import DataError, UserError
from codex_worker.job.api import Absence, Fetched, ProjectReader
from codex_worker.job.summary import listed

logger = logging.getLogger(__name__)

NOTEBOOK_FOLDER = "files/target/"

_IMPORT_ID = re.compile(r"-?\(?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\)?$", re.IGNORECASE)

Rule = Callable[[Notebook, Selection], ChosenCells]


class FetchedOnce:
    """A reader that fetches no recording twice: both halves of a job often want the same ones."""

    def __init__(self, reader: ProjectReader) -> None:
        self._reader = reader
        self._files: dict[str, Path] = {}

    def list_files(self, prefix: str = "") -> list[str]:
        """Repository paths below `prefix`."""
        return self._reader.list_files(prefix)

    def read_files(self, paths: Sequence[str]) -> dict[str, Path]:
        """Text files; a path that isn't there is left out."""
        return self._reader.read_files(paths)

    def fetch_recordings(self, pointer_paths: Sequence[str]) -> Fetched:
        """The recordings behind LFS pointers; those that still lie here are not asked for again."""
        wanted = [path for path in pointer_paths if path not in self._files or not self._files[path].exists()]
        missing: Mapping[str, str] = {}
        absences: Mapping[str, Absence] = {}
        if wanted:
            fetched = self._reader.fetch_recordings(wanted)
            self._files |= fetched.files
            missing, absences = fetched.missing, fetched.absences
        return Fetched(
            {
                path: self._files[path]
                for path in pointer_paths
                if path not in missing and path in self._files
            },
            missing,
            absences,
        )


@dataclass(frozen=True)
class ChosenCell:
    """A cell that a job works on, and the notebook that it is in."""

    notebook: Notebook
    cell: Cell

    @property
    def key(self) -> str:
        """One name for one cell: two notebooks may hold cells with the same id."""
        return f"{self.notebook.path}#{self.cell.id}"

    @property
    def label(self) -> str:
        """The cell's name for people: its verse reference, or what else it has."""
        return label_of(self.notebook.document, self.cell)

    @property
    def chapter(self) -> str:
        """What must not be parted between training and validation: the document's name and the chapter."""
        return f"{self.notebook.document} {self.cell.chapter or ''}".strip()

    @property
    def book(self) -> str:
        """The book of the cell's reference, else the document."""
        return self.cell.references[0].book if self.cell.references else self.notebook.document


@dataclass(frozen=True)
class SkippedCell:
    """A cell that is not worked on; `label` is its name for people, `fault` what its recording has."""

    cell_id: str
    label: str
    book: str
    reason: str
    why: Why = Why.NOT_FIT
    fault: Fault | None = None

    @property
    def is_machine_made(self) -> bool:
        """Left out for that alone: see `provenance`."""
        return self.why is Why.MACHINE_MADE


@dataclass(frozen=True)
class Cells:
    """The cells that a job works on, and all the others with their reasons."""

    chosen: tuple[ChosenCell, ...]
    skipped: tuple[SkippedCell, ...]
    selection: Selection = field(default_factory=Selection)
    unmatched: tuple[str, ...] = ()  # entries of the job's lists that name no cell of the project

    @property
    def unmatched_sentence(self) -> str:
        """The entries that name no cell, for an error; empty where there are none."""
        if not self.unmatched:
            return ""
        names = "names" if len(self.unmatched) == 1 else "name"
        return (
            f"In the job's list of verses, {listed(self.unmatched)} {names} no cell of this project; "
            "write references like MRK 1:1, or choose the verses again."
        )

    @property
    def machine_made(self) -> int:
        """How many are left out only because a machine made them."""
        return sum(entry.is_machine_made for entry in self.skipped)


class Project:
    """The notebooks at the job's commit. `notes` are sentences for the log and the result.

    A notebook that cannot be read costs its own cells only. Raises UserError where none can.
    """

    def __init__(self, reader: ProjectReader) -> None:
        self.reader: ProjectReader = FetchedOnce(reader)
        self.notes: list[str] = []
        self.notebooks = self._read_notebooks()

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """Tags of the languages that it translates into, as far as it says."""
        return languages_of(self.reader)

    def choose(self, rule: Rule, options: TrainingOptions | InferenceOptions) -> Cells:
        """The cells that `rule` and a job's lists leave."""
        machines_too = isinstance(options, TrainingOptions) and options.include_machine_made
        selection = Selection(
            options.include_verses, options.exclude_verses, include_machine_made=machines_too
        )
        return self.choose_from(rule, selection)

    def choose_from(self, rule: Rule, selection: Selection) -> Cells:
        """The cells that `rule` and `selection` leave."""
        chosen: list[ChosenCell] = []
        skipped: list[SkippedCell] = []
        for notebook in self.notebooks:
            choice = rule(notebook, selection)
            chosen += [ChosenCell(notebook, cell) for cell in choice.chosen]
            cells = {cell.index: cell for cell in notebook.cells}
            for entry in choice.skipped:
                cell = cells.get(entry.index)
                label = label_of(notebook.document, cell) if cell else f"cell {entry.index + 1}"
                skipped.append(SkippedCell(entry.cell_id, label, notebook.document, entry.reason, entry.why))
        unmatched = selection.unmatched(cell for notebook in self.notebooks for cell in notebook.cells)
        if unmatched:
            names = "names" if len(unmatched) == 1 else "name"
            quoted = listed([repr(entry) for entry in unmatched])
            self.note(f"{quoted} in the job's list of verses {names} no cell of this project.")
        return Cells(tuple(chosen), tuple(skipped), selection, unmatched)

    def written_texts(self, options: TrainingOptions) -> list[str]:
        """All texts that show how the language is written, recorded or not; those excluded are left out."""
        selection = Selection((), options.exclude_verses, include_machine_made=options.include_machine_made)
        return [
            cell.text for notebook in self.notebooks for cell in cells_with_text(notebook, selection).chosen
        ]

    def note(self, sentence: str, level: int = logging.WARNING) -> None:
        """Keeps a sentence for the result, and logs it; `level` INFO is for what is no trouble."""
        if sentence not in self.notes:
            logger.log(level, sentence)
            self.notes.append(sentence)

    def _read_notebooks(self) -> tuple[Notebook, ...]:
        paths = [path for path in self.reader.list_files(NOTEBOOK_FOLDER) if path.endswith(".codex")]
        self._note_alike(paths)
        notebooks = []
        for path, file in sorted(self.reader.read_files(paths).items()):
            try:
                notebooks.append(Notebook.parse(file.read_bytes(), path))
            except DataError as error:
                self.note(str(error))
        if not notebooks:
            raise UserError(
                f"The project has no readable notebook below {NOTEBOOK_FOLDER}: "
                "open it in the editor, and synchronise it."
            )
        return read_together(notebooks)

    def _note_alike(self, paths: Sequence[str]) -> None:
        """Where two notebooks have one name, an editor shows one of them; both are read here."""
        by_name: dict[str, list[str]] = {}
        for path in paths:
            by_name.setdefault(folded(path), []).append(path)
        for same in by_name.values():
            if len(same) > 1:
                self.note(
                    f"{listed([repr(path) for path in same])} are one file on Windows and macOS: their names "
                    "differ only in case, or in how accents are stored. Rename or remove all but one of them."
                )


def languages_of(reader: ProjectReader) -> tuple[str, ...]:
    """Tags of the languages that a project translates into, as far as it says."""
    file = reader.read_files([METADATA]).get(METADATA)
    return () if file is None else target_languages(file.read_bytes())


def label_of(document: str, cell: Cell) -> str:
    """A cell's name for people: its reference, else its label or place in the document."""
    if cell.references:
        return str(cell.references[0])
    name = _IMPORT_ID.sub("", document_name(document))  # the editor's, which tells a person nothing
    return f"{name} {cell.label or f'cell {cell.index + 1}'}"
