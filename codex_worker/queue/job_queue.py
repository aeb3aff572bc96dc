"""The job queue of one project: which jobs there are, whose each is, and the steps that change that.

Every step is a transaction on the head it was decided on, so a job has one owner however many workers
ask at once. What may be done is decided by pure functions in `codex_worker.contract.state` and
`codex_worker.queue`; this module reads, asks them, and writes.
"""

import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from codex_worker.clock import Clock
from codex_worker.contract import yaml_text
from codex_worker.contract.guards import check_change
from codex_worker.contract.ids import worker_folder
from codex_worker.contract.manifest import JobEntry
from codex_worker.contract.paths import ATTRIBUTES, WATCHER_NAMESPACE, RecordName, attempt_path
from codex_worker.contract.records import Attempt, End, now_utc, read_record
from codex_worker.contract.resting import rests_until
from codex_worker.contract.state import Budgets, JobFacts, State, job_state, was_deleted
from codex_worker.errors import DataError, PushRefused, SystemFault, UserError
from codex_worker.git.ports import Heads, Snapshot
from codex_worker.git.repository import Build, Change, Landed, Repository
from codex_worker.queue.audience import WATCHER_BEATS_EVERY_S, Audience
from codex_worker.queue.claiming import Claim, claim_change, ending_change
from codex_worker.queue.closing import (
    CLOSABLE,
    Place,
    closing_change,
    judge_stale,
    stale_end,
    together,
)
from codex_worker.queue.facts import FactReader, RefPlaces, Survey, lease_at
from codex_worker.queue.owned import Outcome, OwnedJob, OwnerSettings, OwnLedger
from codex_worker.queue.projections import (
    TIMES_BEFORE_REMOVAL,
    ReassertionPause,
    dropped_files,
    needs_reassertion,
    reassertion,
    say_what_was_dropped,
)
from codex_worker.queue.record_reading import record_at
from codex_worker.queue.recording import closed_ledger, record_move
from codex_worker.queue.silence import Look, SilenceLimits, SilenceWatch, look_of
from codex_worker.queue.sweeping import Sweeper
from codex_worker.retry import TRANSACTION

__all__ = ["JobQueue", "JobView", "Outcome", "OwnedJob", "ProjectLook", "QueueSettings"]

logger = logging.getLogger(__name__)

# Each is two files and two refs of one push.
MAX_CLOSINGS_A_LOOK = 50
# What one look may take for writing; the rest is the next look's.
TIDY_WITHIN_S = 30.0

# A hook or a protected branch may refuse for a while only.
REFUSED_CLOSING_RESTS_S = 600.0

T = TypeVar("T")
BuildClaim = Callable[[JobFacts, Snapshot, Heads], Change[Claim | None] | None]


@dataclass(frozen=True)
class QueueSettings:
    """The operator's choices about the queue."""

    budgets: Budgets = field(default_factory=Budgets)
    # Where a server accepts no lease, response.yaml is watched instead, for this long.
    claim_timeout_s: float = 24 * 3600
    take_over_older_after_s: float | None = None  # None: an older worker's job is never taken over
    publish_timeout_s: float | None = TRANSACTION.timeout_s  # for one transaction
    stays: bool = False  # this worker goes on polling, and puts right what merges turn back
    older_workers: bool = False  # the operator's word that older workers serve the projects as well


@dataclass(frozen=True)
class JobView:
    """A job for whoever chooses the next one to do, and for people."""

    job_id: str
    state: State
    reason: str
    facts: JobFacts
    rests_until: datetime | None = None  # this worker failed it, and leaves it to others until then

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
        self._sweeper = Sweeper(repository, self._reader, self._now)
        self._places = RefPlaces()
        self.audience = Audience(self._settings.stays, self._settings.older_workers)
        self._watch = SilenceWatch(
            SilenceLimits(self._settings.claim_timeout_s, self._settings.take_over_older_after_s)
        )
        self._silent: dict[str, Look] = {}
        self._patience: dict[str, ReassertionPause] = {}
        self._last: Survey | None = None
        self._last_seen: tuple[str, tuple[tuple[str, str], ...]] = ("", ())
        self._unsettled: set[str] = set()
        self._has_unread = False
        self._tidied_last = ""
        self._closings_at_once = MAX_CLOSINGS_A_LOOK
        self._closes_again_at: dict[str, float] = {}  # jobs whose closing was refused: on the clock
        self._announced_s = float("-inf")

    def survey(self, heads: Heads | None = None) -> list[JobView]:
        """One look at the head: every job with its state. Raises ServerUnreachable or AccessDenied."""
        heads = heads or self.repository.look()
        seen = (heads.commit, tuple(sorted(heads.records.items())))
        if self._last is None or self._last_seen != seen:
            self._last = self._reader.survey(self.repository.snapshot(heads), heads, self.repository)
            self._last_seen = seen if not self._last.unread else ("", ())
        self.audience.saw(heads, self._clock.monotonic())
        self.audience.saw_jobs(self._last.jobs.values(), self._now())
        jobs = self._last.jobs.values()
        unread = self._reader.bring_leases(filter(self._needs_lease, jobs), self.repository, heads)
        self._has_unread = bool(unread or self._last.unread)
        return [self._view(facts, heads) for facts in jobs if facts.job_id not in unread]

    def view(self, job_id: str, heads: Heads) -> JobView | None:
        """One job with its state, however many others there are; None where nothing tells of it."""
        jobs = self._reader.survey(self.repository.snapshot(heads), heads, self.repository, [job_id]).jobs
        self.audience.saw(heads, self._clock.monotonic())
        return self._view(jobs[job_id], heads) if job_id in jobs else None

    def tidy(self, views: list[JobView] | None = None) -> int:
        """Writes what needs no worker; answers how many jobs were changed.

        Jobs canceled before they were claimed, entries that are no jobs and used-up budgets get their
        end, and projections that a merge turned back are put right.
        """
        views = self.survey() if views is None else views
        until_s = self._clock.monotonic() + TIDY_WITHIN_S
        unsettled = {v.job_id for v in views if not _is_closed_or_gone(v.state) and self._is_false(v.facts)}
        changed = 0
        for view in in_turn(views, self._tidied_last):
            if self._clock.monotonic() >= until_s:
                break
            if view.state is State.DELETED:
                record = view.facts.record
                if record is not None and not record.about.deleted_at:
                    self._note_deletion(view.job_id)
            elif view.job_id in unsettled:
                changed += self._mend(view.job_id)
            else:
                continue
            self._tidied_last = view.job_id
        self._unsettled = unsettled
        now_s = self._clock.monotonic()
        closable = [
            view.job_id
            for view in views
            if view.state in CLOSABLE and self._closes_again_at.get(view.job_id, now_s) <= now_s
        ]
        return changed + self._close(closable[: self._closings_at_once])

    def close_ledger(self, job_id: str) -> None:
        """Notes in a job's record that its results stand, so that nobody has to compare them again."""

        def build(snapshot: Snapshot, heads: Heads) -> Change[None] | None:
            facts = self._facts(job_id, snapshot, heads)
            if facts is None or facts.record is None or facts.record.about.settled or facts.dropped:
                return None
            ref = record_at(heads, job_id)
            return Change({}, "", records=record_move(facts, ref, snapshot.commit, closed_ledger(facts)))

        self.repository.transact(build)

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

    def look(self, standing: Heads | None = None) -> ProjectLook:
        """One look at everything, which counts for the watch on silent workers.

        `standing` are the refs where the branch is known to be as they say: the server is not asked then,
        and nothing is learned of the leases of running jobs. Raises ServerUnreachable; the watch then starts
        again, for after an outage all leases look old.
        """
        try:
            heads = standing or self.repository.look()
            views = self.survey(heads)
        except SystemFault:
            self._watch.failed()
            raise
        now = self._clock.monotonic()
        watched = [view for view in views if standing is None or view.state is not State.RUNNING]
        self._silent = {
            view.job_id: seen for view in watched if (seen := self._silence(view, heads, now)) is not None
        }
        if standing is None:  # where nobody else has a job, there is nobody to tell
            self._announce(heads, views, now)
        return ProjectLook(heads, views, list(self._silent))

    def _announce(self, heads: Heads, views: list[JobView], now_s: float) -> None:
        """Tells those who own jobs here that somebody stays to look after what is shown of them."""
        is_due = now_s - self._announced_s >= WATCHER_BEATS_EVERY_S
        if not (self._settings.stays and is_due and self.is_watched(views)):
            return
        self._announced_s = now_s
        ref = f"{WATCHER_NAMESPACE}{worker_folder(self.worker_id)}"
        said = f"{yaml_text.format_time(self._now())} {secrets.token_hex(8)}\n"
        beat = self.repository.lease_commit(said.encode())
        self.repository.replace_lease(ref, heads.watchers.get(ref), beat)

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
        """Deletes the leases and records of jobs that nobody needs to know of; answers how many jobs."""
        heads = self.repository.seen.heads or self.repository.look()  # a ref that has moved since stays
        views = self.survey(heads)
        over = [view.facts for view in views if view.state.is_final or view.state is State.ABSENT]
        return self._sweeper.sweep(over, heads)

    def is_watched(self, views: list[JobView]) -> bool:
        """True while the project has to be looked at although its branch doesn't move.

        That is while a job is not over, and while a projection that a merge turned back has to wait for
        being put right.
        """
        return (
            self._has_unread
            or bool(self._unsettled)
            or any(
                (not view.state.is_final and view.state is not State.ABSENT) or has_open_ledger(view)
                for view in views
            )
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
    def has_more(self) -> bool:
        """True where the last look has left jobs out, because one look may cost only so much."""
        return self._has_unread

    @property
    def is_readable(self) -> bool:
        """False where the last survey could not read the manifest, so that nobody knows what is asked for."""
        return self._last is not None and self._last.problem is None and not self._has_unread

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
        lease_id = landed.refs.get(claim.attempt.lease_ref or "")
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
                    change = landed.change
                    moved = [move.ref for move in change.leases] + [move.ref for move in change.records]
                    self._places.learn(moved)
                return landed

    def _take(
        self, facts: JobFacts, snapshot: Snapshot, heads: Heads, stale: RecordName | None
    ) -> Change[Claim | None] | None:
        """Takes a job from a worker; `stale` is its attempt, None an older worker's."""
        if was_deleted(facts):
            return self._noted_as_deleted(facts, snapshot, heads)
        verdict = judge_stale(facts, self._settings.budgets)
        place = self._place(facts.job_id, snapshot, heads)
        if verdict.claim and facts.entry is not None:
            ended = stale_end(facts, stale, verdict, self.worker_id, self._now()) if stale else None
            return self._claim_change(facts, facts.entry, snapshot, heads, ended)
        if stale is not None:
            return ending_change(
                facts,
                stale,
                verdict,
                observer=self.worker_id,
                moment=self._now(),
                place=place,
                with_response=self._sees_progress(),
            )
        if facts.is_canceled:
            return closing_change(
                facts, State.CANCEL_REQUESTED, "", worker_id=self.worker_id, moment=self._now(), place=place
            )
        return None

    def _claim_change(
        self,
        facts: JobFacts,
        entry: JobEntry,
        snapshot: Snapshot,
        heads: Heads,
        ended: End | None = None,
    ) -> Change[Claim]:
        return claim_change(
            facts,
            entry,
            worker_id=self.worker_id,
            moment=self._now(),
            place=self._place(facts.job_id, snapshot, heads),
            with_attributes=not snapshot.existing([ATTRIBUTES]),
            with_response=self._sees_progress(),
            ended=ended,
        )

    def _place(self, job_id: str, snapshot: Snapshot, heads: Heads) -> Place:
        return Place(
            snapshot.commit,
            lease_at(heads, job_id)[0] or self._places.lease(job_id),
            record_at(heads, job_id) or self._places.record(job_id),
        )

    def _sees_progress(self) -> bool:
        return self.audience.sees_progress(self._clock.monotonic())

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
            ledger=OwnLedger(claim.record_ref, claim.first_page),
            audience=self.audience,
            earlier=claim.earlier,
        )

    def _close(self, job_ids: Sequence[str]) -> int:
        """Ends jobs that nobody has to run, all in one commit; answers how many."""
        if not job_ids:
            return 0
        closings: dict[str, Change[None]] = {}

        def build(snapshot: Snapshot, heads: Heads) -> Change[None] | None:
            closings.clear()
            jobs = self._reader.survey(snapshot, heads, self.repository, job_ids).jobs
            known = [jobs[job_id] for job_id in job_ids if job_id in jobs]
            unread = self._reader.bring_leases(known, self.repository, heads)
            for facts in known:
                closing = None if facts.job_id in unread else self._closing(facts, snapshot, heads)
                if closing is not None:
                    closings[facts.job_id] = closing
            return together(closings) if closings else None

        try:
            self._transact(build)
        except PushRefused:
            # One job's refs may be the reason, or all of them: the next looks find out, one job each.
            if len(job_ids) == 1:
                self._closes_again_at[job_ids[0]] = self._clock.monotonic() + REFUSED_CLOSING_RESTS_S
            self._closings_at_once = 1
            raise
        self._closings_at_once = MAX_CLOSINGS_A_LOOK
        return len(closings)

    def _closing(self, facts: JobFacts, snapshot: Snapshot, heads: Heads) -> Change[None] | None:
        facts = self._reader.with_lease(facts, self.repository, heads)
        state = job_state(facts, self._settings.budgets)
        if state.state not in CLOSABLE:
            return None
        return closing_change(
            facts,
            state.state,
            state.reason,
            worker_id=self.worker_id,
            moment=self._now(),
            place=self._place(facts.job_id, snapshot, heads),
        )

    def _note_deletion(self, job_id: str) -> None:
        def build(snapshot: Snapshot, heads: Heads) -> Change[None] | None:
            facts = self._facts(job_id, snapshot, heads)
            is_deleted = facts is not None and was_deleted(facts)
            return self._noted_as_deleted(facts, snapshot, heads) if facts and is_deleted else None

        self.repository.transact(build)

    def _noted_as_deleted(self, facts: JobFacts, snapshot: Snapshot, heads: Heads) -> Change[Any] | None:
        """Keeps in the record that a person deleted the job: the history that tells of it grows long."""
        if facts.record is None or facts.record.about.deleted_at:
            return None
        files = {**closed_ledger(facts, deleted_at=self._now())}
        return Change(
            {}, "", records=record_move(facts, record_at(heads, facts.job_id), snapshot.commit, files)
        )

    def _is_false(self, facts: JobFacts) -> bool:
        """True where the head lacks what the record names, or tells something else."""
        return bool(facts.dropped) or needs_reassertion(facts, sees_progress=self._sees_progress())

    def _mend(self, job_id: str) -> bool:
        """Puts dropped attempts and ends back, at once, and false projections right, now and then."""
        patience = self._patience.setdefault(job_id, ReassertionPause())
        may_reassert = patience.allows(self._clock.monotonic())
        may_remove = patience.times >= TIMES_BEFORE_REMOVAL and not self.audience.has_older_workers

        def build(snapshot: Snapshot, heads: Heads) -> Change[bool] | None:
            facts = self._facts(job_id, snapshot, heads)
            if facts is None:
                return None
            if was_deleted(facts):
                return self._noted_as_deleted(facts, snapshot, heads)
            files = dropped_files(facts)
            told: dict[str, bytes | None] = {}
            if may_reassert and needs_reassertion(facts, sees_progress=self._sees_progress()):
                attempt = self._running_attempt(facts, snapshot)
                sources = [*self._record_snapshot(facts), snapshot]
                told = reassertion(facts, sources, attempt, may_remove=may_remove)
            if not (files or told):
                return None
            files |= told
            check_change(job_id, files, snapshot.existing(files).__contains__)
            say_what_was_dropped(facts)
            return Change(files, f"Job {job_id}: say again what became of it", value=None in told.values())

        change = self.repository.transact(build).change
        if change is None or not change.files:
            return False  # nothing of the project has changed
        if may_reassert:
            patience.used(self._clock.monotonic(), removed=bool(change.value))
        return True

    def _record_snapshot(self, facts: JobFacts) -> list[Snapshot]:
        if facts.record is None:
            return []
        return list(self.repository.records([facts.record.commit]).values())

    def _running_attempt(self, facts: JobFacts, snapshot: Snapshot) -> Attempt | None:
        newest = facts.newest
        if newest is None or facts.has_end(newest):
            return None
        if facts.record is not None and facts.record.attempt.nonce == newest.nonce:
            return facts.record.attempt
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
        survey = self._reader.survey(snapshot, heads, self.repository, [job_id], to_be_written=True)
        facts = survey.jobs.get(job_id)
        return self._reader.with_lease(facts, self.repository, heads) if facts else None

    def _needs_lease(self, facts: JobFacts) -> bool:
        """A job that may be pending needs its lease's content: a deleted folder shows in nothing else."""
        state = job_state(facts, self._settings.budgets).state
        return not state.is_final and state is not State.RUNNING

    def _view(self, facts: JobFacts, heads: Heads) -> JobView:
        if self._needs_lease(facts):
            facts = self._reader.with_lease(facts, self.repository, heads)
        state = job_state(facts, self._settings.budgets)
        rest = rests_until(facts, worker_folder(self.worker_id), self._now())
        return JobView(facts.job_id, state.state, state.reason, facts, rest)

    def _now(self) -> datetime:
        return now_utc(self._clock.time())


def in_turn(views: Sequence[JobView], after: str) -> list[JobView]:
    """The views from the one behind `after` on, so that each has its turn where one look is not enough."""
    place = next((n for n, view in enumerate(views, start=1) if view.job_id == after), 0)
    return [*views[place:], *views[:place]]


def _is_closed_or_gone(state: State) -> bool:
    return state in CLOSABLE or state is State.DELETED


def has_open_ledger(view: JobView) -> bool:
    """Whether the results of a job that is over still have to be compared with the head."""
    record = view.facts.record
    return view.state.is_final and record is not None and not record.about.settled
