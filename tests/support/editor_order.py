"""Where the editor's merge puts cells: those that only the other side has, and verses in their order."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

SCRIPTURE_IMPORTERS = {
    "usfm", "usfm-experimental", "paratext", "ebiblecorpus", "ebible", "ebible-download", "maculabible",
    "macula", "biblica", "obs", "pdf", "indesign",
}  # fmt: skip
LAST_NUMBER = re.compile(r"(\d+)(?!.*\d)")
RANGE_AT_END = re.compile(r"(\d+)\s*[-–—]\s*(\d+)\s*$")
VERSES = re.compile(r"\s*(\S+)\s+(\d+):(\d+)(?:-(\d+))?\s*")
OLD_SUFFIX = re.compile(r"(\S+\s+\d+:\d+(?:-\d+)?):\d+-\w+")


@dataclass(frozen=True)
class _Verses:
    book: str
    chapter: int
    first: int
    last: int | None  # None: one verse, not a range


def align_reimported(
    merged: list[dict],
    theirs: dict[str, dict],
    merge: Callable[[dict, dict], dict],
    *,
    aligns_milestones: bool,
) -> None:
    """Takes out of `theirs` the cells that are live ones of ours under another id: merges them into ours.

    Those are timed cells with the same times, and, in a notebook of which no id is shared, milestones of the
    same chapter. Where two of ours could be meant, none is.
    """
    places: dict[tuple, list[int]] = {}
    for place, cell in enumerate(merged):
        key = _content_key(cell, aligns_milestones)
        if key:
            places.setdefault(key, []).append(place)
    for identity, cell in list(theirs.items()):
        found = places.get(_content_key(cell, aligns_milestones) or (), [])
        if len(found) == 1:
            own = merged[found[0]]
            merged[found[0]] = merge(own, theirs.pop(identity))
            merged[found[0]]["metadata"]["id"] = own["metadata"]["id"]


def insert_missing(merged: list[dict], their_order: list[dict], missing: dict[str, dict]) -> list[dict]:
    """Ours with the cells that only the other side has, each after, else before, the nearest that both have.

    A cell that stands there twice is inserted twice.
    """
    known = {cell["metadata"]["id"] for cell in merged}
    names = [(cell.get("metadata") or {}).get("id") for cell in their_order]
    last = {name: place for place, name in enumerate(names) if name}
    before: dict[str, list[dict]] = {}
    after: dict[str, list[dict]] = {}
    rest: list[dict] = []
    for name in names:
        if not name or name not in missing:
            continue
        anchor = _nearest(name, names, last, known, -1)
        bucket = after if anchor else before
        anchor = anchor or _nearest(name, names, last, known, 1)
        (bucket.setdefault(anchor, []) if anchor else rest).append(missing[name])
    result = []
    for cell in merged:
        name = cell["metadata"]["id"]
        result += [*before.get(name, []), cell, *after.get(name, [])]
    return result + rest


def reorder_verse_ranges(cells: list[dict], importer: object) -> list[dict]:
    """Scripture in the order of its verses, below the milestone that stands beside them.

    What cannot be placed stays behind what it followed, and paratext goes before its parent. Ranges of verses
    get the label and the chapter that they lack.
    """
    if isinstance(importer, str) and importer.strip() and importer.strip().lower() not in SCRIPTURE_IMPORTERS:
        return cells
    milestones = [place for place, cell in enumerate(cells) if _type(cell) == "milestone"]
    if not milestones and not any(verses.last for _, verses in _verses(cells)):
        return cells
    for cell in cells:
        _drop_old_suffix(cell)
    verses = dict(_verses(cells))
    for place, found in verses.items():
        _label(cells[place], found)
    assigned = _assign(cells, milestones, verses) if milestones else {-1: _in_book_order(verses)}
    if not any(assigned.values()):
        return cells
    order = [
        place
        for milestone in (milestones or [-1])
        for place in (milestone, *assigned[milestone])
        if place >= 0
    ]
    return _emit(cells, order)


def _content_key(cell: dict, aligns_milestones: bool) -> tuple | None:
    metadata = cell["metadata"]
    data = metadata.get("data") or {}
    if data.get("deleted"):
        return None
    if metadata.get("type") == "milestone":
        number = LAST_NUMBER.search(str(cell.get("value")))
        return ("milestone", number[1]) if number and aligns_milestones else None
    if data.get("startTime") is None or data.get("endTime") is None:
        return None
    return ("timed", metadata.get("type"), str(data["startTime"]), str(data["endTime"]))


def _nearest(name: str, names: list, last: dict[str, int], known: set, step: int) -> str | None:
    """The nearest cell that both sides have; a cell without an id ends the search."""
    seen = set()
    while name not in seen:
        seen.add(name)
        place = last[name] + step
        if not 0 <= place < len(names) or not names[place]:
            return None
        name = names[place]
        if name in known:
            return name
    return None


def _type(cell: dict) -> object:
    return cell["metadata"].get("type")


def _reference(cell: dict) -> str | None:
    references = (cell["metadata"].get("data") or {}).get("globalReferences")
    return (
        references[0]
        if isinstance(references, list) and references and isinstance(references[0], str)
        else None
    )


def _verses(cells: list[dict]) -> Iterator[tuple[int, _Verses]]:
    for place, cell in enumerate(cells):
        reference = _reference(cell)
        if reference is None or _type(cell) in {"milestone", "paratext", "style"}:
            continue
        suffixed = OLD_SUFFIX.fullmatch(reference)
        found = VERSES.fullmatch(suffixed[1] if suffixed else reference)
        if found:
            book, chapter, first, last = found.groups()
            yield place, _Verses(book, int(chapter), int(first), int(last) if last else None)


def _drop_old_suffix(cell: dict) -> None:
    reference = _reference(cell)
    suffixed = OLD_SUFFIX.fullmatch(reference or "")
    if suffixed and _type(cell) not in {"milestone", "paratext", "style"}:
        cell["metadata"]["data"]["globalReferences"] = [suffixed[1]]


def _label(cell: dict, verses: _Verses) -> None:
    """Names a range by its verses, unless a person named it."""
    metadata = cell["metadata"]
    labelled = any(
        edit.get("editMap") == ["metadata", "cellLabel"] and edit.get("type") != "migration"
        for edit in metadata.get("edits") or []
    )
    if verses.last is None or labelled:
        return
    metadata["cellLabel"] = f"{verses.first}-{verses.last}"
    if metadata.get("chapterNumber") is None:
        metadata["chapterNumber"] = str(verses.chapter)


def _assign(cells: list[dict], milestones: list[int], verses: dict[int, _Verses]) -> dict[int, list[int]]:
    """The verses of each milestone: of a chapter that it covers, and next to it, behind it or before."""
    assigned: dict[int, list[int]] = {milestone: [] for milestone in milestones}
    several = len({found.book.upper() for found in verses.values()}) > 1
    for place, found in verses.items():
        earlier = [milestone for milestone in milestones if milestone < place][-1:]
        later = [milestone for milestone in milestones if milestone > place][:1]
        for milestone in [*earlier, *later]:
            if _covers(cells[milestone].get("value"), found, several):
                assigned[milestone].append(place)
                break
    for places in assigned.values():
        places.sort(key=lambda place: (verses[place].chapter, verses[place].first))
    return assigned


def _covers(label: object, verses: _Verses, several_books: bool) -> bool:
    """In a notebook of several books a milestone has to name the book, here by its code."""
    text = label if isinstance(label, str) else ""
    span, number = RANGE_AT_END.search(text), LAST_NUMBER.search(text)
    first, last = (span[1], span[2]) if span else (number[1], number[1]) if number else ("1", "0")
    book = re.sub(r"\s*\d+\s*([-–—]\s*\d+)?\s*$", "", text).strip()
    if several_books and book.upper() != verses.book.upper():
        return False
    return 0 < int(first) <= verses.chapter <= int(last)


def _in_book_order(verses: dict[int, _Verses]) -> list[int]:
    return sorted(verses, key=lambda place: (verses[place].book, verses[place].chapter, verses[place].first))


def _emit(cells: list[dict], order: list[int]) -> list[dict]:
    """The cells in a new order, with all that is not in it behind or before what it belongs to."""
    if len({id(cell) for cell in cells}) < len(cells):
        return cells
    names = {cell["metadata"].get("id") for cell in cells}
    paratext: dict[str, list[int]] = {}
    followers: dict[int, list[int]] = {}
    anchors, anchor = set(order), -1
    for place, cell in enumerate(cells):
        parent = _parent(cell) if _type(cell) == "paratext" else None
        if place in anchors:
            anchor = place
        elif parent in names and parent is not None:
            paratext.setdefault(parent, []).append(place)
        else:
            followers.setdefault(anchor, []).append(place)
    emitted: dict[int, None] = {}

    def emit(place: int) -> None:
        if place in emitted or place in waiting:
            return
        waiting.add(place)
        for one in paratext.get(cells[place]["metadata"].get("id"), []):
            emit(one)
        emitted[place] = None
        for one in followers.get(place, []):
            emit(one)

    waiting: set[int] = set()
    for place in [*followers.get(-1, []), *order, *range(len(cells))]:
        emit(place)
    return [cells[place] for place in emitted]


def _parent(cell: dict) -> str | None:
    identity = cell["metadata"].get("id") or ""
    return cell["metadata"].get("parentId") or (
        identity.split(":paratext-")[0] if ":paratext-" in identity else None
    )
