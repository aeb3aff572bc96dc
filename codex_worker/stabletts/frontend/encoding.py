"""What a frontend makes of a text, and the account of what it could not keep."""

import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from codex_worker.codex.sayable import holds_letters


@dataclass(frozen=True)
class Encoding:
    """One text as the network reads it.

    `ids` has no blanks in it (see `symbols.intersperse`). `dropped` are the phones or letters without an id,
    in order; `unread` the characters of the text that vanished before that; `substituted` the letters that
    are read as another letter.
    """

    phones: str
    ids: tuple[int, ...]
    dropped: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    substituted: tuple[str, ...] = ()


def without_bare_signs(encoding: Encoding) -> Encoding:
    """The encoding, but for one without a single letter: its signs are not spoken, so it has no ids.

    Pauses and intonation need something to be said; a network that gets them alone makes noise.
    """
    kept = [symbol for symbol in encoding.phones if symbol not in encoding.dropped]
    if any(map(holds_letters, kept)):
        return encoding
    signs = tuple(sign for sign in kept if not sign.isspace())
    return replace(encoding, phones="", ids=(), unread=(*encoding.unread, *signs))


class TextFrontend(Protocol):
    """A way of reading text. Two frontends with the same name, version and state give the same ids."""

    @property
    def name(self) -> str:
        """`compat` or `characters`."""
        ...

    @property
    def version(self) -> int:
        """Raised whenever the same state would give other ids than before."""
        ...

    @property
    def symbols(self) -> tuple[str, ...]:
        """The rows of the embedding, the official ones first."""
        ...

    def state(self) -> dict[str, Any]:
        """What is needed besides name and version; plain JSON values."""
        ...

    def encode(self, text: str) -> Encoding:
        """Read one text. Never fails: a text with nothing to speak has no ids."""
        ...


def lost_letters(encoding: Encoding) -> set[str]:
    """Letters of a text that the network never reads as what they are; punctuation is no loss."""
    lost = {*encoding.dropped, *encoding.unread, *encoding.substituted}
    return {symbol for symbol in lost if any(unicodedata.category(each)[0] in "LM" for each in symbol)}


def report_losses(encodings: Iterable[Encoding], *, at_most: int = 20) -> list[str]:
    """One line for each symbol that was lost, the most frequent first; empty when nothing was."""
    ways = {
        "dropped": "has no symbol in the voice's alphabet",
        "unread": "is not spoken",
        "substituted": "is read as a plain Latin letter or without its marks",
    }
    counts: dict[str, Counter[str]] = {way: Counter() for way in ways}
    texts: dict[str, Counter[str]] = {way: Counter() for way in ways}
    for encoding in encodings:
        for way in ways:
            found = getattr(encoding, way)
            counts[way].update(found)
            texts[way].update(set(found))
    lines = []
    for way, meaning in ways.items():
        ranked = sorted(counts[way].items(), key=lambda item: (-item[1], item[0]))
        for symbol, count in ranked[:at_most]:
            lines.append(f"{describe(symbol)} {meaning}: {count} times in {texts[way][symbol]} texts")
        rest = ranked[at_most:]
        if rest:
            times = sum(count for _, count in rest)
            lines.append(f"{len(rest)} more symbols: each {meaning}; {times} times together")
    return lines


def describe(symbol: str) -> str:
    """A character that may be invisible, in words: 'c' (U+0063 LATIN SMALL LETTER C)."""
    if len(symbol) != 1:
        return f"'{symbol}'"
    shown = f"'{symbol}' " if symbol.isprintable() and not unicodedata.combining(symbol) else ""
    return f"{shown}(U+{ord(symbol):04X} {unicodedata.name(symbol, 'unnamed')})"
