"""A project's language as its transcriber knows it: letters, words, and how much they count."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from codex_worker.asr.decoding.letters import MAX_NGRAMS, MAX_ORDER, MIN_ORDER, LetterModel
from codex_worker.asr.decoding.tables import LetterTable, Tables, WordTable
from codex_worker.asr.decoding.words import MAX_PAIRS, MAX_WORD_LETTERS, MAX_WORDS, WordModel
from codex_worker.asr.vocabulary import Vocabulary
from codex_worker.errors import DataError

MAX_LANGUAGE_BYTES = 48_000_000
_MOST_SIGHTINGS = 10**12
_LONGEST_WORD = 1000
_MOST_WEIGHT = 100.0


@dataclass(frozen=True)
class LanguageWeights:
    """How much letters and words count against the sound, and what each letter is granted for being one."""

    letters: float = 0.0
    words: float = 0.0
    bonus: float = 0.0  # nats, so that short texts aren't favoured


@dataclass(frozen=True)
class ProjectLanguage:
    """Travels with the checkpoint."""

    letters: LetterModel
    words: WordModel | None  # None where spaces do not part words
    weights: LanguageWeights

    @classmethod
    def fit(cls, texts: Iterable[str], *, has_words: bool, order: int) -> "ProjectLanguage":
        """From normalised texts; the weights are still to be found."""
        known = list(texts)
        return cls(
            LetterModel.fit(known, order), WordModel.fit(known) if has_words else None, LanguageWeights()
        )

    def weighed(self, weights: LanguageWeights) -> "ProjectLanguage":
        """The same language with other weights."""
        return replace(self, weights=weights)

    def to_json(self) -> str:
        """Readable by `ProjectLanguage.from_json`."""
        words = self.words
        fields = {
            "order": self.letters.order,
            "letters": self.letters.counts,
            "words": None if words is None else words.words,
            "pairs": [] if words is None else [[*pair, count] for pair, count in words.pairs.items()],
            "weights": {
                "letters": self.weights.letters,
                "words": self.weights.words,
                "bonus": self.weights.bonus,
            },
        }
        return json.dumps(fields, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "ProjectLanguage":
        """Raises DataError when the JSON is no language, or one larger than any that is made here."""
        try:
            if len(text) > MAX_LANGUAGE_BYTES:
                raise ValueError("it is larger than any real one")
            return _language(json.loads(text))
        except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError) as error:
            raise DataError(
                f"The checkpoint's language model cannot be read ({error!r:.200}); train a new model."
            ) from error


class LanguageOf:
    """A language over the symbols of one vocabulary, ready for the search with whatever weights."""

    def __init__(self, language: ProjectLanguage, vocabulary: Vocabulary) -> None:
        self._language = language
        self._symbols = {
            symbol: index for index, symbol in enumerate(vocabulary.symbols) if symbol in vocabulary.letters
        }
        space = vocabulary.delimiter_id
        self._symbols[" "] = vocabulary.unknown_id if space is None else space

    @cached_property
    def _letters(self) -> LetterTable:
        return LetterTable(self._language.letters, self._symbols)

    @cached_property
    def _words(self) -> WordTable | None:
        return None if self._language.words is None else WordTable(self._language.words, self._symbols)

    def tables(self, weights: LanguageWeights | None = None) -> Tables:
        """With these weights, by default the language's own."""
        weights = weights or self._language.weights
        words = self._words if weights.words else None
        return Tables(self._letters, words, weights.letters, weights.words, weights.bonus)


def word_ends(vocabulary: Vocabulary) -> frozenset[int]:
    """The symbols that a space is read as."""
    ends = {index for index in range(len(vocabulary)) if vocabulary.text_of(index) == " "}
    return frozenset(ends)


def _language(fields: Any) -> ProjectLanguage:
    order = _whole(fields["order"], MIN_ORDER, MAX_ORDER)
    letters = _counts(fields["letters"], MAX_NGRAMS)
    if any(not 0 < len(ngram) <= order for ngram in letters):
        raise ValueError("a sequence of letters has none, or too many")
    words = None
    if fields["words"] is not None:
        known = _counts(fields["words"], MAX_WORDS)
        if any(word.split() != [word] or len(word) > _LONGEST_WORD for word in known):
            raise ValueError("a word that is none")
        if sum(map(len, known)) > MAX_WORD_LETTERS:
            raise ValueError("words of too many letters")
        if not isinstance(fields["pairs"], list) or len(fields["pairs"]) > MAX_PAIRS:
            raise ValueError("too many pairs of words")
        pairs = {(str(a), str(b)): _whole(count, 1, _MOST_SIGHTINGS) for a, b, count in fields["pairs"]}
        if any(word not in known for _, word in pairs):
            raise ValueError("a pair of words that are not known")
        words = WordModel(known, pairs)
    weights = fields["weights"]
    return ProjectLanguage(
        LetterModel(letters, order),
        words,
        LanguageWeights(_weight(weights["letters"]), _weight(weights["words"]), _weight(weights["bonus"])),
    )


def _counts(table: Any, most: int) -> Mapping[str, int]:
    if not isinstance(table, dict) or len(table) > most:
        raise ValueError("no table of counts, or too long a one")
    return {entry: _whole(count, 1, _MOST_SIGHTINGS) for entry, count in table.items()}


def _whole(value: Any, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{value!r:.40} where a number from {least} to {most} should be")
    return value


def _weight(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or not 0.0 <= value <= _MOST_WEIGHT:
        raise ValueError(f"{value!r:.40} where a weight should be")
    return float(value)
