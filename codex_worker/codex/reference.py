"""Verse references: `MRK 1:3`, ranges (`1PE 3:1-2`, `MRK 1:45-2:2`), chapters (`MRK 1`), books (`MRK`)."""

import re
from dataclasses import dataclass

_MAX_LENGTH = 200
_BOOK_CODE = re.compile(r"[1-4A-Za-z][A-Za-z]{2}")
_REFERENCE = re.compile(
    r"(?P<book>\S(?:.*\S)?)\s+(?P<chapter>\d{1,4})"
    r"(?::(?P<verse>\d{1,4})[a-z]?(?:\s*[-–]\s*(?:(?P<end_chapter>\d{1,4}):)?(?P<end_verse>\d{1,4})[a-z]?)?)?"
    r"(?P<child>:.+)?"
)


@dataclass(frozen=True, slots=True)
class VerseReference:
    """A place in the text. `chapter` is None for a whole book, `verse` is None for a whole chapter.

    A single verse is a range that ends where it begins; `child` marks a part of a verse (`GEN 1:1:cue-1`).
    """

    book: str
    chapter: int | None = None
    verse: int | None = None
    end_chapter: int | None = None
    end_verse: int | None = None
    child: bool = False

    def covers(self, other: "VerseReference") -> bool:
        """True where an entry of an include or exclude list means the cell that has the reference `other`.

        A book means all its cells, a chapter all its verses, a verse each range that it is a part of. A
        cell that names only its book is meant by that book alone.
        """
        if self.book != other.book:
            return False
        if self.chapter is None or self.verse is None or other.chapter is None or other.verse is None:
            return self.chapter is None or (self.chapter == other.chapter and self.verse is None)
        return self.first <= other.last and other.first <= self.last

    @property
    def first(self) -> tuple[int, int]:
        """Chapter and verse where it begins (0 where it names none)."""
        return self.chapter or 0, self.verse or 0

    @property
    def last(self) -> tuple[int, int]:
        """Chapter and verse where it ends."""
        return self.end_chapter or self.chapter or 0, self.end_verse or self.verse or 0

    def __str__(self) -> str:
        if self.chapter is None:
            return self.book
        if self.verse is None:
            return f"{self.book} {self.chapter}"
        start = f"{self.book} {self.chapter}:{self.verse}"
        if self.first == self.last:
            return start
        end = (
            f"{self.end_verse}"
            if self.end_chapter == self.chapter
            else f"{self.end_chapter}:{self.end_verse}"
        )
        return f"{start}-{end}"


def parse_reference(text: str) -> VerseReference | None:
    """The reference that `text` is, or None where it is something else, such as a cell id."""
    text = text.strip()
    if len(text) > _MAX_LENGTH:
        return None
    if _BOOK_CODE.fullmatch(text):
        return VerseReference(text.upper())
    match = _REFERENCE.fullmatch(text)
    if match is None:
        return None
    book = " ".join(match["book"].split()).upper()
    chapter = int(match["chapter"])
    if match["verse"] is None:
        return VerseReference(book, chapter) if match["child"] is None else None
    verse = int(match["verse"])
    end_chapter = int(match["end_chapter"] or chapter)
    end_verse = int(match["end_verse"] or verse)
    if (end_chapter, end_verse) < (chapter, verse):
        return None
    return VerseReference(book, chapter, verse, end_chapter, end_verse, child=match["child"] is not None)
