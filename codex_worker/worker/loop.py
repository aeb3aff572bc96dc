"""The worker's loop: poll, claim, supervise, repeat."""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from codex_worker.clock import EventClock
from codex_worker.contract.exit_codes import ExitCode
from codex_worker.contract.manifest import JobEntry
from codex_worker.contract.records import EndState
from codex_worker.errors import Kind, ResourceError, UserError, WorkerError
from codex_worker.job.ends import Cause, exit_code
from codex_worker.queue.job_queue import JobQueue, JobView
from codex_worker.queue.owned import Outcome, OwnedJob
from codex_worker.settings import Settings
from codex_worker.supervisor.attempt import OpenProject, Supervisor
from codex_worker.supervisor.figures import LOST, AttemptInHand, Figures
from codex_worker.supervisor.keeper import Keeper
from codex_worker.supervisor.machine import unfitness
from codex_worker.supervisor.republish import offer_again
from codex_worker.supervisor.tenancy import Admission
from codex_worker.worker.door import Door
from codex_worker.worker.health import Health
from codex_worker.worker.lifetime import LifeLimits, Lifetime
from codex_worker.worker.looks import LOOK_WITHIN_S
from codex_worker.worker.next_job import Candidate, Hour, in_order
from codex_worker.worker.prefetch import Prefetch
from codex_worker.worker.projects import ProjectAddress, ProjectSource
from codex_worker.worker.watched_project import WatchedProject
from codex_worker.worker.watched_projects import WatchedProjects

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Where nothing is known to have happened, projects are looked at about once a minute.
WATCH_EVERY_S = 60.0
# So often it is seen whether a look is due.
WATCH_STEP_S = 20.0
# A worker that finds only other workers' jobs waits so long for the verdict on the silent ones.
VERDICT_WITHIN_S = 360.0
# A translator's sync that drops a publication began before it, and takes up to a minute.
SETTLE_LOOK_EVERY_S = 20.0
# After a look at a project that has more to see than one look may cost.
MORE_AFTER_S = 1.0
# A worker with nothing to do looks so often whether its kept results were taken.
PUBLICATION_LOOK_EVERY_S = 5.0


@dataclass(frozen=True)
class LoopSettings:
    """How the loop goes on when nothing is pending."""

    work_dir: Path
    interval_s: float = -1.0  # negative: exit when nothing is left
    force_job: tuple[ProjectAddress, str] | None = None
    settle_s: float = 0.0  # for so long after its last job a worker looks whether the results stand
    publish_timeout_s: float = Settings.publish_timeout_hours * 3600  # before it leaves with kept results
    life: LifeLimits = field(default_factory=LifeLimits)


class Worker:
    """Does jobs until there are none, or until it is told to leave."""

    def __init__(
        self,
        source: ProjectSource,
        open_queue: Callable[[str], JobQueue],
        supervisor: Supervisor,
        open_project: OpenProject,
        clock: EventClock,
        settings: LoopSettings,
        health: Health | None = None,
        figures: Figures | None = None,
        prefetch: Prefetch | None = None,
    ) -> None:
        """`figures` is for whoever watches the worker, `prefetch` fetches for the jobs that come next."""
        self._supervisor = supervisor
        self._open_project = open_project
        self._clock = clock
        self._settings = settings
        self._health = health or Health()
        self._figures = figures or Figures()
        self._prefetch = prefetch
        self._door = Door(supervisor.tenancy)
        self._not_here: dict[tuple[str, str], str] = {}  # (address, job): why this machine does not begin it
        self._projects = WatchedProjects(source, open_queue, clock, supervisor.read_token_again)
        self._served: Counter[tuple[str, Hour]] = Counter()
        self._life = Lifetime(settings.life, clock, supervisor.leave)
        self._over = threading.Event()
        self._released = False
        self._waits_for_publication = False
        self._settles_until_s = float("-inf")
        self._keeper = Keeper(settings.work_dir, open_queue, open_project, clock, supervisor.read_token_again)

    def run(self) -> ExitCode:
        """The worker's exit code."""
        self._figures.loop = threading.current_thread()
        threading.Thread(target=self._watch, name="watch", daemon=True).start()
        self._life.begin(self._over)
        try:
            if self._settings.force_job is not None:
                return self._force(*self._settings.force_job)
            return self._loop()
        except ResourceError as error:
            logger.error("%s", error)
            self._figures.is_unfit = True
            if self._settings.interval_s < 0:
                self._stay_with_results()
            return ExitCode.UNFIT
        finally:
            self._over.set()
            self._supervisor.spares.close()
            self._projects.close()

    def _loop(self) -> ExitCode:
        waited_s, idle_since_s, has_done = 0.0, None, False
        stays = self._settings.interval_s >= 0
        leaving = self._supervisor.leaving.event
        with self._figures.publishing_kept():
            offer_again(self._settings.work_dir, self._projects.queue, self._open_project, self._clock)
        while not leaving.is_set():
            self._figures.sign()
            self._keeper.look_after(self._over)
            self._stay_fit()
            has_done = (has_done and self._do_next_known()) or self._do_next_asked()
            if has_done:
                waited_s, idle_since_s = 0.0, None
                continue
            idle_since_s = self._clock.monotonic() if idle_since_s is None else idle_since_s
            self._projects.remove_tombstones()
            idle_left_s = self._life.idle_left_s(idle_since_s)
            if stays and idle_left_s > 0:
                self._supervisor.spares.keep_one()
                self._rest(leaving, idle_left_s)
            elif self._is_settling:
                self._clock.wait(leaving, SETTLE_LOOK_EVERY_S)
            elif not stays and waited_s < VERDICT_WITHIN_S and self._projects.has_more_to_see:
                self._clock.wait(leaving, MORE_AFTER_S)
                waited_s += MORE_AFTER_S
            elif not stays and waited_s < VERDICT_WITHIN_S and self._awaits_a_verdict:
                if not waited_s:
                    logger.info("Nothing is pending; waiting to see whether other workers' jobs are alive.")
                self._clock.wait(leaving, WATCH_EVERY_S)
                waited_s += WATCH_EVERY_S
            elif not self._await_publication(idle_since_s):
                return self._code(self._nothing_left())
        return ExitCode.RELEASED if self._released else self._code(ExitCode.DONE)

    def _await_publication(self, since_s: float) -> bool:
        """Waits a little for kept results to be taken; False where there is nothing to wait for any more.

        They are in no other place than this machine, which may delete itself when the worker leaves.
        """
        left_s = since_s + self._settings.publish_timeout_s - self._clock.monotonic()
        if left_s <= 0 or not self._keeper.may_be_taken:
            return False
        if not self._waits_for_publication:
            self._waits_for_publication = True
            logger.warning(
                "Results are kept in %s and offered again for up to %.1f hours (--publish-timeout-hours). "
                "Whoever ends this worker finds them there, and a worker with this folder goes on.",
                self._settings.work_dir, left_s / 3600,
            )  # fmt: skip
        end_s = self._clock.monotonic() + min(left_s, WATCH_EVERY_S)
        leaving = self._supervisor.leaving.event
        while self._keeper.holds_results and (left_s := end_s - self._clock.monotonic()) > 0:
            self._figures.sign()
            if self._clock.wait(leaving, min(left_s, PUBLICATION_LOOK_EVERY_S)):
                break
        return True

    def _stay_with_results(self) -> None:
        """Does nothing more but to offer what is kept, for as long as that may help."""
        since_s = self._clock.monotonic()
        self._keeper.look_after(self._over)
        while not self._supervisor.leaving.event.is_set() and self._await_publication(since_s):
            pass

    def _code(self, code: ExitCode) -> ExitCode:
        """The exit code, which never says that all is done while results wait."""
        if not self._keeper.holds_results:
            return code
        logger.error("Results that could not be published are kept in %s.", self._settings.work_dir)
        return ExitCode.RELEASED

    def _rest(self, leaving: threading.Event, at_most_s: float) -> None:
        """Waits for the next poll, or until there is news: a silent worker's job, the end of a late look."""
        left_s = min(self._settings.interval_s, at_most_s)
        late, was_open = self._projects.under_way(), self._door.is_open
        while left_s >= 0 and not leaving.is_set():
            self._figures.sign()
            self._clock.wait(leaving, min(left_s, WATCH_EVERY_S))
            left_s -= WATCH_EVERY_S
            if left_s <= 0 or any(watched.silent for watched in self._projects):
                return
            if self._door.is_open and not was_open:
                return
            if late - self._projects.under_way():
                return

    def _nothing_left(self) -> ExitCode:
        if self._settings.interval_s >= 0:  # whatever it could not do: this one has looked for long enough
            self._life.say_that_it_was_idle()
            return ExitCode.DONE
        if self._projects.could_not_be_read:
            logger.error("No project could be read.")
            return ExitCode.FAILED
        if reasons := self._door.keeps_waiting:
            logger.warning(
                "Nothing can be begun now; another worker may do what is left. %s", " ".join(reasons)
            )
            return ExitCode.RELEASED
        if self._not_here:
            logger.error("Only jobs are left that this machine cannot do.")
            return ExitCode.UNFIT
        if resting := [view.job_id for watched in self._projects for view in watched.resting]:
            logger.warning(
                "Left to other workers for a while, because this one has failed them: %s. "
                "Nothing else is left to do.", ", ".join(resting),
            )  # fmt: skip
            return ExitCode.RELEASED
        logger.info("Nothing is left to do.")
        return ExitCode.DONE

    def _stay_fit(self) -> None:
        problem = unfitness(self._settings.work_dir)
        if problem is not None:
            raise ResourceError(f"{problem} No job is claimed.")
        self._health.stay_fit()

    def _do_next_known(self) -> bool:
        """Does the next job of those that a fresh poll found: what came since is younger, and can wait."""
        return self._projects.were_asked_for and self._do_next()

    def _do_next_asked(self) -> bool:
        self._projects.poll()
        self._figures.polled(was_read=not self._projects.could_not_be_read)
        return self._do_next()

    def _do_next(self) -> bool:
        """Claims and does the next job; False where none could be had."""
        found = self._for_this_machine()
        order = in_order(found, self._served)
        for place, candidate in enumerate(order, start=1):
            if self._supervisor.leaving.event.is_set():
                return False
            watched = self._projects[candidate.project]
            admission = self._door.let_in(candidate, found[candidate], watched.project.name)
            owned = None if admission is None else self._claim(watched, candidate)
            if admission is not None and owned is not None:
                self._served[candidate.project, candidate.hour] += 1
                with self._fetching_ahead(order[place:], found):
                    self._do(watched, owned, admission)
                watched.in_hand = None
                self._projects.guarded(watched, "look", watched.look_at_own)
                return True
        return False

    def _fetching_ahead(
        self, after: Sequence[Candidate], found: Mapping[Candidate, JobEntry | None]
    ) -> AbstractContextManager[None]:
        """While a job is done, recordings of those after it are fetched."""
        if self._prefetch is None:
            return nullcontext()
        entries = [(candidate, found[candidate]) for candidate in after if not candidate.is_takeover]
        jobs = [
            self._projects[candidate.project].as_next(entry)
            for candidate, entry in entries
            if entry is not None
        ]
        return self._prefetch.beside(jobs, self._supervisor.leaving.event)

    def _for_this_machine(self) -> Mapping[Candidate, JobEntry | None]:
        """What this machine can do now of all that could be done; what it can't is said once."""
        found = self._door.those_of_this_hour(dict(self._projects.candidates()))
        self._supervisor.spares.is_wanted = self._settings.interval_s >= 0 or len(found) > 1
        if found:
            self._supervisor.spares.keep_one()  # it loads what it needs while the machine is probed
            self._health.before_claim()
        reasons = {c: self._health.why_not(entry) for c, entry in found.items() if entry is not None}
        said, self._not_here = self._not_here, {}
        for candidate, reason in reasons.items():
            if reason is None:
                continue
            key = (candidate.project, candidate.job_id)
            self._not_here[key] = reason
            if said.get(key) != reason:
                name = self._projects[candidate.project].project.name
                logger.warning("Job %s of %s is not begun here. %s", candidate.job_id, name, reason)
        return {candidate: entry for candidate, entry in found.items() if reasons.get(candidate) is None}

    def _claim(self, watched: WatchedProject, candidate: Candidate) -> OwnedJob | None:
        entry = next((view.entry for view in watched.views if view.job_id == candidate.job_id), None)

        def claim() -> OwnedJob | None:
            self._figures.sign()
            if entry is not None and not candidate.is_takeover:
                self._health.ask_server(candidate.project, entry)
            # A look that began just now and does not end must not hold the other projects up.
            if not watched.lock.acquire(timeout=LOOK_WITHIN_S):
                return None
            try:
                if candidate.is_takeover:
                    watched.silent.discard(candidate.job_id)
                    owned = watched.queue.take_over(candidate.job_id)
                else:
                    owned = watched.queue.claim(candidate.job_id)
                watched.in_hand = None if owned is None else candidate.job_id
            finally:
                watched.lock.release()
            if owned is None:
                watched.look_at_own()  # whoever was faster is seen now
            return owned

        return self._projects.guarded(watched, f"claim of {candidate.job_id}", claim)

    def _do(self, watched: WatchedProject, owned: OwnedJob, admission: Admission) -> Outcome | None:
        with self._figures.holding(AttemptInHand.of(owned, watched.project.name)):
            return self._attempt(watched, owned, admission)

    def _attempt(self, watched: WatchedProject, owned: OwnedJob, admission: Admission) -> Outcome | None:
        job_id, project = owned.entry.job_id, watched.project
        logger.info("Job %s of %s: attempt %s begins", job_id, project.name, owned.attempt.name)
        try:
            outcome = self._supervisor.run(owned, project.name, project.address, admission)
        except WorkerError as error:
            # Without a folder there is no attempt: the job goes to another worker, and this one is unfit.
            self._give_back(watched, owned, Outcome(EndState.FAILED, Kind.RESOURCE, str(error)))
            raise ResourceError(str(error)) from error
        except Exception as error:  # said there; what one job meets must not end the worker
            watched.failed(f"job {job_id}", error)
            told = f"This worker could not run it ({type(error).__name__}); its own log says more."
            self._give_back(watched, owned, Outcome(EndState.FAILED, Kind.SYSTEM, told))
            return None
        self._figures.ended(LOST if outcome is None else outcome.state.value)
        if outcome is None:
            logger.warning("Job %s of %s belongs to somebody else now", job_id, project.name)
        else:
            self._health.ended(job_id, outcome)
            self._released = outcome.state in {EndState.PREEMPTED, EndState.YIELDED}
            watched.settling.own.add(job_id)
            self._settles_until_s = self._clock.monotonic() + self._settings.settle_s
            logger.info("Job %s of %s: %s. %s", job_id, project.name, outcome.state.value, outcome.message)
        return outcome

    def _give_back(self, watched: WatchedProject, owned: OwnedJob, outcome: Outcome) -> None:
        self._figures.ended(outcome.state.value)
        log = f"{outcome.message}\n".encode()
        self._projects.guarded(watched, f"end of {owned.entry.job_id}", lambda: owned.end(outcome, log=log))

    def _force(self, project: ProjectAddress, job_id: str) -> ExitCode:
        """Does one job whoever has it, and nothing else."""
        self._stay_fit()
        watched = self._projects.watched(project)
        self._supervisor.spares.is_wanted = False
        self._supervisor.spares.keep_one()
        try:
            entry = next((view.entry for view in watched.queue.survey() if view.job_id == job_id), None)
            candidate = Candidate(project.address, job_id, None)
            if not self._door.those_of_this_hour({candidate: entry}):
                return ExitCode.RELEASED
            self._health.before_claim()
            if entry is not None and (reason := self._health.why_not(entry)):
                raise ResourceError(f"Job {job_id} is not begun here. {reason}")
            admission = self._door.let_in(candidate, entry, project.name)
            if admission is None:
                return ExitCode.RELEASED
            owned = watched.queue.claim(job_id, force=True)
        except WorkerError as error:
            logger.error("Project %s: %s", project.name, error)
            if isinstance(error, ResourceError):
                return ExitCode.UNFIT
            return ExitCode.BAD_DATA if isinstance(error, UserError) else ExitCode.FAILED
        except Exception as error:  # said there, and told by the exit code
            watched.failed(f"claim of {job_id}", error)
            return ExitCode.FAILED
        if owned is None:
            logger.error(
                "Project %s has no job %s that could be done: look at `codex-worker jobs %s`.",
                project.name, job_id, project.address,
            )  # fmt: skip
            return ExitCode.BAD_DATA
        self._figures.polled(was_read=True)
        outcome = self._do(watched, owned, admission)
        leaving = self._supervisor.leaving.event
        while self._is_settling and not leaving.is_set():
            self._figures.sign()
            self._clock.wait(leaving, SETTLE_LOOK_EVERY_S)
            self._projects.look(watched)
        self._stay_with_results()
        if outcome is None:
            return self._code(Cause.LOST.ending.exit_code)
        return self._code(exit_code(outcome.state, outcome.kind))

    @property
    def _awaits_a_verdict(self) -> bool:
        """Whether a job is another worker's that may be dead."""
        return any(watched.awaits_a_verdict for watched in self._projects)

    @property
    def _is_settling(self) -> bool:
        """Whether a sync that was under way may still drop what the last job has published."""
        return self._clock.monotonic() < self._settles_until_s

    def jobs(self) -> list[JobView]:
        """All jobs that the last looks have seen; for whoever watches, from any thread."""
        return [view for watched in self._projects for view in watched.views]

    def _watch(self) -> None:
        """Looks at unfinished jobs and unsettled projections, also while a job of ours is running."""
        while not self._clock.wait(self._over, MORE_AFTER_S if self._projects.has_new else WATCH_STEP_S):
            try:
                self._projects.settles = self._is_settling
                self._projects.look_at_unfinished()
            except Exception:  # a defect of ours must not end the watch for all projects
                logger.exception("The projects could not be watched")
