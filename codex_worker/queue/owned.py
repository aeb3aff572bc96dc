"""A job that is ours: beat its lease, look after its owner's wishes, publish under the fence, end it."""

import logging
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from codex_worker.clock import Clock
from codex_worker.contract.guards import check_change
from codex_worker.contract.manifest import JobEntry
from codex_worker.contract.paths import log_path, metrics_path, response_path
from codex_worker.contract.records import Attempt, End, EndState, Lease, ResumePointer, now_utc, read_record
from codex_worker.contract.response import end_response, running_response
from codex_worker.contract.state import Budgets, JobFacts, failures_of, uses_up_budget
from codex_worker.errors import DataError, Kind, LeaseLost, ServerUnreachable
from codex_worker.git.ports import Heads, Snapshot, blob_id
from codex_worker.git.repository import Change, LeaseMove, Repository
from codex_worker.job.ends import Cause
from codex_worker.queue.facts import FactReader
from codex_worker.retry import TRANSACTION

logger = logging.getLogger(__name__)

PROGRESS_INTERVAL_S = 15 * 60
# An entry can vanish for a moment when the manifests of two people meet.
WITHDRAWN_AFTER_S = 10 * 60


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended, as its supervisor saw it."""

    state: EndState
    kind: Kind | None = None
    message: str = ""
    epochs_completed: int | None = None
    result: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class OwnerSettings:
    """What an owner needs to know beside the job."""

    budgets: Budgets = field(default_factory=Budgets)
    publish_timeout_s: float | None = TRANSACTION.timeout_s


T = TypeVar("T")


class OwnedJob:
    """One attempt of this worker.

    Beating, looking, reporting and publishing may go on in threads of their own at the same time, one
    thread for each. A beat goes its own way to the server and waits for none of the others.
    """

    def __init__(
        self,
        *,
        entry: JobEntry,
        attempt: Attempt,
        lease: Lease,
        lease_id: str | None,
        commit: str,
        repository: Repository,
        beats: Repository,
        clock: Clock,
        settings: OwnerSettings,
    ) -> None:
        self.entry = entry
        self.attempt = attempt
        self.commit = commit
        self.repository = repository
        self._beats = beats
        self._clock = clock
        self._settings = settings
        self._lease = lease
        self._lease_id = lease_id
        self._unsent: str | None = None
        self._ended = False
        self._lease_lock = threading.Lock()
        self._reader = FactReader()
        self._gone_since: float | None = None
        self._progress_at: float | None = None
        self._progress_stage = ""

    @property
    def resume(self) -> ResumePointer | None:
        """What an earlier attempt, or this one, left for going on."""
        return self._lease.resume

    def beat(self, stage: str, epochs_completed: float | None, message: str) -> None:
        """Replaces the lease by a fresh one. Raises LeaseLost where another attempt holds the ref.

        A beat without an answer is sent again as the same commit, which says "up to date" if it had landed.
        """
        with self._lease_lock:
            if self._ended or self.attempt.lease_ref is None:
                return
            if self._unsent is not None:
                self._send(self._unsent)
            self._lease = self._lease.model_copy(
                update={
                    "beat": secrets.token_hex(8),
                    "at": now_utc(self._clock.time()),
                    "stage": stage,
                    "epochs_completed": epochs_completed,
                    "message": message[:300],
                }
            )
            self._send(self._beats.lease_commit(self._lease.render()))

    def save_resume(self, pointer: ResumePointer) -> None:
        """Carries the resume state's pointer in every lease from now on."""
        with self._lease_lock:
            self._lease = self._lease.model_copy(update={"resume": pointer})
        self.beat(self._lease.stage, self._lease.epochs_completed, self._lease.message)

    def look(self) -> Cause | None:
        """What the project says about this job now. Raises ServerUnreachable."""
        heads = self.repository.look()
        snapshot = self.repository.snapshot(heads)
        survey = self._reader.survey(snapshot, heads)
        facts = survey.jobs.get(self.attempt.job_id, JobFacts(self.attempt.job_id))
        if not self._is_claimed(facts):
            return Cause.DELETED
        if not self._is_mine(facts):
            return Cause.LOST
        if facts.is_canceled:
            return Cause.CANCELED
        # An entry that somebody made unreadable is there: only a new job would be refused for it.
        if facts.entry is None and facts.invalid is None and survey.problem is None:
            now = self._clock.monotonic()
            self._gone_since = now if self._gone_since is None else self._gone_since
            return Cause.WITHDRAWN if now - self._gone_since >= WITHDRAWN_AFTER_S else None
        self._gone_since = None
        return None

    def publish(self, build: Callable[[Snapshot], Change[T]]) -> T:
        """Commits the files that `build` makes of the head, while the job is ours.

        Answers the value of the change that landed, or of the one that had nothing to change. Raises
        LeaseLost, PushRefused, or ServerUnreachable once the publishing time is used up.
        """
        return self._transact(
            lambda facts, snapshot, heads: build(snapshot), patience_s=self._settings.publish_timeout_s
        )

    def progress(
        self,
        stage: str,
        epochs_completed: float | None,
        message: str,
        log: bytes | None = None,
        metrics: bytes | None = None,
    ) -> bool:
        """Writes response.yaml, log and metrics where that is due: a new stage, or every 15 minutes."""
        now = self._clock.monotonic()
        due = self._progress_at is None or now - self._progress_at >= PROGRESS_INTERVAL_S
        if not due and stage == self._progress_stage:
            return False

        def build(facts: JobFacts, snapshot: Snapshot, heads: Heads) -> Change[None]:
            retries = failures_of(facts)
            moment = now_utc(self._clock.time())
            epochs = None if epochs_completed is None else int(epochs_completed)
            response = running_response(
                self.attempt, moment, retries=retries, epochs_completed=epochs, message=message
            )
            files = self._projections(response, log, metrics)
            return Change(files, f"Job {self.attempt.job_id}: {stage}")

        self._progress_at, self._progress_stage = now, stage
        self._transact(build, patience_s=TRANSACTION.timeout_s)
        return True

    def end(self, outcome: Outcome, *, log: bytes | None = None, metrics: bytes | None = None) -> End:
        """Ends the attempt: the end file, response, log and metrics in one commit, with the lease.

        Answers the end as it stands in the repository.
        """

        def build(facts: JobFacts, snapshot: Snapshot, heads: Heads) -> Change[End]:
            end = self._end_record(outcome, facts, log, metrics)
            retries = failures_of(facts)
            files = {
                self.attempt.end_path: end.render(),
                **self._projections(end_response(end, retries=retries), log, metrics),
            }
            message = f"Job {self.attempt.job_id} {end.state.value} by {self.attempt.worker_id}"
            state = "tombstone" if end.is_final else "released"
            lease = self._lease.model_copy(
                update={"beat": secrets.token_hex(8), "at": end.ended_at, "state": state, "stage": "ended"}
            )
            return Change(files, message, self._lease_moves(heads, lease), [self.attempt.end_path], end)

        end = self._transact(build, patience_s=self._settings.publish_timeout_s)
        with self._lease_lock:
            self._ended = True
        return end

    def _transact(
        self, build: Callable[[JobFacts, Snapshot, Heads], Change[T]], *, patience_s: float | None
    ) -> T:
        """The value of the change that landed; nothing is built, and nothing lands, outside the fence."""

        def fenced_build(snapshot: Snapshot, heads: Heads) -> Change[T]:
            facts = self._fenced(snapshot, heads)
            change = build(facts, snapshot, heads)
            check_change(self.attempt.job_id, change.files, snapshot.existing(change.files).__contains__)
            return change

        # There is always a value, because there is always a change.
        return cast(T, self.repository.transact(fenced_build, patience_s=patience_s).value)

    def _fenced(self, snapshot: Snapshot, heads: Heads) -> JobFacts:
        """The job's facts; raises LeaseLost unless our attempt is the newest and without an end."""
        survey = self._reader.survey(snapshot, heads)
        facts = survey.jobs.get(self.attempt.job_id, JobFacts(self.attempt.job_id))
        if not self._is_claimed(facts):
            raise self._lost(Cause.DELETED)
        if not self._is_mine(facts):
            raise self._lost(Cause.LOST)
        return facts

    def _lost(self, cause: Cause) -> LeaseLost:
        return LeaseLost(f"Job {self.attempt.job_id}, attempt {self.attempt.name}: {cause.ending.sentence}")

    def _is_claimed(self, facts: JobFacts) -> bool:
        return any((n.number, n.nonce) == self._key for n in facts.attempts)

    def _is_mine(self, facts: JobFacts) -> bool:
        newest = facts.newest
        return newest is not None and (newest.number, newest.nonce) == self._key and not facts.has_end(newest)

    @property
    def _key(self) -> tuple[int, str]:
        return (self.attempt.number, self.attempt.nonce)

    def _projections(
        self, response: bytes, log: bytes | None, metrics: bytes | None
    ) -> dict[str, bytes | None]:
        job_id = self.attempt.job_id
        files: dict[str, bytes | None] = {response_path(job_id): response}
        # An empty file would block the translators' synchronisation, so none is ever written.
        if log:
            files[log_path(job_id)] = log
        if metrics:
            files[metrics_path(job_id)] = metrics
        return files

    def _end_record(self, outcome: Outcome, facts: JobFacts, log: bytes | None, metrics: bytes | None) -> End:
        used_up = uses_up_budget(facts, outcome.state, outcome.kind, self._settings.budgets)
        return End(
            state=EndState.FAILED if used_up else outcome.state,
            kind=outcome.kind or (Kind.SYSTEM if used_up else None),
            message=" ".join(filter(None, [outcome.message, used_up])),
            ended_at=now_utc(self._clock.time()),
            ended_by=self.attempt.worker_id,
            worker_id=self.attempt.worker_id,
            number=self.attempt.number,
            nonce=self.attempt.nonce,
            epochs_completed=outcome.epochs_completed,
            result=outcome.result,
            log_blob=blob_id(log) if log else None,
            metrics_blob=blob_id(metrics) if metrics else None,
            final=True if used_up else None,
        )

    def _lease_moves(self, heads: Heads, lease: Lease) -> list[LeaseMove]:
        ref = self.attempt.lease_ref
        return [LeaseMove(ref, heads.leases.get(ref), lease.render())] if ref else []

    def _send(self, commit: str) -> None:
        ref = self.attempt.lease_ref
        if ref is None:
            return
        self._unsent = commit
        for _ in range(3):
            if self._beats.replace_lease(ref, self._lease_id, commit).accepted:
                self._lease_id, self._unsent = commit, None
                return
            current = self._beats.look().leases.get(ref)
            if current == commit:
                self._lease_id, self._unsent = commit, None
                return
            held = self._held(ref, current) if current else None
            if held and held.nonce != self.attempt.nonce and held.number >= self.attempt.number:
                raise LeaseLost(f"Another worker holds the lease of job {self.attempt.job_id}.")
            if held and held.nonce == self.attempt.nonce and held.state != "held":
                self._ended, self._unsent = True, None  # our own end landed while this beat was on its way
                return
            # An earlier try of ours landed after all, or somebody removed the ref: go on from there.
            self._lease_id = current
        raise ServerUnreachable(f"The lease of job {self.attempt.job_id} could not be replaced.")

    def _held(self, ref: str, commit: str) -> Lease | None:
        try:
            return read_record(Lease, self._beats.read_lease(ref, commit), f"The lease {ref}")
        except DataError as error:
            logger.warning("%s It counts as none.", error)
            return None
