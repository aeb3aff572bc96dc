"""Whether a text holds anything that can be said: a letter of any script, or a number."""

import unicodedata

_PICTURES = range(0x1F000, 0x1FC00)  # Unicode has no letters here, and new signs every year


def holds_letters(text: str) -> bool:
    """True where a text is more than punctuation, signs, pictures, spaces and marks without a letter.

    Digits are letters here, because they are spoken. So are the characters for private use, of which projects
    make letters of their own, and those that are newer than Python's tables. What only changes other letters
    (an apostrophe, a tatweel, a sign that lengthens or repeats) says nothing by itself.
    """
    return any(is_letter(sign) and unicodedata.category(sign) != "Lm" for sign in text)


def is_letter(sign: str) -> bool:
    """A letter of any kind, or a digit."""
    kind = unicodedata.category(sign)
    return kind[0] in "LN" or kind == "Co" or (kind == "Cn" and ord(sign) not in _PICTURES)
