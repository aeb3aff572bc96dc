"""When a child is left alone, asked to stop, or ended: a table of what is seen."""

from dataclasses import replace

import pytest

from codex_worker.job.ends import Cause
from codex_worker.supervisor.decide import ChildState, Step, next_step
from codex_worker.supervisor.settings import JobLimits

LIMITS = JobLimits(memory_bytes=1000, hang_s=1800, save_s=300, leave_s=25)
WELL = ChildState(now_s=10_000, last_sign_s=9_990)
GO_ON = (Step.GO_ON, None)


@pytest.mark.parametrize(
    ("sight", "expected"),
    [
        (WELL, GO_ON),
        (replace(WELL, deadline_s=10_001), GO_ON),
        (replace(WELL, deadline_s=10_000), (Step.ASK_TO_STOP, Cause.TIMEOUT)),
        (replace(WELL, wish=Cause.CANCELED), (Step.ASK_TO_STOP, Cause.CANCELED)),
        (replace(WELL, wish=Cause.WITHDRAWN), (Step.ASK_TO_STOP, Cause.WITHDRAWN)),
        (replace(WELL, leaving_s=9_999), (Step.ASK_TO_STOP, Cause.PREEMPTED)),
        (replace(WELL, wish=Cause.CANCELED, leaving_s=9_999), (Step.ASK_TO_STOP, Cause.CANCELED)),
        (replace(WELL, wish=Cause.LOST), (Step.KILL, Cause.LOST)),
        (replace(WELL, wish=Cause.DELETED), (Step.KILL, Cause.DELETED)),
        (replace(WELL, wish=Cause.BROKEN), (Step.KILL, Cause.BROKEN)),
        (replace(WELL, memory_bytes=1000), GO_ON),
        (replace(WELL, memory_bytes=1001), (Step.KILL, Cause.MEMORY)),
        (replace(WELL, last_sign_s=10_000 - 1800), GO_ON),
        (replace(WELL, last_sign_s=10_000 - 1801), (Step.KILL, Cause.HANG)),
        (replace(WELL, last_sign_s=0, is_served=True), GO_ON),
        (replace(WELL, asked=Cause.CANCELED, asked_s=9_701), GO_ON),
        (replace(WELL, asked=Cause.CANCELED, asked_s=9_700), (Step.KILL, Cause.CANCELED)),
        (replace(WELL, asked=Cause.CANCELED, asked_s=9_990, wish=Cause.LOST), (Step.KILL, Cause.LOST)),
        (replace(WELL, asked=Cause.PREEMPTED, asked_s=9_976, leaving_s=9_976), GO_ON),
        (replace(WELL, asked=Cause.PREEMPTED, asked_s=9_975, leaving_s=9_975), (Step.KILL, Cause.PREEMPTED)),
        # Told to leave while the job is saving after a cancellation: the shorter time counts.
        (replace(WELL, asked=Cause.CANCELED, asked_s=9_900, leaving_s=9_975), (Step.KILL, Cause.CANCELED)),
        # A handler that saves is not taken for one that hangs.
        (replace(WELL, asked=Cause.CANCELED, asked_s=9_900, last_sign_s=0), GO_ON),
    ],
)
def test_what_is_seen_of_a_child_decides_the_next_step(sight, expected):
    assert next_step(sight, LIMITS) == expected


def test_without_limits_only_silence_and_people_end_a_job():
    assert next_step(replace(WELL, memory_bytes=10**15), JobLimits()) == GO_ON
