"""A chart shows what is usual, and counts what is far from it at its edges."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_worker.doctor.charts import columns, usual_range

USUAL = [2.0 + 0.05 * number for number in range(60)]


def heights(chart):
    return [float(height) for height in re.findall(r'height="([\d.]+)" fill', chart)]


@pytest.mark.parametrize(
    ("outliers", "said"),
    [
        ([], []),
        ([3600.0], ["(1 more)", "up to 3600.0"]),
        ([-900.0], ["(1 less)", "down to -900.0"]),
        ([500.0, 900.0, -70.0], ["(2 more)", "(1 less)"]),
    ],
)
def test_an_outlier_does_not_squash_the_rest(outliers, said):
    chart = columns("Length", USUAL + outliers)
    plain = columns("Length", USUAL)
    assert sum(height > 0 for height in heights(chart)) >= 0.7 * sum(height > 0 for height in heights(plain))
    for words in said:
        assert words in chart
    assert ("more)" in chart or "less)" in chart) is bool(outliers)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=80))
def test_every_value_is_counted_in_some_column(values):
    counts = [int(count) for count in re.findall(r": (\d+)(?: \(|<)", columns("x", values))]
    assert sum(counts) == len(values)


@given(st.lists(st.floats(0, 10), min_size=20, max_size=80))
def test_the_range_holds_at_least_the_middle_four_fifths(values):
    lowest, highest = usual_range(np.array(values))
    inside = [value for value in values if lowest <= value <= highest]
    assert len(inside) >= 0.8 * len(values) - 2


@pytest.mark.parametrize("values", [[], [float("nan")], [float("inf")]])
def test_nothing_gives_no_chart(values):
    assert columns("x", values) == ""


def test_equal_values_have_a_chart():
    assert "5.0 to" in columns("x", [5.0] * 12) or "to 5" in columns("x", [5.0] * 12)
