"""One project as the worker's loop and its watch share it."""

import logging
import threading
from dataclasses import dataclass, field

from codex_worker.contract.manifest import JobEntry
from codex_worker.contract.plain_text import plain_line
from codex_worker.contract.state import State
from codex_worker.errors import WorkerError
from codex_worker.git.ports import Heads
from codex_worker.queue.facts import lease_at
from codex_worker.queue.job_queue import JobQueue, JobView, ProjectLook
from codex_worker.worker.prefetch import NextJob
from codex_worker.worker.projects import ProjectAddress, Standing
from codex_worker.worker.settling import Settling

logger = logging.getLogger(__name__)

MOST_SAID = 500  # characters of an error that nobody has written a sentence for
TOMBSTONES_EVERY_S = 24 * 3600.0
# Another worker's lease is judged by looks that lie at most 90 s apart (codex_worker.queue.silence), and who
# looks comes by every 20 s (codex_worker.worker.loop).
ASK_AGAIN_AFTER_S = 50.0
# A translator's sync that drops what was just published is over soon.
ASK_AGAIN_WHILE_SETTLING_S = 15.0


@dataclass(eq=False)
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
    is_new: bool = False  # nobody has looked yet, and somebody has to
    is_glimpsed: bool = False  # its views are of its manifest alone: jobs that nobody has ever begun
    in_hand: str | None = None  # the job of this project that this worker does now
    _sighted: str | None = None  # the branch's head as the last sweep saw it; None: it could not tell
    _sighted_after: int = 0  # how many looks had begun by then
    _covered: str | None = None  # a sweep's head that a look of ours has seen since
    _asked_at_s: float = float("-inf")
    _told: dict[str, str] = field(default_factory=dict)  # step -> the trouble that was last told of it

    def look(self) -> None:
        """Asks the server where its answer may be news, writes what needs no worker, and notes what is there.

        May raise anything.
        """
        with self.lock:
            self.is_new = self.is_glimpsed = False
            standing = self._standing()
            began_s = self.settling.clock.monotonic()
            try:
                sight = self.queue.look(standing)
                if standing is None:
                    self._asked_at_s = began_s
                self._note(sight)
                changed = self.queue.tidy(sight.views)
                changed += self.settling.look(sight)
                if changed:
                    self.views = self.queue.survey(self.queue.repository.seen.heads)
            except Exception:  # what was seen counts no more, whatever it was
                self.views, self.silent = [], set()
                self.settling.failed()
                raise

    def as_next(self, entry: JobEntry) -> NextJob:
        """A pending job of this project, for whoever fetches its recordings before it is begun."""

        def is_free() -> bool:
            return any(view.job_id == entry.job_id and view.state is State.PENDING for view in self.views)

        repository = self.queue.repository
        return NextJob(
            self.project.address, entry, lambda: repository.snapshot(repository.seen.heads), is_free
        )

    def look_at_own(self) -> None:
        """Notes what this worker's own step has made of the project. May raise anything."""
        with self.lock:
            self.is_new = self.is_glimpsed = False
            self.views = self.queue.survey(self.queue.repository.seen.heads)

    @property
    def was_seen(self) -> bool:
        """Whether its repository was ever looked at."""
        return self.queue.repository.seen.number > 0

    def glimpse(self, views: list[JobView]) -> None:
        """Takes the views of somebody who has read the manifest; a claim looks at the rest."""
        with self.lock:
            self.views, self.is_glimpsed = views, True

    def sighted(self, head: str | None) -> None:
        """Notes the branch's head as a sweep over all projects has just seen it; None where it can't tell."""
        self._see_what_is_covered()
        self._sighted, self._sighted_after = head, self.queue.repository.seen.begun

    def is_due(self, now_s: float, *, settles: bool = False) -> bool:
        """Whether there is reason to look: something to do, or that a look may bring to light.

        A look costs no request where the last sweep's head says that nothing has moved. `settles`: this
        worker's last results may still be dropped.
        """
        if self.is_glimpsed or not self.needs_a_look:
            return False
        if self._has_to_ask or not (self._sighted is None or self._is_done_elsewhere):
            return True
        is_soon = settles and bool(self.settling.own)
        return now_s - self._asked_at_s >= (ASK_AGAIN_WHILE_SETTLING_S if is_soon else ASK_AGAIN_AFTER_S)

    @property
    def _has_to_ask(self) -> bool:
        """Whether what was seen last can't stand for what is there."""
        self._see_what_is_covered()
        heads = self.queue.repository.seen.heads
        if heads is None or self.trouble or self.is_late or self.queue.has_more:
            return True
        return self._sighted is not None and self._sighted not in {heads.commit, self._covered}

    @property
    def _is_done_elsewhere(self) -> bool:
        """Whether a job here is another worker's, whose beats move no branch."""
        return any(v.state is State.RUNNING and v.job_id != self.in_hand for v in self.views)

    def _standing(self) -> Heads | None:
        """The refs as they were seen, where a sweep says that they still stand; None where one has to ask."""
        if self._has_to_ask or self._sighted is None or self._is_done_elsewhere:
            return None
        return self.queue.repository.seen.heads

    def _see_what_is_covered(self) -> None:
        if self.queue.repository.seen.number > self._sighted_after:
            self._covered = self._sighted

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
        is_left = bool(self.trouble or self.silent or self.is_late or self.is_new)
        return is_left or self.queue.is_watched(self.views)

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
