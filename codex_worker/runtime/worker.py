"""The worker's loop: poll, claim, supervise, repeat."""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from codex_worker.contract.exit_codes import ExitCode
from codex_worker.contract.records import EndState
from codex_worker.contract.state import State
from codex_worker.errors import AccessDenied, Kind, ResourceError, UserError, WorkerError
from codex_worker.queue.owned import Outcome, OwnedJob
from codex_worker.runtime.clock import EventClock
from codex_worker.runtime.desk import Desk
from codex_worker.runtime.fitness import unfitness
from codex_worker.runtime.membership import ServerProjects, Standing
from codex_worker.runtime.offering import offer_again
from codex_worker.runtime.order import Candidate, Hour, in_order
from codex_worker.runtime.projects import Project, ProjectSource
from codex_worker.runtime.supervisor import Equip, Supervisor
from gitlab_jobs import JobQueue

logger = logging.getLogger(__name__)

WATCH_EVERY_S = 60.0
# A look is mostly waiting for the server.
LOOKS_AT_ONCE = 8
# A worker that finds only other workers' jobs waits so long for the verdict on the silent ones.
VERDICT_WITHIN_S = 360.0


@dataclass(frozen=True)
class LoopSettings:
    """How the loop goes on when nothing is pending."""

    work_dir: Path
    interval_s: float = -1.0  # negative: exit when nothing is left
    force_job: tuple[Project, str] | None = None


class Worker:
    """Does jobs until there are none, or until it is told to leave."""

    def __init__(
        self,
        source: ProjectSource,
        open_queue: Callable[[str], JobQueue],
        supervisor: Supervisor,
        equip: Equip,
        clock: EventClock,
        settings: LoopSettings,
    ) -> None:
        self._source = source
        self._open_queue = open_queue
        self._supervisor = supervisor
        self._equip = equip
        self._clock = clock
        self._settings = settings
        self._desks: dict[str, Desk] = {}
        self._served: Counter[tuple[str, Hour]] = Counter()
        self._over = threading.Event()
        self._released = False
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
            offer_again(self._settings.work_dir, self._queue, self._equip, self._clock)
            self._poll()
            if self._do_next():
                waited_s = 0.0
                continue
            self._remove_tombstones()
            if self._settings.interval_s >= 0:
                self._rest(leaving)
            elif waited_s < VERDICT_WITHIN_S and any(d.awaits_a_verdict for d in self._desks.values()):
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
            if left_s <= 0 or any(desk.silent for desk in self._desks.values()):
                return

    def _nothing_left(self) -> ExitCode:
        troubled = [desk for desk in self._desks.values() if desk.trouble]
        if self._source_trouble or (troubled and len(troubled) == len(self._desks)):
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
        desks = [d for d in self._desks.values() if d.project.address in changed or d.needs_a_look]
        with ThreadPoolExecutor(LOOKS_AT_ONCE) as pool:
            list(pool.map(self._look, desks))
        if isinstance(self._source, ServerProjects) and not self._source_trouble:
            ours = self._source.settle(self._standing, self._look_again)
            self._desks = {address: desk for address, desk in self._desks.items() if address in ours}

    def _standing(self, address: str) -> Standing:
        desk = self._desks.get(address)
        return Standing() if desk is None else desk.standing  # without a desk: nobody ever asked for a job

    def _look_again(self, address: str) -> Standing:
        if address in self._desks:
            self._look(self._desks[address])
        return self._standing(address)

    def _remove_tombstones(self) -> None:
        for desk in self._desks.values():
            try:
                desk.remove_tombstones(self._clock.monotonic())
            except WorkerError as error:
                logger.debug("Old leases of project %s stay for now: %s", desk.project.name, error)

    def _changed(self) -> list[Project]:
        try:
            projects = list(self._source.changed())
            self._source_trouble = ""
        except WorkerError as error:
            self._source_trouble = self._say(str(error), self._source_trouble, "The server")
            return []
        for project in projects:
            self._desk(project)
        return projects

    def _look(self, desk: Desk) -> None:
        try:
            desk.look()
            desk.trouble = ""
            for problem in desk.new_problems():
                logger.warning("Project %s: %s", desk.project.name, problem)
        except WorkerError as error:
            if isinstance(error, AccessDenied):
                self._supervisor.read_token_again()
            desk.trouble = self._say(str(error), desk.trouble, f"Project {desk.project.name}")

    def _say(self, trouble: str, before: str, where: str) -> str:
        """Logs a trouble, loudly only when it is new. Answers it."""
        level = logging.DEBUG if trouble == before else logging.ERROR
        logger.log(level, "%s: %s", where, trouble)
        return trouble

    def _candidates(self) -> Iterator[Candidate]:
        for desk in self._desks.values():
            for view in desk.views:
                is_silent = view.job_id in desk.silent
                if view.state is State.PENDING or is_silent:
                    submitted_at = view.entry.submitted_at if view.entry else None
                    yield Candidate(desk.project.address, view.job_id, submitted_at, is_silent)

    def _do_next(self) -> bool:
        """Claims and does the next job; False where none could be had."""
        for candidate in in_order(self._candidates(), self._served):
            if self._supervisor.leaving.event.is_set():
                return False
            desk = self._desks[candidate.project]
            owned = self._claim(desk, candidate)
            if owned is not None:
                self._served[candidate.project, candidate.hour] += 1
                self._do(desk, owned)
                return True
        return False

    def _claim(self, desk: Desk, candidate: Candidate) -> OwnedJob | None:
        try:
            with desk.lock:
                if candidate.is_takeover:
                    desk.silent.discard(candidate.job_id)
                    return desk.queue.take_over(candidate.job_id)
                return desk.queue.claim(candidate.job_id)
        except WorkerError as error:
            desk.trouble = self._say(str(error), desk.trouble, f"Project {desk.project.name}")
            return None

    def _do(self, desk: Desk, owned: OwnedJob) -> Outcome | None:
        job_id, project = owned.entry.job_id, desk.project
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
            logger.info("Job %s of %s: %s. %s", job_id, project.name, outcome.state.value, outcome.message)
        return outcome

    def _force(self, project: Project, job_id: str) -> ExitCode:
        """Does one job whoever has it, and nothing else."""
        self._stay_fit()
        desk = self._desk(project)
        try:
            owned = desk.queue.claim(job_id, force=True)
        except WorkerError as error:
            logger.error("Project %s: %s", project.name, error)
            return ExitCode.BAD_DATA if isinstance(error, UserError) else ExitCode.FAILED
        if owned is None:
            logger.error(
                "Project %s has no job %s that could be done: look at `codex-worker jobs %s`.",
                project.name, job_id, project.address,
            )  # fmt: skip
            return ExitCode.BAD_DATA
        return code_of(self._do(desk, owned))

    def _desk(self, project: Project) -> Desk:
        if project.address not in self._desks:
            self._desks[project.address] = Desk(project, self._open_queue(project.address))
        return self._desks[project.address]

    def _queue(self, address: str) -> JobQueue:
        desk = self._desks.get(address)
        return self._open_queue(address) if desk is None else desk.queue

    def _watch(self) -> None:
        """Looks at unfinished jobs and unsettled projections, also while a job of ours is running."""
        while not self._clock.wait(self._over, WATCH_EVERY_S):
            for desk in list(self._desks.values()):
                if not desk.needs_a_look:
                    continue
                try:
                    self._look(desk)
                except Exception:  # a defect of ours must not end the watch for all projects
                    logger.exception("Project %s could not be watched", desk.project.name)


def code_of(outcome: Outcome | None) -> ExitCode:
    """The exit code of a worker that did a single job."""
    if outcome is None:
        return ExitCode.CANCELED
    if outcome.state is EndState.FAILED:
        return ExitCode.BAD_DATA if outcome.kind in {Kind.USER, Kind.DATA} else ExitCode.FAILED
    return {
        EndState.COMPLETED: ExitCode.DONE,
        EndState.CANCELED: ExitCode.CANCELED,
        EndState.WITHDRAWN: ExitCode.CANCELED,
    }.get(outcome.state, ExitCode.RELEASED)
