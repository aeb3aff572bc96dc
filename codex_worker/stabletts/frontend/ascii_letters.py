"""Any letter as ASCII, spelt as in the text that older voices were trained with: é as e, ŋ as ng, Я as Ia.

StableTTS spells with Unidecode, which is under the GPL. text-unidecode has an older state of the same tables
under the Artistic License. What Unidecode learnt since, and a voice may have been trained with, is said here
by Unicode's own names and decompositions, and in a small table where these do not tell.
"""

import re
import unicodedata
from functools import lru_cache

_UNKNOWN = "[?]"
_OTHERWISE = {
    # A number in front of a fraction stays a word of its own.
    **{"¼": " 1/4", "½": " 1/2", "¾": " 3/4"},
    # Cyrillic, Hebrew and Armenian letters and marks.
    **{"Є": "Ie", "Ъ": "'", "ъ": "'", "։": ":"},
    **{"א": "a", "ח": "h", "כ": "kh", "ך": "kh", "ק": "k", "ײ": "ey"},
    **{"\u05b0": "", "\u05ba": "o", "\u05bc": "", "\u05be": "-", "\u05c3": ".", "\u05c7": "o"},
    # Kana, in Hepburn's spelling.
    **{"し": "shi", "ち": "chi", "つ": "tsu", "っ": "tsu", "シ": "shi", "チ": "chi", "ツ": "tsu"},
    **{"ッ": "tsu", "ー": "-", "・": "*"},
    # Quotes, dashes and signs that stand in running text.
    **{"❜": "'", "❝": '"', "❞": '"', "⸺": "----", "⸻": "------", "⁎": "*", "⁓": "~", "⟨": "<", "⟩": "> "},
    **{"−": "-", "∕": "/", "∗": "*", "∶": ":", "≤": "<=", "≥": ">=", "№": "No. ", "™": "(tm)"},
    "\N{OHM SIGN}": "ohm",
}
_RECENT_LATIN = (range(0x1D00, 0x1D8F), range(0x2C60, 0x2C70))
_LATIN_NAME = re.compile(
    r"(?:LATIN|MODIFIER)(?: SMALL| CAPITAL)? LETTER(?: SMALL| CAPITAL)*"
    r"(?: TURNED| REVERSED| SIDEWAYS| BARRED| DIAERESIZED)* (?:OPEN (?=E))?([A-Z]|AE|OE|OU)(?: WITH .*)?"
)


def to_ascii(text: str) -> str:
    """Spell a text in ASCII; what has no spelling vanishes."""
    return text if text.isascii() else "".join(map(_spell, text))


@lru_cache(maxsize=10_000)
def _spell(character: str) -> str:
    from text_unidecode import unidecode

    if character in _OTHERWISE:
        return _OTHERWISE[character]
    spelt = str(unidecode(character))
    if spelt and spelt.strip() != _UNKNOWN:
        return spelt
    if any(ord(character) in block for block in _RECENT_LATIN):
        named = _LATIN_NAME.fullmatch(unicodedata.name(character))
        if named:
            return named[1].lower()
    # Styled letters and numbers: mathematical, circled, in brackets.
    decomposed = unicodedata.normalize("NFKD", character)
    return decomposed if decomposed.isascii() else ""
