"""How an attempt ended: a table of what the child said and how its process left."""

import pytest

from codex_worker.errors import Kind
from codex_worker.supervisor.decide import Cause, Departure, outcome_of
from codex_worker.supervisor.settings import JobLimits


@pytest.mark.parametrize(
    ("departure", "state", "kind"),
    [
        (Departure(0, result={}), "completed", None),
        (Departure(-9, result={}), "completed", None),  # killed after its last word
        (Departure(0, Cause.CANCELED, result={}), "completed", None),
        (Departure(70, Cause.CANCELED, kind=Kind.CANCELED, message="canceled"), "canceled", "canceled"),
        (Departure(-9, Cause.CANCELED), "canceled", "canceled"),
        (Departure(-9, Cause.WITHDRAWN), "withdrawn", "canceled"),
        (Departure(75, Cause.PREEMPTED, kind=Kind.PREEMPTED, message="leaving"), "preempted", "preempted"),
        (Departure(-9, Cause.PREEMPTED), "preempted", "preempted"),
        (Departure(75, kind=Kind.PREEMPTED, message="SIGTERM to the child"), "preempted", "preempted"),
        (Departure(-9, Cause.TIMEOUT), "failed", "timeout"),
        (Departure(-9, Cause.HANG), "failed", "system"),
        (Departure(-9, Cause.MEMORY), "failed", "resource"),
        (Departure(-9, Cause.BROKEN), "failed", "system"),
        (Departure(-9), "failed", "resource"),
        (Departure(-11), "failed", "system"),
        (Departure(-200), "failed", "system"),
        (Departure(1), "failed", "system"),
        (Departure(0), "failed", "system"),
        (Departure(65, kind=Kind.DATA, message="no recordings"), "failed", "data"),
        (Departure(70, kind=Kind.CANCELED, message="by itself"), "failed", "system"),
    ],
)
def test_what_the_child_said_and_how_it_left_decide_the_end(departure, state, kind):
    outcome = outcome_of(departure, JobLimits())
    assert outcome is not None and (outcome.state, outcome.kind) == (state, kind)
    assert outcome.message


@pytest.mark.parametrize("cause", [Cause.LOST, Cause.DELETED])
def test_nothing_is_written_of_an_attempt_that_is_somebody_elses(cause):
    assert outcome_of(Departure(0, cause, result={"success": True}), JobLimits()) is None


def test_a_finished_job_says_what_it_did():
    result = {"epochs_completed": 55, "cells_written": 16, "checkpoint_path": "x", "cells_failed": "odd"}
    outcome = outcome_of(Departure(0, result=result), JobLimits())
    assert outcome is not None and outcome.message == "Done: 55 epochs trained, 16 cells written."
