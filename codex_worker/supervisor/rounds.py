"""Looking at the project and telling it how far a job is, in threads of their own, while a child computes."""

import logging
import threading
from collections.abc import Callable
from typing import Protocol

from codex_worker.clock import EventClock
from codex_worker.errors import LeaseLost, WorkerError
from codex_worker.job.ends import Cause
from codex_worker.supervisor.conversation import Conversation, JobProgress, Join, Wishes
from codex_worker.supervisor.settings import Rhythm

logger = logging.getLogger(__name__)

_PATIENCE_S = 120.0


class WatchedJob(Protocol):
    """The job as the queue knows it; raises LeaseLost when it is not ours any more."""

    def look(self) -> Cause | None:
        """What people did to the job meanwhile."""

    def report(self, progress: JobProgress) -> None:
        """Shows progress, log and metrics to people."""


class Complaints:
    """Warnings about what is tried again and again: loud once, then quiet until they change."""

    def __init__(self) -> None:
        self._last = ""

    def say(self, text: str) -> None:
        """Logs a warning, or repeats it for those who read details."""
        logger.log(logging.DEBUG if text == self._last else logging.WARNING, "%s", text)
        self._last = text


class Rounds:
    """The look and the report of one job; an error of either is said, and the job goes on."""

    def __init__(
        self,
        project: WatchedJob,
        conversation: Conversation,
        wishes: Wishes,
        clock: EventClock,
        rhythm: Rhythm,
    ) -> None:
        self._project = project
        self._conversation = conversation
        self._wishes = wishes
        self._clock = clock
        self._rhythm = rhythm
        self._over = threading.Event()
        self._complaints = Complaints()
        self._threads = [
            threading.Thread(target=self._look, name="look", daemon=True),
            threading.Thread(target=self._report, name="report", daemon=True),
        ]

    def begin(self) -> None:
        """From now on, until `end`."""
        for thread in self._threads:
            thread.start()

    def end(self, join: Join = threading.Thread.join) -> None:
        """Waits for what is under way."""
        self._over.set()
        self._conversation.stage_changed.set()
        for thread in self._threads:
            join(thread, _PATIENCE_S)

    def _look(self) -> None:
        while not self._clock.wait(self._over, self._rhythm.look_s):
            self._try(self._look_once)

    def _look_once(self) -> None:
        cause = self._project.look()
        if cause is not None:
            self._wishes.add(cause)

    def _report(self) -> None:
        shown, conversation = JobProgress(), self._conversation
        while not self._over.is_set():
            self._clock.wait(conversation.stage_changed, self._rhythm.report_s)
            conversation.stage_changed.clear()
            if self._over.is_set():
                return
            if conversation.progress != shown:
                shown = conversation.progress
                logger.info("%s", shown.sentence)
            self._try(lambda: self._project.report(conversation.progress))

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
        except LeaseLost as error:
            logger.warning("%s", error)
            self._wishes.add(Cause.LOST)
        except (WorkerError, OSError) as error:
            self._complaints.say(f"{error} The job goes on; this is tried again.")
        except Exception:  # a defect of ours must not end a job that goes well
            logger.exception("Looking after the job failed; the job goes on")
