"""Long verses in parts that the network can hold: cut at punctuation or between words, joined by a pause."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from codex_worker.stabletts.frontend.encoding import TextFrontend
from codex_worker.stabletts.symbols import intersperse

MAX_SYMBOLS = 240
"""Symbols of one part, blanks not counted: about 15 to 20 seconds of speech."""
SENTENCE_PAUSE_S, CLAUSE_PAUSE_S, WORD_PAUSE_S = 0.35, 0.2, 0.05

# Marks of any script behind which one may pause; the strongest are tried first.
_BREAKS: tuple[tuple[re.Pattern[str], float], ...] = (
    (re.compile(r"(?<=[.!?…。．।॥۔։።។၊？！؟])[\"'’”»)\]]*\s+|(?<=[。？！])"), SENTENCE_PAUSE_S),
    (re.compile(r"(?<=[;:؛；：፤፥])\s+|(?<=\s[–—-])\s+"), SENTENCE_PAUSE_S),
    (re.compile(r"(?<=[,،、，፣])\s*"), CLAUSE_PAUSE_S),
    (re.compile(r"\s+"), WORD_PAUSE_S),
)


@dataclass(frozen=True)
class Phrase:
    """A part of a verse, its ids with blanks, and the pause that follows it before the next part."""

    text: str
    ids: tuple[int, ...]
    pause_s: float


def phrases(text: str, frontend: TextFrontend, *, max_symbols: int = MAX_SYMBOLS) -> list[Phrase]:
    """Cut a text into parts of at most `max_symbols` symbols each, as few as its marks allow.

    Only a single word longer than that stays longer. Parts without anything to speak are left out.
    """
    parts = _split(text, 0, frontend, max_symbols)
    spoken = []
    for part, pause_s in parts:
        ids = frontend.encode(part).ids
        if ids:
            spoken.append(Phrase(part.strip(), tuple(intersperse(ids)), pause_s))
    return spoken


def _split(text: str, level: int, frontend: TextFrontend, max_symbols: int) -> list[tuple[str, float]]:
    """Parts with the pause behind each, the last one's being that of the whole."""
    if level == len(_BREAKS) or len(frontend.encode(text).ids) <= max_symbols:
        return [(text, SENTENCE_PAUSE_S)]
    pattern, pause_s = _BREAKS[level]
    places = [0, *(found.end() for found in pattern.finditer(text)), len(text)]
    pieces = [text[start:end] for start, end in pairwise(places) if start < end]
    parts: list[tuple[str, float]] = []
    for group in _groups(pieces, frontend, max_symbols):
        inner = _split(group, level + 1, frontend, max_symbols)
        parts += [*inner[:-1], (inner[-1][0], pause_s)]
    return parts


def _groups(pieces: Sequence[str], frontend: TextFrontend, max_symbols: int) -> list[str]:
    """Join neighbouring pieces as long as they fit together."""
    groups: list[str] = []
    size = 0
    for piece in pieces:
        count = len(frontend.encode(piece).ids) + 1
        if groups and size + count <= max_symbols:
            groups[-1] += piece
            size += count
        else:
            groups.append(piece)
            size = count
    return groups
