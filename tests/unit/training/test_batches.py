import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_worker.training.batches import batches_by_length

LENGTHS = st.lists(st.floats(0.1, 30.0), max_size=200)


@given(
    LENGTHS, st.floats(1.0, 100.0), st.one_of(st.none(), st.integers(1, 9)), st.booleans(), st.integers(0, 99)
)
def test_every_item_is_in_one_batch_and_no_batch_is_padded_beyond_the_limit(
    lengths, limit, items, shuffle, seed
):
    batches = batches_by_length(lengths, max_total=limit, max_items=items, seed=seed, shuffle=shuffle)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert items is None or len(batch) <= items
        assert len(batch) == 1 or max(lengths[index] for index in batch) * len(batch) <= limit


def test_an_item_longer_than_the_limit_is_a_batch_of_its_own():
    assert batches_by_length([3.0, 180.0, 2.0], max_total=20.0) == [[2, 0], [1]]


def test_a_shuffle_is_repeatable_and_differs_between_seeds():
    lengths = [2.0 + (index * 7 % 50) / 10 for index in range(100)]
    one, again, other = (
        batches_by_length(lengths, max_total=30.0, seed=seed, shuffle=True) for seed in (1, 1, 2)
    )
    assert one == again
    assert sorted(map(sorted, one)) != sorted(map(sorted, other)), "items meet other neighbours too"


def test_sorting_by_length_wastes_little_on_padding():
    lengths = [1.0 + (index * 37 % 240) / 10 for index in range(400)]
    for shuffle in (False, True):
        batches = batches_by_length(lengths, max_total=200.0, seed=5, shuffle=shuffle)
        padded = sum(max(lengths[index] for index in batch) * len(batch) for batch in batches)
        assert padded < 1.12 * sum(lengths)


@pytest.mark.parametrize("limits", [{"max_total": 0}, {"max_total": 5, "max_items": 0}])
def test_limits_that_nothing_can_satisfy_are_refused(limits):
    with pytest.raises(ValueError, match="must be positive"):
        batches_by_length([1.0], **limits)


def test_a_shuffle_without_a_seed_is_refused():
    with pytest.raises(ValueError, match="needs a seed"):
        batches_by_length([1.0], max_total=1.0, shuffle=True)
