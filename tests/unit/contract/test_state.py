"""The table of states: what is seen in one commit, and what the job then is."""

from datetime import UTC, datetime

import pytest

from codex_worker.contract.manifest import JobEntry
from codex_worker.contract.paths import RecordName
from codex_worker.contract.records import End, EndState, Lease
from codex_worker.contract.state import Budgets, JobFacts, State, job_state, uses_up_budget
from codex_worker.errors import Kind

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
ENTRY = JobEntry.model_validate({"job_id": "j1", "job_type": "asr"})
CANCELED = ENTRY.model_copy(update={"canceled": True})


def attempt(number: int, worker: str = "w") -> RecordName:
    return RecordName("j1", worker, "attempt", number, f"{number:08x}")


def end(number: int, state: EndState, kind: Kind | None = None, final: bool | None = None, worker: str = "w"):
    name = RecordName("j1", worker, "end", number, f"{number:08x}")
    return name, End(state=state, kind=kind, ended_at=MOMENT, ended_by="w", worker_id=worker, final=final)


def lease(number: int) -> Lease:
    return Lease(number=number, nonce=f"{number:08x}", beat="b", at=MOMENT)


def facts(**keys) -> JobFacts:
    return JobFacts(**{"job_id": "j1", "entry": ENTRY, **keys})


OLD_RUNNING = {"worker_id": "old", "state": "running"}
OURS_RUNNING = {"worker_id": "w", "state": "running"}

TABLE = [
    ("a new entry", facts(), State.PENDING),
    ("canceled before the claim", facts(entry=CANCELED), State.CANCEL_REQUESTED),
    ("no entry", facts(entry=None), State.ABSENT),
    ("an entry that is no job", facts(entry=None, invalid="mode: ..."), State.INVALID),
    ("claimed", facts(attempts=[attempt(1)], response=OURS_RUNNING), State.RUNNING),
    ("claimed, response gone", facts(attempts=[attempt(1)]), State.RUNNING),
    ("claimed, canceled", facts(entry=CANCELED, attempts=[attempt(1)]), State.RUNNING),
    ("an older worker's", facts(response=OLD_RUNNING), State.ELSEWHERE),
    ("an unreadable response", facts(response={}), State.ELSEWHERE),
    (
        "finished by an older worker",
        facts(response={"worker_id": "old", "state": "completed"}),
        State.COMPLETED,
    ),
    ("failed by an older worker", facts(response={"worker_id": "old", "state": "failed"}), State.FAILED),
    (
        "completed, an old response merged back",
        facts(attempts=[attempt(1)], ends=dict([end(1, EndState.COMPLETED)]), response=OURS_RUNNING),
        State.COMPLETED,
    ),
    (
        "completed, whatever attempt is newer",
        facts(attempts=[attempt(1), attempt(2)], ends=dict([end(1, EndState.COMPLETED)])),
        State.COMPLETED,
    ),
    (
        "completed, entry gone",
        facts(entry=None, attempts=[attempt(1)], ends=dict([end(1, EndState.COMPLETED)])),
        State.COMPLETED,
    ),
    *[
        (
            f"failed: {kind}",
            facts(attempts=[attempt(1)], ends=dict([end(1, EndState.FAILED, kind)])),
            State.FAILED if kind.is_final else State.PENDING,
        )
        for kind in (Kind.USER, Kind.DATA, Kind.MODEL, Kind.TIMEOUT, Kind.SYSTEM, Kind.RESOURCE)
    ],
    *[
        (f"given back: {state}", facts(attempts=[attempt(1)], ends=dict([end(1, state)])), State.PENDING)
        for state in (EndState.PREEMPTED, EndState.YIELDED, EndState.LOST, EndState.WITHDRAWN)
    ],
    (
        "withdrawn, and the entry still gone",
        facts(entry=None, attempts=[attempt(1)], ends=dict([end(1, EndState.WITHDRAWN)])),
        State.ABSENT,
    ),
    (
        "given back, then claimed again",
        facts(attempts=[attempt(1), attempt(2)], ends=dict([end(1, EndState.PREEMPTED)])),
        State.RUNNING,
    ),
    (
        "given back, then canceled",
        facts(entry=CANCELED, attempts=[attempt(1)], ends=dict([end(1, EndState.PREEMPTED)])),
        State.CANCEL_REQUESTED,
    ),
    (
        "given back, and taken by an older worker",
        facts(attempts=[attempt(1)], ends=dict([end(1, EndState.PREEMPTED)]), response=OLD_RUNNING),
        State.ELSEWHERE,
    ),
    (
        "lost by three workers without anybody saying that it was the last",
        facts(
            attempts=[attempt(n, f"w{n}") for n in (1, 2, 3)],
            ends=dict(end(n, EndState.LOST, worker=f"w{n}") for n in (1, 2, 3)),
        ),
        State.EXHAUSTED,
    ),
    (
        "failed three times by one sick machine",
        facts(
            attempts=[attempt(n) for n in (1, 2, 3)],
            ends=dict(end(n, EndState.FAILED, Kind.SYSTEM) for n in (1, 2, 3)),
        ),
        State.PENDING,
    ),
    (
        "failed so often by one machine that it must be the job",
        facts(
            attempts=[attempt(n) for n in range(1, 13)],
            ends=dict(end(n, EndState.FAILED, Kind.SYSTEM) for n in range(1, 13)),
        ),
        State.EXHAUSTED,
    ),
    (
        "the last of its budget",
        facts(attempts=[attempt(1)], ends=dict([end(1, EndState.FAILED, Kind.SYSTEM, final=True)])),
        State.FAILED,
    ),
    ("deleted: a lease without its attempt", facts(lease=lease(1)), State.DELETED),
    ("deleted: an end without its attempt", facts(ends=dict([end(1, EndState.COMPLETED)])), State.DELETED),
    (
        "a lease of an earlier attempt counts as none",
        facts(attempts=[attempt(1), attempt(2)], ends=dict([end(1, EndState.LOST)]), lease=lease(1)),
        State.RUNNING,
    ),
    (
        "an unreadable end still ends the attempt",
        facts(attempts=[attempt(1)], ends={end(1, EndState.LOST)[0]: None}),
        State.PENDING,
    ),
]


@pytest.mark.parametrize(("seen", "state"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_the_table_of_states(seen, state):
    assert job_state(seen, Budgets()).state is state


def test_numbers_go_on_from_attempts_ends_and_the_lease():
    assert facts().next_number == 1
    assert facts(attempts=[attempt(2)]).next_number == 3
    assert facts(lease=lease(7)).next_number == 8


@pytest.mark.parametrize(
    ("state", "kind", "before", "is_last"),
    [
        (EndState.YIELDED, None, [EndState.YIELDED] * 5, False),
        (EndState.YIELDED, None, [EndState.YIELDED] * 6 + [EndState.PREEMPTED] * 5, False),
        (EndState.YIELDED, None, [EndState.YIELDED] * 7 + [EndState.PREEMPTED] * 4, False),
        (EndState.YIELDED, None, [EndState.YIELDED] * 12, False),
        (EndState.YIELDED, None, [EndState.YIELDED] * 14, True),
        (EndState.PREEMPTED, None, [EndState.YIELDED] * 5 + [EndState.PREEMPTED] * 8, False),
        (EndState.PREEMPTED, None, [EndState.YIELDED] * 5 + [EndState.PREEMPTED] * 9, True),
        (EndState.LOST, None, [EndState.YIELDED] * 20, False),
        (EndState.PREEMPTED, None, [EndState.PREEMPTED] * 8, False),
        (EndState.PREEMPTED, None, [EndState.PREEMPTED] * 9, True),
        (EndState.LOST, None, [EndState.LOST], False),
        (EndState.LOST, None, [EndState.LOST] * 2, True),
        (EndState.FAILED, Kind.RESOURCE, [EndState.LOST] * 2, True),
        (EndState.FAILED, Kind.USER, [EndState.LOST] * 2, False),
        (EndState.COMPLETED, None, [EndState.LOST] * 2, False),
        (EndState.LOST, None, [EndState.PREEMPTED] * 9, False),
    ],
)
def test_releases_and_failures_have_budgets_of_their_own(state, kind, before, is_last):
    """Each attempt is another worker's."""
    seen = facts(
        attempts=[attempt(n, f"w{n}") for n in range(1, len(before) + 2)],
        ends=dict(end(n, earlier, worker=f"w{n}") for n, earlier in enumerate(before, 1)),
    )
    assert bool(uses_up_budget(seen, state, kind, Budgets(yields=5))) is is_last


@pytest.mark.parametrize(
    ("workers", "is_last"),
    [
        ("aaa", False),
        ("aaaaaaab", False),
        ("aab", False),
        ("aabc", True),
        ("abc", True),
        ("a" * 11, False),
        ("a" * 12, True),
        ("ab" * 6, True),
    ],
)
def test_a_budget_counts_machines_so_that_one_sick_one_does_not_use_it_up(workers, is_last):
    named = list(enumerate(workers, 1))
    kinds = (Kind.SYSTEM, Kind.RESOURCE)
    seen = facts(
        attempts=[attempt(n, worker) for n, worker in named],
        ends=dict(
            end(n, EndState.FAILED, kinds[n % 2], worker=worker) for n, worker in named if n < len(workers)
        ),
    )
    last = uses_up_budget(seen, EndState.FAILED, Kind.SYSTEM, Budgets())
    assert bool(last) is is_last
    assert last is None or f"{len(workers)} times, by {len(set(workers))} worker" in last
