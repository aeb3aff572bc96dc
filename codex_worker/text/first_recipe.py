"""How the first recipe told words from punctuation: for checkpoints that were trained with it (version 1).

Unicode's categories decided, and `'` and `-` alone could be letters. Later recipes ask the texts (`letters`).
"""

import unicodedata

from codex_worker.text.signs import CURLY_QUOTES, FOLDED, JOINERS

MARKS = "'-"
_FOLDED = FOLDED | str.maketrans(dict.fromkeys(CURLY_QUOTES, '"'))


def tidied(text: str) -> str:
    """NFC, folded quotes and hyphens, and no invisible or unassigned signs other than the two joiners."""
    text = unicodedata.normalize("NFC", text).translate(_FOLDED)
    return "".join(
        " " if unicodedata.category(sign) in ("Cc", "Zl", "Zp") else sign
        for sign in text
        if sign in JOINERS or unicodedata.category(sign) not in ("Cf", "Cs", "Cn")
    )


def without_punctuation(text: str, initial: str, final: str) -> str:
    """Words alone; `initial` and `final` are marks that are letters at the start and the end of words."""
    kept = []
    for at, sign in enumerate(text):
        before = at > 0 and _is_of_a_word(text[at - 1])
        after = at + 1 < len(text) and _is_of_a_word(text[at + 1])
        if sign in MARKS:
            is_letter = (
                (before and after)
                or (after and not before and sign in initial)
                or (before and not after and sign in final)
            )
            kept.append(sign if is_letter else ("" if sign == "'" and (before or after) else " "))
        else:
            kept.append(sign if _is_of_a_word(sign) or sign.isspace() else " ")
    return "".join(kept)


def _is_of_a_word(sign: str) -> bool:
    category = unicodedata.category(sign)
    if category[0] in "LMN" or sign in JOINERS:
        return True
    return category == "Sk" and unicodedata.name(sign, "").startswith("MODIFIER LETTER")
