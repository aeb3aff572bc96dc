"""Whole chapters are held back, and always the same ones."""

from codex_worker.training.splits import can_hold_out_groups, hold_out

CHAPTERS = {f"MRK {number}": 60.0 for number in range(1, 21)}


def test_the_same_chapters_are_held_back_whatever_their_order():
    backwards = dict(reversed(CHAPTERS.items()))
    assert hold_out(CHAPTERS, [0.1, 0.1]) == hold_out(backwards, [0.1, 0.1])


def test_shares_are_disjoint_and_about_as_large_as_asked():
    validation, test = hold_out(CHAPTERS, [0.1, 0.2])
    assert not set(validation) & set(test)
    assert (len(validation), len(test)) == (2, 4)


def test_a_new_chapter_moves_at_most_one_other():
    (before,) = hold_out(CHAPTERS, [0.1])
    for name in ("LUK 1", "LUK 2", "LUK 3"):
        (after,) = hold_out({**CHAPTERS, name: 60.0}, [0.1])
        assert len(set(before) - set(after)) <= 1


def test_a_chapter_that_would_take_much_more_than_the_share_is_passed_over():
    sizes = {"PSA 119": 5000.0, **CHAPTERS}
    (held,) = hold_out(sizes, [0.05])
    assert "PSA 119" not in held


def test_three_chapters_are_too_few_to_hold_one_back():
    assert not can_hold_out_groups({"a": 1.0, "b": 1.0, "c": 1.0}, 0.3)
    assert not can_hold_out_groups(dict.fromkeys("abcd", 1.0), 0.1)
    assert can_hold_out_groups(CHAPTERS, 0.1)
