"""A job that is ours: beat its lease, look after its owner's wishes, publish under the fence, end it."""

import logging
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar, cast

from codex_worker.clock import Clock
from codex_worker.contract.guards import MAX_FILE_BYTES, check_change
from codex_worker.contract.job_record import LOG, METRICS, name_of
from codex_worker.contract.manifest import JobEntry
from codex_worker.contract.paths import log_path, metrics_path, response_path
from codex_worker.contract.plain_text import plain_bytes
from codex_worker.contract.records import Attempt, End, EndState, Lease, ResumePointer, now_utc, read_record
from codex_worker.contract.response import end_response, running_response
from codex_worker.contract.state import Budgets, JobFacts, failures_of, uses_up_budget, was_deleted
from codex_worker.errors import CacheBroken, DataError, Kind, LeaseLost, ServerUnreachable
from codex_worker.git.ports import Heads, PushAnswer, Snapshot, blob_id
from codex_worker.git.repository import Change, LeaseMove, Repository
from codex_worker.job.ends import Cause
from codex_worker.queue.audience import Audience
from codex_worker.queue.facts import FactReader, Survey
from codex_worker.queue.projections import dropped_files, say_what_was_dropped
from codex_worker.queue.record_reading import Claimed, removals_of
from codex_worker.queue.recording import Pages, attempt_files, plain_file, record_move
from codex_worker.retry import TRANSACTION

logger = logging.getLogger(__name__)

PROGRESS_INTERVAL_S = 15 * 60
# A stage's first figures come soon: until then a translator sees none at all.
FIRST_PROGRESS_S = 30
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


@dataclass(frozen=True)
class HeldClaim:
    """A claim as its worker notes it, to go on with it in another process."""

    attempt: Attempt
    commit: str  # the claim's: what people did since tells a deletion from a merge
    record_ref: str | None  # None: its server takes no records


@dataclass
class OwnLedger:
    """Where an attempt notes what it publishes, and what it has noted."""

    record_ref: str | None  # None: this server takes no records
    first_page: int
    pages: Pages = field(init=False)

    def __post_init__(self) -> None:
        self.pages = Pages(self.first_page)


T = TypeVar("T")


@dataclass(frozen=True)
class PublishedChange(Generic[T]):
    """Files that an attempt wants on the branch, and what its ledger says of them."""

    files: Mapping[str, bytes]
    message: str
    lines: Sequence[str] = ()  # of the ledger
    plain_files: Sequence[bytes] = ()  # texts that the ledger names by their blob ids
    value: T = None  # type: ignore[assignment]  # without one it is a PublishedChange[None]


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
        ledger: OwnLedger,
        audience: Audience,
        earlier: frozenset[str] = frozenset(),
    ) -> None:
        self.entry = entry
        self.attempt = attempt
        self.earlier = earlier  # the names of the job's attempts before this one
        self.commit = commit
        self.repository = repository
        self._beats = beats
        self._clock = clock
        self._settings = settings
        self._ledger = ledger
        self._audience = audience
        self._lease = lease
        self._lease_id = lease_id
        self._unsent: str | None = None
        self._ended = False
        self._lease_lock = threading.Lock()
        self._reader = FactReader()
        self._gone_since: float | None = None
        self._progress_at: float | None = None
        self._progress_stage = ""
        self._progress_told: tuple[float | None, str] = (None, "")

    @property
    def held(self) -> HeldClaim:
        """What has to be noted of the claim."""
        return HeldClaim(self.attempt, self.commit, self._ledger.record_ref)

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
        self._audience.saw(heads, self._clock.monotonic())
        survey = self._survey(snapshot, heads)
        facts = self._known(survey, snapshot, heads)
        if not self._is_claimed(facts):
            return Cause.DELETED
        if not self._is_mine(facts):
            return Cause.LOST
        if facts.dropped:
            say_what_was_dropped(facts)
            self._put_back_dropped()
        if facts.is_canceled:
            return Cause.CANCELED
        # An entry that somebody made unreadable is there: only a new job would be refused for it.
        if facts.is_withdrawn and survey.problem is None:
            now = self._clock.monotonic()
            self._gone_since = now if self._gone_since is None else self._gone_since
            return Cause.WITHDRAWN if now - self._gone_since >= WITHDRAWN_AFTER_S else None
        self._gone_since = None
        return None

    def _put_back_dropped(self) -> None:
        """Every change of ours brings what a merge has left out; this one brings nothing else."""
        message = f"Job {self.attempt.job_id}: still claimed"
        self._transact(lambda *_: Change({}, message), patience_s=TRANSACTION.timeout_s)

    def publish(self, build: Callable[[Snapshot], PublishedChange[T]]) -> T:
        """Commits the files that `build` makes of the head, while the job is ours.

        Answers the value of the publication that landed, or of the one that had nothing to change. Raises
        LeaseLost, PushRefused, or ServerUnreachable once the publishing time is used up.
        """

        def build_change(
            facts: JobFacts, snapshot: Snapshot, heads: Heads
        ) -> Change[tuple[T, Sequence[str]]]:
            made = build(snapshot)
            self._ledger.pages = self._ledger.pages.without_written(facts)
            pages = self._ledger.pages.with_lines(made.lines)
            texts = {plain_file(text): text for text in made.plain_files}
            files = {**attempt_files(self.attempt), **pages.files(), **texts}
            # An attempt that publishes nothing new writes its record only where that is behind.
            records = record_move(facts, self._ledger.record_ref, snapshot.commit, files)
            return Change(made.files, made.message, value=(made.value, made.lines), records=records)

        value, lines = self._transact(build_change, patience_s=self._settings.publish_timeout_s)
        # Only one thread publishes, so nobody else has changed the pages meanwhile.
        self._ledger.pages = self._ledger.pages.with_lines(lines)
        return value

    def progress(
        self,
        stage: str,
        epochs_completed: float | None,
        message: str,
        log: bytes | None = None,
        metrics: bytes | None = None,
    ) -> bool:
        """Writes response.yaml, log and metrics where somebody sees that, and where it is due.

        That is at a new stage, when the stage's first figures are there, and every 15 minutes.
        """
        now = self._clock.monotonic()
        if not self._audience.sees_progress(now) or not self._is_due(stage, epochs_completed, message, now):
            return False

        self._progress_at, self._progress_stage = now, stage
        self._progress_told = (epochs_completed, message)
        self.tell(stage, epochs_completed, message, log, metrics)
        return True

    def tell(
        self,
        stage: str,
        epochs_completed: float | None,
        message: str,
        log: bytes | None = None,
        metrics: bytes | None = None,
    ) -> None:
        """Writes response.yaml, log and metrics of a job that goes on, whoever sees that."""
        log, metrics = _publishable(log), _publishable(metrics)

        def build(facts: JobFacts, snapshot: Snapshot, heads: Heads) -> Change[None]:
            retries = failures_of(facts)
            moment = now_utc(self._clock.time())
            epochs = None if epochs_completed is None else int(epochs_completed)
            response = running_response(
                self.attempt, moment, retries=retries, epochs_completed=epochs, message=message
            )
            files = self._projections(response, log, metrics)
            return Change(files, f"Job {self.attempt.job_id}: {stage}")

        self._transact(build, patience_s=TRANSACTION.timeout_s)

    def _is_due(self, stage: str, epochs_completed: float | None, message: str, now_s: float) -> bool:
        if self._progress_at is None or stage != self._progress_stage:
            return True
        since_s = now_s - self._progress_at
        told_nothing = not any(self._progress_told)
        news = (epochs_completed, message) != self._progress_told
        return since_s >= PROGRESS_INTERVAL_S or (told_nothing and news and since_s >= FIRST_PROGRESS_S)

    def end(self, outcome: Outcome, *, log: bytes | None = None, metrics: bytes | None = None) -> End:
        """Ends the attempt: the end file, response, log and metrics in one commit, with lease and record.

        Answers the end as it stands in the repository. Whatever log and metrics hold, they are made such as
        can be committed: an end never depends on them.
        """
        log, metrics = _publishable(log), _publishable(metrics)

        def build(facts: JobFacts, snapshot: Snapshot, heads: Heads) -> Change[End]:
            end = self._end_record(outcome, facts, log, metrics)
            retries = failures_of(facts)
            files: dict[str, bytes | None] = {self.attempt.end_path: end.render()}
            if end.is_final or self._audience.sees_progress(self._clock.monotonic()):
                files |= self._projections(end_response(end, retries=retries), log, metrics)
            message = f"Job {self.attempt.job_id} {end.state.value} by {self.attempt.worker_id}"
            state = "tombstone" if end.is_final else "released"
            told = {"beat": secrets.token_hex(8), "at": end.ended_at, "state": state, "stage": "ended"}
            told |= {"resume": None} if end.is_final else {}  # nobody goes on from it
            lease = self._lease.model_copy(update=told)
            held = {**attempt_files(self.attempt, end), **self._ledger.pages.files()}
            held |= {path: data for path, data in ((LOG, log), (METRICS, metrics)) if data}
            records = record_move(facts, self._ledger.record_ref, snapshot.commit, held)
            leases = self._lease_moves(heads, lease)
            return Change(files, message, leases, [self.attempt.end_path], end, records)

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
            files = {**self._dropped(facts), **change.files}
            check_change(self.attempt.job_id, files, snapshot.existing(files).__contains__)
            return replace(change, files=files)

        # There is always a value, because there is always a change.
        return cast(T, self.repository.transact(fenced_build, patience_s=patience_s).value)

    def _fenced(self, snapshot: Snapshot, heads: Heads) -> JobFacts:
        """The job's facts; raises LeaseLost unless our attempt is the newest and without an end."""
        facts = self._known(self._survey(snapshot, heads), snapshot, heads)
        if not self._is_claimed(facts):
            raise self._lost(Cause.DELETED)
        if not self._is_mine(facts):
            raise self._lost(Cause.LOST)
        return facts

    def _survey(self, snapshot: Snapshot, heads: Heads) -> Survey:
        return self._reader.survey(snapshot, heads, self.repository, [self.attempt.job_id])

    def _known(self, survey: Survey, snapshot: Snapshot, heads: Heads) -> JobFacts:
        """What is known of the job; where there is no record, with what the branch's history tells."""
        facts = survey.jobs.get(self.attempt.job_id, JobFacts(self.attempt.job_id))
        mine = name_of(self.attempt)
        if facts.record is not None or any((n.number, n.nonce) == self._key for n in facts.attempts):
            return facts
        claimed = Claimed(None, self.commit, frozenset([self.attempt.path]))
        removals = removals_of(facts, claimed, snapshot, heads, self.repository)
        if removals is None or removals.of_job:
            return facts
        attempts, dropped = (*facts.attempts, mine), (self.attempt.path,)
        return replace(facts, attempts=attempts, dropped=dropped, removals=removals)

    def _dropped(self, facts: JobFacts) -> dict[str, bytes | None]:
        if facts.record is None:
            return {path: self.attempt.render() for path in facts.dropped}
        return dropped_files(facts)

    def _lost(self, cause: Cause) -> LeaseLost:
        return LeaseLost(f"Job {self.attempt.job_id}, attempt {self.attempt.name}: {cause.ending.sentence}")

    def _is_claimed(self, facts: JobFacts) -> bool:
        has_claim = any((n.number, n.nonce) == self._key for n in facts.attempts)
        return has_claim and not (facts.record is not None and was_deleted(facts))

    def _is_mine(self, facts: JobFacts) -> bool:
        # Where no record tells who was first, a claim that a merge dropped can find the job done by another.
        if facts.final_end is not None:
            return False
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
            if self._moved(ref, commit).accepted:
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

    def _moved(self, ref: str, commit: str) -> PushAnswer:
        try:
            return self._beats.replace_lease(ref, self._lease_id, commit)
        except CacheBroken:
            self._unsent = None  # that commit is lost; the next beat makes another one
            raise

    def _held(self, ref: str, commit: str) -> Lease | None:
        try:
            return read_record(Lease, self._beats.read_lease(commit), f"The lease {ref}")
        except DataError as error:
            logger.warning("%s It counts as none.", error)
            return None


def _publishable(content: bytes | None) -> bytes | None:
    return None if content is None else plain_bytes(content, MAX_FILE_BYTES)
