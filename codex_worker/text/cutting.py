"""Where a long text of any script may be cut, and cutting it into parts that are short enough.

A cut is made at the strongest border that there is: behind a sentence, behind a clause, between words (a
space, a zero-width space, a tsheg), behind a mark inside a word, between scripts, and where a stretch has
none of these, evenly between its letters. Which signs end sentences and clauses is Unicode's knowledge
(`Sentence_Terminal`, `Terminal_Punctuation`), so that no script has to be listed.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import cache
from itertools import accumulate, pairwise

import regex

from codex_worker.text.graphemes import graphemes, units
from codex_worker.text.spacing import UNSPACED


class Border(Enum):
    """What lies behind a part: how long a reader would pause there."""

    SENTENCE = auto()
    CLAUSE = auto()
    WORD = auto()
    LETTER = auto()


@dataclass(frozen=True)
class Part:
    """A stretch of a text, and the border behind it. Parts in order, joined as they are, give the text."""

    text: str
    border: Border


_NOT_IN_NUMBER = r"(?!(?<=\d).\d)"  # stands before a mark, and says that it is not between two digits
# Signs that part words rather than sentences, although Unicode counts most of them as terminal punctuation:
# tsheg, Ethiopic word space, runic, Phoenician, Old Persian and Ugaritic dividers, katakana middle dots.
_WORD_SIGNS = r"\u0F0B\u0F0C\u1361\u16EB-\u16ED\u30FB\uFF65\U0001091F\U000103D0\U0001039F"
_SHAD = r"\u0F08\u0F0D-\u0F12"  # Tibetan sentence ends, which `Sentence_Terminal` leaves out
_CLOSING = r"[\"'\p{Pe}\p{Pf}\p{Pi}]*+"  # in some languages a quotation ends with what opens it in others
# A mark of ASCII also stands inside numbers, abbreviations and addresses: only what follows makes it an end.
_ENDED = rf"(?:\s+|(?=[{UNSPACED}]))"

_BORDERS: tuple[tuple[regex.Pattern[str], Border], ...] = tuple(
    (regex.compile(pattern, regex.V1), border)
    for pattern, border in (
        (
            rf"[.!?]++{_CLOSING}{_ENDED}|{_NOT_IN_NUMBER}[[\p{{Sentence_Terminal}}--[.!?]]…{_SHAD}]++{_CLOSING}\s*+",
            Border.SENTENCE,
        ),
        (rf"[;:]{_CLOSING}{_ENDED}|[؛；：፤፥]{_CLOSING}\s*+|\s[–—-]\s+|—++\s*+", Border.SENTENCE),
        (
            rf",{_CLOSING}{_ENDED}"
            rf"|{_NOT_IN_NUMBER}[\p{{Terminal_Punctuation}}--\p{{ASCII}}--[{_WORD_SIGNS}]]{_CLOSING}\s*+",
            Border.CLAUSE,
        ),
        (rf"[\s\u200B]++|[{_WORD_SIGNS}]++[\s\u200B]*+", Border.WORD),
        (rf"{_NOT_IN_NUMBER}[\p{{P}}--\p{{Ps}}--\p{{Pi}}]++|(?=[\p{{Ps}}\p{{Pi}}])", Border.WORD),
        # A name or number of another script within letters that nothing parts.
        (rf"[{UNSPACED}]\p{{M}}*+(?=[^\s\p{{M}}{UNSPACED}])|[^\s{UNSPACED}](?=[{UNSPACED}])", Border.LETTER),
    )
)


_ENDS: tuple[tuple[regex.Pattern[str], Border], ...] = (
    (regex.compile(rf"[\p{{Sentence_Terminal}}{_SHAD}]"), Border.SENTENCE),
    (regex.compile(rf"[{_WORD_SIGNS}]"), Border.WORD),
    (regex.compile(r"\p{Terminal_Punctuation}"), Border.CLAUSE),
)


def border_behind(mark: str) -> Border | None:
    """What ends with a punctuation mark of any script, as far as Unicode knows; None where nothing does."""
    return next((border for marks, border in _ENDS if marks.match(mark)), None)


def cut(text: str, size_of: Callable[[str], int], limit: int) -> list[Part]:
    """Cut a text into parts of at most `limit`, as few as its borders allow; none is empty.

    No letter is parted from its marks, unless one letter with its marks is longer than the limit by itself; a
    single code point is never cut. `size_of` gives the size of a stretch of text in units of the limit;
    joining stretches may make them a little larger or smaller.
    """
    return _cut(text, 0, cache(size_of), limit) if text else []


def _cut(text: str, level: int, size_of: Callable[[str], int], limit: int) -> list[Part]:
    """Parts of a text; the border of the last one is that of the whole's end."""
    if size_of(text) <= limit:
        return [Part(text, Border.SENTENCE)]
    if level == len(_BORDERS):
        pieces = _evenly(units(text), size_of, limit)
        return [Part(piece, Border.LETTER) for piece in pieces]
    pattern, border = _BORDERS[level]
    parts: list[Part] = []
    for group in _groups(_pieces(text, pattern), size_of, limit):
        *inner, last = _cut(group, level + 1, size_of, limit)
        parts += [*inner, Part(last.text, border)]
    return parts


def _pieces(text: str, pattern: regex.Pattern[str]) -> list[str]:
    """The text, cut behind each match that does not part a letter from its marks."""
    borders = set(accumulate(map(len, units(text))))
    ends = {found.end() for found in pattern.finditer(text)} & borders
    return [text[start:end] for start, end in pairwise(sorted({0, *ends, len(text)}))]


def _groups(pieces: Sequence[str], size_of: Callable[[str], int], limit: int) -> list[str]:
    """Join neighbouring pieces as long as they fit together."""
    groups: list[list[str]] = []
    size = 0
    for piece in pieces:
        count = size_of(piece) + 1  # and the space between
        if groups and size + count <= limit:
            groups[-1].append(piece)
            size += count
        else:
            groups.append([piece])
            size = count
    return ["".join(group) for group in groups]


def _evenly(uncut: Sequence[str], size_of: Callable[[str], int], limit: int) -> list[str]:
    """Join `uncut` into the fewest stretches that fit, of about as many of them each.

    One of them that is too long by itself falls into its graphemes, and a grapheme into its code points.
    """
    text = "".join(uncut)
    size = size_of(text)
    if size <= limit or len(text) == 1:
        return [text]
    if len(uncut) == 1:
        inner = graphemes(text)
        return _evenly(inner if len(inner) > 1 else list(text), size_of, limit)
    count = min(len(uncut), max(2, math.ceil(size / limit)))
    places = [round(number * len(uncut) / count) for number in range(count + 1)]
    return [piece for start, end in pairwise(places) for piece in _evenly(uncut[start:end], size_of, limit)]
