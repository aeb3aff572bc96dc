"""Which words a language has, and which follow each other: counts of words and of pairs."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import accumulate, takewhile

MAX_WORDS = 100_000
MAX_PAIRS = 200_000
MAX_WORD_LETTERS = 2_000_000  # of all words together: each may be a place in a tree of letters
MAX_TEXT_WORDS = 1_000_000  # of the texts, more than a whole Bible has
TEXT_START = ""  # stands before the first word of a text


class WordModel:
    """Words and pairs of words with Witten-Bell smoothing; words that it has not seen keep a share."""

    def __init__(self, words: Mapping[str, int], pairs: Mapping[tuple[str, str], int]) -> None:
        """Sightings of each word, and of each pair (the word before, the word)."""
        self.words = dict(words)
        self.pairs = dict(pairs)
        self._tokens = sum(self.words.values())
        self._followers: Counter[str] = Counter()
        self._kinds: Counter[str] = Counter()
        for (before, _), count in self.pairs.items():
            self._followers[before] += count
            self._kinds[before] += 1

    @classmethod
    def fit(cls, texts: Iterable[str]) -> "WordModel":
        """Counts of the words between spaces; the most frequent ones where there are very many."""
        words: Counter[str] = Counter()
        pairs: Counter[tuple[str, str]] = Counter()
        left = MAX_TEXT_WORDS
        for text in texts:
            found = text.split()[:left]
            left -= len(found)
            words.update(found)
            pairs.update(zip([TEXT_START, *found], found, strict=False))
        frequent = sorted(words.items(), key=lambda item: (-item[1], item[0]))[:MAX_WORDS]
        letters = accumulate(len(word) for word, _ in frequent)
        kept = dict(takewhile(lambda _: next(letters) <= MAX_WORD_LETTERS, frequent))
        ordered = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
        both = (
            (pair, count) for pair, count in ordered if pair[0] in {*kept, TEXT_START} and pair[1] in kept
        )
        return cls(kept, dict(pair for pair, _ in zip(both, range(MAX_PAIRS), strict=False)))

    @property
    def log_unseen(self) -> float:
        """Natural log of what is kept for all words that are not known together."""
        return math.log((1 + len(self.words)) / (1 + self._tokens + len(self.words)))

    def log_alone(self, word: str) -> float:
        """Natural log of P(word), of a known one, whatever stands before it."""
        return math.log(self.words[word] / (1 + self._tokens + len(self.words)))

    def log_back_off(self, before: str) -> float:
        """Natural log of what a pair that was not seen is worth, against the word alone."""
        kinds = self._kinds[before]
        return math.log(kinds / (self._followers[before] + kinds)) if kinds else 0.0

    def log_pair(self, before: str, word: str) -> float:
        """Natural log of P(word | the word before), of a pair that was seen."""
        kinds = self._kinds[before]
        alone = kinds * math.exp(self.log_alone(word))
        return math.log((self.pairs[before, word] + alone) / (self._followers[before] + kinds))
