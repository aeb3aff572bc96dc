"""Lower case as the project's language writes it, with no sign that nobody wrote.

Python's own mapping makes `i` and a dot above as a sign of its own (U+0307) of the Turkish İ, makes small
letters that no font has of Cherokee, and leaves letters alone that are newer than its tables.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable
from enum import StrEnum


class Casing(StrEnum):
    """A way of lower-casing; the values stand in checkpoints."""

    USUAL = ""
    DOTTED_I = "dotted i"  # I is the capital of ı, and İ that of i
    LITHUANIAN = "lithuanian"  # i keeps its dot under an accent


_DOTTED_I = frozenset(
    {
        "tr",
        "tur",
        "turkish",
        "az",
        "aze",
        "azj",
        "azerbaijani",
        "azeri",
        "crh",
        "gag",
        "tt",
        "tat",
        "kk",
        "kaz",
    }
    | {"zza", "diq", "kiu", "tly", "ttt"}
)
"""Languages whose Latin letters have both i: Turkish, Azeri, Crimean Tatar, Gagauz, Tatar, Kazakh, Zazaki,
Talysh and Tat. What they write in other scripts is not touched by it."""
_LITHUANIAN = frozenset({"lt", "lit", "lithuanian"})
_DOT_ABOVE = "\u0307"
_SOFT_DOTTED = re.compile("(?<=[ijįịɨ])\u0307")
_DOT_UNDER_ACCENT = re.compile("[ijIJ]\u0328?\u0307[\u0300\u0301\u0303]")
_CAPITAL_UNDER_ACCENT = re.compile("([IJ]\u0328?)(?=[\u0300\u0301\u0303])")
# Cherokee is written in its capitals alone, as Unicode's case folding has it.
_CHEROKEE = {0xAB70 + place: 0x13A0 + place for place in range(80)} | {
    0x13F8 + place: 0x13F0 + place for place in range(6)
}
# Letters of Unicode 15 to 17, where Python knows no case yet: five Latin ones, Garay and Beria Erfe.
_NEWER = (
    {0xA7CB: 0x0264, 0xA7CC: 0xA7CD, 0xA7CE: 0xA7CF, 0xA7D2: 0xA7D3, 0xA7D4: 0xA7D5, 0xA7DA: 0xA7DB}
    | {0xA7DC: 0x019B, 0x1C89: 0x1C8A}
    | {0x10D50 + place: 0x10D70 + place for place in range(22)}
    | {0x16EA0 + place: 0x16EBB + place for place in range(25)}
)
_AFTERWARDS = _CHEROKEE | _NEWER


def casing_for(languages: Iterable[str], texts: Collection[str] = ()) -> Casing:
    """The casing of a project whose languages have these tags or names ("tr", "az-Latn", "Turkish").

    The Lithuanian one only where the texts write a dot under an accent: else it would add a sign to them.
    """
    for language in languages:
        name = re.split(r"[^a-z]", language.strip().casefold(), maxsplit=1)[0]
        if name in _DOTTED_I:
            return Casing.DOTTED_I
        if name in _LITHUANIAN and any(_writes_dots(text) for text in texts):
            return Casing.LITHUANIAN
    return Casing.USUAL


def has_casing_of_its_own(language: str) -> bool:
    """Whether letters of this language are lower-cased in another way than the usual one."""
    return re.split(r"[^a-z]", language.strip().casefold(), maxsplit=1)[0] in _DOTTED_I | _LITHUANIAN


def lower(text: str, casing: Casing = Casing.USUAL) -> str:
    """Lower case, in NFC. Doing it twice changes nothing more."""
    text = unicodedata.normalize("NFC", text).replace("İ", "i")
    if casing is Casing.DOTTED_I:
        text = text.replace("I", "ı")
    elif casing is Casing.LITHUANIAN:
        text = _CAPITAL_UNDER_ACCENT.sub(rf"\1{_DOT_ABOVE}", unicodedata.normalize("NFD", text))
    text = unicodedata.normalize("NFC", text.lower().translate(_AFTERWARDS))
    if casing is not Casing.LITHUANIAN:
        text = unicodedata.normalize("NFC", _SOFT_DOTTED.sub("", text))
    return text


def _writes_dots(text: str) -> bool:
    return _DOT_UNDER_ACCENT.search(unicodedata.normalize("NFD", text)) is not None
