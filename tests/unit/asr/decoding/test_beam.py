"""The search finds what counting every path finds, whatever the language says."""

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from codex_worker.asr.decoding.beam import search
from codex_worker.asr.decoding.frames import heard_frames
from codex_worker.asr.decoding.letters import END, LetterModel
from codex_worker.asr.decoding.tables import LetterTable, Tables, WordTable
from codex_worker.asr.decoding.words import TEXT_START, WordModel

BLANK, SPACE, SYMBOLS = 0, 1, {" ": 1, "a": 2, "b": 3}
TEXTS = ["ab ab", "a ab", "abba ab", "ab ab a"]
LETTERS, WORDS = LetterModel.fit(TEXTS, 3), WordModel.fit(TEXTS)


def network(frames, seed):
    """Log probabilities of a network that is not sure of anything `[frames, 4]`."""
    logits = np.random.default_rng(seed).normal(0.0, 1.5, (frames, 4))
    return torch.from_numpy(logits).log_softmax(-1)


def by_counting(log_probs, score):
    """The likeliest symbols by the probabilities of all paths, and what `score` adds to their logarithm."""
    totals: dict[Any, float] = {}
    log_probs = log_probs.tolist()
    for path in product(range(4), repeat=len(log_probs)):
        labels = tuple(s for i, s in enumerate(path) if s != BLANK and (i == 0 or path[i - 1] != s))
        total = sum(log_probs[frame][symbol] for frame, symbol in enumerate(path))
        totals[labels] = np.logaddexp(totals.get(labels, -np.inf), total)
    return list(max(totals, key=lambda labels: totals[labels] + score(labels)))


def scored_by(letter_weight, word_weight, bonus):
    """The language's score of symbols, reckoned letter by letter without tables."""
    names = {symbol: letter for letter, symbol in SYMBOLS.items()}

    def score(labels):
        history, total, word, spelling = LETTERS.start, 0.0, "", 0.0
        before: str | None = TEXT_START
        for letter in [*(names[label] for label in labels), END]:
            log_prob = LETTERS.log_prob(history, letter)
            total += letter_weight * log_prob + bonus
            spelling += log_prob
            history += letter
            if letter not in {" ", END}:
                word += letter
                continue
            if word:
                total += word_weight * worth(before, word, spelling)
                before = word if word in WORDS.words else None
            word, spelling = "", 0.0
        return total

    return score


def worth(before, word, spelling):
    back_off = 0.0 if before is None else WORDS.log_back_off(before)
    if word not in WORDS.words:
        return back_off + WORDS.log_unseen
    seen = (before, word) in WORDS.pairs
    return (WORDS.log_pair(before, word) if seen else back_off + WORDS.log_alone(word)) - spelling


@pytest.mark.parametrize("seed", range(12))
def test_without_a_language_the_likeliest_text_is_found(seed):
    log_probs = network(5, seed)
    found = search(heard_frames([log_probs], BLANK), None, frozenset({SPACE}), width=150)
    assert found == [by_counting(log_probs, lambda labels: 0.0)]


@pytest.mark.parametrize("weights", [(0.5, 0.0, 0.0), (1.0, 0.0, 0.7), (0.6, 0.8, 0.4), (0.0, 1.0, 0.3)])
@pytest.mark.parametrize("seed", range(6))
def test_with_a_language_the_best_of_all_texts_is_found(weights, seed):
    tables = Tables(LetterTable(LETTERS, SYMBOLS), WordTable(WORDS, SYMBOLS), *weights)
    log_probs = network(5, seed)
    found = search(heard_frames([log_probs], BLANK), tables, frozenset({SPACE}), width=150)
    assert found == [by_counting(log_probs, scored_by(*weights))]


def test_recordings_of_a_batch_are_read_as_each_alone_is():
    tables = Tables(LetterTable(LETTERS, SYMBOLS), WordTable(WORDS, SYMBOLS), 0.6, 0.8, 0.4)
    batch = [network(frames, frames) for frames in (3, 40, 1, 17, 40, 0, 8)]
    delimiters = frozenset({SPACE})
    together = search(heard_frames(batch, BLANK), tables, delimiters)
    assert together == [search(heard_frames([one], BLANK), tables, delimiters)[0] for one in batch]


def test_frames_that_are_surely_blank_part_equal_letters():
    sure = torch.full((5, 4), -20.0)
    for frame, symbol in enumerate([2, BLANK, BLANK, 2, 3]):
        sure[frame, symbol] = 0.0
    heard = heard_frames([sure.log_softmax(-1)], BLANK)
    assert len(heard[0]) == 3
    assert search(heard, None, frozenset({SPACE})) == [[2, 2, 3]]
