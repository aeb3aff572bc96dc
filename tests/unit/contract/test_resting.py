"""How long a worker leaves a job to others that it failed because of its machine."""

from datetime import UTC, datetime, timedelta

import pytest

from codex_worker.contract.paths import RecordName
from codex_worker.contract.records import End, EndState
from codex_worker.contract.resting import rests_until
from codex_worker.contract.state import JobFacts
from codex_worker.errors import Kind

MOMENT = datetime(2026, 1, 1, 12, tzinfo=UTC)


def ended(*ends: tuple[str, EndState, Kind | None, float]) -> JobFacts:
    """A job with ends by these workers, so many minutes before MOMENT."""
    facts = {}
    for number, (worker, state, kind, minutes) in enumerate(ends, 1):
        at = MOMENT - timedelta(minutes=minutes)
        name = RecordName("j1", worker, "end", number, f"{number:08x}")
        facts[name] = End(state=state, kind=kind, ended_at=at, ended_by=worker, worker_id=worker)
    return JobFacts("j1", ends=facts)


FAILED = EndState.FAILED


@pytest.mark.parametrize(
    ("facts", "rests_for_min"),
    [
        (ended(), None),
        (ended(("me", FAILED, Kind.SYSTEM, 0)), 30),
        (ended(("me", FAILED, Kind.RESOURCE, 10)), 20),
        (ended(("me", EndState.LOST, None, 10)), 20),
        (ended(("me", FAILED, Kind.SYSTEM, 30)), None),
        (ended(("me", FAILED, Kind.SYSTEM, 90), ("me", FAILED, Kind.SYSTEM, 20)), 40),
        (ended(*[("me", FAILED, Kind.SYSTEM, 60)] * 9), 420),
        (ended(("other", FAILED, Kind.SYSTEM, 0)), None),
        (ended(("me", FAILED, Kind.SYSTEM, 40), ("other", FAILED, Kind.SYSTEM, 1)), None),
        (ended(("me", EndState.PREEMPTED, None, 1)), None),
        (ended(("me", FAILED, Kind.DATA, 1)), None),
        (ended(("me", EndState.LOST, None, -2)), 32),
        (ended(("me", FAILED, Kind.SYSTEM, -60 * 24)), None),
    ],
)
def test_a_worker_leaves_a_job_to_others_for_longer_each_time(facts, rests_for_min):
    until = rests_until(facts, "me", MOMENT)
    wanted = None if rests_for_min is None else MOMENT + timedelta(minutes=rests_for_min)
    assert until == wanted
