"""Which cells a job works on: one rule for lists of verses, one table of cells that are left alone."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from codex_worker.codex.attachments import selected_recording
from codex_worker.codex.cell import Cell
from codex_worker.codex.notebook import Notebook
from codex_worker.codex.reference import VerseReference, parse_reference
from codex_worker.codex.text import is_range_marker
from codex_worker.errors import DataError

CONTENT_TYPES = frozenset({"text", "markdown"})  # markdown: content cells of early projects


@dataclass(frozen=True)
class Skipped:
    """A cell that is not worked on, and why, in a translator's words."""

    cell_id: str
    index: int
    reason: str


@dataclass(frozen=True)
class ChosenCells:
    """The cells of one notebook that a job works on, in order, and all the others with their reasons."""

    chosen: tuple[Cell, ...]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True)
class Selection:
    """The include and exclude lists of a manifest, for training and inference alike.

    An entry is a cell id or a verse reference (also a range, a chapter or a book). Exclude wins; two
    empty lists mean every cell.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    _included: "_Entries" = field(init=False, repr=False, compare=False)
    _excluded: "_Entries" = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_included", _Entries(self.include))
        object.__setattr__(self, "_excluded", _Entries(self.exclude))

    def allows(self, cell: Cell) -> bool:
        """True where the lists do not rule the cell out."""
        return not self._excluded.match(cell) and (not self.include or self._included.match(cell))

    def explicit(self, cell: Cell) -> bool:
        """True where a person asked for this very cell, so that its text or recording may be replaced."""
        return bool(self.include) and self.allows(cell)

    def names(self, cell: Cell) -> bool:
        """True where the include list has the cell's own id."""
        return cell.id in self._included.ids and not self._excluded.match(cell)

    def unmatched(self, cells: Iterable[Cell]) -> tuple[str, ...]:
        """The entries of both lists that mean none of these cells: worth a line in the log."""
        known = tuple(cells)
        ids = {cell.id for cell in known}
        references = {reference for cell in known for reference in cell.references}
        return tuple(
            entry
            for entry in (*self.include, *self.exclude)
            if entry.strip() not in ids and not _means_any(entry, references)
        )


def skip_reason(cell: Cell) -> str | None:
    """Why a cell is left alone whatever the job is; None for a cell with content of its own."""
    reasons = (
        (cell.is_deleted, "deleted"),
        (cell.is_merged, "merged into another cell"),
        (cell.is_hidden, "hidden"),
        (cell.is_locked, "locked"),
        (cell.type not in CONTENT_TYPES, f"not a text cell ({cell.type or 'no type'})"),
        (is_range_marker(cell.value), "part of the range before it (<range>)"),
    )
    return next((reason for applies, reason in reasons if applies), None)


def cells_for_training(notebook: Notebook, selection: Selection) -> ChosenCells:
    """The cells with text and a selected recording; locked ones too, which are finished work."""

    def missing(cell: Cell) -> str | None:
        if not cell.text:
            return "no text"
        return _recording_problem(cell)

    return _choose(notebook, selection, missing, writes=False)


def cells_to_transcribe(notebook: Notebook, selection: Selection) -> ChosenCells:
    """The cells with a selected recording and no text; those with text only where they were asked for."""

    def missing(cell: Cell) -> str | None:
        problem = _recording_problem(cell)
        if problem is None and cell.text and not selection.explicit(cell):
            return "has text already (include it by name to replace it)"
        return problem

    return _choose(notebook, selection, missing)


def cells_to_speak(notebook: Notebook, selection: Selection) -> ChosenCells:
    """The cells with text and no recording of any kind; those with one only where they were asked for."""

    def missing(cell: Cell) -> str | None:
        if not cell.text:
            return "no text"
        if cell.live_attachments and not selection.explicit(cell):
            return "has a recording already (include it by name to replace it)"
        return None

    return _choose(notebook, selection, missing)


def _choose(
    notebook: Notebook,
    selection: Selection,
    missing: Callable[[Cell], str | None],
    writes: bool = True,
) -> ChosenCells:
    chosen: list[Cell] = []
    skipped = [Skipped(problem.cell_id, problem.index, problem.reason) for problem in notebook.problems]
    for cell in notebook.cells:
        reason = skip_reason(cell)
        if reason == "locked" and not writes:
            reason = None
        if reason is None and cell.is_child and not selection.names(cell):
            reason = "part of another cell"
        if reason is None and not selection.allows(cell):
            reason = "not in the job's list of verses"
        if reason is None:
            reason = missing(cell)
        if reason is None:
            chosen.append(cell)
        else:
            skipped.append(Skipped(cell.id, cell.index, reason))
    skipped.sort(key=lambda entry: entry.index)
    return ChosenCells(tuple(chosen), tuple(skipped))


def _recording_problem(cell: Cell) -> str | None:
    try:
        selected_recording(cell)
    except DataError as error:
        return str(error)
    return None


def _means_any(entry: str, references: set[VerseReference]) -> bool:
    meant = parse_reference(entry)
    return meant is not None and any(meant.covers(reference) for reference in references)


class _Entries:
    """A list of ids and references, prepared so that thousands of cells are looked up quickly."""

    def __init__(self, entries: Iterable[str]) -> None:
        self.ids: set[str] = set()
        self._books: set[str] = set()
        self._by_chapter: dict[tuple[str, int], list[VerseReference]] = {}
        for entry in entries:
            self.ids.add(entry.strip())
            reference = parse_reference(entry)
            if reference is None:
                continue
            if reference.chapter is None:
                self._books.add(reference.book)
            for chapter in _chapters(reference):
                self._by_chapter.setdefault((reference.book, chapter), []).append(reference)

    def match(self, cell: Cell) -> bool:
        return cell.id in self.ids or any(self._match_reference(reference) for reference in cell.references)

    def _match_reference(self, reference: VerseReference) -> bool:
        if reference.book in self._books:
            return True
        return any(
            entry.covers(reference)
            for chapter in _chapters(reference)
            for entry in self._by_chapter.get((reference.book, chapter), ())
        )


def _chapters(reference: VerseReference) -> Iterator[int]:
    if reference.chapter is not None:
        yield from range(reference.chapter, (reference.end_chapter or reference.chapter) + 1)
