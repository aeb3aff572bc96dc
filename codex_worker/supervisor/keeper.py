"""Looks after kept results until their server takes them: keeps their jobs ours, and offers them again.

A job whose results are kept is still ours: its lease is beaten, so that nobody computes it a second time.
All of it goes on in the background, while other jobs are done.
"""

import logging
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from codex_worker.clock import EventClock
from codex_worker.errors import ProjectGone, WorkerError
from codex_worker.queue.owned import OwnedJob
from codex_worker.retry import PUBLICATION
from codex_worker.supervisor.attempt import OpenProject
from codex_worker.supervisor.job_folder import FolderInUse, JobFolder, folders_in, has_unpublished
from codex_worker.supervisor.republish import OpenQueue, offer_kept
from codex_worker.supervisor.unpublished import Outbox

logger = logging.getLogger(__name__)

BEAT_EVERY_S = 60.0
_WAITING = "The work is done; what the server does not take is kept and offered again."
# A project that is gone comes back seldom.
GONE_PAUSE_S = 6 * 3600.0


@dataclass
class _Held:
    """One attempt's results between two offers."""

    due_s: float
    failures: int = 0
    said: str = ""  # why it is not published, as people have read it
    is_gone: bool = False
    owned: OwnedJob | None = None

    def opened(self, owned: OwnedJob) -> None:
        """The job is there, and its lease can be beaten."""
        self.owned = owned


class Keeper:
    """The kept results of a work directory."""

    def __init__(
        self,
        work_dir: Path,
        open_queue: OpenQueue,
        open_project: OpenProject,
        clock: EventClock,
        refresh: Callable[[], object] = lambda: None,
    ) -> None:
        """`refresh` reads the token again; it is called before each offer."""
        self._work_dir = work_dir
        self._open_queue = open_queue
        self._open_project = open_project
        self._clock = clock
        self._refresh = refresh
        self._chance = random.Random()
        self._held: dict[Path, _Held] = {}
        self._round = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def holds_results(self) -> bool:
        """Whether anything waits."""
        return any(has_unpublished(path) for path in folders_in(self._work_dir))

    @property
    def may_be_taken(self) -> bool:
        """Whether anything waits that it is worth waiting for: its project is there, as far as one knows."""
        waiting = [path for path in folders_in(self._work_dir) if has_unpublished(path)]
        return any(path not in self._held or not self._held[path].is_gone for path in waiting)

    def offer(self) -> int:
        """Offers what is due to be offered, oldest first; answers how much was published."""
        done = 0
        with self._round:
            for path in reversed(folders_in(self._work_dir)):
                if not has_unpublished(path):
                    self._held.pop(path, None)
                    continue
                now_s = self._clock.monotonic()
                # What is new here was refused a moment ago.
                held = self._held.setdefault(path, _Held(now_s + PUBLICATION.first_s))
                if now_s >= held.due_s:
                    done += self._offer(path, held)
        return done

    def look_after(self, over: threading.Event) -> None:
        """Looks after what waits in a thread of its own, until nothing does or it is `over`."""
        if self.holds_results and (self._thread is None or not self._thread.is_alive()):
            self._thread = threading.Thread(target=self._watch, args=(over,), name="keeper", daemon=True)
            self._thread.start()

    def _watch(self, over: threading.Event) -> None:
        while self.holds_results and not over.is_set():
            try:
                self.offer()
                self._beat()
            except Exception:  # a defect of ours must not end the watch over everybody's results
                logger.exception("Kept results could not be looked after")
            self._clock.wait(over, self._pause_s())

    def _pause_s(self) -> float:
        now_s = self._clock.monotonic()
        due = [held.due_s - now_s for held in list(self._held.values())]
        return max(1.0, min([BEAT_EVERY_S, *due]))

    def _offer(self, path: Path, held: _Held) -> int:
        self._refresh()
        try:
            with JobFolder(path) as folder:
                held.said = held.said or Outbox(folder).reason or ""
                done = offer_kept(folder, self._open_queue, self._open_project, self._clock, held.opened)
        except FolderInUse:
            return 0  # its attempt is still running
        except (WorkerError, OSError) as error:
            self._failed(path, held, error)
            return 0
        except Exception as error:  # one project's data must not hold up everybody's results
            logger.debug("The results of %s could not be offered", path.name, exc_info=True)
            self._failed(path, held, error)
            return 0
        self._held.pop(path, None)
        return done

    def _failed(self, path: Path, held: _Held, error: Exception) -> None:
        held.failures += 1
        held.is_gone = isinstance(error, ProjectGone)
        pause_s = GONE_PAUSE_S if held.is_gone else PUBLICATION.pause_s(held.failures, None, self._chance)
        held.due_s = self._clock.monotonic() + pause_s
        level = logging.DEBUG if str(error) == held.said else logging.WARNING
        logger.log(level, "The results of %s are kept and still unpublished: %s", path.name, error)
        held.said = str(error)

    def _beat(self) -> None:
        with self._round:
            for path, held in self._held.items():
                if held.owned is None or not has_unpublished(path):
                    continue
                try:
                    held.owned.beat("publishing", None, _WAITING)
                except (WorkerError, OSError) as error:
                    logger.debug("The lease of %s was not beaten: %s", path.name, error)
