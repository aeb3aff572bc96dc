"""What is held back: whole chapters of the same kind as the rest, the same ones each time."""

import random
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_worker.data.held_out import NOTE, Item, hold_out

SHARES = st.sampled_from([0.05, 0.1, 0.2])


def chapters_of(sizes, seed=0, middle=4.0):
    rng = random.Random(seed)
    return [
        Item(f"{chapter}:{verse}", f"{chapter}", rng.lognormvariate(0, 0.4) * middle)
        for chapter, size in enumerate(sizes)
        for verse in range(size)
    ]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=40), SHARES, st.integers(0, 9))
def test_the_share_is_met_without_parting_a_chapter_or_a_note_says_that_chapters_are_parted(
    sizes, share, seed
):
    items = chapters_of(sizes, seed)
    held = hold_out(items, [share])
    wanted = share * len(items)
    assert abs(len(held.parts[0]) - wanted) <= max(1.0, 0.25 * wanted)
    if not held.notes:
        sides = ({i.chapter for i in items if (i.key in held.parts[0]) is side} for side in (True, False))
        assert not next(sides) & next(sides)
    assert len(held.parts[0]) < len(items)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_the_order_of_recordings_changes_nothing(sizes, random_source):
    items = chapters_of(sizes)
    shuffled = list(items)
    random_source.shuffle(shuffled)
    assert hold_out(shuffled, [0.1, 0.05]) == hold_out(items, [0.1, 0.05])


@pytest.mark.parametrize("share", [0.05, 0.1, 0.2])
def test_a_new_chapter_moves_few_others(share):
    before = hold_out(chapters_of([20] * 40), [share]).parts[0]
    for seed in range(5):
        new = [
            Item(f"new {seed}:{v}", f"new {seed}", item.length) for v, item in enumerate(chapters_of([20]))
        ]
        after = hold_out(chapters_of([20] * 40) + new, [share]).parts[0]
        assert len({key.split(":")[0] for key in before ^ after}) <= 3


@pytest.mark.parametrize("seed", range(8))
def test_chapters_of_single_words_do_not_stand_for_the_verses(seed):
    verses = chapters_of([25] * 14, seed, 5.0)
    words = [Item(f"w{i.key}", f"w{i.chapter}", i.length / 6) for i in chapters_of([30] * 4, seed, 5.0)]
    held = hold_out(verses + words, [0.05])
    lengths = [i.length for i in verses + words if i.key in held.parts[0]]
    rest = [i.length for i in verses + words if i.key not in held.parts[0]]
    assert statistics.median(lengths) == pytest.approx(statistics.median(rest), rel=0.35)
    assert len(lengths) == pytest.approx(0.05 * len(verses + words), rel=0.3)


def test_two_parts_share_nothing():
    validation, test = hold_out(chapters_of([10] * 30), [0.1, 0.1]).parts
    assert validation
    assert test
    assert not validation & test


@pytest.mark.parametrize("sizes", [[60], [20, 20, 20], [200, 3, 200, 200, 1]])
def test_single_recordings_of_all_lengths_are_held_back_where_chapters_are_too_few(sizes):
    items = chapters_of(sizes)
    held = hold_out(items, [0.1])
    assert held.notes == (NOTE,)
    lengths = [i.length for i in items if i.key in held.parts[0]]
    assert statistics.median(lengths) == pytest.approx(statistics.median(i.length for i in items), rel=0.35)


def test_nothing_is_held_back_where_nothing_is_asked_for():
    assert hold_out(chapters_of([10] * 10), [0.0]).parts == (frozenset(),)


def test_a_small_share_of_few_recordings_is_one():
    assert len(hold_out(chapters_of([10]), [0.02]).parts[0]) == 1
