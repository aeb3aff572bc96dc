from typing import Any

import pytest

from codex_worker.training.schedule import Schedule


@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_the_rate_rises_over_the_warm_up_and_falls_to_nothing(kind):
    schedule = Schedule(kind, total_steps=100, warmup_steps=10)
    factors = [schedule.factor(step) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9] == factors[10] == 1.0
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert 0.0 < factors[99] < 0.02
    assert schedule.factor(100) == schedule.factor(1000) == 0.0


def test_the_two_shapes_are_a_line_and_half_a_cosine():
    assert Schedule("linear", 100).factor(25) == pytest.approx(0.75)
    assert Schedule("cosine", 100).factor(50) == pytest.approx(0.5)
    assert Schedule("cosine", 100).factor(25) == pytest.approx(0.853553, abs=1e-6)


def test_without_a_warm_up_the_first_update_has_the_full_rate():
    assert Schedule("linear", 5).factor(0) == 1.0


@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_what_begins_later_rests_first_and_ends_with_the_others(kind):
    schedule = Schedule(kind, total_steps=100, warmup_steps=10, begins=30)
    factors = [schedule.factor(step) for step in range(101)]
    assert set(factors[:30]) == {0.0}
    assert factors[30:41] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.0])
    assert factors[40:] == sorted(factors[40:], reverse=True)
    assert factors[100] == 0.0 < factors[99]


@pytest.mark.parametrize(("warmup", "begins"), [(11, 0), (6, 5), (0, 11), (1, -1)])
def test_a_warm_up_longer_than_the_run_is_refused(warmup, begins):
    with pytest.raises(ValueError, match="does not fit"):
        Schedule("linear", 10, warmup, begins)


def test_an_unknown_shape_is_refused():
    shape: Any = "step"
    with pytest.raises(ValueError, match="'step' is not known"):
        Schedule(shape, 10)
