"""All projects of a worker: finding them, looking at them side by side, and keeping their troubles apart."""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TypeVar

from codex_worker.clock import Clock
from codex_worker.contract.manifest import JobEntry
from codex_worker.contract.state import State
from codex_worker.errors import AccessDenied, WorkerError
from codex_worker.queue.job_queue import JobQueue
from codex_worker.worker.glimpse import waiting_jobs
from codex_worker.worker.looks import Looks
from codex_worker.worker.next_job import Candidate
from codex_worker.worker.projects import ProjectAddress, ProjectSource, ServerProjects, Standing
from codex_worker.worker.settling import Settling
from codex_worker.worker.watched_project import ASK_AGAIN_AFTER_S, ASK_AGAIN_WHILE_SETTLING_S, WatchedProject

# So many new projects are all looked at before a job is chosen. Of more, while there is a job that can be
# begun, the others are met by and by, beside it.
FIRST_LOOKS_AT_ONCE = 16

logger = logging.getLogger(__name__)

T = TypeVar("T")


class WatchedProjects:
    """The projects that a worker has seen, by address."""

    def __init__(
        self,
        source: ProjectSource,
        open_queue: Callable[[str], JobQueue],
        clock: Clock,
        read_token_again: Callable[[], object],
    ) -> None:
        self._source = source
        self._open_queue = open_queue
        self._clock = clock
        self._read_token_again = read_token_again
        self._projects: dict[str, WatchedProject] = {}
        self._looks = Looks(self.look, clock)
        self._source_trouble = ""
        self._asking = threading.Lock()  # the source is one thread's at a time
        self._swept_at_s = float("-inf")
        self.settles = False  # whether a sync may still drop what this worker has just published

    def __iter__(self) -> Iterator[WatchedProject]:
        return iter(list(self._projects.values()))

    def __getitem__(self, address: str) -> WatchedProject:
        return self._projects[address]

    def poll(self) -> None:
        """Asks which projects have changed, and looks at those, and where something is left to do."""
        with self._asking:
            changed = self._changed()
        self._look_where_due(self, changed)
        with self._asking:
            if isinstance(self._source, ServerProjects) and not self._source_trouble:
                self._leave_what_has_no_work(self._source)

    @property
    def were_asked_for(self) -> bool:
        """Whether the last poll is so fresh that there is no need for another one before the next job."""
        return self._clock.monotonic() - self._swept_at_s < ASK_AGAIN_AFTER_S

    def _look_where_due(self, watched: Iterable[WatchedProject], changed: set[str]) -> None:
        due = [each for each in watched if each.project.address in changed or self._is_due(each)]
        new = [each for each in due if not each.was_seen]
        if new and any(True for _ in self.candidates()):
            for each in new[FIRST_LOOKS_AT_ONCE:]:
                each.is_new = True
                due.remove(each)
        self._looks.at(due)

    def _is_due(self, watched: WatchedProject) -> bool:
        return watched.is_due(self._clock.monotonic(), settles=self.settles)

    def _leave_what_has_no_work(self, source: ServerProjects) -> None:
        try:
            ours = source.settle(self._standing, self._look_again)
        except Exception as error:  # to leave a project can wait; the jobs of the others cannot
            self._source_trouble = self._say(error, self._source_trouble)
            return
        self._projects = {address: watched for address, watched in self._projects.items() if address in ours}

    def _standing(self, address: str) -> Standing:
        watched = self._projects.get(address)
        return Standing() if watched is None else watched.standing  # never opened: nobody asked for a job

    def _look_again(self, address: str) -> Standing:
        if address in self._projects:
            self._looks.at([self._projects[address]])
        return self._standing(address)

    def remove_tombstones(self) -> None:
        """Deletes what is left of jobs that are long over, where nobody looks just now."""
        now_s = self._clock.monotonic()
        for watched in self.free():
            self.guarded(watched, "old leases", partial(watched.remove_tombstones, now_s))

    def free(self) -> Iterator[WatchedProject]:
        """The projects that nobody looks at now; whoever wants anything of another one has to wait."""
        for watched in list(self._projects.values()):
            if not self._looks.is_under_way(watched):
                yield watched

    def guarded(self, watched: WatchedProject, step: str, action: Callable[[], T]) -> T | None:
        """What a step of one project answers; None where it raises, which must harm no other project."""
        try:
            answer = action()
        except Exception as error:
            if isinstance(error, AccessDenied):
                self._read_token_again()
            watched.failed(step, error)
            return None
        watched.went_well(step)
        return answer

    def _changed(self) -> set[str]:
        """The addresses of projects with news; notes where all the branches are, if the source can tell."""
        heads: dict[str, str | None] = {}
        changed: set[str] = set()
        try:
            projects = list(self._source.changed())
            if isinstance(self._source, ServerProjects):
                heads = self._source.heads()
            self._source_trouble = ""
            self._swept_at_s = self._clock.monotonic()
        except Exception as error:
            self._source_trouble = self._say(error, self._source_trouble)
        else:
            changed = {self.watched(project).project.address for project in projects}
        for watched in self:
            watched.sighted(heads.get(watched.project.address))
        return changed - self._glimpsed(changed)

    def _glimpsed(self, changed: set[str]) -> set[str]:
        """Those of the projects whose jobs the server tells of, so that nobody has to look before a claim."""
        if not isinstance(self._source, ServerProjects):
            return set()
        unseen = {address for address in changed if not self._projects[address].was_seen}
        if len(unseen) <= FIRST_LOOKS_AT_ONCE:
            return set()
        glimpsed = set()
        for address, manifest in self._source.manifests_of_new_jobs(unseen).items():
            views = waiting_jobs(manifest)
            if views is not None:
                self._projects[address].glimpse(views)
                glimpsed.add(address)
        return glimpsed

    @property
    def has_new(self) -> bool:
        """Whether there are projects that nobody has looked at yet, and somebody has to."""
        return any(watched.is_new for watched in self)

    def look(self, watched: WatchedProject) -> None:
        """Looks at one project and says what is new to say."""

        def look() -> None:
            watched.look()
            watched.trouble = ""
            for problem in watched.new_problems():
                logger.warning("Project %s: %s", watched.project.name, problem)

        self.guarded(watched, "look", look)

    def _say(self, error: Exception, before: str) -> str:
        """Logs what the server's list of projects raised, loudly only when it is new. Answers it."""
        trouble = str(error) if isinstance(error, WorkerError) else f"{type(error).__name__}: {error}"
        level = logging.DEBUG if trouble == before else logging.ERROR
        logger.log(level, "The server: %s", trouble, exc_info=not isinstance(error, WorkerError))
        return trouble

    def under_way(self) -> set[str]:
        """The addresses of those that are being looked at now."""
        return {watched.project.address for watched in self if self._looks.is_under_way(watched)}

    def look_at_unfinished(self) -> None:
        """Looks where something is left to do, or may happen that does not move the branch.

        Where one sweep tells of all branches it is asked, unless a poll has just done so.
        """
        changed: set[str] = set()
        again_after_s = ASK_AGAIN_WHILE_SETTLING_S if self.settles else ASK_AGAIN_AFTER_S
        with self._asking:
            is_due = self._clock.monotonic() - self._swept_at_s >= again_after_s
            if is_due and self._sweeps and any(watched.needs_a_look for watched in self):
                changed = self._changed()
        busy = self.under_way()  # whoever looks there now sees what is due, but perhaps not what is news
        self._look_where_due([d for d in self if d.project.address not in busy - changed], changed)

    @property
    def _sweeps(self) -> bool:
        """Whether one question to the source tells where the branches of all projects are."""
        return isinstance(self._source, ServerProjects) and any(self._source.heads().values())

    def close(self) -> None:
        """Looks at nothing any more."""
        self._looks.close()

    @property
    def could_not_be_read(self) -> bool:
        """Whether the last poll saw nothing: the server's list, or every single project, was out of reach."""
        troubled = [watched for watched in self if watched.trouble]
        return bool(self._source_trouble) or bool(troubled and len(troubled) == len(self._projects))

    @property
    def has_more_to_see(self) -> bool:
        """Whether a project has more than one look may cost, or one that is slow is still being looked at."""
        return any(d.has_more or d.is_new or self._looks.is_under_way(d) for d in self)

    def candidates(self) -> Iterator[tuple[Candidate, JobEntry | None]]:
        """The jobs that may be claimed or taken over, of projects that nobody looks at now."""
        for watched in self.free():
            for view in watched.views:
                is_silent = view.job_id in watched.silent
                if view.rests_until is None and (view.state is State.PENDING or is_silent):
                    submitted_at = view.entry.submitted_at if view.entry else None
                    candidate = Candidate(watched.project.address, view.job_id, submitted_at, is_silent)
                    yield candidate, view.entry

    def watched(self, project: ProjectAddress) -> WatchedProject:
        """The project, watched from now on."""
        if project.address not in self._projects:
            queue = self._open_queue(project.address)
            self._projects[project.address] = WatchedProject(project, queue, Settling(queue, self._clock))
        return self._projects[project.address]

    def queue(self, address: str) -> JobQueue:
        """The queue of the project at an address, watched or not."""
        watched = self._projects.get(address)
        return self._open_queue(address) if watched is None else watched.queue
