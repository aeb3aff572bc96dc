"""The worker's loop: poll, claim, supervise, repeat."""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from codex_worker.clock import EventClock
from codex_worker.contract.exit_codes import ExitCode
from codex_worker.contract.records import EndState
from codex_worker.contract.state import State
from codex_worker.errors import AccessDenied, Kind, ResourceError, UserError, WorkerError
from codex_worker.job.ends import Cause, exit_code
from codex_worker.queue.job_queue import JobQueue
from codex_worker.queue.owned import Outcome, OwnedJob
from codex_worker.supervisor.attempt import OpenProject, Supervisor
from codex_worker.supervisor.machine import unfitness
from codex_worker.supervisor.republish import offer_again
from codex_worker.worker.next_job import Candidate, Hour, in_order
from codex_worker.worker.projects import ProjectAddress, ProjectSource, ServerProjects, Standing
from codex_worker.worker.settling import Settling
from codex_worker.worker.watched_project import WatchedProject

logger = logging.getLogger(__name__)

WATCH_EVERY_S = 60.0
# A look is mostly waiting for the server.
LOOKS_AT_ONCE = 8
# A worker that finds only other workers' jobs waits so long for the verdict on the silent ones.
VERDICT_WITHIN_S = 360.0
# A translator's sync that drops a publication began before it, and takes up to a minute.
SETTLE_LOOK_EVERY_S = 20.0


@dataclass(frozen=True)
class LoopSettings:
    """How the loop goes on when nothing is pending."""

    work_dir: Path
    interval_s: float = -1.0  # negative: exit when nothing is left
    force_job: tuple[ProjectAddress, str] | None = None
    settle_s: float = 0.0  # for so long after its last job a worker looks whether the results stand


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
    ) -> None:
        self._source = source
        self._open_queue = open_queue
        self._supervisor = supervisor
        self._open_project = open_project
        self._clock = clock
        self._settings = settings
        self._projects: dict[str, WatchedProject] = {}
        self._served: Counter[tuple[str, Hour]] = Counter()
        self._over = threading.Event()
        self._released = False
        self._settles_until_s = float("-inf")
        self._source_trouble = ""

    def run(self) -> ExitCode:
        """The worker's exit code."""
        threading.Thread(target=self._watch, name="watch", daemon=True).start()
        try:
            if self._settings.force_job is not None:
                return self._force(*self._settings.force_job)
            return self._loop()
        except ResourceError as error:
            logger.error("%s", error)
            return ExitCode.UNFIT
        finally:
            self._over.set()

    def _loop(self) -> ExitCode:
        waited_s = 0.0
        leaving = self._supervisor.leaving.event
        while not leaving.is_set():
            self._stay_fit()
            offer_again(self._settings.work_dir, self._queue, self._open_project, self._clock)
            self._poll()
            if self._do_next():
                waited_s = 0.0
                continue
            self._remove_tombstones()
            if self._settings.interval_s >= 0:
                self._rest(leaving)
            elif self._is_settling:
                self._clock.wait(leaving, SETTLE_LOOK_EVERY_S)
            elif waited_s < VERDICT_WITHIN_S and any(d.awaits_a_verdict for d in self._projects.values()):
                if not waited_s:
                    logger.info("Nothing is pending; waiting to see whether other workers' jobs are alive.")
                self._clock.wait(leaving, WATCH_EVERY_S)
                waited_s += WATCH_EVERY_S
            else:
                return self._nothing_left()
        return ExitCode.RELEASED if self._released else ExitCode.DONE

    def _rest(self, leaving: threading.Event) -> None:
        """Waits for the next poll, or until the watch has found a silent worker's job."""
        left_s = self._settings.interval_s
        while left_s >= 0 and not leaving.is_set():
            self._clock.wait(leaving, min(left_s, WATCH_EVERY_S))
            left_s -= WATCH_EVERY_S
            if left_s <= 0 or any(watched.silent for watched in self._projects.values()):
                return

    def _nothing_left(self) -> ExitCode:
        troubled = [watched for watched in self._projects.values() if watched.trouble]
        if self._source_trouble or (troubled and len(troubled) == len(self._projects)):
            logger.error("No project could be read.")
            return ExitCode.FAILED
        logger.info("Nothing is left to do.")
        return ExitCode.DONE

    def _stay_fit(self) -> None:
        problem = unfitness(self._settings.work_dir)
        if problem is not None:
            raise ResourceError(f"{problem} No job is claimed.")

    def _poll(self) -> None:
        """Looks at every project that changed, and at those where something is left to do."""
        changed = {project.address for project in self._changed()}
        watched = [d for d in self._projects.values() if d.project.address in changed or d.needs_a_look]
        with ThreadPoolExecutor(LOOKS_AT_ONCE) as pool:
            list(pool.map(self._look, watched))
        if isinstance(self._source, ServerProjects) and not self._source_trouble:
            ours = self._source.settle(self._standing, self._look_again)
            self._projects = {
                address: watched for address, watched in self._projects.items() if address in ours
            }

    def _standing(self, address: str) -> Standing:
        watched = self._projects.get(address)
        return Standing() if watched is None else watched.standing  # never opened: nobody asked for a job

    def _look_again(self, address: str) -> Standing:
        if address in self._projects:
            self._look(self._projects[address])
        return self._standing(address)

    def _remove_tombstones(self) -> None:
        for watched in self._projects.values():
            try:
                watched.remove_tombstones(self._clock.monotonic())
            except WorkerError as error:
                logger.debug("Old leases of project %s stay for now: %s", watched.project.name, error)

    def _changed(self) -> list[ProjectAddress]:
        try:
            projects = list(self._source.changed())
            self._source_trouble = ""
        except WorkerError as error:
            self._source_trouble = self._say(str(error), self._source_trouble, "The server")
            return []
        for project in projects:
            self._watched(project)
        return projects

    def _look(self, watched: WatchedProject) -> None:
        try:
            watched.look()
            watched.trouble = ""
            for problem in watched.new_problems():
                logger.warning("Project %s: %s", watched.project.name, problem)
        except WorkerError as error:
            if isinstance(error, AccessDenied):
                self._supervisor.read_token_again()
            watched.trouble = self._say(str(error), watched.trouble, f"Project {watched.project.name}")

    def _say(self, trouble: str, before: str, where: str) -> str:
        """Logs a trouble, loudly only when it is new. Answers it."""
        level = logging.DEBUG if trouble == before else logging.ERROR
        logger.log(level, "%s: %s", where, trouble)
        return trouble

    def _candidates(self) -> Iterator[Candidate]:
        for watched in self._projects.values():
            for view in watched.views:
                is_silent = view.job_id in watched.silent
                if view.state is State.PENDING or is_silent:
                    submitted_at = view.entry.submitted_at if view.entry else None
                    yield Candidate(watched.project.address, view.job_id, submitted_at, is_silent)

    def _do_next(self) -> bool:
        """Claims and does the next job; False where none could be had."""
        for candidate in in_order(self._candidates(), self._served):
            if self._supervisor.leaving.event.is_set():
                return False
            watched = self._projects[candidate.project]
            owned = self._claim(watched, candidate)
            if owned is not None:
                self._served[candidate.project, candidate.hour] += 1
                self._do(watched, owned)
                return True
        return False

    def _claim(self, watched: WatchedProject, candidate: Candidate) -> OwnedJob | None:
        try:
            with watched.lock:
                if candidate.is_takeover:
                    watched.silent.discard(candidate.job_id)
                    return watched.queue.take_over(candidate.job_id)
                return watched.queue.claim(candidate.job_id)
        except WorkerError as error:
            watched.trouble = self._say(str(error), watched.trouble, f"Project {watched.project.name}")
            return None

    def _do(self, watched: WatchedProject, owned: OwnedJob) -> Outcome | None:
        job_id, project = owned.entry.job_id, watched.project
        logger.info("Job %s of %s: attempt %s begins", job_id, project.name, owned.attempt.name)
        try:
            outcome = self._supervisor.run(owned, project.name, project.address)
        except WorkerError as error:
            # Without a folder there is no attempt: the job goes to another worker, and this one is unfit.
            owned.end(Outcome(EndState.FAILED, Kind.RESOURCE, str(error)), log=f"{error}\n".encode())
            raise ResourceError(str(error)) from error
        if outcome is None:
            logger.warning("Job %s of %s belongs to somebody else now", job_id, project.name)
        else:
            self._released = outcome.state is EndState.PREEMPTED
            watched.settling.own.add(job_id)
            self._settles_until_s = self._clock.monotonic() + self._settings.settle_s
            logger.info("Job %s of %s: %s. %s", job_id, project.name, outcome.state.value, outcome.message)
        return outcome

    def _force(self, project: ProjectAddress, job_id: str) -> ExitCode:
        """Does one job whoever has it, and nothing else."""
        self._stay_fit()
        watched = self._watched(project)
        try:
            owned = watched.queue.claim(job_id, force=True)
        except WorkerError as error:
            logger.error("Project %s: %s", project.name, error)
            return ExitCode.BAD_DATA if isinstance(error, UserError) else ExitCode.FAILED
        if owned is None:
            logger.error(
                "Project %s has no job %s that could be done: look at `codex-worker jobs %s`.",
                project.name, job_id, project.address,
            )  # fmt: skip
            return ExitCode.BAD_DATA
        outcome = self._do(watched, owned)
        leaving = self._supervisor.leaving.event
        while self._is_settling and not leaving.is_set():
            self._clock.wait(leaving, SETTLE_LOOK_EVERY_S)
            self._look(watched)
        if outcome is None:
            return Cause.LOST.ending.exit_code
        return exit_code(outcome.state, outcome.kind)

    def _watched(self, project: ProjectAddress) -> WatchedProject:
        if project.address not in self._projects:
            queue = self._open_queue(project.address)
            self._projects[project.address] = WatchedProject(project, queue, Settling(queue, self._clock))
        return self._projects[project.address]

    def _queue(self, address: str) -> JobQueue:
        watched = self._projects.get(address)
        return self._open_queue(address) if watched is None else watched.queue

    @property
    def _is_settling(self) -> bool:
        """Whether a sync that was under way may still drop what the last job has published."""
        return self._clock.monotonic() < self._settles_until_s

    def _watch(self) -> None:
        """Looks at unfinished jobs and unsettled projections, also while a job of ours is running."""
        while not self._clock.wait(self._over, SETTLE_LOOK_EVERY_S if self._is_settling else WATCH_EVERY_S):
            for watched in list(self._projects.values()):
                if not watched.needs_a_look:
                    continue
                try:
                    self._look(watched)
                except Exception:  # a defect of ours must not end the watch for all projects
                    logger.exception("Project %s could not be watched", watched.project.name)
