"""What is done to a text before a transcriber learns from it: a small recipe that is kept with the model.

An apostrophe or hyphen is a letter in many orthographies (a glottal stop, a compound). Between two letters
it is always kept. At a word's edge it may as well be a quotation mark; the project's own text decides: where
the words that carry it there nearly always do, it belongs to them, and the recipe records that.
"""

import logging
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from itertools import chain
from typing import Any

from codex_worker.errors import DataError

logger = logging.getLogger(__name__)

VERSION = 1
MARKS = "'-"  # what may be a letter or punctuation, after folding
FOLDED = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201b\u2032\u0060\u00b4\uff07", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\uff02", '"'),
        **dict.fromkeys("\u2010\u2011\ufe63\uff0d", "-"),
    }
)
JOINERS = "\u200c\u200d"  # they change how letters join in Arabic and Indic scripts
EDGE_SHARE = 0.5  # of a word's occurrences, and of a mark's
EDGE_COUNT = 3
LEARNABLE_COUNT = 3  # a letter seen fewer times cannot be learnt,
LEARNABLE_TEXT = 5_000  # where there are so many letters in all


@dataclass(frozen=True)
class TextRecipe:
    """How text is normalised. Always: NFC, quotes and hyphens folded, invisible signs and spaces tidied."""

    lowercase: bool = True
    remove_punctuation: bool = True
    remove_numbers: bool = False
    word_initial: str = ""  # marks that are letters at the start of a word
    word_final: str = ""  # and at its end
    version: int = VERSION

    def apply(self, text: str) -> str:
        """Normalise one text. Doing it twice changes nothing more."""
        text = _tidied(text)
        if self.lowercase:
            text = unicodedata.normalize("NFC", text.lower())
        if self.remove_numbers:
            text = "".join(" " if unicodedata.category(letter)[0] == "N" else letter for letter in text)
        if self.remove_punctuation:
            text = self._without_punctuation(text)
        return " ".join(text.split())

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a checkpoint's metadata."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TextRecipe":
        """Read what `to_dict` gave.

        Raises:
            DataError: it is no recipe, or a newer one than this program knows.
        """
        types = {field.name: field.type for field in fields(cls)}
        version = values.get("version")
        if not isinstance(version, int) or version > VERSION:
            raise DataError(
                f"the text recipe has version {version!r}; this worker knows {VERSION}, update it"
            )
        for name, value in values.items():
            if name not in types or not isinstance(value, {bool: bool, str: str, int: int}[types[name]]):  # type: ignore[index]
                raise DataError(f"the text recipe has {name} = {value!r}, which it cannot have")
        return cls(**values)

    def describe(self) -> str:
        """Say in a sentence what is done, for the log and the report."""
        done = ["Unicode NFC", "curly quotes made straight"]
        if self.lowercase:
            done.append("lower case")
        if self.remove_punctuation:
            kept = [
                f"{mark} {place}"
                for place, marks in (
                    ("at the start of words", self.word_initial),
                    ("at their end", self.word_final),
                )
                for mark in marks
            ]
            beyond = f", and {' and '.join(kept)}" if kept else ""
            done.append(f"punctuation removed (kept as letters: ' and - within words{beyond})")
        done.append("digits removed" if self.remove_numbers else "digits kept")
        return "Text: " + ", ".join(done) + "."

    def _without_punctuation(self, text: str) -> str:
        kept = []
        for at, sign in enumerate(text):
            before = at > 0 and _is_of_a_word(text[at - 1])
            after = at + 1 < len(text) and _is_of_a_word(text[at + 1])
            if sign in MARKS:
                is_letter = (
                    (before and after)
                    or (after and not before and sign in self.word_initial)
                    or (before and not after and sign in self.word_final)
                )
                # An apostrophe that goes leaves no gap; a hyphen that goes parted two things.
                kept.append(sign if is_letter else ("" if sign == "'" and (before or after) else " "))
            else:
                kept.append(sign if _is_of_a_word(sign) or sign.isspace() else " ")
        return "".join(kept)


def recipe_for(texts: Iterable[str], **wanted: bool) -> TextRecipe:
    """Make the recipe of a training from its texts, which decide about marks at the edges of words.

    `wanted` are the recipe's own switches: `lowercase`, `remove_punctuation`, `remove_numbers`.
    """
    initial, final = edge_letters(texts)
    return TextRecipe(**wanted, word_initial=initial, word_final=final)


def edge_letters(texts: Iterable[str]) -> tuple[str, str]:
    """Find the marks that are letters at the start and at the end of words.

    A quotation mark stands beside any word, and each of these words mostly stands without it. A letter
    belongs to its words: they have it in most of their occurrences. So a mark is a letter where most of
    its occurrences are in such words. Words seen only once tell nothing.
    """
    plain: Counter[str] = Counter()
    marked: dict[tuple[str, bool], Counter[str]] = {}
    for word in chain.from_iterable(_tidied(text).lower().split() for text in texts):
        bare = _bare(word)
        if not bare:
            continue
        plain[bare] += 1
        start = word.find(bare)
        for is_final, sign in ((False, word[start - 1 : start]), (True, word[start + len(bare) :][:1])):
            if sign and sign in MARKS:
                marked.setdefault((sign, is_final), Counter())[bare] += 1

    def is_letter(sign: str, *, is_final: bool) -> bool:
        words = {bare: count for bare, count in marked.get((sign, is_final), {}).items() if plain[bare] > 1}
        faithful = sum(count for bare, count in words.items() if count > EDGE_SHARE * plain[bare])
        return faithful >= EDGE_COUNT and faithful > EDGE_SHARE * sum(words.values())

    initial = "".join(sign for sign in MARKS if is_letter(sign, is_final=False))
    return initial, "".join(sign for sign in MARKS if is_letter(sign, is_final=True))


def letter_counts(texts: Iterable[str]) -> Counter[str]:
    """Count every sign but the spaces."""
    counts = Counter(chain.from_iterable(texts))
    for sign in [sign for sign in counts if sign.isspace()]:
        del counts[sign]
    return counts


def rare_letters(texts: Iterable[str], below: int) -> dict[str, int]:
    """Give the letters that occur fewer than `below` times, with their counts, the rarest first."""
    counts = letter_counts(texts)
    return dict(
        sorted(((sign, count) for sign, count in counts.items() if count < below), key=lambda c: (c[1], c[0]))
    )


def unlearnt_letters(texts: Collection[str]) -> dict[str, int]:
    """Letters of normalised texts that are seen too seldom to be learnt, with their counts.

    None where the texts are few: then every letter is rare.
    """
    if letter_counts(texts).total() < LEARNABLE_TEXT:
        return {}
    return rare_letters(texts, LEARNABLE_COUNT)


def _tidied(text: str) -> str:
    """NFC, folded quotes and hyphens, and no invisible signs other than the two joiners."""
    text = unicodedata.normalize("NFC", text).translate(FOLDED)
    return "".join(
        " " if unicodedata.category(sign) in ("Cc", "Zl", "Zp") else sign
        for sign in text
        if sign in JOINERS or unicodedata.category(sign) not in ("Cf", "Cs", "Cn")
    )


def _is_of_a_word(sign: str) -> bool:
    """Letters, marks on letters, digits, joiners, and what Unicode names a modifier letter (like U+A789)."""
    category = unicodedata.category(sign)
    if category[0] in "LMN" or sign in JOINERS:
        return True
    return category == "Sk" and unicodedata.name(sign, "").startswith("MODIFIER LETTER")


def _bare(word: str) -> str:
    """The part of a word from its first to its last letter."""
    inside = [at for at, sign in enumerate(word) if _is_of_a_word(sign)]
    return word[inside[0] : inside[-1] + 1] if inside else ""
