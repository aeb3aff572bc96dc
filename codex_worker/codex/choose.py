"""Which cells a job works on: one rule for lists of verses, one table of cells that are left alone."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

from codex_worker.codex.attachments import selected_recording
from codex_worker.codex.cell import Cell
from codex_worker.codex.left_alone import skip_reason
from codex_worker.codex.names import name_of, stands_alone, whole_reference
from codex_worker.codex.notebook import Notebook
from codex_worker.codex.provenance import is_machine_recording, is_machine_text, unvalidated_by_person
from codex_worker.codex.reference import VerseReference, meant_by
from codex_worker.codex.sayable import holds_letters
from codex_worker.errors import DataError


class Why(Enum):
    """Why a cell is not worked on, as far as people have to be told of it."""

    LEFT_ALONE = auto()  # locked, or asked for by its id and deleted, hidden, no text cell, ...
    NOT_LISTED = auto()  # nobody asked for it
    EXCLUDED = auto()
    ALREADY_THERE = auto()  # it has what the job would write
    NOT_FIT = auto()  # it lacks what the job works from
    NOTHING_TO_SAY = auto()  # its text is punctuation only
    MACHINE_MADE = auto()  # nothing else speaks against it


_Reason = tuple[Why, str]


@dataclass(frozen=True)
class Skipped:
    """A cell that is not worked on, and why, in a translator's words."""

    cell_id: str
    index: int
    reason: str
    why: Why


@dataclass(frozen=True)
class ChosenCells:
    """The cells of one notebook that a job works on, in order, and all the others with their reasons."""

    chosen: tuple[Cell, ...]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True)
class Selection:
    """The include and exclude lists of a manifest, for training and inference alike.

    An entry that is a cell's id means that cell and no other. Any other entry is a verse reference, a range,
    a chapter or a book. Exclude wins; two empty lists mean every cell. Two questions are kept apart: which
    cells may be worked on (`allows`), and in which of them a person's text or recording may be replaced
    (`explicit`). What other cells are called is known as far as the cells were read together (`Cell.among`).
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    include_machine_made: bool = False  # learn also from what a machine made and no person validated
    _included: "_Entries" = field(init=False, repr=False, compare=False)
    _excluded: "_Entries" = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_included", _Entries(self.include))
        object.__setattr__(self, "_excluded", _Entries(self.exclude))

    def allows(self, cell: Cell) -> bool:
        """True where the lists do not rule the cell out.

        A verse that is included allows the ranges that it is a part of, unless it is another cell's id. A
        verse that is excluded always excludes them: who wants it untouched must not find it overwritten.
        """
        if self.excludes(cell):
            return False
        return not self.include or self._included.names(cell) or self._included.means_part_of(cell)

    def explicit(self, cell: Cell) -> bool:
        """True where a person asked for this very cell, so that its text or recording may be replaced.

        That takes its id, the reference that is all of it and of no other cell, or the chapter or book that
        all of it lies in, where no other cell has its verses.
        """
        if not self.include or not self.allows(cell):
            return False
        return (
            self._included.names(cell) or self._included.means_whole_of(cell) or self._included.encloses(cell)
        )

    def excludes(self, cell: Cell) -> bool:
        """True where the exclude list rules the cell out."""
        return self._excluded.names(cell) or self._excluded.touches(cell)

    def names(self, cell: Cell) -> bool:
        """True where the include list has the cell's own id."""
        return self._included.names(cell) and self.allows(cell)

    def has_id_of(self, cell: Cell) -> bool:
        """True where the include list has the cell's id as it is written, whatever other cells are called."""
        return self._included.has_id(cell.id)

    def unmatched(self, cells: Iterable[Cell]) -> tuple[str, ...]:
        """The entries of both lists that mean none of these cells."""
        known = tuple(cells)
        ids = {name_of(cell.id) for cell in known}
        references = {reference for cell in known for reference in cell.references}
        return tuple(
            entry
            for entry in (*self.include, *self.exclude)
            if name_of(entry) not in ids and not _means_any(entry, references)
        )


def cells_for_training(notebook: Notebook, selection: Selection) -> ChosenCells:
    """The cells with text and a selected recording; locked ones too, which are finished work.

    What a machine made and no person validated is left out, unless the job wants it.
    """

    def missing(cell: Cell) -> _Reason | None:
        return (Why.NOT_FIT, "no text") if not cell.text else _recording_problem(cell)

    return _choose(
        notebook,
        selection,
        missing,
        writes=False,
        made_by_machine=lambda cell: None if selection.include_machine_made else unvalidated_by_person(cell),
    )


def cells_with_recording(notebook: Notebook, selection: Selection) -> ChosenCells:
    """The cells with a selected recording, whether or not they have a text; a machine's as for training."""

    def made_by_machine(cell: Cell) -> str | None:
        take = cell.attachments[cell.selected_audio_id]
        is_machines = not selection.include_machine_made and is_machine_recording(take, cell)
        return "recording" if is_machines else None

    return _choose(notebook, selection, _recording_problem, writes=False, made_by_machine=made_by_machine)


def cells_with_text(notebook: Notebook, selection: Selection) -> ChosenCells:
    """The cells that say how the language is written, whether or not anybody recorded them.

    What a machine wrote and no person validated is left out, unless the job wants it.
    """

    def missing(cell: Cell) -> _Reason | None:
        return None if holds_letters(cell.text) else (Why.NOTHING_TO_SAY, "its text holds no letters")

    def made_by_machine(cell: Cell) -> str | None:
        return "text" if not selection.include_machine_made and is_machine_text(cell) else None

    return _choose(notebook, selection, missing, writes=False, made_by_machine=made_by_machine)


def cells_to_transcribe(notebook: Notebook, selection: Selection) -> ChosenCells:
    """The cells with a selected recording and no text; those with text only where they were asked for."""

    def missing(cell: Cell) -> _Reason | None:
        problem = _recording_problem(cell)
        if problem is None and cell.text and not selection.explicit(cell):
            return Why.ALREADY_THERE, "has text already (include its own id or reference to replace it)"
        return problem

    return _choose(notebook, selection, missing)


def cells_to_speak(notebook: Notebook, selection: Selection) -> ChosenCells:
    """The cells with text and no recording of any kind; those with one only where they were asked for.

    A text without a letter or digit is none that could be spoken.
    """

    def missing(cell: Cell) -> _Reason | None:
        if not cell.text:
            return Why.NOT_FIT, "no text"
        if cell.live_attachments and not selection.explicit(cell):
            return (
                Why.ALREADY_THERE,
                "has a recording already (include its own id or reference to replace it)",
            )
        if not holds_letters(cell.text):
            return Why.NOTHING_TO_SAY, "its text holds no letters"
        return None

    return _choose(notebook, selection, missing)


def cells_with_text_only(notebook: Notebook, selection: Selection) -> ChosenCells:
    """The cells with a person's text that can be spoken and no recording of any kind; locked ones too."""

    def missing(cell: Cell) -> _Reason | None:
        if not cell.text:
            return Why.NOT_FIT, "no text"
        if cell.live_attachments:
            return Why.ALREADY_THERE, "has a recording"
        return None if holds_letters(cell.text) else (Why.NOTHING_TO_SAY, "its text holds no letters")

    def made_by_machine(cell: Cell) -> str | None:
        return "text" if not selection.include_machine_made and is_machine_text(cell) else None

    return _choose(notebook, selection, missing, writes=False, made_by_machine=made_by_machine)


def _choose(
    notebook: Notebook,
    selection: Selection,
    missing: Callable[[Cell], _Reason | None],
    writes: bool = True,
    made_by_machine: Callable[[Cell], str | None] = lambda cell: None,
) -> ChosenCells:
    chosen: list[Cell] = []
    skipped = [
        Skipped(problem.cell_id, problem.index, problem.reason, Why.LEFT_ALONE)
        for problem in notebook.problems
    ]
    for cell in notebook.cells:
        reason = _left_alone(cell, selection, writes) or missing(cell)
        machines = made_by_machine(cell) if reason is None else None
        if machines:
            reason = Why.MACHINE_MADE, f"made by a machine and not validated by a person (its {machines})"
        if reason is None:
            chosen.append(cell)
        else:
            why, sentence = reason
            skipped.append(Skipped(cell.id, cell.index, sentence, why))
    skipped.sort(key=lambda entry: entry.index)
    return ChosenCells(tuple(chosen), tuple(skipped))


def _left_alone(cell: Cell, selection: Selection, writes: bool) -> _Reason | None:
    """Why a cell is left alone whatever it holds; a chapter that is asked for has headings as well."""
    reason = skip_reason(cell)
    if reason == "locked" and not writes:
        reason = None
    if reason is None and cell.is_child and not selection.names(cell):
        reason = "part of another cell"
    if reason is not None:
        is_wanted = selection.names(cell) or (reason == "locked" and selection.allows(cell))
        return (Why.LEFT_ALONE if is_wanted else Why.NOT_LISTED), reason
    if not selection.allows(cell):
        why = Why.EXCLUDED if selection.excludes(cell) else Why.NOT_LISTED
        return why, "not in the job's list of verses"
    return None


def _recording_problem(cell: Cell) -> _Reason | None:
    try:
        selected_recording(cell)
    except DataError as error:
        return Why.NOT_FIT, str(error)
    return None


def _means_any(entry: str, references: set[VerseReference]) -> bool:
    meant = meant_by(entry)
    return meant is not None and any(meant.covers(reference) for reference in references)


class _Entries:
    """A list of ids and references, prepared so that thousands of cells are looked up quickly."""

    def __init__(self, entries: Iterable[str]) -> None:
        self._ids: set[str] = set()
        self._by_name: dict[str, set[str]] = {}  # name -> the entries that spell it, as they are written
        self._by_place: dict[tuple[str, int | None], list[tuple[str, VerseReference]]] = {}  # with names
        for entry in (entry.strip() for entry in entries):
            self._ids.add(entry)
            name = name_of(entry)
            self._by_name.setdefault(name, set()).add(entry)
            reference = meant_by(entry)
            if reference is not None:
                for place in _places(reference):
                    self._by_place.setdefault(place, []).append((name, reference))

    def has_id(self, identity: str) -> bool:
        """True where an entry is this very id, as it is written."""
        return identity.strip() in self._ids

    def names(self, cell: Cell) -> bool:
        """True where an entry is the cell's id; another spelling of it counts where no cell has that."""
        if self.has_id(cell.id):
            return True
        return not self._by_name.get(name_of(cell.id), set()) <= cell.among.ids

    def touches(self, cell: Cell) -> bool:
        """True where an entry has a verse of the cell."""
        return any(True for _ in self._covering(cell))

    def means_part_of(self, cell: Cell) -> bool:
        """True where an entry that is no other cell's id has a verse of the cell."""
        return any(name not in cell.among.id_names for name, _ in self._covering(cell))

    def means_whole_of(self, cell: Cell) -> bool:
        """True where an entry is the reference that this cell, and no other one, is all of."""
        whole = whole_reference(cell)
        if whole is None or str(whole) in cell.among.shared or str(whole) in cell.among.id_names:
            return False
        return str(whole) in self._by_name

    def encloses(self, cell: Cell) -> bool:
        """True where all of the cell lies in a chapter or book of the list, and it is alone in its place."""
        whole = whole_reference(cell)
        return (
            whole is not None
            and any(
                name not in cell.among.id_names and reference.encloses(whole)
                for name, reference in self._covering(cell)
            )
            and stands_alone(cell)
        )

    def _covering(self, cell: Cell) -> Iterator[tuple[str, VerseReference]]:
        for reference in cell.references:
            for place in {(reference.book, None), *_places(reference)}:
                for name, listed in self._by_place.get(place, ()):
                    if listed.covers(reference):
                        yield name, listed


def _places(reference: VerseReference) -> Iterator[tuple[str, int | None]]:
    """Where a reference is looked up: in its chapters, or in its book where it names none."""
    if reference.chapter is None:
        yield reference.book, None
    for chapter in reference.chapters:
        yield reference.book, chapter
