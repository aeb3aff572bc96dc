"""A `.codex` notebook: its cells in order, and a sentence for each cell that cannot be used."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from codex_worker.codex.cell import Cell, cell_id, read_cell
from codex_worker.codex.json_spans import Span, TooManyElements, document
from codex_worker.codex.names import names_of
from codex_worker.errors import DataError

MAX_NOTEBOOK_BYTES = 64 * 1024 * 1024
MAX_CELLS = 200_000
# Of everything in the file, by the marks between values: each value takes some 60 bytes of memory.
MAX_VALUES = 5_000_000


@dataclass(frozen=True)
class Problem:
    """A cell that cannot be used: its place in the file (from 0), its id where it has one, and why."""

    index: int
    cell_id: str
    reason: str

    def __str__(self) -> str:
        name = f" ({self.cell_id})" if self.cell_id else ""
        return f"cell {self.index + 1}{name}: {self.reason}"


@dataclass(frozen=True)
class Source:
    """A notebook's text and where in it each cell lies, nothing interpreted."""

    text: str
    path: str
    cells: tuple[Span, ...]
    metadata: dict[str, Any]

    @classmethod
    def scan(cls, data: bytes, path: str) -> "Source":
        """Raises DataError, with the place, where `data` is no notebook."""
        if len(data) > MAX_NOTEBOOK_BYTES:
            limit = MAX_NOTEBOOK_BYTES // 2**20
            raise DataError(
                f"{path} is larger than {limit} MiB; no notebook of the editor is. Split the document."
            )
        try:
            text = data.decode("utf-8")
            if sum(text.count(mark) for mark in ",[{") > MAX_VALUES:
                raise DataError(
                    f"{path} holds more than {MAX_VALUES:,} values; no notebook of the editor does. "
                    "Split the document."
                )
            members, cells = document(text, "cells", most=MAX_CELLS)
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path} is not UTF-8 text (byte {error.start}); open and save it in the editor."
            ) from error
        except TooManyElements as error:
            raise DataError(
                f"{path} has more than {MAX_CELLS:,} cells; no notebook has so many. Split the document."
            ) from error
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{path} is not valid JSON ({error}); restore it from the project's history."
            ) from error
        if cells is None:
            raise DataError(f"{path} has no list of cells; restore it from the project's history.")
        metadata = members["metadata"].value if "metadata" in members else None
        return cls(text, path, tuple(cells), metadata if isinstance(metadata, dict) else {})

    @property
    def created_at_ms(self) -> int | None:
        """When the notebook came to be, as far as its metadata says."""
        return created_at_ms(self.metadata)


@dataclass(frozen=True)
class Notebook:
    """The usable cells, in order, and the problems of the others; `document` is the name without folders."""

    path: str
    document: str
    cells: tuple[Cell, ...]
    problems: tuple[Problem, ...]
    created_at_ms: int | None

    @classmethod
    def parse(cls, data: bytes, path: str) -> "Notebook":
        """Reads a notebook. A wrong cell costs that cell only; raises DataError where the file is none."""
        source = Source.scan(data, path)
        cells: list[Cell] = []
        problems: list[Problem] = []
        seen: set[str] = set()
        for index, span in enumerate(source.cells):
            try:
                cell = read_cell(span.value, index)
            except ValueError as error:
                problems.append(Problem(index, _id_or_empty(span.value), str(error)))
                continue
            if cell.id in seen:
                problems.append(Problem(index, cell.id, "another cell before it has the same id"))
                continue
            seen.add(cell.id)
            cells.append(cell)
        alone = cls(path, document_name(path), tuple(cells), tuple(problems), source.created_at_ms)
        return read_together([alone])[0]

    def cell(self, identity: str) -> Cell | None:
        """The cell with this id."""
        return next((cell for cell in self.cells if cell.id == identity), None)


def read_together(notebooks: Sequence[Notebook]) -> tuple[Notebook, ...]:
    """The same notebooks, each of whose cells knows what all the others are called."""
    names = names_of(cell for notebook in notebooks for cell in notebook.cells)
    return tuple(
        replace(notebook, cells=tuple(replace(cell, among=names) for cell in notebook.cells))
        for notebook in notebooks
    )


def document_name(path: str) -> str:
    """The name of a document: its file's name without folders and without `.codex`."""
    return re.sub(r"\.(codex|source)$", "", path.replace("\\", "/").rpartition("/")[2])


def created_at_ms(metadata: dict[str, Any]) -> int | None:
    """The time that a notebook's metadata gives for its creation or import."""
    for key in ("sourceCreatedAt", "importTimestamp"):
        found = metadata.get(key)
        if isinstance(found, int | float) and not isinstance(found, bool) and 0 < found < 2**53:
            return int(found)
        if isinstance(found, str):
            moment = _iso_time_ms(found)
            if moment is not None:
                return moment
    return None


def _id_or_empty(raw: Any) -> str:
    try:
        return cell_id(raw)
    except ValueError:
        return ""  # the sentence of the problem says that it has none


def _iso_time_ms(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None  # free text; the next field or none
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    milliseconds = int(moment.timestamp() * 1000)
    return milliseconds if milliseconds > 0 else None
