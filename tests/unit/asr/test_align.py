from itertools import pairwise, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_worker.asr.align import (
    AlignedWord,
    Alignment,
    _states_of,
    align_words,
    best_path,
    cut_at_words,
    forced_align,
)
from codex_worker.asr.vocabulary import build_vocabulary
from codex_worker.errors import DataError

BLANK = 0


def brute_force(log_probs, labels):
    """Score of the best of all paths that collapse to the labels, by trying every one."""
    frames, symbols = log_probs.shape
    best = -np.inf
    for path in product(range(symbols), repeat=frames):
        collapsed = [s for i, s in enumerate(path) if s != BLANK and (i == 0 or path[i - 1] != s)]
        if collapsed == labels:
            best = max(best, sum(log_probs[i, s] for i, s in enumerate(path)))
    return best


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.lists(st.integers(1, 2), min_size=1, max_size=3))
def test_the_path_is_the_best_of_all_paths(seed, frames, labels):
    log_probs = torch.from_numpy(np.random.default_rng(seed).standard_normal((frames, 3))).log_softmax(-1)
    expected = brute_force(log_probs.numpy(), labels)
    if expected == -np.inf:
        with pytest.raises(DataError, match="does not fit"):
            best_path(log_probs, labels, BLANK)
        return
    states = best_path(log_probs, labels, BLANK).tolist()
    symbols = [BLANK if state % 2 == 0 else labels[state // 2] for state in states]
    score = sum(log_probs[i, s].item() for i, s in enumerate(symbols))
    assert score == pytest.approx(expected, abs=1e-5)


def test_states_from_symbols_are_the_states_of_the_path():
    # torchaudio's kernel answers symbols; repeated letters are told apart by the blank between them.
    labels = [1, 1, 2]
    log_probs = torch.full((7, 3), -5.0)
    symbols = [0, 1, 0, 1, 1, 2, 0]
    for frame, symbol in enumerate(symbols):
        log_probs[frame, symbol] = -0.01
    assert best_path(log_probs, labels, BLANK).tolist() == _states_of(symbols, BLANK).tolist()


def test_tokens_carry_their_frames_and_mean_probability():
    log_probs = torch.full((5, 3), -10.0)
    for frame, (symbol, probability) in enumerate([(0, 0.9), (1, 0.8), (1, 0.6), (0, 0.9), (2, 0.5)]):
        log_probs[frame, symbol] = float(np.log(probability))
    first, second = forced_align(log_probs, [1, 2], BLANK)
    assert (first.start, first.end) == (1, 3)
    assert first.probability == pytest.approx(0.7)
    assert (second.start, second.end) == (4, 5)
    assert second.probability == pytest.approx(0.5)


def spoken(text, vocabulary, frames_per_letter=2, gap=3):
    """Log probabilities of a clear voice that says the text, with `gap` blank frames around each letter."""
    labels = vocabulary.encode(text)
    frames = []
    for label in labels:
        frames += [label] * frames_per_letter + [vocabulary.blank_id] * gap
    log_probs = torch.full((len(frames), len(vocabulary)), float(np.log(0.01)))
    log_probs[torch.arange(len(frames)), torch.tensor(frames)] = float(np.log(0.9))
    return log_probs


def test_words_get_their_times_and_scores():
    vocabulary = build_vocabulary(["god made all"])
    alignment = align_words(spoken("god made all", vocabulary), "god made all", vocabulary, 0.02)
    assert [word.text for word in alignment.words] == ["god", "made", "all"]
    assert alignment.words[0].start_s == 0.0
    assert alignment.words[0].end_s == pytest.approx(0.02 * 12)
    assert all(left.end_s <= right.start_s for left, right in pairwise(alignment.words))
    assert alignment.score == pytest.approx(0.9, abs=0.01)


THAI = "พระเจ้าทรงสร้าง ทุกสิ่ง"


def test_a_text_without_spaces_is_laid_letter_by_letter():
    vocabulary = build_vocabulary([THAI])
    alignment = align_words(spoken(THAI, vocabulary), THAI, vocabulary, 0.02)
    assert "".join(word.text if word.goes_on else f"{word.text} " for word in alignment.words) == f"{THAI} "
    assert [word.text for word in alignment.words][:3] == ["พ", "ระ", "เจ้า"]
    assert all(left.end_s <= right.start_s for left, right in pairwise(alignment.words))
    assert alignment.score == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize("text", [THAI, "天地玄黃宇宙洪荒 日月", "god made 天地 all"])
def test_a_long_recording_of_a_text_without_spaces_is_cut_all_the_same(text):
    vocabulary = build_vocabulary([text])
    alignment = align_words(spoken(text, vocabulary), text, vocabulary, 0.1)
    cuts = cut_at_words(alignment, longest_s=3.0, shortest_s=0.5)
    assert max(cut.end_s - cut.start_s for cut in cuts) <= 3.0
    assert "".join(cut.text for cut in cuts).replace(" ", "") == text.replace(" ", "")


def test_a_text_that_is_not_what_is_said_has_a_low_score():
    vocabulary = build_vocabulary(["god made all", "him who sees"])
    sound = spoken("god made all", vocabulary)
    right = align_words(sound, "god made all", vocabulary, 0.02).score
    wrong = align_words(sound, "him who sees", vocabulary, 0.02).score
    assert wrong < right / 2


@pytest.mark.parametrize(
    ("text", "says"),
    [("", "no letter"), ("???", "no letter"), ("a" * 100, "don't belong together")],
)
def test_a_text_that_cannot_be_laid_over_the_sound_is_refused(text, says):
    vocabulary = build_vocabulary(["abc"])
    with pytest.raises(DataError, match=says):
        align_words(spoken("abc", vocabulary), text, vocabulary, 0.02)


def reading(word_times, duration_s):
    words = tuple(AlignedWord(text, start, end, 0.9) for text, start, end in word_times)
    return Alignment(words, 0.9, duration_s)


def test_a_long_recording_is_cut_at_its_longest_silences():
    alignment = reading([("a", 0, 2), ("b", 2.1, 5), ("c", 7, 9), ("d", 9.1, 12)], 12.0)
    cuts = cut_at_words(alignment, longest_s=7.0)
    assert [cut.text for cut in cuts] == ["a b", "c d"]
    assert [(cut.start_s, cut.end_s) for cut in cuts] == [(0.0, 6.0), (6.0, 12.0)]


def test_a_pause_that_is_heard_is_preferred_to_a_gap_in_the_alignment():
    alignment = reading([("a", 0, 3), ("b", 3.5, 6), ("c", 6.4, 10)], 10.0)
    assert [cut.text for cut in cut_at_words(alignment, longest_s=7.0)] == ["a", "b c"]
    cuts = cut_at_words(alignment, longest_s=7.0, pauses=[(6.1, 6.3)])
    assert [cut.text for cut in cuts] == ["a b", "c"]


@given(st.lists(st.floats(0.1, 2.0), min_size=1, max_size=60), st.floats(2.0, 12.0))
def test_cuts_cover_the_recording_and_keep_every_word_in_order(durations, longest_s):
    times, at = [], 0.0
    for place, duration in enumerate(durations):
        times.append((f"w{place}", at, at + duration))
        at += duration + 0.05
    cuts = cut_at_words(reading(times, at), longest_s=longest_s)
    assert " ".join(cut.text for cut in cuts) == " ".join(text for text, *_ in times)
    assert cuts[0].start_s == 0.0
    assert cuts[-1].end_s == at
    assert all(left.end_s == right.start_s for left, right in pairwise(cuts))
    assert all(cut.end_s - cut.start_s <= longest_s or " " not in cut.text for cut in cuts)


def test_a_recording_without_words_has_no_cuts():
    assert cut_at_words(Alignment((), 0.0, 3.0), longest_s=2.0) == []
