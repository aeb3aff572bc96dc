"""One attempt at one job: a folder, a log, a child, and the last word in the project."""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from codex_worker.clock import EventClock
from codex_worker.contract.options import options_of
from codex_worker.contract.records import EndState, is_final
from codex_worker.errors import LeaseLost, WorkerError
from codex_worker.job.api import JobContext, Scanner
from codex_worker.job.channel import Assignment
from codex_worker.job.failures import describe
from codex_worker.job.machine_paths import MachinePaths
from codex_worker.publish.standing import AtHead
from codex_worker.queue.owned import Outcome, OwnedJob
from codex_worker.retry import PUBLICATION, PUBLISH_PATIENCE_S, READ_PATIENCE_S, BackOff
from codex_worker.supervisor.child_watch import ChildWatch, Leaving, Terms
from codex_worker.supervisor.decide import Departure, outcome_of
from codex_worker.supervisor.ending import AttemptEnd
from codex_worker.supervisor.figures import ENDING, Figures
from codex_worker.supervisor.gpu_watch import NeighbourWatch
from codex_worker.supervisor.handlers_found import choose_handler, find_handlers
from codex_worker.supervisor.job_folder import JobFolder, remove_old
from codex_worker.supervisor.local_states import LocalState
from codex_worker.supervisor.logs import JobLog
from codex_worker.supervisor.process import ChildProcess
from codex_worker.supervisor.reserve import Reserve
from codex_worker.supervisor.resume_saving import ResumeSaver, StateOwner
from codex_worker.supervisor.rounds import Complaints
from codex_worker.supervisor.salvage import publish_left_behind
from codex_worker.supervisor.sandbox import Equipment, equipment_for
from codex_worker.supervisor.seen_job import SeenJob
from codex_worker.supervisor.services import Services
from codex_worker.supervisor.settings import RuntimeSettings
from codex_worker.supervisor.shared_states import SharedStates
from codex_worker.supervisor.spares import Spares, start_child
from codex_worker.supervisor.tenancy import FREE, Admission, Tenancy
from codex_worker.supervisor.truth import counted, truthful, with_cells, with_notes
from codex_worker.supervisor.unpublished import Outbox, Owner
from codex_worker.tally import Tally

logger = logging.getLogger(__name__)

LAST_STATE_S = 60.0  # for the state of an attempt that failed; the next job waits meanwhile


@dataclass(frozen=True)
class Secrets:
    """What the supervisor may do with the token without knowing it."""

    redact: Callable[[str], str] = lambda text: text
    refresh: Callable[[], object] = lambda: None


class OpenedProject(Scanner, Protocol):
    """How an attempt reads its project and writes to it."""

    @property
    def commit(self) -> str:
        """The commit whose files are read."""

    def forget_resume(self) -> None:
        """Removes the state that was carried, where the server can: the job is over."""


OpenProject = Callable[[OwnedJob, JobFolder, str], OpenedProject]  # the last: the repository's address


class Supervisor:
    """Runs attempts, one at a time."""

    def __init__(
        self,
        settings: RuntimeSettings,
        open_project: OpenProject,
        clock: EventClock,
        secrets: Secrets,
        environment: Mapping[str, str],
        tenancy: Tenancy | None = None,
        figures: Figures | None = None,
        tally: Tally | None = None,
    ) -> None:
        """`figures` and `tally` are for whoever watches the worker."""
        self._figures = figures or Figures(clock)
        self._tally = tally or Tally()
        self._settings = settings
        self.tenancy = tenancy or Tenancy(clock, settings.handlers_root)
        self._open_project = open_project
        self._clock = clock
        self._secrets = secrets
        self._environment = environment
        self._give_up = threading.Event()
        self._child: ChildProcess | None = None
        self._reserve = Reserve(settings.work_dir)
        self.spares = Spares(settings.work_dir, self._equip, clock, settings.spares)
        self.leaving = Leaving(clock)

    def leave(self) -> None:
        """Save what is there and leave. Not to be called from a signal handler itself: it takes locks."""
        self.leaving.ask()
        self._give_up.set()

    def read_token_again(self) -> None:
        """A server refused it; a person may have put a valid one into the file."""
        self._secrets.refresh()

    def kill(self) -> None:
        """Ends the child at once, for a worker that exits without waiting for anything."""
        if self._child is not None:
            self._child.kill()

    def run(self, owned: OwnedJob, project: str, address: str, admission: Admission = FREE) -> Outcome | None:
        """The attempt from its folder to its end; None where it came to belong to somebody else.

        `project` is a name for people, `address` the repository that unpublished results go back to,
        `admission` what the job may take of this machine.
        Raises ResourceError where this machine can't even make a folder: then the job is released.
        """
        if not self.leaving.event.is_set():
            self._give_up.clear()
        with self.spares.place_for(owned.entry.job_id, owned.attempt.name, admission.variables) as place:
            folder = place.folder
            self._reserve.set_aside()
            outbox = Outbox(folder)
            outbox.belongs_to(Owner(address, owned.held))
            paths = self._machine_paths(folder.path)
            log = JobLog(folder.log_path, self._secrets.redact, self._clock.time, paths.shortened)
            with log.capturing():
                log.header(
                    job=owned.entry.job_id,
                    attempt=f"{owned.attempt.name} by {owned.attempt.worker_id}",
                    project=project,
                    commit=owned.commit,
                    version=self._settings.version,
                )
                logger.info("The job folder is %s", folder.path)  # short in the job's own log
                outcome = self._attempt(
                    SeenJob(owned, address, place, log, paths, admission), project, outbox
                )
            log.close()
        remove_old(self._settings.work_dir, self._settings.keep_jobs)
        return outcome

    def _attempt(self, seen: SeenJob, project: str, outbox: Outbox) -> Outcome | None:
        over = threading.Event()
        beat = threading.Thread(target=self._beat, args=(seen, over), name="beat", daemon=True)
        beat.start()
        try:
            outcome = self._compute(seen, project, outbox)
            if outcome is not None:
                outcome = seen.without_paths(outcome)
                seen.log.line("worker", f"The attempt ended: {outcome.state.value}. {outcome.message}")
            back_off = self._back_off(PUBLISH_PATIENCE_S)
            log, metrics = seen.log.content, seen.folder.metrics
            ending = AttemptEnd(seen.owned, outbox, back_off, log, metrics, seen.paths.shortened, seen.forget)
            self._reserve.make_room(seen.folder.path)
            if outcome is not None:
                ending.keep(outcome)
            self._finish_resume(seen, outcome)
            if outcome is not None:
                ending.write(outcome)
            return outcome
        finally:
            over.set()
            beat.join(self._settings.rhythm.beat_s)

    def _compute(self, seen: SeenJob, project: str, outbox: Outbox) -> Outcome | None:
        """Runs the child; whatever goes wrong on the way, or after it, is an outcome as well."""
        try:
            return self._run(seen, project, outbox)
        except LeaseLost as error:
            logger.warning("%s", error)
            return None
        except Exception as error:  # the job must end with a reason, and the worker go on to the next
            kind, message = describe(error)
            if not isinstance(error, WorkerError):
                logger.exception("The attempt could not be run")
            return Outcome(EndState.FAILED, kind, message)

    def _run(self, seen: SeenJob, project: str, outbox: Outbox) -> Outcome | None:
        owned, folder = seen.owned, seen.folder
        entry = owned.entry
        handlers = find_handlers(self._settings.handlers_root)
        handler = choose_handler(handlers, entry.job_type, entry.model_type, entry.mode)
        notes = options_of(entry).notes  # refused before anything is fetched
        for note in filter(None, (*notes, seen.admission.note)):
            seen.log.line("worker", note)
        opened = self._open_project(owned, folder, seen.address)
        seen.resume = self._resume_saver(seen, handler, opened)
        reading, publishing = self._back_off(READ_PATIENCE_S), self._back_off(PUBLISH_PATIENCE_S)
        services = Services(folder, opened, outbox, reading, publishing, seen.resume)
        assignment = Assignment(
            handler, self._job(owned, project, opened.commit, folder.path), seen.admission.tensor_bytes
        )
        departure = self._supervise(seen, assignment, services)
        if self.leaving.event.is_set():
            services.only_keep()
        publish_left_behind(folder, services)
        at_head = None if outbox.reason is not None else self._at_head(departure, seen)
        outcome = outcome_of(counted(departure, at_head), self._settings.limits)
        if outcome is None:
            logger.warning("The attempt ends without a word in the project: %s", departure.cause)
            return None
        outcome = truthful(with_notes(outcome, notes), services.artifacts, seen.progress.epochs_completed)
        return with_cells(outcome, at_head, written=len(services.cells))

    def _at_head(self, departure: Departure, seen: SeenJob) -> AtHead | None:
        """What stands at the head of what was published; what a merge has left out is put back first.

        None where the attempt has no last word, and where a machine that is taken away leaves no time.
        """
        cause = departure.cause
        if self.leaving.event.is_set() or (cause is not None and not cause.ending.publishes):
            return None
        try:
            return self._back_off(PUBLISH_PATIENCE_S).insist(lambda: seen.publications.look(thorough=True))
        except (WorkerError, OSError) as error:
            logger.warning("Nobody knows whether all results are still at the head: %s", error)
            return None

    def _supervise(self, seen: SeenJob, assignment: Assignment, services: Services) -> Departure:
        settings, folder, owned = self._settings, seen.folder, seen.owned
        message = assignment.to_message()  # refused before there is a process
        if seen.child is not None:
            logger.info("A process was ready for the job.")
        child = seen.child or start_child(folder, self._equip(folder.path, seen.admission.variables))
        child.read_output(partial(seen.log.read_from, source="job"))
        terms = Terms(settings.limits, settings.rhythm, self._deadline_s(owned))
        watch = ChildWatch(child, services, seen, terms, self._clock, self.leaving, self._give_up)
        seen.watch, self._child = watch, child
        watch.tell(self._figures.entered, self._figures.computed)
        neighbours = NeighbourWatch(
            self.tenancy, seen.admission, child.family, watch.wish, self._clock, settings.rhythm.memory_s
        )
        neighbours.begin()
        try:
            return neighbours.end(watch.run(message, self.spares.keep_one_beside_a_job))
        finally:
            self._child = None
            neighbours.stop()
            self._figures.entered(ENDING)

    def _equip(self, folder: Path, variables: Mapping[str, str]) -> Equipment:
        """What a child is started with; `variables` are those of its job alone."""
        return equipment_for(folder, self._settings, self._environment, self._secrets.redact, variables)

    def _resume_saver(self, seen: SeenJob, handler: str, opened: OpenedProject) -> ResumeSaver:
        owned, root = seen.owned, self._settings.state_dir
        code = f"{handler} {self._settings.version}"
        return ResumeSaver(
            LocalState(self._settings.work_dir, seen.address, owned.entry.job_id),
            StateOwner(owned.attempt.name, owned.earlier, code, owned.resume),
            self._settings.resume,
            self._clock,
            opened,
            self._secrets.refresh,
            None if root is None else SharedStates(root, seen.address, owned.entry.job_id),
        )

    def _finish_resume(self, seen: SeenJob, outcome: Outcome | None) -> None:
        """The last state goes to the server where another attempt may follow, if there is time."""
        if seen.resume is None:
            return
        timeout_s = LAST_STATE_S
        if self.leaving.since_s is not None:
            timeout_s = max(
                self.leaving.since_s + self._settings.limits.leave_s - self._clock.monotonic(), 0.0
            )
        try:
            seen.resume.finish(
                is_over=outcome is not None and is_final(outcome.state, outcome.kind),
                is_wanted=outcome is not None and outcome.state is not EndState.WITHDRAWN,
                timeout_s=timeout_s,
            )
        except Exception:  # the end must be written all the same
            logger.exception("The last state could not be saved")

    def _job(self, owned: OwnedJob, project: str, commit: str, folder: Path) -> JobContext:
        entry = owned.entry
        return JobContext(
            job_id=entry.job_id,
            job_type=entry.job_type,
            mode=entry.mode,
            model_type=entry.model_type,
            preset=entry.preset(self._settings.preset),
            attempt=owned.attempt.name,
            worker_id=owned.attempt.worker_id,
            project=project,
            commit=commit,
            folder=folder,
            config=entry.config,
            save_every_s=self._settings.save_every_s,
            publishes_when_preempted=self._settings.publishes_when_preempted,
        )

    def _deadline_s(self, owned: OwnedJob) -> float | None:
        """The earlier of the manifest's timeout and the operator's limit, on the monotonic clock."""
        now_s, limits = self._clock.monotonic(), []
        deadline = owned.entry.deadline(owned.attempt.claimed_at)
        if deadline is not None:
            limits.append(now_s + deadline.timestamp() - self._clock.time())
        if self._settings.limits.max_job_s is not None:
            limits.append(now_s + self._settings.limits.max_job_s)
        return min(limits, default=None)

    def _back_off(self, patience_s: float) -> BackOff:
        return BackOff(
            replace(PUBLICATION, timeout_s=min(patience_s, self._settings.publish_timeout_s)),
            self._clock.monotonic,
            lambda pause_s: self._clock.wait(self._give_up, pause_s),
            self._give_up,
            self._secrets.refresh,
            retried=self._tally.retried,
        )

    def _beat(self, seen: SeenJob, over: threading.Event) -> None:
        complaints = Complaints()
        while not self._clock.wait(over, self._settings.rhythm.beat_s):
            self._figures.sign()
            try:
                seen.beat(seen.progress)
                self._figures.beaten()
            except LeaseLost as error:
                logger.warning("%s", error)
                seen.lost()
                return
            except (WorkerError, OSError) as error:
                complaints.say(f"{error} The lease is beaten again soon.")
            except Exception:  # a defect of ours must not end a job that goes well
                logger.exception("Beating the lease failed; the job goes on")

    def _machine_paths(self, folder: Path) -> MachinePaths:
        settings, home = self._settings, self._environment.get("HOME")
        folders = {settings.work_dir: "(work folder)"}
        folders |= dict.fromkeys((settings.code_root, settings.handlers_root), "(code)")
        return MachinePaths(folder, folders | ({Path(home): "~"} if home else {}))
