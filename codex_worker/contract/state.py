"""Whose a job is: pure functions of one commit, the job's record, and what was watched.

The rules, in the order in which they are looked at: a person's deletion, any final end, the newest attempt
without an end, an older worker's response, the newest end, the manifest's entry. What the record names
counts although the branch lacks it: then a merge of the editor has left it out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from codex_worker.contract.ids import worker_folder
from codex_worker.contract.job_record import JobRecord
from codex_worker.contract.manifest import JobEntry
from codex_worker.contract.paths import RecordName
from codex_worker.contract.records import End, EndState, Lease
from codex_worker.errors import Kind

# One sick machine must not use up a job's budget, and a job that no machine can do must end.
FAILURES_A_WORKER = 4
# Of a worker that is a guest on its machine: a long training takes a part of many nights.
YIELDS = 100

_GIVEN_BACK = {EndState.PREEMPTED, EndState.YIELDED}
OLDER_FINAL_STATES = {"completed", "failed", "canceled"}


class State(StrEnum):
    """What a job is, as this worker acts on it."""

    PENDING = "pending"
    CANCEL_REQUESTED = "cancel requested"  # pending, and canceled before anybody claimed it
    EXHAUSTED = "exhausted"  # pending again, but its budget of attempts is used up
    INVALID = "invalid"  # its entry cannot be read, and nobody has answered it yet
    RUNNING = "running"
    ELSEWHERE = "running elsewhere"  # an older worker's
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"
    ABSENT = "absent"  # no entry, nothing running
    DELETED = "deleted"  # a person deleted its folder

    @property
    def is_final(self) -> bool:
        """True when the job never runs again."""
        return self in {State.COMPLETED, State.FAILED, State.CANCELED, State.DELETED}


@dataclass(frozen=True)
class Budgets:
    """How often a job may come back."""

    releases: int = 10  # preempted, and yielded more often than that is free
    yields: int = 0  # so often a job is given back for others' sake without using up anything
    failures: int = 3  # different workers that lost it, or failed with kind system or resource

    @property
    def failures_in_all(self) -> int:
        """As many such ends end the job even where few workers, or one, have made them all."""
        return FAILURES_A_WORKER * self.failures


@dataclass(frozen=True)
class Removals:
    """What became of files that a job's record names and the branch lacks, as the history tells."""

    of_job: bool = False  # a person deleted the job
    of_entry: bool = False  # a person took its entry out of the manifest
    is_rewritten: bool = False  # the branch's history was replaced by one without the job's claim


@dataclass(frozen=True)
class JobFacts:
    """What one commit and the job's record say of one job."""

    job_id: str
    entry: JobEntry | None = None
    invalid: str | None = None  # why its entry is no job, as a sentence
    invalid_canceled: bool = False
    attempts: Sequence[RecordName] = ()  # of the branch and of the record
    ends: Mapping[RecordName, End | None] = field(default_factory=dict)  # None: unreadable
    response: Mapping[str, Any] | None = None  # parsed; {} where unreadable
    response_blob: str | None = None
    log_blob: str | None = None
    metrics_blob: str | None = None
    lease: Lease | None = None
    lease_id: str | None = None
    record: JobRecord | None = None
    record_id: str | None = None  # also where the record itself cannot be read
    dropped: Sequence[str] = ()  # paths of attempts and ends that the record names and the branch lacks
    removals: Removals | None = None  # None: nobody had to ask, or nobody can tell

    @property
    def newest(self) -> RecordName | None:
        """The attempt with the highest number."""
        return max(self.attempts, key=_age, default=None)

    @property
    def next_number(self) -> int:
        """1 + the highest number of any attempt, end or lease."""
        numbers = [name.number for name in (*self.attempts, *self.ends)]
        return 1 + max([*numbers, self.lease.number if self.lease else 0], default=0)

    @property
    def is_canceled(self) -> bool:
        """True when the manifest asks for the job's end."""
        return self.entry.canceled if self.entry else self.invalid_canceled

    @property
    def is_withdrawn(self) -> bool:
        """True where nobody asks for the job any more: its entry is gone, and no merge has dropped it."""
        if self.entry is not None or self.invalid is not None:
            return False
        return self.record is None or self.removals is None or self.removals.of_entry

    def end_of(self, attempt: RecordName) -> End | None:
        """The attempt's readable end."""
        return next((e for name, e in self.ends.items() if _same(name, attempt)), None)

    def has_end(self, attempt: RecordName) -> bool:
        """True when the attempt has an end, readable or not."""
        return any(_same(name, attempt) for name in self.ends)

    @property
    def final_end(self) -> tuple[RecordName, End] | None:
        """The first final end: a later attempt can't undo it."""
        finals = [(name, end) for name, end in self.ends.items() if end is not None and end.is_final]
        return min(finals, key=lambda pair: _age(pair[0]), default=None)

    @property
    def newest_end(self) -> End | None:
        """The end of the attempt with the highest number."""
        readable = [(name, end) for name, end in self.ends.items() if end is not None]
        return max(readable, key=lambda pair: _age(pair[0]))[1] if readable else None

    @property
    def current_lease(self) -> Lease | None:
        """The lease, where it is the newest attempt's; another one counts as none."""
        newest = self.newest
        return self.lease if self.lease and newest and self.lease.nonce == newest.nonce else None


@dataclass(frozen=True)
class JobState:
    """A state and, for people, why it is so."""

    state: State
    reason: str = ""
    end: End | None = None


def job_state(facts: JobFacts, budgets: Budgets) -> JobState:
    """The state of a job in one commit."""
    if was_deleted(facts):
        return JobState(State.DELETED, "its folder was deleted")
    if facts.final_end:
        end = facts.final_end[1]
        return JobState(State(end.state.value), end.message, end)
    newest = facts.newest
    if newest and not facts.has_end(newest):
        return JobState(State.RUNNING, f"attempt {newest.number} of {newest.folder}")
    if is_older_workers(facts):
        return _older_state(facts.response or {})
    return _waiting_state(facts, budgets)


def failures_of(facts: JobFacts) -> int:
    """How many attempts ended as lost, or failed because of the machine (out of memory, disk, network)."""
    return len(_failures(facts))


def failed_by(facts: JobFacts, folder: str) -> list[End]:
    """The ends that `failures_of` counts, of the worker whose folder this is."""
    return [end for name, end in _failures(facts) if name.folder == folder]


def releases_of(facts: JobFacts, budgets: Budgets, *more: EndState) -> int:
    """How many attempts were given back, with `more` that are about to be, as far as that counts."""
    states = [*(end.state for end in facts.ends.values() if end), *more]
    yields = states.count(EndState.YIELDED)
    return states.count(EndState.PREEMPTED) + max(yields - budgets.yields, 0)


def uses_up_budget(facts: JobFacts, state: EndState, kind: Kind | None, budgets: Budgets) -> str | None:
    """Whether one more end of this kind is the last one: a sentence, or None."""
    if state in _GIVEN_BACK and releases_of(facts, budgets, state) >= budgets.releases:
        times = 1 + sum(end.state in _GIVEN_BACK for end in facts.ends.values() if end)
        return f"It was given back {times} times, which is as often as a job may be."
    if not _is_machines(state, kind):
        return None
    newest = facts.newest  # the attempt that ends
    workers = _failed_workers(facts) | ({newest.folder} if newest else set())
    tries = failures_of(facts) + 1
    if len(workers) >= budgets.failures or tries >= budgets.failures_in_all:
        return (
            f"It failed {tries} times, by {len(workers)} worker{'s' if len(workers) > 1 else ''}, because of "
            "the machine (out of memory, disk, network) and is not tried again."
        )
    return None


def _waiting_state(facts: JobFacts, budgets: Budgets) -> JobState:
    if facts.entry is None and facts.invalid is None:
        return JobState(State.ABSENT, "its entry is gone from the manifest")
    if facts.is_canceled:
        return JobState(State.CANCEL_REQUESTED, "canceled before it was claimed")
    if facts.invalid is not None:
        return JobState(State.INVALID, facts.invalid)
    if _is_used_up(facts, budgets):
        return JobState(State.EXHAUSTED, "its budget of attempts is used up", facts.newest_end)
    end = facts.newest_end
    if end is None:
        return JobState(State.PENDING, "not claimed yet")
    return JobState(State.PENDING, f"waits for the next worker: {end.message or end.state.value}", end)


def was_deleted(facts: JobFacts) -> bool:
    """A person deleted the job; the plugin never uses an id twice.

    Without a record (a job of an older version's, or a server that takes no records) an end or a lease
    whose attempt file is missing has to do for a proof.
    """
    if facts.record is not None:
        return facts.record.about.deleted_at is not None or (
            facts.removals is not None and facts.removals.of_job
        )
    nonces = {(name.number, name.nonce) for name in facts.attempts}
    if any((name.number, name.nonce) not in nonces for name in facts.ends):
        return True
    lease = facts.lease
    return lease is not None and lease.number > 0 and (lease.number, lease.nonce) not in nonces


def is_older_workers(facts: JobFacts) -> bool:
    """Whether the response is an older worker's: one of a worker that has no attempt here."""
    if facts.response is None:
        return False
    worker = facts.response.get("worker_id")
    return worker is None or worker_folder(str(worker)) not in {name.folder for name in facts.attempts}


def _older_state(response: Mapping[str, Any]) -> JobState:
    worker, state = response.get("worker_id"), str(response.get("state", ""))
    if state in OLDER_FINAL_STATES:
        return JobState(State(state), f"by the older worker {worker}")
    return JobState(State.ELSEWHERE, f"the older worker {worker} has it")


def _is_used_up(facts: JobFacts, budgets: Budgets) -> bool:
    return (
        len(_failed_workers(facts)) >= budgets.failures
        or failures_of(facts) >= budgets.failures_in_all
        or releases_of(facts, budgets) >= budgets.releases
    )


def _failed_workers(facts: JobFacts) -> set[str]:
    return {name.folder for name, _ in _failures(facts)}


def _failures(facts: JobFacts) -> list[tuple[RecordName, End]]:
    return [(name, end) for name, end in facts.ends.items() if end and _is_machines(end.state, end.kind)]


def _is_machines(state: EndState, kind: Kind | None) -> bool:
    """Whether an end speaks of the machine or its surroundings, and not of the job."""
    return state is EndState.LOST or (state is EndState.FAILED and kind in {Kind.SYSTEM, Kind.RESOURCE})


def _same(name: RecordName, attempt: RecordName) -> bool:
    return (name.number, name.nonce) == (attempt.number, attempt.nonce)


def _age(name: RecordName) -> tuple[int, str]:
    return (name.number, name.nonce)
