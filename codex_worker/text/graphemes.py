"""Text in the units that people read: a letter with its marks is one (Unicode's extended grapheme clusters).

Borders follow Unicode Standard Annex 29: marks and joiners stay with their letter, jamo with their syllable,
the two halves of a flag with each other. Code points are what models learn and what error rates count;
graphemes are for lengths that people read, and for places where a text may be cut.
"""

import regex

from codex_worker.codex.sayable import is_letter

_GRAPHEME = regex.compile(r"\X")

# Stands before the consonant that it is spoken after, and is no mark in Unicode's eyes (vowels of Thai, Lao,
# Tai Viet).
_LEADING = r"\p{Logical_Order_Exception}"
# Never begins a line, and so no part of a text: marks that are graphemes of their own (Myanmar), following
# vowels and repetition signs (Thai, Lao, Khmer), small kana and lengthening signs, closing and ending
# punctuation, tsheg.
_FOLLOWING = (
    r"\p{M}\u0E30\u0E32\u0E33\u0E45\u0E46\u0EB0\u0EB2\u0EB3\u0EC6\u17D7\u0F0B-\u0F12"
    r"\p{Line_Break=CJ}\p{Line_Break=NS}\p{Line_Break=CL}\p{Line_Break=CP}\p{Line_Break=EX}\p{Line_Break=IS}"
)
_UNIT = regex.compile(rf"(?:{_LEADING}\p{{M}}*+)*+(?:\X(?:[{_FOLLOWING}]\p{{M}}*+)*+)?+")


def graphemes(text: str) -> list[str]:
    """The text's graphemes in order; joined they are the text."""
    return _GRAPHEME.findall(text)


def units(text: str) -> list[str]:
    """Graphemes, joined where no line is broken between them: any vowel sign stays with its consonant.

    In order, none empty; joined they are the text.
    """
    return [found.group() for found in _UNIT.finditer(text) if found.group()]


def letter_count(text: str) -> int:
    """How many letters people see in a text: graphemes that are or hold a letter or digit, signs left out.

    It is the same for every Unicode form of the text. Letters for private use count.
    """
    return sum(1 for each in graphemes(text) if any(map(is_letter, each)))
