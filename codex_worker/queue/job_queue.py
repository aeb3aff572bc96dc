"""The job queue of one project: which jobs there are, whose each is, and the steps that change that.

Every step is a transaction on the head it was decided on, so a job has one owner however many workers
ask at once. What may be done is decided by pure functions in `codex_worker.contract.state` and
`codex_worker.queue`; this module reads, asks them, and writes.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from codex_worker.clock import Clock
from codex_worker.contract.guards import check_change
from codex_worker.contract.manifest import JobEntry
from codex_worker.contract.paths import ATTRIBUTES, RecordName, attempt_path
from codex_worker.contract.records import Attempt, End, now_utc, read_record
from codex_worker.contract.state import Budgets, JobFacts, State, job_state
from codex_worker.errors import DataError, PushRefused, SystemFault, UserError
from codex_worker.git.ports import Heads, Snapshot
from codex_worker.git.repository import Build, Change, Landed, Repository
from codex_worker.queue.claiming import Claim, claim_change, ending_change
from codex_worker.queue.closing import CLOSABLE, closing_change, judge_stale, stale_end
from codex_worker.queue.facts import FactReader, LeasePlaces, Survey, lease_at
from codex_worker.queue.owned import Outcome, OwnedJob, OwnerSettings
from codex_worker.queue.projections import ReassertionPause, needs_reassertion, reassertion
from codex_worker.queue.silence import Look, SilenceLimits, SilenceWatch, look_of
from codex_worker.retry import TRANSACTION

__all__ = ["JobQueue", "JobView", "Outcome", "OwnedJob", "ProjectLook", "QueueSettings"]

logger = logging.getLogger(__name__)

T = TypeVar("T")
BuildClaim = Callable[[JobFacts, Snapshot, Heads], Change[Claim | None] | None]

TOMBSTONE_LIFE = timedelta(days=30)
MAX_TOMBSTONES_A_LOOK = 20  # each costs a request to read it


@dataclass(frozen=True)
class QueueSettings:
    """The operator's choices about the queue."""

    budgets: Budgets = field(default_factory=Budgets)
    # Where a server accepts no lease, response.yaml is watched instead, for this long.
    claim_timeout_s: float = 24 * 3600
    take_over_older_after_s: float | None = None  # None: an older worker's job is never taken over
    publish_timeout_s: float | None = TRANSACTION.timeout_s  # for one transaction


@dataclass(frozen=True)
class JobView:
    """A job for whoever chooses the next one to do, and for people."""

    job_id: str
    state: State
    reason: str
    facts: JobFacts

    @property
    def entry(self) -> JobEntry | None:
        """Its entry in the manifest."""
        return self.facts.entry


@dataclass(frozen=True)
class ProjectLook:
    """What one look at a project saw."""

    heads: Heads
    views: list[JobView]
    silent: list[str]  # running jobs whose worker has been silent for too long


class JobQueue:
    """The jobs of one project's repository, as one worker sees them."""

    def __init__(
        self,
        repository: Repository,
        worker_id: str,
        clock: Clock,
        settings: QueueSettings | None = None,
        *,
        beats: Repository | None = None,
    ) -> None:
        """`beats` is a second way to the same server, so that a beat never waits for a transaction."""
        self.repository = repository
        self.worker_id = worker_id
        self._beats = beats or repository
        self._clock = clock
        self._settings = settings or QueueSettings()
        self._reader = FactReader()
        self._places = LeasePlaces()
        self._watch = SilenceWatch(
            SilenceLimits(self._settings.claim_timeout_s, self._settings.take_over_older_after_s)
        )
        self._silent: dict[str, Look] = {}
        self._patience: dict[str, ReassertionPause] = {}
        self._last: Survey | None = None
        self._living_tombstones: set[str] = set()
        self._unsettled: set[str] = set()

    def survey(self, heads: Heads | None = None) -> list[JobView]:
        """One look at the head: every job with its state. Raises ServerUnreachable or AccessDenied."""
        heads = heads or self.repository.look()
        if self._last is None or self._last.commit != heads.commit:
            self._last = self._reader.survey(self.repository.snapshot(heads), heads)
        return [self._view(facts, heads) for facts in self._last.jobs.values()]

    def tidy(self, views: list[JobView] | None = None) -> int:
        """Writes what needs no worker; answers how many jobs were changed.

        Jobs canceled before they were claimed, entries that are no jobs and used-up budgets get their
        end, and projections that a merge turned back are put right.
        """
        changed = 0
        unsettled = set()
        for view in self.survey() if views is None else views:
            if view.state in CLOSABLE:
                changed += self._close(view.job_id)
            elif view.state is not State.DELETED and needs_reassertion(view.facts):
                unsettled.add(view.job_id)
                changed += self._reassert(view.job_id)
        self._unsettled = unsettled
        return changed

    def claim(self, job_id: str, *, force: bool = False) -> OwnedJob | None:
        """Makes the job ours; None where it is not pending (any more), or somebody was faster.

        With `force`, the operator's word, a job that another worker holds is taken from it as well; a job
        that is final is not, and UserError says so.
        """

        def build(facts: JobFacts, snapshot: Snapshot, heads: Heads) -> Change[Claim | None] | None:
            state = job_state(facts, self._settings.budgets)
            if force and state.state.is_final:
                raise UserError(
                    f"Job {job_id} is {state.state} ({state.reason}) and never runs again. "
                    "Submit it again under a new id."
                )
            if facts.entry is None:
                return None
            if state.state is State.PENDING:
                return self._claim_change(facts, facts.entry, snapshot, heads)
            if not force:
                return None
            newest = facts.newest
            running = newest if newest and not facts.has_end(newest) else None
            return self._take(facts, snapshot, heads, running)

        return self._claim(job_id, build)

    def look(self) -> ProjectLook:
        """One look at everything, which counts for the watch on silent workers.

        Raises ServerUnreachable; the watch then starts again, for after an outage all leases look old.
        """
        try:
            heads = self.repository.look()
            views = self.survey(heads)
        except SystemFault:
            self._watch.failed()
            raise
        now = self._clock.monotonic()
        self._silent = {
            view.job_id: seen for view in views if (seen := self._silence(view, heads, now)) is not None
        }
        return ProjectLook(heads, views, list(self._silent))

    def take_over(self, job_id: str) -> OwnedJob | None:
        """Ends the attempt of a worker that `look` found silent, and claims the job in the same commit.

        Where the job was canceled or withdrawn meanwhile, or has used up its budget, only the end is
        written. None where the worker gave a sign of life, or somebody was faster.
        """
        silent = self._silent.pop(job_id, None)
        if silent is None:
            return None

        def build(facts: JobFacts, snapshot: Snapshot, heads: Heads) -> Change[Claim | None] | None:
            return (
                self._take(facts, snapshot, heads, silent.attempt)
                if silent == look_of(facts, heads)
                else None
            )

        return self._claim(job_id, build)

    def remove_tombstones(self) -> int:
        """Deletes leases of jobs that have been final or gone for 30 days; answers how many."""
        heads = self.repository.look()
        removed = read = 0
        candidates = [v for v in self.survey(heads) if v.state.is_final or v.state is State.ABSENT]
        for view in candidates:
            ref, oid = lease_at(heads, view.job_id)
            if ref is None or oid is None or oid in self._living_tombstones:
                continue
            if read >= MAX_TOMBSTONES_A_LOOK:
                break
            read += 1
            lease = self._reader.with_lease(view.facts, self.repository, heads).lease
            if lease and self._now() - lease.at < TOMBSTONE_LIFE:
                self._living_tombstones.add(oid)
                continue
            removed += self.repository.replace_lease(ref, oid, None).accepted
        return removed

    def is_watched(self, views: list[JobView]) -> bool:
        """True while the project has to be looked at although its branch doesn't move.

        That is while a job is not over, and while a projection that a merge turned back has to wait for
        being put right.
        """
        return bool(self._unsettled) or any(
            not view.state.is_final and view.state is not State.ABSENT for view in views
        )

    @property
    def problems(self) -> list[str]:
        """What the last survey could not read: the manifest, or entries of which no job can be made."""
        if self._last is None:
            return []
        nameless = [entry.message for entry in self._last.nameless]
        invalid = [f"Job {job_id}: {f.invalid}" for job_id, f in self._last.jobs.items() if f.invalid]
        waiting = "Its jobs wait until it can be read again."
        return ([f"{self._last.problem} {waiting}"] if self._last.problem else []) + nameless + invalid

    @property
    def is_readable(self) -> bool:
        """False where the last survey could not read the manifest, so that nobody knows what is asked for."""
        return self._last is not None and self._last.problem is None

    def _claim(self, job_id: str, build: BuildClaim) -> OwnedJob | None:
        def change(snapshot: Snapshot, heads: Heads) -> Change[Claim | None] | None:
            facts = self._facts(job_id, snapshot, heads)
            built = build(facts, snapshot, heads) if facts else None
            if built is not None:
                check_change(job_id, built.files, snapshot.existing(built.files).__contains__)
            return built

        landed = self._transact(change)
        claim = landed.value
        if claim is None:
            return None
        lease_id = landed.leases.get(claim.attempt.lease_ref or "")
        return self._owned(claim, landed.commit or "", lease_id)

    def _transact(self, build: Build[T]) -> Landed[T]:
        """A transaction that brings a lease to a place where this server takes it."""
        while True:
            try:
                landed = self.repository.transact(build)
            except PushRefused:
                # A server may refuse our namespace; a branch, or no lease at all, makes a correct claim too.
                # Where that is refused as well, the lease was not the reason.
                if self._places.is_settled or not self._places.climb_down():
                    raise
            else:
                if landed.change is not None:
                    self._places.learn([move.ref for move in landed.change.leases])
                return landed

    def _take(
        self, facts: JobFacts, snapshot: Snapshot, heads: Heads, stale: RecordName | None
    ) -> Change[Claim | None] | None:
        """Takes a job from a worker; `stale` is its attempt, None an older worker's."""
        verdict = judge_stale(facts, self._settings.budgets)
        if verdict.claim and facts.entry is not None:
            moment = self._now()
            ended = stale_end(facts, stale, verdict, self.worker_id, moment) if stale else None
            return self._claim_change(facts, facts.entry, snapshot, heads, ended)
        ref = lease_at(heads, facts.job_id)[0] or self._places.ref(facts.job_id)
        if stale is not None:
            return ending_change(
                facts, stale, verdict, observer=self.worker_id, moment=self._now(), lease_ref=ref
            )
        if facts.is_canceled:
            return closing_change(facts, State.CANCEL_REQUESTED, "", self.worker_id, self._now(), ref)
        return None

    def _claim_change(
        self,
        facts: JobFacts,
        entry: JobEntry,
        snapshot: Snapshot,
        heads: Heads,
        ended: tuple[str, End] | None = None,
    ) -> Change[Claim]:
        return claim_change(
            facts,
            entry,
            worker_id=self.worker_id,
            moment=self._now(),
            lease_ref=lease_at(heads, facts.job_id)[0] or self._places.ref(facts.job_id),
            with_attributes=not snapshot.existing([ATTRIBUTES]),
            ended=ended,
        )

    def _owned(self, claim: Claim, commit: str, lease_id: str | None) -> OwnedJob:
        return OwnedJob(
            entry=claim.entry,
            attempt=claim.attempt,
            lease=claim.lease,
            lease_id=lease_id,
            commit=commit,
            repository=self.repository,
            beats=self._beats,
            clock=self._clock,
            settings=OwnerSettings(self._settings.budgets, self._settings.publish_timeout_s),
        )

    def _close(self, job_id: str) -> bool:
        def build(snapshot: Snapshot, heads: Heads) -> Change[None] | None:
            facts = self._facts(job_id, snapshot, heads)
            state = job_state(facts, self._settings.budgets) if facts else None
            if facts is None or state is None or state.state not in CLOSABLE:
                return None
            ref = lease_at(heads, job_id)[0] or self._places.ref(job_id)
            return closing_change(facts, state.state, state.reason, self.worker_id, self._now(), ref)

        return self._transact(build).change is not None

    def _reassert(self, job_id: str) -> bool:
        patience = self._patience.setdefault(job_id, ReassertionPause())
        if not patience.allows(self._clock.monotonic()):
            return False

        def build(snapshot: Snapshot, heads: Heads) -> Change[None] | None:
            facts = self._facts(job_id, snapshot, heads)
            if facts is None or not needs_reassertion(facts):
                return None
            if job_state(facts, self._settings.budgets).state is State.DELETED:
                return None
            files = reassertion(facts, snapshot, self._running_attempt(facts, snapshot))
            check_change(job_id, files, snapshot.existing(files).__contains__)
            return Change(files, f"Job {job_id}: say again what became of it") if files else None

        changed = self.repository.transact(build).change is not None
        if changed:
            patience.used(self._clock.monotonic())
        return changed

    def _running_attempt(self, facts: JobFacts, snapshot: Snapshot) -> Attempt | None:
        newest = facts.newest
        if newest is None or facts.has_end(newest):
            return None
        path = attempt_path(facts.job_id, newest.folder, newest.number, newest.nonce)
        try:
            return read_record(Attempt, snapshot.read(path) or b"", path)
        except DataError as error:
            logger.warning("%s Its response is left as it is.", error)
            return None

    def _silence(self, view: JobView, heads: Heads, now_s: float) -> Look | None:
        names_a_lease = view.state is State.RUNNING and self._names_a_lease(view, heads)
        return self._watch.silent(view.facts, view.state, heads, now_s, names_a_lease=names_a_lease)

    def _names_a_lease(self, view: JobView, heads: Heads) -> bool:
        """Whether the owner renews a lease; one that is not there comes with its next beat."""
        if lease_at(heads, view.job_id)[1] is not None:
            return True
        attempt = self._running_attempt(view.facts, self.repository.snapshot(heads))
        return attempt is not None and attempt.lease_ref is not None

    def _facts(self, job_id: str, snapshot: Snapshot, heads: Heads) -> JobFacts | None:
        facts = self._reader.survey(snapshot, heads).jobs.get(job_id)
        return self._reader.with_lease(facts, self.repository, heads) if facts else None

    def _view(self, facts: JobFacts, heads: Heads) -> JobView:
        # Only a job that may be pending needs its lease's content: a deleted folder shows in nothing else.
        state = job_state(facts, self._settings.budgets)
        if not state.state.is_final and state.state is not State.RUNNING:
            facts = self._reader.with_lease(facts, self.repository, heads)
            state = job_state(facts, self._settings.budgets)
        return JobView(facts.job_id, state.state, state.reason, facts)

    def _now(self) -> datetime:
        return now_utc(self._clock.time())
