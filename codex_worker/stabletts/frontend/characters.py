"""The project's own letters as symbols: any script, nothing romanised, nothing read as English.

Rules instead of dictionaries. Letters are lower-cased and composed or decomposed, whichever gives letters
that are frequent enough to be learnt; digits of any script are the ten ASCII digits, each a symbol;
punctuation of any script becomes the official `, . ! ? - … '`. Known symbols keep their ids, and so their
vectors; the project's other letters get rows behind the official ones.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from codex_worker.errors import DataError
from codex_worker.stabletts.frontend.encoding import Encoding, without_bare_signs
from codex_worker.stabletts.symbols import official_ids, official_symbols

LEARNABLE_COUNT = 20
"""A letter seen less often than this is taken apart into base and marks, where that can be done."""
MOST_LETTERS = 8192
"""An alphabet beyond this size is refused: it is no alphabet, or not this project's."""

_PAUSES = {
    ",": ",;:(){}[]<>،؛、，；：፣፤፥፦၊᠂׀",
    ".": "。．।॥۔։።܀။។៕᠃᙮‧",
    "?": "？؟;፧՞⸮",
    "!": "！՜¡",
    "…": "⋯",
    "'": "’ʼʻꞌꞋ＇`´ʹ",
    "-": "‐‑‒–—―−־－",
    "~": "〜～",
}
_PUNCTUATION = {variant: symbol for symbol, variants in _PAUSES.items() for variant in variants}
_SPOKEN_MARKS = frozenset(",.!?-~…' ")
_SINGLE_QUOTES = re.compile(r"(?<!\w)‘(?=\w)([^‘]*?)(?<=[\w.,!?…])’(?!\w)")


@dataclass(frozen=True)
class CharactersFrontend:
    """Reads a project's text by its own letters.

    `letters` are the symbols behind the official ones, in row order; `composed` says whether text is read in
    Unicode's NFC or NFD; `trained` are the official symbols that occurred in the recordings, so that a letter
    which was never heard is reported instead of spoken as noise.
    """

    letters: tuple[str, ...]
    trained: frozenset[str]
    composed: bool = True

    name = "characters"
    version = 1

    @property
    def symbols(self) -> tuple[str, ...]:
        """The official alphabet, then the project's letters."""
        return official_symbols() + self.letters

    def state(self) -> dict[str, Any]:
        """Letters in row order, the known ones that were heard, and the normal form."""
        return {
            "letters": list(self.letters),
            "trained": sorted(self.trained),
            "composed": self.composed,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "CharactersFrontend":
        """The frontend of a checkpoint; raises DataError when the state is not one that `state` wrote."""
        letters, trained, composed = (state.get(key) for key in ("letters", "trained", "composed"))
        if not (_are_characters(letters) and _are_characters(trained) and isinstance(composed, bool)):
            raise DataError("the checkpoint's text frontend 'characters' has no valid list of letters")
        assert isinstance(letters, list) and isinstance(trained, list)  # noqa: S101  narrows for the type checker
        if len(set(letters)) != len(letters) or set(letters) & set(official_symbols()):
            raise DataError("the checkpoint's text frontend 'characters' lists a letter twice")
        return cls(tuple(letters), frozenset(trained), composed)

    @classmethod
    def learn(cls, texts: Iterable[str], *, base: "CharactersFrontend | None" = None) -> "CharactersFrontend":
        """Choose the alphabet for these texts; with `base`, its rows stay and only new letters are added."""
        texts = list(texts)
        composed = base.composed if base else _should_compose(texts)
        counts = Counter(symbol for text in texts for symbol in _spell(text, composed)[0])
        known = set(official_ids()) | set(base.letters if base else ())
        new = sorted(symbol for symbol in counts if symbol not in known)
        letters = (base.letters if base else ()) + tuple(new)
        if len(letters) > MOST_LETTERS:
            raise DataError(
                f"the texts have {len(letters)} different letters; at most {MOST_LETTERS} can be learnt. "
                "Set model.use_uroman: true and model.frontend: compat to write them in Latin letters."
            )
        trained = (base.trained if base else frozenset()) | (set(counts) & set(official_ids()))
        return cls(letters, trained, composed)

    def rare_letters(self, texts: Iterable[str], *, fewer_than: int = LEARNABLE_COUNT) -> dict[str, int]:
        """Symbols of the texts that occur too seldom to be learnt well, with their counts."""
        counts = Counter(symbol for text in texts for symbol in _spell(text, self.composed)[0])
        return {symbol: count for symbol, count in sorted(counts.items()) if count < fewer_than}

    def encode(self, text: str) -> Encoding:
        """Read one text. A letter that was never heard is read without its marks where that was heard."""
        symbols, unread = _spell(text, self.composed)
        kept: list[str] = []
        dropped: list[str] = []
        substituted: list[str] = []
        for symbol in symbols:
            if symbol in self._ids:
                kept.append(symbol)
            elif (plain := unicodedata.normalize("NFD", symbol)[0]) in self._ids:
                kept.append(plain)
                substituted.append(symbol)
            else:
                dropped.append(symbol)
        encoding = Encoding(
            phones="".join(kept),
            ids=tuple(self._ids[symbol] for symbol in kept),
            dropped=tuple(dropped),
            unread=tuple(unread),
            substituted=tuple(substituted),
        )
        return without_bare_signs(encoding)

    @cached_property
    def _ids(self) -> dict[str, int]:
        usable = self.trained | set(self.letters) | _SPOKEN_MARKS
        return {symbol: number for number, symbol in enumerate(self.symbols) if symbol in usable}


def _spell(text: str, composed: bool) -> tuple[list[str], list[str]]:
    """Symbols of a text after the rules, and the characters that the rules leave unspoken."""
    text = _SINGLE_QUOTES.sub(r"\1", unicodedata.normalize("NFC", text))
    text = unicodedata.normalize("NFC" if composed else "NFD", text.replace("...", "…").lower())
    symbols: list[str] = []
    unread: list[str] = []
    for place, character in enumerate(text):
        if character.isspace():
            if symbols and symbols[-1] != " ":
                symbols.append(" ")
        elif (symbol := _symbol(text, place)) is None:
            unread.append(character)
        elif not (symbol in ",.!?" and symbols[-1:] == [symbol]):
            symbols.append(symbol)
    if symbols[-1:] == [" "]:
        symbols.pop()
    return symbols, unread


def _symbol(text: str, place: int) -> str | None:
    """The symbol for one character in its surroundings, None when it is not spoken."""
    character = text[place]
    kind = unicodedata.category(character)
    if kind == "Nd":
        return str(unicodedata.decimal(character))
    inside_word = 0 < place < len(text) - 1 and _is_letter(text[place - 1]) and _is_letter(text[place + 1])
    if character in _PUNCTUATION or character in _SPOKEN_MARKS:
        if (
            character in ",."
            and 0 < place < len(text) - 1
            and text[place - 1].isdigit()
            and text[place + 1].isdigit()
        ):
            return None  # 12,500 and 12.500 are one number
        if inside_word and character in ":;":
            return character  # a length or tone mark in many orthographies
        return _PUNCTUATION.get(character, character)
    if kind[0] in "LMN":
        return character
    # In the middle of a word a sign is part of the spelling, as = and * are where tone is written with them.
    return character if inside_word and kind[0] == "S" else None


def _is_letter(character: str) -> bool:
    return unicodedata.category(character)[0] in "LM"


def _should_compose(texts: Iterable[str]) -> bool:
    """Compose unless some composed letter would be too rare to learn and its parts are fewer symbols."""
    texts = list(texts)
    whole = Counter(symbol for text in texts for symbol in _spell(text, True)[0])
    parts = Counter(symbol for text in texts for symbol in _spell(text, False)[0])
    rare = [symbol for symbol, count in whole.items() if symbol not in parts and count < LEARNABLE_COUNT]
    return not rare or len(parts) >= len(whole)


def _are_characters(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= MOST_LETTERS
        and all(isinstance(one, str) and len(one) == 1 for one in value)
    )
