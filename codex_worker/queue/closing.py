"""Ends that need no work: of jobs that nobody runs, and of attempts whose worker fell silent.

All of them are records, never only a response: a merge can bring back an old response, but it cannot
undo a new file.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from codex_worker.contract.paths import RecordName, end_path, response_path
from codex_worker.contract.records import Attempt, End, EndState, Lease
from codex_worker.contract.response import end_response
from codex_worker.contract.state import Budgets, JobFacts, State, failures_of, uses_up_budget
from codex_worker.errors import Kind
from codex_worker.git.repository import Change, LeaseMove
from codex_worker.queue.recording import attempt_files, record_move

_CLOSINGS = {
    State.CANCEL_REQUESTED: (EndState.CANCELED, None, "Canceled before a worker had begun."),
    State.INVALID: (EndState.FAILED, Kind.USER, ""),
    State.EXHAUSTED: (EndState.FAILED, Kind.SYSTEM, "Its budget of attempts is used up."),
}
CLOSABLE = frozenset(_CLOSINGS)


@dataclass(frozen=True)
class Verdict:
    """How a stale attempt ends, and whether the observer may claim the job in the same commit."""

    end: EndState
    kind: Kind | None
    message: str
    final: bool
    claim: bool


@dataclass(frozen=True)
class Place:
    """Where a change goes: the commit it is built on, and the refs of the job's lease and record."""

    head: str
    lease_ref: str | None
    record_ref: str | None


def next_attempt(facts: JobFacts, worker_id: str, moment: datetime, lease_ref: str | None) -> Attempt:
    """A new attempt at the job, with a number that none had before; `lease_ref` None: it beats no lease."""
    return Attempt(
        job_id=facts.job_id,
        number=facts.next_number,
        nonce=secrets.token_hex(4),
        worker_id=worker_id,
        claimed_at=moment,
        lease_ref=lease_ref,
    )


def closing_change(
    facts: JobFacts,
    state: State,
    reason: str,
    *,
    worker_id: str,
    moment: datetime,
    place: Place,
) -> Change[None]:
    """An attempt with its end in one commit, for a job that nobody has to run."""
    end_state, kind, message = _CLOSINGS[state]
    attempt = next_attempt(facts, worker_id, moment, place.lease_ref)
    end = End(
        state=end_state,
        kind=kind,
        message=message or reason,
        ended_at=moment,
        ended_by=worker_id,
        worker_id=worker_id,
        number=attempt.number,
        nonce=attempt.nonce,
        final=True,
    )
    files = {
        attempt.path: attempt.render(),
        attempt.end_path: end.render(),
        response_path(facts.job_id): end_response(end, retries=failures_of(facts)),
    }
    lease = tombstone(attempt.number, attempt.nonce, moment)
    ref = place.lease_ref
    moves: Sequence[LeaseMove] = [LeaseMove(ref, facts.lease_id, lease.render())] if ref else []
    records = record_move(facts, place.record_ref, place.head, attempt_files(attempt, end))
    return Change(files, f"Job {facts.job_id}: {end.state.value}", moves, [attempt.end_path], records=records)


def together(closings: Mapping[str, Change[None]]) -> Change[None]:
    """Several jobs' closings as one change; none of them touches another's files."""
    if len(closings) == 1:
        return next(iter(closings.values()))
    changes = list(closings.values())
    return Change(
        {path: data for change in changes for path, data in change.files.items()},
        f"{len(changes)} jobs end that nobody has to run",
        [move for change in changes for move in change.leases],
        [path for change in changes for path in change.proofs],
        records=[move for change in changes for move in change.records],
    )


def judge_stale(facts: JobFacts, budgets: Budgets) -> Verdict:
    """What to do about an attempt whose worker fell silent."""
    if facts.is_canceled:
        return Verdict(EndState.CANCELED, None, "Canceled; its worker had fallen silent.", True, False)
    # An entry of which no job can be made is there, and the next look answers it.
    if facts.is_withdrawn:
        return Verdict(EndState.WITHDRAWN, None, "Its entry is gone from the manifest.", False, False)
    lost = "The worker fell silent."
    used_up = uses_up_budget(facts, EndState.LOST, None, budgets)
    if used_up:
        return Verdict(EndState.FAILED, Kind.SYSTEM, f"{lost} {used_up}", True, False)
    return Verdict(EndState.LOST, Kind.SYSTEM, lost, False, True)


def end_path_of(job_id: str, end: End) -> str:
    """Where an end lies on the branch."""
    return end_path(job_id, end.worker_id, end.number, end.nonce)


def stale_end(facts: JobFacts, stale: RecordName, verdict: Verdict, observer: str, moment: datetime) -> End:
    """The end of a silent worker's attempt."""
    return End(
        state=verdict.end,
        kind=verdict.kind,
        message=verdict.message,
        ended_at=moment,
        ended_by=observer,
        worker_id=stale.folder,
        number=stale.number,
        nonce=stale.nonce,
        epochs_completed=_epochs(facts.current_lease),
        final=True if verdict.final else None,
    )


def tombstone(number: int, nonce: str, moment: datetime) -> Lease:
    """A lease that only says that there was a job."""
    return Lease(number=number, nonce=nonce, beat=secrets.token_hex(8), at=moment, state="tombstone")


def _epochs(lease: Lease | None) -> int | None:
    return int(lease.epochs_completed) if lease and lease.epochs_completed is not None else None
