"""The benchmark of a voice's updates runs before anybody pays for a GPU's minutes."""

import time

import pytest

from bench.gpu_report import Report
from bench.gpu_voice import measure


def test_every_part_runs_on_a_processor():
    report = measure(60.0, tiny=True, device="cpu")
    assert (report.failed, report.left_out) == ({}, [])
    collated, loop = report.figures["collate 64x400"], report.figures["loop"]
    assert report.figures["update ms 2x64 plain"] > 0
    assert collated["ms"] > 0 and collated["times_as_many_before"] > 0
    assert loop["updates"] >= 2 and loop["ms_an_update"] > 0
    assert loop["card_computes_share"] is None, "there is no card"


def test_parts_that_would_begin_too_late_are_named_and_not_begun():
    report = measure(0.0, tiny=True, device="cpu")
    assert report.figures == {}
    assert report.left_out == ["update ms 2x64 plain", "collate 64x400", "loop"]


def test_a_part_that_fails_is_told_and_costs_no_other():
    report = Report(time.monotonic() + 60)
    report.part("broken", lambda: 1 / 0)
    report.part("whole", lambda: 7)
    assert report.figures == {"whole": 7}
    assert report.failed == {"broken": "ZeroDivisionError: division by zero"}


@pytest.mark.parametrize("length", [10, 1000])
def test_a_long_reason_is_cut(length):
    report = Report(time.monotonic() + 60)

    def fails():
        raise RuntimeError("x" * length)

    report.part("broken", fails)
    assert report.failed["broken"] == ("RuntimeError: " + "x" * length)[:300]
