"""What cells are called, so that a list of verses means those cells and no others.

A cell's own name is its id, and beside it the reference that it is all of, where no other cell is called so.
Names are compared in one spelling; `names_of` gathers what the cells of a notebook or a project are called.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import zip_longest

from codex_worker.codex.cell import Cell, Names
from codex_worker.codex.left_alone import skip_reason
from codex_worker.codex.reference import VerseReference, joined, parse_reference, plain_spelling

_RANGE_LABEL = re.compile(r"(\d{1,4})-(\d{1,4})")


def name_of(text: str) -> str:
    """A cell id or a reference in the spelling that names are compared in."""
    reference = parse_reference(text)
    if reference is None or reference.child:
        return plain_spelling(text).casefold()
    return str(reference)


def whole_reference(cell: Cell) -> VerseReference | None:
    """The reference that is all of the cell: a range for a cell of several verses, None for a part of one.

    The editor leaves the reference of a merged cell as it was, and says in its label how far it goes.
    """
    reference = joined(cell.references)
    if reference is None or cell.is_child:
        return None
    label = _RANGE_LABEL.fullmatch(plain_spelling(cell.label).replace(" ", ""))
    goes_on = label and reference.verse == int(label[1]) and (reference.end_verse or 0) < int(label[2])
    if label and goes_on and reference.end_chapter == reference.chapter:
        return replace(reference, end_verse=int(label[2]), end_part="")
    return reference


def names_of(cells: Iterable[Cell]) -> Names:
    """What these cells are called, and where several of them have the same verses."""
    ids: set[str] = set()
    wholes: list[VerseReference] = []
    for cell in cells:
        ids.add(cell.id.strip())
        whole = whole_reference(cell)
        if whole is not None and skip_reason(cell) in {None, "locked"}:
            wholes.append(whole)
    return Names(
        frozenset(ids),
        frozenset(name_of(identity) for identity in ids),
        frozenset(name for name, count in Counter(map(str, wholes)).items() if count > 1),
        frozenset(_crowded(wholes)),
    )


def stands_alone(cell: Cell) -> bool:
    """True where no other cell has a verse of this one, or its id says that it is this very place."""
    whole = whole_reference(cell)
    if whole is None:
        return False
    name = str(whole)
    if name_of(cell.id) == str(joined(cell.references)):
        return True
    return name not in cell.among.id_names and name not in cell.among.crowded


def _crowded(places: Iterable[VerseReference]) -> Iterator[str]:
    """The references, one for each cell, that share a verse with another one."""
    by_book: dict[str, list[VerseReference]] = {}
    for place in places:
        by_book.setdefault(place.book, []).append(place)
    for of_book in by_book.values():
        of_book.sort(key=lambda place: place.begin)
        furthest = (-1, 0, "")
        for place, following in zip_longest(of_book, of_book[1:]):
            if place.begin <= furthest or (following is not None and following.begin <= place.end):
                yield str(place)
            furthest = max(furthest, place.end)
