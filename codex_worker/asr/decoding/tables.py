"""A language as arrays, so that thousands of letters are weighed at once while a batch is read."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from codex_worker.asr.decoding.letters import END, LetterModel
from codex_worker.asr.decoding.words import TEXT_START, WordModel

NOWHERE = -1
_ROOT = 0
_MOST_WRITTEN_OUT = 4_000_000  # entries of whole rows: 32 MB

Ints = np.ndarray[Any, np.dtype[np.int64]]
Floats = np.ndarray[Any, np.dtype[np.float64]]


class Lookup:
    """A table from pairs of whole numbers to rows, for whole arrays of pairs."""

    def __init__(self, pairs: Iterable[tuple[int, int]], width: int) -> None:
        """`width`: one more than the largest second number. Row i belongs to the i-th pair."""
        keys = np.array([first * width + second for first, second in pairs], dtype=np.int64)
        self._rows = np.argsort(keys, kind="stable")
        self._keys = np.append(keys[self._rows], np.iinfo(np.int64).max)
        self._rows = np.append(self._rows, NOWHERE)
        self._width = width

    def rows(self, first: Ints, second: Ints) -> Ints:
        """The row of each pair; `NOWHERE` for those that are not in the table."""
        keys = first * self._width + second
        places = np.searchsorted(self._keys, keys)
        return np.where(self._keys[places] == keys, self._rows[places], NOWHERE)


class LetterTable:
    """A `LetterModel` over the symbols of a vocabulary: a history is a number, 0 is the empty one."""

    def __init__(self, model: LetterModel, symbols: Mapping[str, int]) -> None:
        """`symbols`: letter -> symbol; the end of a text is `end`, one more than the highest symbol."""
        self.end = max(symbols.values(), default=0) + 1
        ids = {**symbols, END: self.end}
        histories = sorted(model.kinds, key=lambda history: (len(history), history))
        states = {
            "": _ROOT,
            **{history: number for number, history in enumerate([""] + [h for h in histories if h])},
        }
        self.start = states[_longest(model.start, states)]
        self._shorter = np.array([states[_longest(h[1:], states)] if h else _ROOT for h in states])
        self._back_off = np.array(
            [
                np.log(model.kinds[h] / (model.seen[h] + model.kinds[h])) if model.kinds[h] else 0.0
                for h in states
            ]
        )
        entries = [
            (
                states[ngram[:-1]],
                ids[ngram[-1]],
                model.log_prob(ngram[:-1], ngram[-1]),
                states[_longest(ngram, states)],
            )
            for ngram in model.counts
            if ngram[-1] in ids
        ]
        self._unknown = float(-np.log(model.alphabet))
        written_out = max(1, min(len(states), _MOST_WRITTEN_OUT // (self.end + 1)))
        self._write_out(written_out, entries, [len(history) for history in states])
        sparse = [entry for entry in entries if entry[0] >= written_out]
        self._entries = Lookup(((state, letter) for state, letter, *_ in sparse), self.end + 1)
        self._log_prob = np.array([*(entry[2] for entry in sparse), 0.0])
        self._next = np.array([*(entry[3] for entry in sparse), _ROOT])

    def step(self, states: Ints, letters: Ints) -> tuple[Floats, Ints]:
        """Log probability of each letter after each history, and the histories with them `[N]`."""
        at = states.copy()
        log_probs = np.zeros(len(at))
        following = np.full(len(at), NOWHERE)
        open_ = np.flatnonzero(at >= len(self._row_log_prob))
        while len(open_):
            rows = self._entries.rows(at[open_], letters[open_])
            found = rows != NOWHERE
            log_probs[open_] += np.where(found, self._log_prob[rows], self._back_off[at[open_]])
            following[open_[found]] = self._next[rows[found]]
            open_ = open_[~found]
            at[open_] = self._shorter[at[open_]]
            open_ = open_[at[open_] >= len(self._row_log_prob)]
        rest = following == NOWHERE
        log_probs[rest] += self._row_log_prob[at[rest], letters[rest]]
        following[rest] = self._row_next[at[rest], letters[rest]]
        return log_probs, following

    def _write_out(
        self, count: int, entries: Sequence[tuple[int, int, float, int]], lengths: Sequence[int]
    ) -> None:
        """Whole rows `[count, letters]` of the first histories, the shortest ones, one length at a time."""
        self._row_log_prob = np.full((count, self.end + 1), self._unknown, dtype=np.float32)
        self._row_next = np.zeros((count, self.end + 1), dtype=np.int32)
        by_length: dict[int, list[tuple[int, int, float, int]]] = {}
        for entry in entries:
            if entry[0] < count:
                by_length.setdefault(lengths[entry[0]], []).append(entry)
        edges = np.searchsorted(lengths, np.arange(lengths[count - 1] + 2)).clip(max=count)
        for length, (start, end) in enumerate(pairwise(edges)):
            of_length = slice(start, end)
            shorter = self._shorter[of_length]
            if length:
                self._row_log_prob[of_length] = self._row_log_prob[shorter]
                self._row_next[of_length] = self._row_next[shorter]
            self._row_log_prob[of_length] += self._back_off[of_length, None]
            if length in by_length:
                state, letter, log_prob, following = zip(*by_length[length], strict=True)
                self._row_log_prob[state, letter] = log_prob
                self._row_next[state, letter] = following


class WordTable:
    """A `WordModel` over the symbols of a vocabulary: words as paths from node 0 of a tree of letters."""

    def __init__(self, model: WordModel, symbols: Mapping[str, int]) -> None:
        """`symbols`: letter -> symbol. Words of other letters are left out; they could not be read."""
        words = [word for word in model.words if all(letter in symbols for letter in word)]
        ids = {word: number for number, word in enumerate(words)}
        nodes: dict[tuple[int, int], int] = {}
        ends = []
        for word in words:
            node = _ROOT
            for letter in word:
                node = nodes.setdefault((node, symbols[letter]), len(nodes) + 1)
            ends.append(node)
        self._children = Lookup(nodes, max(symbols.values(), default=0) + 2)
        self._word_at = np.full(len(nodes) + 2, NOWHERE)
        self._word_at[ends] = np.arange(len(words))
        self.text_start = len(words)
        numbers = {**ids, TEXT_START: self.text_start}
        pairs = [pair for pair in model.pairs if pair[0] in numbers and pair[1] in ids]
        self._pairs = Lookup(((numbers[before], ids[word]) for before, word in pairs), len(words) + 2)
        self._log_pair = np.array([*(model.log_pair(*pair) for pair in pairs), 0.0])
        self._log_alone = np.array([*map(model.log_alone, words), model.log_unseen])
        # The last place, which NOWHERE points to, is that of any word that is not known.
        self._back_off = np.array([*map(model.log_back_off, words), model.log_back_off(TEXT_START), 0.0])

    def child(self, nodes: Ints, letters: Ints) -> Ints:
        """Where a letter leads from each node; `NOWHERE` outside of the known words, and from there."""
        rows = self._children.rows(nodes, letters)
        return np.where(rows == NOWHERE, NOWHERE, rows + 1)

    def end(self, nodes: Ints, before: Ints, spelling: Floats) -> tuple[Floats, Ints]:
        """What the words that end at these nodes are worth beyond their letters, and their numbers `[N]`.

        Args:
            nodes: where they end, `NOWHERE` for unknown ones.
            before: the numbers of the words before them.
            spelling: the log probabilities of their letters.
        """
        words = np.where(nodes == NOWHERE, NOWHERE, self._word_at[nodes])
        rows = self._pairs.rows(before, words)
        apart = self._back_off[before] + self._log_alone[words]
        log_probs = np.where(rows == NOWHERE, apart, self._log_pair[rows])
        return np.where(words == NOWHERE, log_probs, log_probs - spelling), words


@dataclass(frozen=True)
class Tables:
    """A language over the symbols of a vocabulary, with the weights of its parts."""

    letters: LetterTable
    words: WordTable | None
    letter_weight: float
    word_weight: float
    bonus: float  # per letter, so that short texts aren't favoured


def _longest(history: str, known: Mapping[str, int]) -> str:
    while history not in known:
        history = history[1:]
    return history
