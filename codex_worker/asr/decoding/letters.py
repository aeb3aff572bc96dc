"""How a language is spelt: letter n-grams, learnt from texts by counting."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

START, END = "\x02", "\x03"
MAX_NGRAMS = 200_000
MAX_LETTERS = 5_000_000  # of the texts, about a whole Bible; what comes after tells little new
LETTER_ORDER = 5  # where nothing else is said
MIN_ORDER, MAX_ORDER = 2, 16


class LetterModel:
    """Letter n-grams with Witten-Bell smoothing (Chen and Goodman 1999, section 2.5)."""

    def __init__(self, counts: Mapping[str, int], order: int = LETTER_ORDER) -> None:
        """`counts`: n-gram -> sightings; `order`: how many letters the longest one has."""
        self.counts = dict(counts)
        self.order = order
        self.seen: Counter[str] = Counter()  # history -> how often a letter followed it
        self.kinds: Counter[str] = Counter()  # history -> how many different ones did
        for ngram, count in self.counts.items():
            self.seen[ngram[:-1]] += count
            self.kinds[ngram[:-1]] += 1
        self.alphabet = 2 + sum(1 for ngram in self.counts if len(ngram) == 1)
        self._known: dict[tuple[str, str], float] = {}

    @classmethod
    def fit(cls, texts: Iterable[str], order: int = LETTER_ORDER) -> "LetterModel":
        """Counts of all n-grams up to `order`, the most frequent `MAX_NGRAMS` of them.

        Where these are too many, longer ones than those are not counted at all: they would not be kept.
        """
        padded = [START * (order - 1) + text + END for text in _first(texts, MAX_LETTERS)]
        counts: Counter[str] = Counter()
        for length in range(1, order + 1):
            counts.update(text[end - length : end] for text in padded for end in range(order, len(text) + 1))
            if len(counts) > MAX_NGRAMS:
                break
        # An n-gram is never kept without its parts, which are as frequent and shorter.
        kept = sorted(counts.items(), key=lambda item: (-item[1], len(item[0]), item[0]))[:MAX_NGRAMS]
        return cls(dict(kept), order)

    @property
    def start(self) -> str:
        """The history of a text's first letter."""
        return START * (self.order - 1)

    def log_prob(self, history: str, letter: str) -> float:
        """Natural log of P(letter | the last letters of history)."""
        key = (history[-(self.order - 1) :], letter)
        if key not in self._known:
            self._known[key] = math.log(self._prob(*key))
        return self._known[key]

    def spelling(self, text: str) -> float:
        """Natural log of the probability of all letters of a text that goes on."""
        history, total = self.start, 0.0
        for letter in text:
            total += self.log_prob(history, letter)
            history = (history + letter)[1:]
        return total

    def mean_surprise(self, texts: Sequence[str]) -> float:
        """Nats that a letter of these texts costs on average."""
        return -sum(map(self.spelling, texts)) / max(1, sum(map(len, texts)))

    def _prob(self, history: str, letter: str) -> float:
        shorter = self._prob(history[1:], letter) if history else 1.0 / self.alphabet
        kinds = self.kinds[history]
        if kinds == 0:
            return shorter
        return (self.counts.get(history + letter, 0) + kinds * shorter) / (self.seen[history] + kinds)


def _first(texts: Iterable[str], most_letters: int) -> list[str]:
    kept, letters = [], 0
    for text in texts:
        if letters + len(text) > most_letters:
            break
        kept.append(text)
        letters += len(text)
    return kept
