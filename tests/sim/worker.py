"""One of our workers: the product's queue, owned job and publication, driven a step at a time.

A process has the threads that the product's has: `main` does the job, `beat` renews the lease, `look` asks
for people's wishes, `watch` looks at other workers' jobs. A thread that waits (for the server, or between two
tries) lets the others go on; one that holds the repository's lock stops the ones that need it.
"""

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from codex_worker.codex.attachments import NewRecording, new_attachment_id
from codex_worker.codex.choose import Selection, cells_to_speak, cells_to_transcribe
from codex_worker.codex.notebook import Notebook
from codex_worker.codex.patch import RecordingPatch, TextPatch
from codex_worker.contract.options import options_of
from codex_worker.contract.records import Attempt, EndState
from codex_worker.contract.state import Budgets, State
from codex_worker.errors import (
    AccessDenied,
    CacheBroken,
    DataError,
    Kind,
    LeaseLost,
    PushRefused,
    ResourceError,
    ServerUnreachable,
    SystemFault,
    UserError,
)
from codex_worker.git.lfs.pointer import Pointer
from codex_worker.git.repository import LockedTransport, Repository
from codex_worker.job.api import CellResult
from codex_worker.publish.cells import CellPublisher
from codex_worker.publish.ledger import file_line
from codex_worker.publish.standing import Publications
from codex_worker.queue.owned import HeldClaim, PublishedChange
from codex_worker.supervisor.republish import reopen
from codex_worker.worker.next_job import Candidate, in_order
from codex_worker.worker.settling import Settling
from gitlab_jobs import Cause, JobQueue, Outcome, OwnedJob, QueueSettings
from tests.sim.schedule import Conditions
from tests.sim.states import SavedStates
from tests.support.notebooks import PATH
from tests.support.present import present

BEAT_EVERY_S = LOOK_EVERY_S = WATCH_EVERY_S = 60.0
REPORT_EVERY_S = 15 * 60.0
RECORDING_BYTES = 900
LOST_UPLOADS = 4  # one of so many
EXPECTED = (ServerUnreachable, AccessDenied, PushRefused, ResourceError, CacheBroken)


class Died(BaseException):
    """The process is gone: nothing may catch this but the simulator."""


@dataclass(frozen=True)
class Actor:
    """Who made a commit or moved a ref: a worker, and for which attempt (None: for the queue itself)."""

    worker: str
    attempt: Attempt | None


@dataclass
class Held:
    """A job in hand."""

    owned: OwnedJob
    publications: Publications
    notebook: bytes = b""
    results: list[CellResult] = field(default_factory=list)
    pieces: int = 0


@dataclass(frozen=True)
class Kept:
    """An end that could not be published; it outlives the process."""

    held: HeldClaim
    outcome: Outcome
    log: bytes
    metrics: bytes


class Surroundings(Protocol):
    """What a process needs of the simulated world."""

    @property
    def states(self) -> SavedStates:
        """Where trainings stand."""

    def now_s(self) -> float:
        """The true time."""

    def transport(self, process: "Process", name: str) -> LockedTransport:
        """A way to the server."""

    def rest(self, duration_s: float) -> None:
        """Lets the world go on."""

    def watched(self, process: "Process", silent: list[str] | None) -> None:
        """A look at other workers' jobs ended so; None: it did not reach the server."""

    def patched(self, results: list[CellResult], job_id: str) -> None:
        """Results are being offered to the publication."""


class NoStore:
    """Takes recordings and keeps nothing: what counts here is the git side."""

    def upload(self, objects: object, *, on_progress: object = None) -> None:
        """Accepts everything."""

    def missing(self, pointers: Iterable[Pointer]) -> set[Pointer]:
        """All of them."""
        return set(pointers)

    def download(
        self, pointers: Iterable[Pointer], cache: object, *, on_progress: object = None
    ) -> dict[Pointer, Path | DataError]:
        """Has none of them."""
        return {pointer: DataError("The simulated store keeps nothing.") for pointer in pointers}


class Machine:
    """What stays when a worker's process ends: its name, its kept results, how often it was started."""

    def __init__(self, name: str, settings: QueueSettings, recording: Path, *, is_sick: bool = False) -> None:
        self.name = name
        self.is_sick = is_sick
        self.settings = settings
        self.recording = recording
        self.kept: list[Kept] = []
        self.starts = 0
        self._process: Process | None = None
        self.frozen_until_s = 0.0

    def start(self, world: Surroundings) -> None:
        """Starts a process, unless one is running or has not let go of its locks."""
        if self._process is None or (self._process.is_dead and not self._process.running):
            self.starts += 1
            self._process = Process(self, world)
            world.watched(self._process, None)

    @property
    def process(self) -> "Process":
        """The process that was started last."""
        return present(self._process)


def budgets(conditions: Conditions) -> Budgets:
    """The budgets of a schedule."""
    return Budgets(releases=conditions.releases, failures=conditions.failures)


class Process:
    """A running worker, and its clock."""

    def __init__(self, machine: Machine, world: Surroundings) -> None:
        self.machine = machine
        self.world = world
        self.is_dead = False
        self.running: list[tuple[str, Attempt | None]] = []
        self.locked = 0
        self.held: Held | None = None
        self.silent: set[str] = set()
        self.wish: Cause | None = None
        self.problems: list[str] = []
        now = world.now_s()
        self.due = {"watch": now + WATCH_EVERY_S}
        chance = random.Random(f"{machine.name}{machine.starts}")
        self.repository = Repository(world.transport(self, "main"), self, chance=chance)
        beats = Repository(world.transport(self, "beats"), self, chance=chance)
        self.queue = JobQueue(self.repository, machine.name, self, machine.settings, beats=beats)
        self.settling = Settling(self.queue, self)

    def time(self) -> float:
        return self.world.now_s()

    def monotonic(self) -> float:
        return self.world.now_s() - 1_767_000_000.0

    def sleep(self, duration_s: float) -> None:
        self.world.rest(duration_s)
        if self.is_dead:
            raise Died

    @property
    def in_hand(self) -> Held:
        """The job of a step that needs one."""
        return present(self.held)

    @property
    def acting(self) -> Actor:
        """Whom the call that is being made is for."""
        return Actor(self.machine.name, self.running[-1][1] if self.running else None)

    def is_free(self, thread: str) -> bool:
        """Whether a thread could do something now."""
        if self.is_dead or any(name == thread for name, _ in self.running):
            return False
        uses_queue = thread == "watch" or (thread == "main" and self.held is None)
        if uses_queue and any(attempt is None for _, attempt in self.running):
            return False  # the queue has a lock of its own
        saves = any(name == "save" for name, _ in self.running)
        if thread == "beat":
            return not saves
        return not self.locked and not (saves and thread == "main")

    @contextmanager
    def holding_locks(self) -> Iterator[None]:
        """While the world goes on in the middle of a call of this process."""
        self.locked += 1
        try:
            yield
        finally:
            self.locked -= 1
        if self.is_dead:
            raise Died

    def stood_still(self, duration_s: float) -> None:
        """The machine was suspended: a monotonic clock stops with it, and every wait goes on where it was."""
        self.due = {thread: due_s + duration_s for thread, due_s in self.due.items()}

    def do(self, thread: str, action: Callable[[], object], *, for_job: bool) -> None:
        """Runs an action in a thread; what the product's runtime would catch is caught."""
        attempt = self.held.owned.attempt if self.held and for_job else None
        self.running.append((thread, attempt))
        try:
            action()
        except Died:
            self.die()
        except LeaseLost:
            if self.held is not None and self.held.owned.attempt == attempt:
                self._drop()
        except EXPECTED:
            pass  # the product says so in its log and tries again later
        finally:
            self.running.remove((thread, attempt))

    def die(self) -> None:
        """The process is gone, without a word."""
        self.is_dead = True
        self.held = None

    def tick(self, thread: str) -> None:
        """What a thread does whenever its time has come."""
        intervals = {
            "beat": BEAT_EVERY_S,
            "look": LOOK_EVERY_S,
            "watch": WATCH_EVERY_S,
            "report": REPORT_EVERY_S,
        }
        self.due[thread] = self.world.now_s() + intervals[thread]
        if thread == "watch":
            self.do("watch", self._watch, for_job=False)
        elif thread == "beat":
            self.do("beat", self._beat, for_job=True)
        elif thread == "look":
            self.do("look", self._look, for_job=True)
        else:
            self.do("report", self._progress, for_job=True)
        if self.wish is not None and self.is_free("main"):
            self.do("main", self._obey, for_job=True)

    def act(self, action: str, number: int) -> None:
        """One step of the main thread; one that needs a job in hand claims one where there is none."""
        if self.held is None and self.machine.kept:
            self.do("main", self._offer, for_job=False)
        elif action == "sweep":
            self.do("main", self.queue.remove_tombstones, for_job=False)
        elif self.wish is not None and self.held is not None:
            self.do("main", self._obey, for_job=True)
        elif self.held is None:
            self.do("main", lambda: self._claim(number), for_job=False)
        elif action == "save":
            self.do("save", lambda: self._save(number), for_job=True)
        else:
            self.do("main", lambda: self._work(action, number), for_job=True)

    def _claim(self, number: int) -> None:
        views = self.queue.survey()
        if self.queue.tidy(views):
            views = self.queue.survey()
        pending = in_order(
            Candidate("the project", view.job_id, present(view.entry).submitted_at)
            for view in views
            if view.state is State.PENDING and view.rests_until is None
        )
        resting = {view.job_id for view in views if view.rests_until is not None}
        wanted = [(job_id, True) for job_id in sorted(self.silent - resting)] + [
            (job.job_id, False) for job in pending
        ]
        for job_id, is_takeover in wanted[number % 2 :] + wanted[: number % 2]:
            self.silent.discard(job_id)
            owned = self.queue.take_over(job_id) if is_takeover else self.queue.claim(job_id)
            if owned is not None:
                self._begin(owned)
                return

    def _begin(self, owned: OwnedJob) -> None:
        publications = Publications(owned.entry.job_id, owned.repository, owned.entry)
        self.held, self.wish = Held(owned, publications, pieces=self.world.states.begun(owned)), None
        now = self.world.now_s()
        self.due |= {"beat": now + BEAT_EVERY_S, "look": now + LOOK_EVERY_S, "report": now + REPORT_EVERY_S}

    def _drop(self) -> None:
        """Nothing more may be written: the child is ended, the folder kept."""
        self.held = self.wish = None
        for thread in ("beat", "look", "report"):
            self.due.pop(thread, None)

    def _watch(self) -> None:
        try:
            sight = self.queue.look()
        except EXPECTED:
            self.world.watched(self, None)
            self.settling.failed()
            raise
        self.world.watched(self, sight.silent)
        self.silent = set(sight.silent)
        self.queue.tidy(sight.views)
        self.settling.look(sight)

    def _save(self, number: int) -> None:
        held = self.in_hand
        held.pieces += 1
        if number % LOST_UPLOADS == 0:
            raise ServerUnreachable("The simulated upload was lost.")
        self.world.states.save(held.owned, held.pieces)

    def _beat(self) -> None:
        self.in_hand.owned.beat("training", float(self.in_hand.pieces), "Working")

    def _look(self) -> None:
        wish = self.in_hand.owned.look()
        if wish in {Cause.LOST, Cause.DELETED}:
            self._drop()
        elif wish is not None:
            self.wish = wish
        else:
            self.in_hand.publications.look()

    def _obey(self) -> None:
        state = EndState.CANCELED if self.wish is Cause.CANCELED else EndState.WITHDRAWN
        self._end(Outcome(state, Kind.CANCELED, "A person wanted it so."))

    def _work(self, action: str, number: int) -> None:
        held = self.in_hand
        held.pieces += 1
        if self.machine.is_sick and action not in {"drain", "yield"}:
            action = "break down"
        if action == "read":
            self._read(number)
        elif action == "cells":
            if not held.results:
                self._read(number)
            batch, held.results = held.results[:2], held.results[2:]
            self.world.patched(batch, held.owned.entry.job_id)
            CellPublisher(held.owned, NoStore()).publish(batch)
        elif action == "artifact":
            self._publish_model()
        elif action == "complete" and (problem := self._problem_of_entry()):
            self._end(Outcome(EndState.FAILED, Kind.USER, problem))
        elif action == "complete":
            self._end(Outcome(EndState.COMPLETED, message="Done", epochs_completed=held.pieces))
        elif action == "fail":
            self._end(Outcome(EndState.FAILED, Kind.DATA, "No usable data."))
        elif action == "break down":
            self._end(Outcome(EndState.FAILED, Kind.SYSTEM, "The driver is gone."))
        elif action in {"drain", "yield"}:
            state = EndState.PREEMPTED if action == "drain" else EndState.YIELDED
            self._end(Outcome(state, Kind.PREEMPTED, "The worker had to leave."))
            if action == "drain":
                self.is_dead = True
        else:
            self._progress()

    def _problem_of_entry(self) -> str:
        try:
            options_of(self.in_hand.owned.entry)
        except UserError as error:
            return str(error)
        return ""

    def _read(self, number: int) -> None:
        """What a job reads of the project, and what it makes of it in the end."""
        held = self.in_hand
        held.notebook = present(self.repository.snapshot().read(PATH))
        notebook = Notebook.parse(held.notebook, PATH)
        if self._problem_of_entry():
            return
        options = options_of(held.owned.entry).inference
        selection = Selection(options.include_verses, options.exclude_verses)
        who, attempt = self.machine.name, held.owned.attempt.name
        if held.owned.entry.job_type == "asr":
            for cell in cells_to_transcribe(notebook, selection).chosen:
                text = f"words of {cell.id} by {attempt}-{held.pieces}"
                held.results.append(CellResult(PATH, TextPatch(cell.id, cell.state, text, who)))
            return
        chance = random.Random(f"{who}{number}{attempt}{held.pieces}")
        for cell in cells_to_speak(notebook, selection).chosen:
            recording = NewRecording(
                attachment_id=new_attachment_id(int(self.time() * 1000), chance),
                document="MRK",
                extension="webm",
                created_by=who,
                mime_type="audio/webm",
                size_bytes=RECORDING_BYTES,
                sample_rate=16000,
                channels=1,
                duration_s=0.5,
            )
            patch = RecordingPatch(cell.id, cell.state, recording)
            held.results.append(CellResult(PATH, patch, self.machine.recording))

    def _publish_model(self) -> None:
        owned = self.in_hand.owned
        name = f"{owned.attempt.name}-{self.in_hand.pieces}"
        path = f"gpu_jobs/job_{owned.attempt.job_id}/checkpoint/model-{name}.safetensors"
        pointer = Pointer(f"{self.in_hand.pieces:064x}", 1000)
        content = pointer.render()
        line = file_line(path, content)
        owned.publish(lambda snapshot: PublishedChange({path: content}, f"Model {name}", [line]))

    def _progress(self) -> None:
        pieces = self.in_hand.pieces
        self.in_hand.owned.progress(
            f"stage {pieces % 3}",
            pieces,
            "Working",
            f"log up to {pieces}\n".encode(),
            f"epoch\n{pieces}\n".encode(),
        )

    def _end(self, outcome: Outcome) -> None:
        owned = self.in_hand.owned
        with suppress(*EXPECTED):
            self.in_hand.publications.look(thorough=True)
        log = f"whole log of attempt {owned.attempt.name}: {outcome.state}\n".encode()
        metrics = f"epoch\n{owned.attempt.name}\n".encode()
        try:
            owned.end(outcome, log=log, metrics=metrics)
        except EXPECTED:
            if not self.is_dead:
                self.machine.kept.append(Kept(owned.held, outcome, log, metrics))
        finally:
            if self.held is not None and self.held.owned is owned:
                self._drop()

    def _offer(self) -> None:
        """The product's start: what an earlier process could not publish is offered again."""
        kept = self.machine.kept[0]
        self.running[-1] = ("main", kept.held.attempt)
        try:
            reopen(self.queue, kept.held, self).end(kept.outcome, log=kept.log, metrics=kept.metrics)
        except (LeaseLost, SystemFault) as error:
            if isinstance(error, EXPECTED):
                raise
            # The fence, or the job is gone altogether: kept for the operator, and not offered again.
        finally:
            self.running[-1] = ("main", None)
        self.machine.kept.remove(kept)
