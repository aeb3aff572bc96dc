"""Which text of a cell goes into a dataset: what it says now, an old edit, or the editor's transcription."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from codex_worker.codex.cell import Cell
from codex_worker.codex.provenance import is_machine_edit
from codex_worker.codex.text import plain_text
from codex_worker.data.project import ChosenCell, Project
from codex_worker.errors import UserError

TextSource = Literal["value", "edit_history", "transcription"]
EditChoice = Literal["initial_import", "first", "last"]
TextOf = Callable[[ChosenCell], str]


@dataclass(frozen=True)
class TextChoice:
    """`dataset.text_source` and `dataset.edit_history_selection` of a configuration."""

    source: TextSource = "value"
    edit: EditChoice = "last"

    def __post_init__(self) -> None:
        """Raises UserError for values that there are not."""
        if self.source not in {"value", "edit_history", "transcription"}:
            raise UserError(f"text_source {self.source!r} is none of value, edit_history, transcription.")
        if self.edit not in {"initial_import", "first", "last"}:
            raise UserError(f"edit_history_selection {self.edit!r} is none of initial_import, first, last.")


def text_of(project: Project, choice: TextChoice) -> TextOf:
    """The function that gives the chosen text of a cell, "" where it has none."""
    if choice.source == "value":
        return lambda chosen: chosen.cell.text
    if choice.source == "edit_history":
        return lambda chosen: _edited(chosen.cell, choice.edit)
    transcriptions = _transcriptions(project)
    return lambda chosen: transcriptions.get((chosen.notebook.path, chosen.cell.id), "")


def _edited(cell: Cell, choice: EditChoice) -> str:
    edits = [
        edit
        for edit in cell.edits
        if edit.field == ("value",) and isinstance(edit.value, str) and not is_machine_edit(edit)
    ]
    if choice == "initial_import":
        edits = [edit for edit in edits if edit.type == "initial-import"]
    edits.sort(key=lambda edit: edit.timestamp_ms)
    if not edits:
        return ""
    return plain_text(edits[-1 if choice == "last" else 0].value)


def _transcriptions(project: Project) -> dict[tuple[str, str], str]:
    """What the editor's own recogniser wrote beside the selected recordings."""
    found: dict[tuple[str, str], str] = {}
    paths = [notebook.path for notebook in project.notebooks]
    for path, file in project.reader.read_files(paths).items():
        for raw in json.loads(file.read_bytes()).get("cells", []):
            metadata = _mapping(_mapping(raw).get("metadata"))
            take = _mapping(_mapping(metadata.get("attachments")).get(str(metadata.get("selectedAudioId"))))
            content = _mapping(take.get("transcription")).get("content")
            if isinstance(content, str):
                found[path, str(metadata.get("id"))] = plain_text(content)
    return found


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
