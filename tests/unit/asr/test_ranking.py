"""The measures by which a list of what to listen to first is judged."""

import math

import numpy as np
import pytest

from bench.ranking import area_under_curve, found_in_third, wrong_verses


@pytest.mark.parametrize(
    ("error_rates", "wrong"),
    [
        ([0.0, 0.1, 0.3, 0.0, 0.05, 0.0], [2]),  # a good transcriber: few are wrong
        ([0.5, 0.9, 0.4, 0.8, 0.3, 0.6], [1, 3]),  # a poor one: the worst third
        ([0.0] * 6, []),
        ([], []),
    ],
)
def test_wrong_verses_are_those_with_a_fifth_of_their_letters_wrong_or_the_worst_third(error_rates, wrong):
    assert np.flatnonzero(wrong_verses(error_rates)).tolist() == wrong


@pytest.mark.parametrize(
    ("confidences", "area", "third"),
    [
        ([0.9, 0.1, 0.8, 0.2, 0.7, 0.6], 1.0, 1.0),
        ([0.1, 0.9, 0.2, 0.8, 0.3, 0.4], 0.0, 0.0),
        ([0.5] * 6, 0.5, 0.5),
        ([0.9, 0.1, 0.2, 0.8, 0.7, 0.6], 0.625, 0.5),
    ],
)
def test_a_list_is_good_that_begins_with_the_wrong_verses(confidences, area, third):
    wrong = np.array([False, True, False, True, False, False])
    assert area_under_curve(confidences, wrong) == pytest.approx(area)
    assert found_in_third(confidences, wrong) == pytest.approx(third)


def test_where_nothing_is_wrong_nothing_can_be_found():
    wrong = np.zeros(4, dtype=bool)
    assert math.isnan(found_in_third([0.1, 0.2, 0.3, 0.4], wrong))
    assert math.isnan(area_under_curve([0.1, 0.2, 0.3, 0.4], wrong))
