"""How an attempt ended: a table of what the child said and how its process left."""

import pytest

from codex_worker.errors import Kind
from codex_worker.job.channel import LastWord
from codex_worker.job.ends import Cause, exit_code
from codex_worker.supervisor.decide import Departure, outcome_of
from codex_worker.supervisor.settings import JobLimits

LIMITS = JobLimits(memory_bytes=16_000_000_000, hang_s=1800)
DONE = LastWord(result={})
NOTHING = None


def failed(kind: Kind, message: str = "Its own words.") -> LastWord:
    return LastWord(kind=kind, message=message)


# Why it was ended, its last word, how its process left: end, kind, code of the child and of the worker,
# and how the sentence begins.
TABLE = [
    (None, DONE, 0, "completed", None, 0, 0, "Done."),
    (None, DONE, -9, "completed", None, 0, 0, "Done."),  # killed after its last word
    (Cause.CANCELED, DONE, 0, "completed", None, 0, 0, "Done."),
    (Cause.HANG, DONE, -9, "completed", None, 0, 0, "Done."),
    (Cause.CANCELED, failed(Kind.CANCELED), 70, "canceled", "canceled", 70, 70, "The job was canceled; what"),
    (Cause.CANCELED, failed(Kind.DATA), 65, "canceled", "canceled", 65, 70, "The job was canceled; what"),
    (Cause.CANCELED, NOTHING, -9, "canceled", "canceled", None, 70, "The job was canceled; what"),
    (Cause.WITHDRAWN, failed(Kind.CANCELED), 70, "withdrawn", "canceled", 70, 70, "The job's entry is gone"),
    (Cause.WITHDRAWN, NOTHING, -9, "withdrawn", "canceled", None, 70, "The job's entry is gone"),
    (
        Cause.PREEMPTED,
        failed(Kind.PREEMPTED),
        75,
        "preempted",
        "preempted",
        75,
        75,
        "The worker had to leave",
    ),
    (Cause.PREEMPTED, NOTHING, -9, "preempted", "preempted", None, 75, "The worker had to leave"),
    (None, failed(Kind.PREEMPTED), 75, "preempted", "preempted", 75, 75, "Its own words."),  # SIGTERM
    (Cause.TIMEOUT, failed(Kind.TIMEOUT), 1, "failed", "timeout", 1, 1, "The job's time is used up"),
    (Cause.TIMEOUT, NOTHING, -9, "failed", "timeout", None, 1, "The job's time is used up"),
    (Cause.HANG, NOTHING, -9, "failed", "system", None, 1, "The job's process gave no sign of life for 30 m"),
    (
        Cause.MEMORY,
        NOTHING,
        -9,
        "failed",
        "resource",
        None,
        1,
        "The job needed more memory than this machine",
    ),
    (Cause.BROKEN, NOTHING, -9, "failed", "system", None, 1, "The job's process sent what no handler sends"),
    (None, failed(Kind.CANCELED, "{x}"), 70, "failed", "system", 70, 1, "The handler gave up by itself: {x}"),
    (None, failed(Kind.USER), 65, "failed", "user", 65, 65, "Its own words."),
    (None, failed(Kind.DATA), 65, "failed", "data", 65, 65, "Its own words."),
    (None, failed(Kind.MODEL), 1, "failed", "model", 1, 1, "Its own words."),
    (None, failed(Kind.RESOURCE), 1, "failed", "resource", 1, 1, "Its own words."),
    (None, failed(Kind.SYSTEM), 1, "failed", "system", 1, 1, "Its own words."),
    (None, failed(Kind.TIMEOUT), 1, "failed", "timeout", 1, 1, "Its own words."),
    (None, NOTHING, -9, "failed", "resource", None, 1, "The job's process was killed by signal 9 (SIGKILL)"),
    (None, NOTHING, -11, "failed", "system", None, 1, "The job's process crashed with signal 11 (SIGSEGV)."),
    (
        None,
        NOTHING,
        -200,
        "failed",
        "system",
        None,
        1,
        "The job's process crashed with signal 200 (unknown).",
    ),
    (
        None,
        NOTHING,
        3,
        "failed",
        "system",
        None,
        1,
        "The job's process ended without a result (exit code 3).",
    ),
    (
        None,
        NOTHING,
        0,
        "failed",
        "system",
        None,
        1,
        "The job's process ended without a result (exit code 0)",
    ),
]


@pytest.mark.parametrize(
    ("cause", "word", "return_code", "state", "kind", "childs_code", "workers_code", "sentence"), TABLE
)
def test_what_the_child_said_and_how_it_left_decide_the_end(
    cause, word, return_code, state, kind, childs_code, workers_code, sentence
):
    said = {} if word is None else {"result": word.result, "kind": word.kind, "message": word.message}
    outcome = outcome_of(Departure(return_code, cause, **said), LIMITS)
    assert outcome is not None and (outcome.state, outcome.kind) == (state, kind)
    assert outcome.message.startswith(sentence)
    assert childs_code is None or word.exit_code == childs_code
    assert exit_code(outcome.state, outcome.kind) == workers_code


@pytest.mark.parametrize("cause", [Cause.LOST, Cause.DELETED])
def test_nothing_is_written_of_an_attempt_that_is_somebody_elses(cause):
    assert outcome_of(Departure(0, cause, result={"success": True}), LIMITS) is None
    assert cause.ending.exit_code == 70


def test_a_finished_job_says_what_it_did():
    result = {"epochs_completed": 55, "cells_written": 16, "checkpoint_path": "x", "cells_failed": "odd"}
    outcome = outcome_of(Departure(0, result=result), LIMITS)
    assert outcome is not None and outcome.message == "Done: 55 epochs trained, 16 cells written."
