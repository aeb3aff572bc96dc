"""One project as the worker's loop and its watch share it."""

import logging
import threading
from dataclasses import dataclass, field

from codex_worker.contract.plain_text import plain_line
from codex_worker.contract.state import State
from codex_worker.errors import WorkerError
from codex_worker.queue.facts import lease_at
from codex_worker.queue.job_queue import JobQueue, JobView, ProjectLook
from codex_worker.worker.projects import ProjectAddress, Standing
from codex_worker.worker.settling import Settling

logger = logging.getLogger(__name__)

MOST_SAID = 500  # characters of an error that nobody has written a sentence for
TOMBSTONES_EVERY_S = 24 * 3600.0


@dataclass
class WatchedProject:
    """A project, and what was last seen of it."""

    project: ProjectAddress
    queue: JobQueue
    settling: Settling
    lock: threading.Lock = field(default_factory=threading.Lock)  # the queue is used by two threads
    views: list[JobView] = field(default_factory=list)
    silent: set[str] = field(default_factory=set)
    trouble: str = ""
    has_tombstones: bool = False
    tombstones_at_s: float | None = None
    first_leases: dict[str, str | None] = field(default_factory=dict)
    alive: set[str] = field(default_factory=set)
    said: set[str] = field(default_factory=set)
    is_late: bool = False  # a look takes long, or could not be begun in time
    _told: dict[str, str] = field(default_factory=dict)  # step -> the trouble that was last told of it

    def look(self) -> None:
        """Asks the server, writes what needs no worker, and notes what is there. May raise anything."""
        with self.lock:
            try:
                sight = self.queue.look()
                self._note(sight)
                changed = self.queue.tidy(sight.views)
                changed += self.settling.look(sight)
                if changed:
                    self.views = self.queue.survey()
            except Exception:  # what was seen counts no more, whatever it was
                self.views, self.silent = [], set()
                self.settling.failed()
                raise

    def failed(self, step: str, error: Exception) -> None:
        """Notes what a step of this project has raised; it is told once, also where it goes on and on."""
        if isinstance(error, WorkerError):
            self.note(step, str(error))
            return
        what = plain_line(f"{type(error).__name__}: {error}"[:MOST_SAID])
        sentence = f"Something that the worker is not made for ({what}). Please report it. The others go on."
        self.note(step, sentence, error)

    def note(self, step: str, trouble: str, error: Exception | None = None) -> None:
        """Notes a trouble, and tells it loudly only where it is new."""
        level = logging.DEBUG if self._told.get(step) == trouble else logging.ERROR
        logger.log(level, "Project %s: %s", self.project.name, trouble, exc_info=error)
        self._told[step] = self.trouble = trouble

    def went_well(self, step: str) -> None:
        """Notes that a step is possible again."""
        self._told.pop(step, None)

    def new_problems(self) -> list[str]:
        """What could not be read and has not been told yet; no file of the project tells of it."""
        new = [problem for problem in self.queue.problems if problem not in self.said]
        self.said.update(new)
        return new

    def remove_tombstones(self, now_s: float) -> None:
        """Deletes old leases, once a day, where there may be any. May raise anything."""
        is_due = self.tombstones_at_s is None or now_s - self.tombstones_at_s >= TOMBSTONES_EVERY_S
        if self.has_tombstones and is_due:
            self.tombstones_at_s = now_s
            with self.lock:
                self.queue.remove_tombstones()

    @property
    def needs_a_look(self) -> bool:
        """Whether something may happen here that doesn't move the branch, or is left to do."""
        return bool(self.trouble or self.silent or self.is_late) or self.queue.is_watched(self.views)

    @property
    def has_more(self) -> bool:
        """Whether the last look has left something out, because one look may cost only so much."""
        return not self.trouble and self.queue.has_more

    @property
    def awaits_a_verdict(self) -> bool:
        """Whether a job here is another worker's that has not been seen alive yet."""
        return any(v.state is State.RUNNING and v.job_id not in self.alive for v in self.views)

    @property
    def resting(self) -> list[JobView]:
        """Jobs that this worker failed because of its machine, and leaves to others for a while."""
        return [v for v in self.views if v.state is State.PENDING and v.rests_until is not None]

    @property
    def standing(self) -> Standing:
        """Whether there is work here, as far as one can tell."""
        has_work = any(not view.state.is_final and view.state is not State.ABSENT for view in self.views)
        return Standing(has_work, was_read=not self.trouble and self.queue.is_readable)

    def _note(self, sight: ProjectLook) -> None:
        self.views, self.silent = sight.views, set(sight.silent)
        over = {view.job_id for view in sight.views if view.state.is_final or view.state is State.ABSENT}
        for view in sight.views:
            lease = lease_at(sight.heads, view.job_id)[1]
            if self.first_leases.setdefault(view.job_id, lease) != lease:
                self.alive.add(view.job_id)
            if lease is not None and view.job_id in over:
                self.has_tombstones = True
