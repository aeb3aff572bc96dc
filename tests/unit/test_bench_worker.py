"""The share of time in which a worker's jobs compute, as the benchmark counts it."""

import pytest

from bench.worker import Course


@pytest.mark.parametrize(
    ("spans", "share", "gap_s"),
    [
        ([(0, 10), (10, 20)], 1.0, 0),
        ([(100, 109), (110, 120)], 0.95, 1),
        ([(0, 1), (2, 3), (13, 14)], 3 / 14, 5.5),
    ],
)
def test_the_share_is_counted_from_the_first_jobs_beginning_to_the_last_ones_end(spans, share, gap_s):
    course = Course(spans)
    assert course.busy_share == pytest.approx(share) and course.gap_s == gap_s
