"""Which of the ids of a text are those of which word, and when each word is said."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import regex
from numpy.typing import NDArray

from codex_worker.stabletts.frontend.encoding import TextFrontend
from codex_worker.text.spacing import divisible

_STRETCH = regex.compile(r"\S+")


@dataclass(frozen=True)
class SpokenWord:
    """A word of a text as it is spoken: times in seconds from the beginning of the sound.

    Where words have no spaces between them it is less: a letter with its marks. Then `goes_on` says that the
    next one follows without a space.
    """

    text: str
    start_s: float
    end_s: float
    goes_on: bool = False


@dataclass(frozen=True)
class WordIds:
    """A word, and its ids `[first, end)` among those of the text; both equal where it is not spoken."""

    text: str
    first: int
    end: int
    goes_on: bool = False


def word_ids(text: str, frontend: TextFrontend) -> list[WordIds]:
    """The words of a text with their ids, blanks not counted, whatever a frontend makes of each.

    A number is several words when it is spoken, and a letter may be several ids. So the text is read again up
    to the end of each word: what it has more ids then are that word's.
    """
    ids = frontend.encode(text).ids
    found, before = [], 0
    for word, end, goes_on in _words(text):
        until = min(max(len(frontend.encode(text[:end]).ids), before), len(ids))
        first = before
        while first < until and frontend.symbols[ids[first]].isspace():
            first += 1
        found.append(WordIds(word, first, until, goes_on))
        before = until
    return found


def timed(words: Sequence[WordIds], ends_s: NDArray[np.float64]) -> list[SpokenWord]:
    """The words that are spoken, with their times; `ends_s` says when each id and each blank ends.

    Id number n stands at place 2 n + 1, between blanks. What a word's last sign leaves silent, at a comma for
    example, is a part of it.
    """
    return [
        SpokenWord(each.text, float(ends_s[2 * each.first]), float(ends_s[2 * each.end - 1]), each.goes_on)
        for each in words
        if each.first < each.end
    ]


def _words(text: str) -> Iterator[tuple[str, int, bool]]:
    """Each word, where it ends in the text, and whether the next one follows without a space."""
    for stretch in _STRETCH.finditer(text):
        parts, at = divisible(stretch[0]), stretch.start()
        for place, part in enumerate(parts, start=1):
            at += len(part)
            yield part, at, place < len(parts)
