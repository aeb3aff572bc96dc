"""Short trainings narrow a forecast as far as they tell something, and no further."""

import itertools
from dataclasses import replace

import pytest

from codex_worker.forecast.anchors import TINY
from codex_worker.forecast.cost import TrainingWork
from codex_worker.forecast.curves import ErrorRange
from codex_worker.forecast.learning_curve import STEEPEST, fitted
from codex_worker.forecast.probed import Measured, ProbeReading, ProbeReport, ProbeRun, measured
from codex_worker.forecast.project import forecast
from codex_worker.forecast.situation import Situation

KNOWN = ErrorRange(13.0, 30.0)


def run(percent, **changes):
    """A run over 18 minutes of recordings with a tenth of its planned updates."""
    end = None if percent is None else Measured(percent, 1.0)
    made = ProbeRun("one/model", "full", 0.3, 200.0, 400, (), end, planned_updates=4000)
    return replace(made, **changes)


def falling(*percents, seconds=50.0, updates=100):
    return tuple(
        ProbeReading(seconds * place, updates * place, percent)
        for place, percent in enumerate(percents, start=1)
    )


@pytest.mark.parametrize("exponent", [0.0, 0.3, 0.55, 1.0])
def test_a_power_law_is_found_again_in_its_own_points(exponent):
    law = fitted([(hours, 20 * hours**-exponent) for hours in (0.25, 0.5, 1.0)])
    assert law is not None
    assert law.exponent == pytest.approx(exponent)
    assert law.at(4.0) == pytest.approx(20 * 4**-exponent)


@pytest.mark.parametrize(
    ("points", "exponent"),
    [
        ([(1, 20), (2, 30)], 0.0),  # noise: more never promises more errors
        ([(1, 64), (2, 8)], STEEPEST),
        ([(1, 0.0), (2, 0.0)], 0.0),
        ([(1, 300.0), (4, 150.0)], 0.5),
    ],
)
def test_a_curve_neither_rises_nor_falls_faster_than_curves_do(points, exponent):
    law = fitted(points)
    assert law is not None
    assert law.exponent == pytest.approx(exponent)
    assert 0 <= law.at(1e-6) <= 100


@pytest.mark.parametrize("points", [[], [(1, 20)], [(1, 20), (1, 10)], [(0, 5), (1, 5)]])
def test_there_is_no_curve_through_one_amount(points):
    assert fitted(points) is None


def test_an_error_rate_is_over_all_letters_and_its_error_over_recordings():
    even = measured([2, 4, 6], [10, 20, 30])
    assert even.percent == pytest.approx(20)
    assert even.error == pytest.approx(0)
    assert measured([0, 10, 2], [10, 20, 30]).error > 1
    assert measured([], []).percent == 0


@pytest.mark.parametrize("percent", [0.0, 5.0, 20.0, 29.0, 60.0, 89.0, 150.0])
@pytest.mark.parametrize("updates", [1, 400, 2000, 9000])
@pytest.mark.parametrize("hours", [0.3, 3.0])
def test_a_narrowed_range_is_one_and_an_early_run_never_raises_its_worse_end(percent, updates, hours):
    tried = run(percent, updates=updates, readings=falling(90, 80, percent))
    found = ProbeReport("here", 40, (tried,)).narrowed(KNOWN, tried, hours)
    assert 0 <= found.low <= found.high <= 100
    if not tried.is_late:
        assert found.high <= KNOWN.high
        assert found.low <= KNOWN.low


def test_what_an_early_run_reads_already_is_the_worse_end():
    tried = run(20.0)
    found = ProbeReport("here", 40, (tried,)).narrowed(KNOWN, tried, 0.3)
    assert found.low == KNOWN.low
    assert found.high == pytest.approx(22)


def test_an_early_run_that_reads_better_than_was_thought_moves_the_better_end():
    tried = run(12.0)
    found = ProbeReport("here", 40, (tried,)).narrowed(KNOWN, tried, 0.3)
    assert found.low == pytest.approx(10 / 1.9)
    assert found.high == pytest.approx(14)


@pytest.mark.parametrize("percent", [35.0, 76.0, 89.0])
def test_an_early_run_that_reads_worse_changes_nothing_and_that_is_said(percent):
    situation = Situation(450, 0.3, (0.3,), letters=28)
    before = forecast(situation)
    after = forecast(situation, probe=ProbeReport("here", 40, (run(percent),)))
    assert before and after
    assert after.transcribers[0].errors.letters_wrong == before.transcribers[0].errors.letters_wrong
    assert "too short to tell more" in after.transcribers[0].errors.rests_on[0]


def test_a_run_to_its_end_is_believed_before_other_peoples_figures():
    tried = run(70.0, updates=4000)
    found = ProbeReport("here", 40, (tried,)).narrowed(KNOWN, tried, 0.3)
    assert found.low == pytest.approx(68)
    assert found.high == pytest.approx(72)


# The tiny network on 18 minutes of English voice prompts: updates, and letters wrong in a hundred of clips
# that were not heard, at six places of one training.
REAL_CURVE = ((492, 69.8), (986, 51.2), (1499, 46.3), (2029, 42.6), (2511, 42.1), (2996, 41.3))


@pytest.mark.parametrize("stopped_at", range(1, len(REAL_CURVE) + 1))
def test_wherever_a_probe_had_left_a_real_training_its_end_is_inside_the_range(stopped_at):
    done = REAL_CURVE[:stopped_at]
    updates, percent = done[-1]
    tried = run(
        percent,
        preset="tiny",
        updates=updates,
        planned_updates=REAL_CURVE[-1][0],
        readings=tuple(ProbeReading(each[0] / 9, *each) for each in done),
    )
    known = TINY.at(0.3)
    found = ProbeReport("here", 54, (tried,)).narrowed(known, tried, 0.3)
    assert found.low <= REAL_CURVE[-1][1] <= found.high
    assert found.high - found.low <= known.high - known.low


def test_the_curve_of_a_run_lowers_what_may_be_reached():
    flat, falls = run(40.0), run(40.0, readings=falling(90, 80, 70, 60, 50, 40))
    assert falls.expected() < flat.expected() == 40.0


def test_more_recordings_than_a_probe_heard_lower_what_may_be_reached():
    tried = run(12.0)
    parts = (run(40.0, hours=0.075), run(30.0, hours=0.15))
    alone, with_parts = ProbeReport("here", 40, (tried,)), ProbeReport("here", 40, (tried,), parts)
    assert with_parts.narrowed(KNOWN, tried, 3.0).low < alone.narrowed(KNOWN, tried, 3.0).low
    assert any("Twice the recordings (36 minutes)" in line for line in with_parts.lines())


def test_parts_are_compared_with_the_winner_after_the_same_time():
    tried = run(20.0, seconds=600.0, readings=falling(80, 60, 55, 20, seconds=100.0))
    parts = (run(60.0, hours=0.15, seconds=200.0),)
    law = ProbeReport("here", 40, (tried,), parts).law
    assert law is not None
    assert law.exponent == 0.0


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ([run(60.0, base="two")], "one/model reads best after the same time."),
        ([run(31.0, base="two")], "too close to tell"),
        ([run(None, base="two", trouble="did not get through: it diverged")], "the only one"),
        ([run(None, base="two"), run(80.0, base="three")], "reads best"),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_a_race_is_decided_only_as_far_as_it_can_be(others, said, turned):
    race = [run(30.0), *others]
    report = ProbeReport("here", 40, tuple(reversed(race) if turned else race))
    assert report.winner.base == "one/model"
    assert any(said in line for line in report.lines())


@pytest.mark.parametrize("percent", [95.0, 100.0, 140.0, None])
def test_a_run_that_has_not_begun_to_read_changes_nothing_and_asks_for_minutes(percent):
    situation = Situation(450, 0.3, (0.3,), letters=28)
    report = ProbeReport("here", 40, (run(percent, trouble="did not get through: x"),))
    before, after = forecast(situation), forecast(situation, probe=report)
    assert before and after
    assert after.transcribers == before.transcribers
    assert any("give it more minutes" in line for line in after.lines())


def test_a_probe_narrows_the_preset_that_it_trained_and_the_range_before_is_named():
    situation = Situation(450, 0.3, (0.3,), letters=28)
    before = forecast(situation)
    after = forecast(situation, probe=ProbeReport("here", 40, (run(25.0, preset="tiny", base="tiny"),)))
    assert before and after
    assert after.transcribers[0] == before.transcribers[0]
    assert after.transcribers[1].errors.letters_wrong.high < before.transcribers[1].errors.letters_wrong.high
    assert str(before.transcribers[1].errors.letters_wrong) in after.transcribers[1].errors.rests_on[0]


def test_the_pace_of_a_probe_of_what_is_to_be_rented_decides_hours_and_money():
    situation = Situation(450, 0.3, (0.3,), letters=28)
    work = {"full": TrainingWork(4000, 80.0, 600_000_000)}
    tried = run(25.0, seconds=300.0, updates=600, planned_updates=6000)
    found = forecast(situation, work, 2.0, ProbeReport("here", 40, (tried,)))
    assert found is not None
    cost = found.transcribers[0].cost
    assert cost is not None
    assert cost.hours[0] == cost.hours[1] == pytest.approx(3000 / 3600, rel=0.05)
    assert cost.money[0] == pytest.approx(2 * cost.hours[0])
    assert "of this machine, which cost" in str(cost)
    other = forecast(situation, work, 2.0, ProbeReport("here", 40, (run(25.0, preset="tiny"),)))
    assert other is not None
    assert "of a GPU, which cost" in str(other.transcribers[0].cost)


def test_a_range_for_more_hours_is_never_worse():
    tried = run(25.0)
    report = ProbeReport("here", 40, (tried,), (run(45.0, hours=0.1),))
    ranges = [report.narrowed(KNOWN, tried, hours) for hours in (0.3, 0.6, 1, 5, 50)]
    assert all(one.low >= other.low and one.high >= other.high for one, other in itertools.pairwise(ranges))
