"""A project's own recordings tell how fast it is spoken, and which recordings are odd."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_worker.data.pace import MIN_TO_COMPARE, Pace, usual_pace
from codex_worker.text.graphemes import letter_count
from tests.support.present import present


def spoken(start_s=0.4, letter_s=0.07, spread=0.12, count=200, shortest=3, longest=120, seed=0):
    """Letters and seconds of a project whose readers start in `start_s`; every third text is one word."""
    rng = np.random.default_rng(seed)
    letters = np.where(
        np.arange(count) % 3 == 0, rng.integers(shortest, 10, count), rng.integers(10, longest, count)
    )
    return letters, (start_s + letter_s * letters) * np.exp(spread * rng.standard_normal(count))


@pytest.mark.parametrize("start_s", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("letter_s", [0.04, 0.07, 0.3])
def test_the_fixed_part_and_the_part_of_each_letter_are_learnt(start_s, letter_s):
    letters, seconds = spoken(start_s, letter_s)
    pace = present(usual_pace(letters, seconds))
    assert pace.letter_s == pytest.approx(letter_s, rel=0.1)
    assert pace.usual_s(30) == pytest.approx(start_s + 30 * letter_s, rel=0.1)


@pytest.mark.parametrize("wrong", [0.05, 0.2])
@pytest.mark.parametrize("factor", [0.3, 4.0])
def test_wrong_recordings_do_not_move_what_is_usual(wrong, factor):
    letters, seconds = spoken()
    seconds[:: round(1 / wrong)] *= factor
    pace = present(usual_pace(letters, seconds))
    assert pace.usual_s(50) == pytest.approx(0.4 + 50 * 0.07, rel=0.2)


@given(st.integers(0, 10_000))
def test_no_word_of_a_usual_reader_is_odd(seed):
    letters, seconds = spoken(spread=0.1, seed=seed, count=60)
    pace = present(usual_pace(letters, seconds))
    odd = [pace.is_fast(n, s) or pace.is_slow(n, s) for n, s in zip(letters.tolist(), seconds, strict=True)]
    assert not any(odd)


@pytest.mark.parametrize(
    ("letters", "times", "odd"),
    [
        (60, 1.0, None),
        (60, 1.3, None),
        (60, 0.75, None),
        (60, 0.5, "fast"),  # it stopped half way
        (60, 2.1, "slow"),  # said twice
        (25, 0.5, "fast"),
        (25, 2.1, "slow"),
        (4, 0.4, None),  # single words are said as people like
        (4, 3.0, None),
        (4, 12.0, "slow"),  # but a whole verse is no single word
    ],
)
def test_what_is_odd(letters, times, odd):
    pace = present(usual_pace(*spoken()))
    seconds = times * pace.usual_s(letters)
    assert (pace.is_fast(letters, seconds), pace.is_slow(letters, seconds)) == (odd == "fast", odd == "slow")


def test_where_readers_differ_much_less_is_odd():
    calm, lively = (present(usual_pace(*spoken(spread=spread))) for spread in (0.05, 0.3))
    assert calm.odd_factor < lively.odd_factor < 2


@pytest.mark.parametrize("letters", [[30] * 40, [3, 4, 5] * 20])
def test_texts_of_one_length_have_a_pace_as_well(letters):
    pace = present(usual_pace(letters, [0.1 * count for count in letters]))
    assert pace.usual_s(letters[0]) == pytest.approx(0.1 * letters[0])


@pytest.mark.parametrize("count", [0, 1, MIN_TO_COMPARE - 1])
def test_too_few_recordings_have_no_pace(count):
    assert usual_pace([20] * count, [2.0] * count) is None


def test_texts_without_letters_are_not_compared():
    assert usual_pace([0] * 30, [2.0] * 30) is None
    assert not Pace(0.3, 0.1, 1.8).is_slow(0, 60.0)


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("Jesus wept.", 9),
        ("בְּרֵאשִׁית", 6),
        ("한국", 2),
        ("\u1112\u1161\u11ab\u1100\u116e\u11a8", 2),  # the same, taken apart
        ("\ue001\ue002 \ue003", 3),  # a font's own letters
        ("e\u0301te\u0301", 3),
        ("नमस्ते", 3),
        ("12:3", 3),
        ("…?! —", 0),
    ],
)
def test_letters_are_counted_as_people_count_them(text, letters):
    assert letter_count(text) == letters
