"""A project as these handlers need it: notebooks read once, recordings fetched once."""

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from codex_worker.codex.attachments import selected_recording
from codex_worker.codex.cell import Cell
from codex_worker.codex.choose import Choice, Selection
from codex_worker.codex.notebook import Notebook
from codex_worker.errors import DataError, UserError
from codex_worker.w2v2bert.data import Utterance
from handlers.base import JobCallbacks, JobContext

logger = logging.getLogger(__name__)

NOTEBOOK_FOLDER = "files/target/"


class ChosenCell(NamedTuple):
    """A cell that the job works on, and the notebook that it is in."""

    notebook: Notebook
    cell: Cell


class Project:
    """Notebooks and recordings at the job's commit. Both halves of a combined job share one."""

    def __init__(self, job: JobContext, callbacks: JobCallbacks) -> None:
        self.job = job
        self.callbacks = callbacks
        self.notes: list[str] = []
        self.notebooks = self._read_notebooks()
        self._recordings: dict[str, Path] = {}
        self._missing: dict[str, str] = {}

    def choose(
        self, rule: Callable[[Notebook, Selection], Choice], section: str
    ) -> tuple[list[ChosenCell], dict[str, str]]:
        """The cells that a rule and the manifest's lists (in `section`) leave, and why the others are not."""
        selection = Selection(
            include=_entries(self.job, f"{section}.include_verses"),
            exclude=_entries(self.job, f"{section}.exclude_verses"),
        )
        chosen: list[ChosenCell] = []
        skipped: dict[str, str] = {}
        for notebook in self.notebooks:
            choice = rule(notebook, selection)
            chosen += [ChosenCell(notebook, cell) for cell in choice.chosen]
            skipped |= {entry.cell_id: entry.reason for entry in choice.skipped}
        for entry in selection.unmatched(cell for notebook in self.notebooks for cell in notebook.cells):
            self.note(f"{section}: {entry!r} names no cell of this project")
        return chosen, skipped

    def utterances(self, chosen: Iterable[ChosenCell]) -> tuple[list[Utterance], dict[str, str]]:
        """The chosen cells' recordings, fetched, and why others cannot be had (cell id -> a sentence)."""
        chosen = list(chosen)
        takes = {cell.id: selected_recording(cell) for _, cell in chosen}
        self._fetch(take.pointer_path for take in takes.values())
        self._fetch(
            take.legacy_path
            for take in takes.values()
            if take.pointer_path not in self._recordings and take.legacy_path
        )
        utterances, missing = [], {}
        for notebook, cell in chosen:
            take = takes[cell.id]
            path = self._recordings.get(take.pointer_path) or self._recordings.get(take.legacy_path or "")
            if path is None:
                missing[cell.id] = self._missing.get(take.pointer_path, "its recording cannot be fetched")
                continue
            utterances.append(
                Utterance(
                    key=cell.id,
                    path=path,
                    text=cell.text,
                    chapter=f"{notebook.document} {cell.chapter}",
                    start_s=take.attachment.start_s,
                    end_s=take.attachment.end_s,
                )
            )
        return utterances, missing

    def note(self, sentence: str) -> None:
        """Something for the log and the result."""
        logger.warning(sentence)
        self.notes.append(sentence)

    def _fetch(self, paths: Iterable[str]) -> None:
        wanted = sorted(set(paths) - set(self._recordings) - set(self._missing))
        if wanted:
            fetched = self.callbacks.scanner.fetch_recordings(wanted)
            self._recordings |= fetched.files
            self._missing |= fetched.missing

    def _read_notebooks(self) -> list[Notebook]:
        scanner = self.callbacks.scanner
        paths = [path for path in scanner.list_files(NOTEBOOK_FOLDER) if path.endswith(".codex")]
        notebooks = []
        for path, file in sorted(scanner.read_files(paths).items()):
            try:
                notebooks.append(Notebook.parse(file.read_bytes(), path))
            except DataError as error:
                self.note(str(error))
        if not notebooks:
            raise UserError(
                f"The project {self.job.project} has no readable notebook below {NOTEBOOK_FOLDER}: "
                "open it in the editor, and synchronise it."
            )
        return notebooks


def _entries(job: JobContext, key: str) -> tuple[str, ...]:
    value = job.setting(key, [])
    if not isinstance(value, list):
        raise UserError(f"The manifest's {key} must be a list of cell ids or verse references.")
    return tuple(str(entry) for entry in value)
