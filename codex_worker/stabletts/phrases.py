"""Long verses in parts that the network can hold: cut where a reader would pause, joined by a pause."""

from dataclasses import dataclass
from functools import cache

from codex_worker.stabletts.frontend.encoding import TextFrontend
from codex_worker.stabletts.symbols import intersperse
from codex_worker.text.cutting import Border, cut

MAX_SYMBOLS = 240
"""Symbols of one part, blanks not counted: about 15 to 20 seconds of speech."""
PAUSE_S = {Border.SENTENCE: 0.35, Border.CLAUSE: 0.2, Border.WORD: 0.05, Border.LETTER: 0.0}


@dataclass(frozen=True)
class Phrase:
    """A part of a verse, its ids with blanks, and the pause that follows it before the next part."""

    text: str
    ids: tuple[int, ...]
    pause_s: float


def phrases(text: str, frontend: TextFrontend, *, max_symbols: int = MAX_SYMBOLS) -> list[Phrase]:
    """Cut a text of any script into parts of at most `max_symbols` symbols each, as few as its marks allow.

    Only a single code point that is read as more stays longer. Parts without anything to speak are left out.
    """
    spoken = []
    encode = cache(frontend.encode)  # romanising is slow, and the same stretches are measured again
    for part in cut(text, lambda stretch: len(encode(stretch).ids), max_symbols):
        if ids := encode(part.text).ids:
            spoken.append(Phrase(part.text.strip(), tuple(intersperse(ids)), PAUSE_S[part.border]))
    return spoken
