"""What a sign can be, before a project's texts decide: surely a letter, a mark that may be one, or none.

Unicode's category says it of most signs. It is wrong about letters of private fonts, about letters that are
newer than its tables, and about signs that count as punctuation and are spoken.
"""

import re
import unicodedata
from collections.abc import Callable

import regex

from codex_worker.text.spacing import UNSPACED

APOSTROPHES = "\u2018\u2019\u201b\u2032\u0060\u00b4\uff07"
HYPHENS = "\u2010\u2011\ufe63\uff0d"
CURLY_QUOTES = "\u201c\u201d\u201e\u201f"
OTHER_QUOTES = "\u2033\uff02"
FOLDED = str.maketrans(
    {**dict.fromkeys(APOSTROPHES, "'"), **dict.fromkeys(OTHER_QUOTES, '"'), **dict.fromkeys(HYPHENS, "-")}
)
LETTER, DIGIT, MARK, NEVER, CLINGING, SPACE = "a9mx+ "
"""Kinds of signs: a letter or what sits on one; a decimal digit; a mark that the texts decide about; what is
no letter anywhere; an invisible sign that belongs to the sign before it; a space."""

JOINERS = "\u200c\u200d"  # they change how letters join in Arabic and Indic scripts
_CLINGING = regex.compile(rf"[\p{{Variation_Selector}}\u180e{JOINERS}]")
_UNSEEN = regex.compile(
    rf"[[\p{{Cs}}\p{{Noncharacter_Code_Point}}[\p{{Default_Ignorable_Code_Point}}&&[\p{{Cf}}\p{{Cn}}]]]--[\u180e{JOINERS}]"
    r"--\p{Variation_Selector}]",
    regex.V1,
)
# Punctuation by its category, and spoken: words that are written as one sign (Myanmar, Khmer), and the mark
# that ends every syllable in Tibetan.
_SPOKEN = "\u104c\u104d\u104e\u104f\u17d8\u0f0b\u0f0c"
_DIGIT = regex.compile(r"\p{Nd}")
_UNASSIGNED = regex.compile(r"\p{Cn}")
_LETTER = regex.compile(rf"[\p{{L}}\p{{M}}\p{{N}}\p{{Co}}{_SPOKEN}]")
_HYPHENS_OF_SCRIPTS = r"\-\u058a\u05be\u1400\u1806\u2e17\u2e5d\u30a0"
_DECIDED_BY_TEXTS = r".,:;!?\u00b7\u1361"  # of what ends sentences: the last parts words in Ethiopic
# Brackets, quotes, dashes, what ends sentences and their parts, pictures; and what adorns a page: bullets,
# letters in circles, signs of sections and notes, and of lost text.
_NO_LETTER = regex.compile(
    rf"[\p{{Ps}}\p{{Pe}}\p{{Pi}}\p{{Pf}}[\p{{Pd}}--[{_HYPHENS_OF_SCRIPTS}]]\p{{Extended_Pictographic}}"
    rf"[\p{{Terminal_Punctuation}}--[{_DECIDED_BY_TEXTS}]]"
    r"<>\u00a1\u00a7\u00b6\u00bf\u05c0\u05c6\u0f01-\u0f0a\u2020-\u2026\u2460-\u27bf\u2b00-\u2bff"
    r"\u3003\ua9c1-\ua9cd\ufffc\ufffd]",
    regex.V1,
)
_UNSPACED = regex.compile(f"[{UNSPACED}]")
_CURLY = re.compile(f"[{CURLY_QUOTES}]")


def kind_of(sign: str) -> str:
    """One of the kinds above."""
    return _KINDS[ord(sign)]


def _kind(sign: str) -> str:
    if sign.isspace():
        return SPACE
    if _CLINGING.match(sign):
        return CLINGING
    if _DIGIT.match(sign):
        return DIGIT
    if _LETTER.match(sign) or unicodedata.name(sign, "").startswith("MODIFIER LETTER"):
        return LETTER
    if _NO_LETTER.match(sign):
        return NEVER
    return LETTER if _UNASSIGNED.match(sign) else MARK


def is_invisible(sign: str) -> bool:
    """Signs that nobody sees: of direction, halves of surrogates, no characters at all; but no joiners."""
    return _UNSEEN.match(sign) is not None


def needs_no_spaces(sign: str) -> bool:
    """A letter of a script that writes words without spaces: a stop between two of them parts sentences."""
    return _UNSPACED.match(sign) is not None


class _Table(dict[int, str]):
    """For `str.translate`: what each sign becomes, worked out when it is met first."""

    def __init__(self, becomes: Callable[[str], str]) -> None:
        super().__init__()
        self._becomes = becomes

    def __missing__(self, code: int) -> str:
        self[code] = self._becomes(chr(code))
        return self[code]


def _visible(sign: str) -> str:
    """A sign as it is, or folded; controls and ends of lines are spaces, and what nobody sees is nothing."""
    if unicodedata.category(sign) in ("Cc", "Zl", "Zp"):
        return " "
    return "" if is_invisible(sign) else sign.translate(FOLDED)


_KINDS = _Table(_kind)
_VISIBLE = _Table(_visible)
_CLUNG_TO_LETTER = re.compile(rf"(?<=[{LETTER}{DIGIT}])\+")


def kinds_of(text: str) -> str:
    """The kind of each sign; what clings is as the sign that it clings to."""
    kinds = text.translate(_KINDS)
    while _CLUNG_TO_LETTER.search(kinds):
        kinds = _CLUNG_TO_LETTER.sub(LETTER, kinds)
    return kinds.replace(CLINGING, NEVER)


def tidied(text: str) -> str:
    """NFC with straight apostrophes and plain hyphens, without invisible signs; controls become spaces."""
    seen = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).translate(_VISIBLE))
    return _CURLY.sub(_straight_between_letters, seen)


def _straight_between_letters(found: re.Match[str]) -> str:
    """A curly quote between two letters is what an editor made of a straight one (as in צה"ל)."""
    text, at = found.string, found.start()
    around = text[max(at - 1, 0) : at], text[at + 1 : at + 2]
    return '"' if all(side and kind_of(side) in (LETTER, CLINGING) for side in around) else found[0]
