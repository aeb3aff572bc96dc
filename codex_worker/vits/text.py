"""How an MMS voice reads text: by the characters of its own list, small letters, romanised where it says so.

The list is the `vocab.json` of the published voice, or what a project's texts hold. Symbol 0 stands between
any two others (`add_blank`), whatever letter it is.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from codex_worker.errors import DataError
from codex_worker.stabletts.frontend.encoding import Encoding, without_bare_signs
from codex_worker.text.casing import Casing, casing_for, lower
from codex_worker.text.romanise import romanise
from codex_worker.text.signs import tidied
from codex_worker.vits.configuration import read_json

BLANK = "_"
MOST_SYMBOLS = 8_192
_LONGEST_SYMBOL = 32  # of `<unk>` and its like, which are no letters
_SIGNS = frozenset(" ,.!?-'…")  # that a new voice learns where its texts have them
# The Romanian voice learnt the older letter.
_RESPELT = {"ron": str.maketrans({"ț": "ţ"})}


@dataclass(frozen=True)
class MmsFrontend:
    """Reads text by a list of characters; see `TextFrontend`.

    `symbols` are in the order of their ids; names of more than one character are never read from a text.
    """

    symbols: tuple[str, ...]
    is_uroman: bool = False
    add_blank: bool = True
    language: str = ""  # ISO 639-3, as the published voice is named
    casing: Casing = Casing.USUAL

    name = "mms"
    version = 1

    def state(self) -> dict[str, Any]:
        """What is needed besides name and version."""
        return {
            "symbols": list(self.symbols),
            "is_uroman": self.is_uroman,
            "add_blank": self.add_blank,
            "language": self.language,
            "casing": self.casing.value,
        }

    @classmethod
    def from_state(cls, state: object) -> "MmsFrontend":
        """The frontend of a checkpoint. Raises DataError for what `state` did not write."""
        known = state if isinstance(state, dict) else {}
        symbols, language = known.get("symbols"), known.get("language")
        flags = (known.get("is_uroman"), known.get("add_blank"))
        casing = known.get("casing")
        is_sound = isinstance(language, str) and set(map(type, flags)) == {bool} and casing in set(Casing)
        if not _are_symbols(symbols) or not is_sound:
            raise DataError("The checkpoint does not say which letters its voice reads; choose another one.")
        assert isinstance(symbols, list)  # noqa: S101  narrows for the type checker
        return cls(tuple(symbols), bool(flags[0]), bool(flags[1]), str(language), Casing(str(casing)))

    @classmethod
    def learn(
        cls, texts: Iterable[str], *, base: "MmsFrontend | None" = None, languages: Sequence[str] = ()
    ) -> "MmsFrontend":
        """The list for these texts; with a `base`, its symbols stay and letters that it lacks come behind.

        A base that romanises reads any text by the letters that it has. `languages` are tags or names of the
        project's language, for the small letters of its capitals.
        """
        if base is not None and base.is_uroman:
            return base
        texts = list(texts)
        casing = casing_for(languages, texts)
        found = Counter(sign for text in texts for sign in lower(tidied(text), casing) if _is_spoken(sign))
        known = base.symbols if base else (BLANK,)
        new = sorted(sign for sign in found if sign not in known)
        if len(known) + len(new) > MOST_SYMBOLS:
            raise DataError(
                f"The texts have {len(new)} different letters; a VITS voice learns {MOST_SYMBOLS}."
            )
        return replace(base or cls(()), symbols=(*known, *new), casing=casing)

    def encode(self, text: str) -> Encoding:
        """Read one text. A letter that the list lacks is read without its marks where it has that."""
        kept: list[str] = []
        dropped: list[str] = []
        unread: list[str] = []
        substituted: list[str] = []
        for sign in self._prepared(text):
            parts = [part for part in unicodedata.normalize("NFD", sign) if part in self._ids]
            if sign in self._ids:
                kept.append(sign)
            elif parts:
                kept += parts
                substituted += [sign] if len(parts) < len(unicodedata.normalize("NFD", sign)) else []
            elif _is_letter(sign):
                dropped.append(sign)
            elif not sign.isspace():
                unread.append(sign)
        phones = "".join(kept).strip()
        return without_bare_signs(
            Encoding(
                phones,
                tuple(self._ids[sign] for sign in phones),
                tuple(dropped),
                tuple(unread),
                tuple(substituted),
            )
        )

    @property
    def letters(self) -> tuple[str, ...]:
        """The symbols that a text can hold."""
        return tuple(self._ids)

    def network_ids(self, spaced: Sequence[int]) -> Sequence[int]:
        """What the network reads of ids that have blanks between them (`symbols.intersperse`)."""
        return spaced if self.add_blank else spaced[1::2]

    def _prepared(self, text: str) -> str:
        text = " ".join(unicodedata.normalize("NFC", text).split())
        text = "".join(sign if sign in self._ids else tidied(sign) for sign in text)
        if self._has_capitals:
            text = "".join(sign if sign in self._ids else sign.lower() for sign in text)
        else:
            text = lower(text, self.casing)
        text = text.translate(_RESPELT.get(self.language, {}))
        return romanise(text) if self.is_uroman and not text.isascii() else text

    @cached_property
    def _has_capitals(self) -> bool:
        return any(symbol != symbol.lower() for symbol in self._ids)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {symbol: number for number, symbol in enumerate(self.symbols) if len(symbol) == 1}


def read_mms_frontend(folder: Path, symbols: int) -> MmsFrontend:
    """The frontend of a published voice, from `vocab.json` and `tokenizer_config.json`.

    `symbols` is how many the network has. Raises DataError for lists that do not fit it, and for voices that
    read phones, which another program has to make.
    """
    vocabulary, settings = (read_json(folder / name) for name in ("vocab.json", "tokenizer_config.json"))
    if not isinstance(settings, dict) or not isinstance(vocabulary, dict):
        raise DataError(f"{folder.name} has no list of characters in its vocab.json; it is no MMS voice.")
    if settings.get("phonemize", False):
        raise DataError(
            f"{folder.name} reads phones of another program, which this worker does not have. Choose a voice "
            "that reads letters, as those of MMS do."
        )
    rows = [""] * symbols
    for symbol, number in vocabulary.items():
        if type(number) is not int or not 0 <= number < symbols or not 1 <= len(symbol) <= _LONGEST_SYMBOL:
            raise DataError(f"{folder.name}/vocab.json does not fit its network of {symbols} symbols.")
        rows[number] = symbol
    return MmsFrontend(
        tuple(rows),
        is_uroman=settings.get("is_uroman") is True,
        add_blank=settings.get("add_blank", True) is not False,
        language=str(settings.get("language") or "")[:40],
    )


def _is_letter(sign: str) -> bool:
    return unicodedata.category(sign)[0] in "LMN"


def _is_spoken(sign: str) -> bool:
    return _is_letter(sign) or sign in _SIGNS


def _are_symbols(value: object) -> bool:
    return (
        isinstance(value, list)
        and 1 <= len(value) <= MOST_SYMBOLS
        and all(isinstance(one, str) and len(one) <= _LONGEST_SYMBOL for one in value)
    )
