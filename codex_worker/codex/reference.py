"""Verse references: `MRK 1:3`, ranges (`1PE 3:1-2`, `MRK 1:45-2:2`), chapters (`MRK 1`), books (`MRK`)."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

_MAX_LENGTH = 200
_LAST_LETTER = "~"  # after every letter: where a verse ends that names no part
_SPELLINGS = str.maketrans(
    {
        # Signs without width, as come with pasted text, or around a reference in a text from right to left.
        **dict.fromkeys("\u00ad\u061c\u180e\u200b\u200c\u200d\u200e\u200f\ufeff"),
        **dict.fromkeys("\u202a\u202b\u202c\u202d\u202e\u2060\u2061\u2062\u2063\u2064"),
        **dict.fromkeys("\u2066\u2067\u2068\u2069"),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212\ufe58\ufe63\uff0d", "-"),
        **dict.fromkeys("\u02d0\u2236\ua789\ufe13\ufe55\uff1a", ":"),
    }
)
# As USFM has them: MRK, 1PE, also PS2 and 5EZ.
_BOOK_CODE = re.compile(r"(?=.*[A-Za-z]{2}|[A-Za-z]\d[A-Za-z])[1-6A-Za-z][A-Za-z0-9]{2}")
_REFERENCE = re.compile(
    r"(?P<book>[^\s:](?:[^:]*[^\s:-])?)\s+(?P<chapter>\d{1,4})"
    r"(?:\s*:\s*(?P<verse>\d{1,4})(?P<part>[A-Za-z]?)"
    r"(?:\s*-\s*(?:(?P<end_chapter>\d{1,4}):)?(?P<end_verse>\d{1,4})(?P<end_part>[A-Za-z]?))?)?"
    r"(?P<child>:.+)?"
)


@dataclass(frozen=True, slots=True)
class VerseReference:
    """A place in the text. `chapter` is None for a whole book, `verse` is None for a whole chapter.

    A single verse is a range that ends where it begins; `part` and `end_part` are the letters of parts of
    verses (`MRK 1:3a`); `child` marks a part of a cell (`GEN 1:1:cue-1`).
    """

    book: str
    chapter: int | None = None
    verse: int | None = None
    end_chapter: int | None = None
    end_verse: int | None = None
    child: bool = False
    part: str = field(default="", compare=False)
    end_part: str = field(default="", compare=False)

    def covers(self, other: "VerseReference") -> bool:
        """True where an entry of an include or exclude list has to do with a cell of the reference `other`.

        A book means all its cells, a chapter all that have a verse in it, a verse each range that it is a
        part of. A cell that names only its book is meant by that book alone.
        """
        if self.book != other.book:
            return False
        if self.chapter is None or other.chapter is None:
            return self.chapter is None
        if self.verse is None:
            return self.chapter in other.chapters
        return other.verse is not None and self.begin <= other.end and other.begin <= self.end

    def encloses(self, other: "VerseReference") -> bool:
        """True where this is a book or a chapter that the whole of `other` lies in."""
        if self.book != other.book or self.verse is not None:
            return False
        return self.chapter is None or other.chapters == range(self.chapter, self.chapter + 1)

    @property
    def chapters(self) -> range:
        """The chapters that it has verses in; none of a whole book."""
        if self.chapter is None:
            return range(0)
        return range(self.chapter, (self.end_chapter or self.chapter) + 1)

    @property
    def begin(self) -> tuple[int, int, str]:
        """Chapter, verse (0 where it names none) and part of a verse where it begins."""
        return self.chapter or 0, self.verse or 0, self.part

    @property
    def end(self) -> tuple[int, int, str]:
        """Where it ends, to compare with the beginnings of others."""
        return (
            self.end_chapter or self.chapter or 0,
            self.end_verse or self.verse or 0,
            self.end_part or _LAST_LETTER,
        )

    def __str__(self) -> str:
        if self.chapter is None:
            return self.book
        if self.verse is None:
            return f"{self.book} {self.chapter}"
        start = f"{self.book} {self.chapter}:{self.verse}{self.part}"
        end_chapter, end_verse = self.end[:2]
        if (self.chapter, self.verse, self.part) == (end_chapter, end_verse, self.end_part):
            return start
        end = f"{end_verse}{self.end_part}"
        return f"{start}-{end}" if end_chapter == self.chapter else f"{start}-{end_chapter}:{end}"


def plain_spelling(text: str) -> str:
    """A text without signs of no width, with single spaces, and with one sign for each dash and colon.

    Letters with accents are one sign each, however a keyboard or a file system writes them (NFC).
    """
    return " ".join(unicodedata.normalize("NFC", text.translate(_SPELLINGS)).split())


def parse_reference(text: str) -> VerseReference | None:
    """The reference that `text` is, or None where it is something else, such as a cell id."""
    if len(text) > 2 * _MAX_LENGTH:
        return None
    text = plain_spelling(text)
    if len(text) > _MAX_LENGTH:
        return None
    if _BOOK_CODE.fullmatch(text):
        return VerseReference(text.upper())
    match = _REFERENCE.fullmatch(text)
    if match is None:
        return None
    book = match["book"].upper()
    chapter = int(match["chapter"])
    if match["verse"] is None:
        return VerseReference(book, chapter) if match["child"] is None else None
    verse, part = int(match["verse"]), match["part"].lower()
    is_range = match["end_verse"] is not None
    end_chapter = int(match["end_chapter"] or chapter)
    end_verse = int(match["end_verse"] or verse)
    end_part = match["end_part"].lower() if is_range else part
    if (end_chapter, end_verse) < (chapter, verse):
        return None
    is_child = match["child"] is not None
    return VerseReference(book, chapter, verse, end_chapter, end_verse, is_child, part, end_part)


def meant_by(entry: str) -> VerseReference | None:
    """What an entry of a list of verses refers to: one that is nothing else may be a book's full name."""
    reference = parse_reference(entry)
    if reference is not None or len(entry) > _MAX_LENGTH:
        return reference
    name = plain_spelling(entry)
    return VerseReference(name.upper()) if name else None


def joined(references: Sequence[VerseReference]) -> VerseReference | None:
    """The one reference that these are together; None where verses are missing between them or none is."""
    if not references:
        return None
    whole = references[0]
    for following in references[1:]:
        if whole.verse is None or following.verse is None or whole.book != following.book:
            return None
        end_chapter, end_verse = whole.end[:2]
        if (following.chapter, following.verse) != (end_chapter, end_verse + 1):
            return None
        whole = VerseReference(
            whole.book, whole.chapter, whole.verse, following.end_chapter, following.end_verse,
            whole.child or following.child, whole.part, following.end_part,
        )  # fmt: skip
    return whole
