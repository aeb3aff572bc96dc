"""What is done to a text before a transcriber learns from it: a small recipe that is kept with the model.

Which marks are letters is decided by the project's own texts (`letters`), and how letters become small ones
by its language (`casing`); the recipe records both.
"""

import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from itertools import chain
from typing import Any

from codex_worker.errors import DataError
from codex_worker.text import first_recipe
from codex_worker.text.casing import Casing, casing_for, lower
from codex_worker.text.letters import ALWAYS_WITHIN, WordMarks, learn_marks
from codex_worker.text.losses import listed_signs, loss_lines
from codex_worker.text.signs import CLINGING, CURLY_QUOTES, SPACE, kind_of, tidied

VERSION = 2
LEARNABLE_COUNT = 3  # a letter seen fewer times cannot be learnt,
LEARNABLE_TEXT = 5_000  # where there are so many letters in all
_STRAIGHT = str.maketrans(dict.fromkeys(CURLY_QUOTES, '"'))


@dataclass(frozen=True)
class Normalised:
    """A text as a transcriber learns it, and the signs of it that are not written, each time."""

    text: str
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True)
class TextRecipe:
    """How text is normalised. Always: NFC, straight apostrophes and plain hyphens, and nothing invisible."""

    lowercase: bool = True
    remove_punctuation: bool = True
    remove_numbers: bool = False
    word_initial: str = ""  # marks that are letters at the start of a word,
    word_final: str = ""  # at its end,
    within: str = ALWAYS_WITHIN  # and between two letters
    casing: str = Casing.USUAL.value
    version: int = VERSION

    def apply(self, text: str) -> str:
        """Normalise one text. Doing it twice changes nothing more."""
        return self.normalise(text).text

    def normalise(self, text: str) -> Normalised:
        """Normalise one text, and say what of it is not written. Signs that nobody sees are not counted."""
        text, removed = self._without_numbers(self._tidied(text))
        if self.remove_punctuation:
            kept = self._without_punctuation(text, self._marks)
            removed += (Counter(_seen(text)) - Counter(_seen(kept))).elements()
            text = kept
        return Normalised(self._finished(text), tuple(removed))

    def written(self, text: str) -> str:
        """What people wrote, for error rates: as in `apply`, and marks between letters stay, letters or not.

        Only what ends sentences and quotations goes from there, which the recipe says that it removes.
        """
        if self.version == 1 or not self.remove_punctuation:
            return self.apply(text)
        text = self._without_numbers(self._tidied(text))[0]
        unsure = "".join(dict.fromkeys(self._marks.unsure(text)))
        return self._finished(self._without_punctuation(text, self._marks | WordMarks(unsure)))

    def unsure(self, text: str) -> list[str]:
        """The marks between two letters that are not written, although no sentence or quotation ends."""
        if self.version == 1 or not self.remove_punctuation:
            return []
        return self._marks.unsure(self._tidied(text))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a checkpoint's metadata."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TextRecipe":
        """Read what `to_dict` gave, now or when there was only version 1.

        Raises:
            DataError: it is no recipe, or a newer one than this program knows.
        """
        types = {field.name: field.type for field in fields(cls)}
        version = values.get("version")
        if type(version) is not int or not 1 <= version <= VERSION:
            raise DataError(
                f"the text recipe has version {version!r}; this worker knows {VERSION}, update it"
            )
        for name, value in values.items():
            if name not in types or not isinstance(value, {bool: bool, str: str, int: int}[types[name]]):  # type: ignore[index]
                raise DataError(f"the text recipe has {name} = {value!r}, which it cannot have")
        if values.get("casing", "") not in set(Casing):
            raise DataError(f"the text recipe has casing = {values['casing']!r}, which it cannot have")
        return cls(**values)

    def describe(self) -> str:
        """Say in a sentence what is done, for the log and the report."""
        done = ["Unicode NFC", "curly quotes and apostrophes made straight"]
        if self.lowercase:
            done.append("lower case" + (f" ({self.casing})" if self.casing else ""))
        if self.remove_punctuation:
            done.append(f"punctuation removed (kept as letters: {self._marks.describe()})")
        done.append("digits removed" if self.remove_numbers else "digits kept")
        return "Text: " + ", ".join(done) + "."

    @cached_property
    def _marks(self) -> WordMarks:
        return WordMarks(self.within, self.word_initial, self.word_final)

    def _tidied(self, text: str) -> str:
        return first_recipe.tidied(text) if self.version == 1 else tidied(text)

    def _without_numbers(self, text: str) -> tuple[str, list[str]]:
        if not self.remove_numbers:
            return text, []
        numbers = [sign for sign in text if _is_number(sign)]
        return "".join(" " if _is_number(sign) else sign for sign in text), numbers

    def _without_punctuation(self, text: str, marks: WordMarks) -> str:
        if self.version == 1:
            return first_recipe.without_punctuation(text, self.word_initial, self.word_final)
        is_letter = marks.letters_of(text)
        return "".join(sign if kept else " " for sign, kept in zip(text, is_letter, strict=True))

    def _finished(self, text: str) -> str:
        if self.lowercase:
            text = (
                unicodedata.normalize("NFC", text.lower())
                if self.version == 1
                else lower(text, Casing(self.casing))
            )
        if self.version > 1 and not self.remove_punctuation:
            text = text.translate(_STRAIGHT)
        return " ".join(unicodedata.normalize("NFC", text).split())


def recipe_for(
    texts: Collection[str],
    *,
    languages: Iterable[str] = (),
    base: TextRecipe | None = None,
    **wanted: bool,
) -> TextRecipe:
    """Make the recipe of a training from its texts, which decide which marks are letters.

    `languages` are tags or names of the project's language. `base` is the recipe of the transcriber that goes
    on learning: its letters stay letters. `wanted` are the recipe's own switches: `lowercase`,
    `remove_punctuation`, `remove_numbers`.
    """
    casing = casing_for(languages, texts)
    marks = learn_marks(texts, casing)
    if base is not None:
        marks |= WordMarks(base.within, base.word_initial, base.word_final)
    return TextRecipe(
        **wanted,
        word_initial=marks.initial,
        word_final=marks.final,
        within=marks.within,
        casing=casing.value,
    )


def dropped_lines(recipe: TextRecipe, texts: Iterable[str]) -> list[str]:
    """What of the texts a transcriber will not write: a line for each sign, and one for punctuation.

    Punctuation here is what ends sentences and quotations, and what stands at the edges of words; a mark that
    stands between letters and is no letter all the same has a line of its own.
    """
    texts = list(texts)
    unsure = [recipe.unsure(text) for text in texts]
    other: Counter[str] = Counter()
    for text, odd in zip(texts, unsure, strict=True):
        other.update(Counter(recipe.normalise(text).dropped) - Counter(odd))
    lines = loss_lines(unsure, "is not written, although it stands between letters")
    if other:
        lines.append(f"not written, as punctuation or digits: {listed_signs(other)}")
    return lines


def lost_letters(recipe: TextRecipe, text: str, rare: Collection[str]) -> set[str]:
    """The letters of a text that a transcriber will not write: too `rare` to be learnt, or no letters."""
    return {*recipe.unsure(text), *(set(rare) & set(recipe.apply(text)))}


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


def _seen(text: str) -> Iterable[str]:
    """The signs of a text but for spaces, and what is a part of another sign."""
    return (sign for sign in text if kind_of(sign) not in (SPACE, CLINGING))


def _is_number(sign: str) -> bool:
    return unicodedata.category(sign)[0] == "N"
