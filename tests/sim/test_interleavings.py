"""Whatever people and the worker do to one notebook, in whatever order, the people's work stays."""

import pytest

from tests.sim.interleavings import publish_stamped_now, publish_whole_notebook, run_interleavings


def test_people_always_win_and_our_results_are_applied_or_reported():
    report = run_interleavings(400, seed=1)
    assert not report.violations, str(report)
    assert report.outcomes["applied"] > 100, str(report)
    assert report.outcomes["applied, then superseded by a person"] > 10, str(report)
    assert report.outcomes["dropped and reported"] > 50, str(report)


@pytest.mark.parametrize("wrong_way", [publish_stamped_now, publish_whole_notebook])
def test_a_wrong_way_to_publish_is_found_out(wrong_way):
    assert run_interleavings(300, seed=1, publish=wrong_way).violations


@pytest.mark.chaos
@pytest.mark.slow
def test_ten_thousand_interleavings():
    report = run_interleavings(10_000, seed=2)
    assert not report.violations, str(report)
