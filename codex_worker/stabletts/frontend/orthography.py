"""From a text to the symbols of a voice of the project's own letters.

Digits of any script are the ten ASCII digits; apostrophes and hyphens are `'` and `-`, however they are
typed; punctuation of any script becomes the official `, . ! ? - …`. Which marks are letters is decided by the
project's texts (`text/letters.py`), as for transcribers.
"""

import re
import unicodedata
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

from codex_worker.text.casing import Casing, lower
from codex_worker.text.cutting import Border, border_behind
from codex_worker.text.letters import WordMarks
from codex_worker.text.signs import CLINGING, kind_of, tidied

PAUSES = {
    ",": ",;:(){}[]<>،؛、，；：፣፤፥፦၊᠂׀",
    ".": "。．।॥۔։።܀။៕᠃᙮‧",
    "?": "？؟;፧՞⸮",
    "!": "！՜¡",
    "…": "⋯",
    "'": "’ʼʻꞌꞋ＇`´ʹ",
    "-": "‐‑‒–—―−־－",
    "~": "〜～",
}
_PUNCTUATION = {variant: symbol for symbol, variants in PAUSES.items() for variant in variants}
_OF_ONE_KIND = {variant: symbol for symbol in "'-" for variant in PAUSES[symbol]}
_BY_NAME = {"QUESTION MARK": "?", "EXCLAMATION MARK": "!"}
SPOKEN_MARKS = frozenset(",.!?-~…' ")
_SINGLE_QUOTES = re.compile(r"(?<!\w)‘(?=\w)([^‘]*?)(?<=[\w.,!?…])’(?!\w)")


@dataclass
class Spelt:
    """Symbols of a text, and the signs that have none; `unsure` are those of them between two letters."""

    symbols: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)

    def add(self, sign: str, symbol: str | None, *, is_letter: bool) -> None:
        """Take in the next sign; spaces and stops that repeat count once."""
        if sign.isspace() or symbol == " ":
            if self.symbols and self.symbols[-1] != " ":
                self.symbols.append(" ")
        elif symbol is None:
            self.unread.append(sign)
        elif is_letter or not (symbol in ",.!?" and self.symbols[-1:] == [symbol]):
            self.symbols.append(symbol)

    def finished(self) -> "Spelt":
        """The same without a space at its end."""
        if self.symbols[-1:] == [" "]:
            self.symbols.pop()
        return self


class Spelling(Protocol):
    """A way of spelling texts; which one a voice learnt with stands in its checkpoint."""

    def spell(self, text: str, *, composed: bool) -> Spelt:
        """The symbols of a text, composed (NFC) or decomposed (NFD)."""
        ...


@dataclass(frozen=True)
class ByTheTexts:
    """Letters as the project's texts and language have them: frontend version 2."""

    marks: WordMarks = field(default_factory=WordMarks)
    casing: Casing = Casing.USUAL

    def spell(self, text: str, *, composed: bool) -> Spelt:
        """The symbols of a text. Signs that nobody sees are none, and are not counted."""
        text = lower(tidied(text.replace("...", "…")), self.casing)
        text = unicodedata.normalize("NFC" if composed else "NFD", text)
        spelt = Spelt(unsure=self.marks.unsure(text))
        for place, (sign, is_letter) in enumerate(zip(text, self.marks.letters_of(text), strict=True)):
            if is_letter:
                spelt.add(sign, _letter(sign), is_letter=True)
            elif kind_of(sign) != CLINGING:
                spelt.add(sign, _pause(text, place), is_letter=False)
        return spelt.finished()


@dataclass(frozen=True)
class ByCategories:
    """Letters as Unicode's categories have them: frontend version 1, for voices that learnt so."""

    def spell(self, text: str, *, composed: bool) -> Spelt:
        """The symbols of a text."""
        text = _SINGLE_QUOTES.sub(r"\1", unicodedata.normalize("NFC", text))
        text = unicodedata.normalize("NFC" if composed else "NFD", text.replace("...", "…").lower())
        spelt = Spelt()
        for place, sign in enumerate(text):
            spelt.add(sign, self._symbol(text, place), is_letter=False)
        return spelt.finished()

    def _symbol(self, text: str, place: int) -> str | None:
        sign = text[place]
        kind = unicodedata.category(sign)
        if kind == "Nd":
            return str(unicodedata.decimal(sign))
        inside_word = (
            0 < place < len(text) - 1 and _is_letter(text[place - 1]) and _is_letter(text[place + 1])
        )
        if sign in _PUNCTUATION or sign in SPOKEN_MARKS:
            if _parts_digits(text, place):
                return None
            return sign if inside_word and sign in ":;" else _PUNCTUATION.get(sign, sign)
        if kind[0] in "LMN":
            return sign
        return sign if inside_word and kind[0] == "S" else None


def _letter(sign: str) -> str:
    """The symbol of a letter or digit. A digit that is newer than Python's tables is itself."""
    return str(unicodedata.decimal(sign, _OF_ONE_KIND.get(sign, sign)))


def _pause(text: str, place: int) -> str | None:
    """The symbol of what is no letter; None where it is not spoken."""
    sign = text[place]
    if sign == "'" or _parts_digits(text, place):
        return None
    known = _PUNCTUATION.get(sign, sign if sign in SPOKEN_MARKS else None)
    return known or _pause_of_a_script(sign)


@lru_cache(maxsize=10_000)
def _pause_of_a_script(sign: str) -> str | None:
    """The symbol of a mark that no table here has, by what Unicode says of it."""
    border = border_behind(sign)
    if border is Border.SENTENCE:
        name = unicodedata.name(sign, "")
        return next((symbol for word, symbol in _BY_NAME.items() if word in name), ".")
    return {Border.CLAUSE: ",", Border.WORD: " "}.get(border) if border else None


def _parts_digits(text: str, place: int) -> bool:
    """12,500 and 12.500 are one number."""
    return (
        text[place] in ",."
        and 0 < place < len(text) - 1
        and text[place - 1].isdigit()
        and text[place + 1].isdigit()
    )


def _is_letter(sign: str) -> bool:
    return unicodedata.category(sign)[0] in "LM"
