"""Watching over one child: its messages, the lease, the project, the limits."""

import logging
import math
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from codex_worker.clock import EventClock
from codex_worker.errors import LeaseLost, WorkerError
from codex_worker.job.channel import Assignment, BadMessage, ChannelClosed, Heartbeat, LastWord, Message
from codex_worker.job.ends import Cause
from codex_worker.job.failures import describe
from codex_worker.supervisor.decide import ChildState, Departure, Step, next_step
from codex_worker.supervisor.machine import session_memory
from codex_worker.supervisor.process import ChildProcess
from codex_worker.supervisor.services import Services
from codex_worker.supervisor.settings import JobLimits, Rhythm

logger = logging.getLogger(__name__)

_THREADS_PATIENCE_S = 120.0


@dataclass(frozen=True)
class JobProgress:
    """How far a job is, as its handler last said."""

    stage: str = "starting"
    epochs_completed: float | None = None
    message: str = ""

    @property
    def sentence(self) -> str:
        """For people who watch."""
        epochs = None if self.epochs_completed is None else f"{self.epochs_completed:.1f} epochs"
        return ", ".join(part for part in (f"Stage: {self.stage}", epochs, self.message) if part)

    def after(self, heartbeat: Heartbeat) -> "JobProgress":
        """With what a heartbeat brings; what it leaves out stays."""
        told = {key: value for key, value in asdict(heartbeat).items() if value is not None}
        return replace(self, **told)


class WatchedJob(Protocol):
    """The job as the queue knows it; raises LeaseLost when it is not ours any more."""

    def look(self) -> Cause | None:
        """What people did to the job meanwhile."""

    def report(self, progress: JobProgress) -> None:
        """Shows progress, log and metrics to people."""


class Leaving:
    """Whether the worker has to leave: set by a signal, seen by every wait."""

    def __init__(self, clock: EventClock) -> None:
        self._clock = clock
        self.event = threading.Event()
        self.since_s: float | None = None

    def ask(self) -> None:
        """Save what is there, and leave."""
        if self.since_s is None:
            self.since_s = self._clock.monotonic()
        self.event.set()


class Complaints:
    """Warnings about what is tried again and again: loud once, then quiet until they change."""

    def __init__(self) -> None:
        self._last = ""

    def say(self, text: str) -> None:
        """Logs a warning, or repeats it for those who read details."""
        logger.log(logging.DEBUG if text == self._last else logging.WARNING, "%s", text)
        self._last = text


class ChildWatch:
    """One child from its start to its end. `run` blocks; everything else happens in threads of its own."""

    def __init__(
        self,
        child: ChildProcess,
        services: Services,
        project: WatchedJob,
        clock: EventClock,
        leaving: Leaving,
        give_up: threading.Event,
        limits: JobLimits,
        rhythm: Rhythm,
        deadline_s: float | None,
    ) -> None:
        self._child = child
        self._services = services
        self._project = project
        self._clock = clock
        self._leaving = leaving
        self._give_up = give_up
        self._limits = limits
        self._rhythm = rhythm
        self._deadline_s = deadline_s
        self._lock = threading.Lock()
        self._changed = threading.Event()  # wakes the watch
        self._to_report = threading.Event()  # wakes the report
        self._over = threading.Event()
        self._calls: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._unanswered = 0
        self._last_sign_s = clock.monotonic()
        self._memory_seen_s = -math.inf
        self._memory_bytes = 0
        self._wish: Cause | None = None
        self._asked: Cause | None = None
        self._asked_s = 0.0
        self._killed: Cause | None = None
        self._return_code: int | None = None
        self._last_word: LastWord | None = None
        self._complaints = Complaints()
        self.progress = JobProgress()

    def run(self, assignment: Assignment) -> Departure:
        """Gives the child its assignment, and watches until it is gone."""
        threads = [
            threading.Thread(target=target, name=name, daemon=True)
            for name, target in {
                "exit": self._await_exit,
                "messages": self._receive,
                "answers": self._serve,
                "look": lambda: self._every(self._rhythm.look_s, self._look),
                "report": self._report,
            }.items()
        ]
        with suppress(ChannelClosed):  # it died at once; its exit code will say so
            self._child.channel.send(assignment.to_message())
        for thread in threads:
            thread.start()
        try:
            self._watch()
        finally:
            self._end(threads)
        return self._departure()

    def wish(self, cause: Cause) -> None:
        """Something happened that the child has to end for; what cannot wait replaces what can."""
        with self._lock:
            if self._wish is None or self._wish.ending.stop_reason is not None:
                self._wish = cause
        self._changed.set()

    def _watch(self) -> None:
        while self._return_code is None:
            self._clock.wait(self._changed, self._rhythm.watch_s)
            self._changed.clear()
            step, cause = next_step(self._sight(), self._limits)
            if cause is None or self._return_code is not None:
                continue
            if step is Step.ASK_TO_STOP and cause.ending.stop_reason is not None:
                logger.info("Asking the handler to stop: %s", cause.value)
                self._asked, self._asked_s = cause, self._clock.monotonic()
                self._child.ask_to_stop(cause.ending.stop_reason)
            elif step is Step.KILL and self._killed is None:
                logger.warning("Ending the job's process: %s", cause.value)
                self._killed = cause
                self._give_up.set()
                self._child.kill()

    def _sight(self) -> ChildState:
        now_s = self._clock.monotonic()
        if now_s - self._memory_seen_s >= self._rhythm.memory_s and self._limits.memory_bytes is not None:
            self._memory_bytes, self._memory_seen_s = session_memory(self._child.pid), now_s
        with self._lock:
            return ChildState(
                now_s=now_s,
                last_sign_s=self._last_sign_s,
                deadline_s=self._deadline_s,
                is_served=self._unanswered > 0,
                memory_bytes=self._memory_bytes,
                wish=self._wish,
                asked=self._asked,
                asked_s=self._asked_s,
                leaving_s=self._leaving.since_s,
            )

    def _departure(self) -> Departure:
        word = self._last_word or LastWord()
        return Departure(
            self._return_code or 0, self._cause(), word.result, word.kind, word.message, word.summary
        )

    def _cause(self) -> Cause | None:
        # A lost lease may be seen only after the child has ended by itself.
        if self._wish is not None and not self._wish.ending.publishes:
            return self._wish
        return self._asked if self._killed is None else self._killed

    def _await_exit(self) -> None:
        self._return_code = self._child.wait()
        self._changed.set()

    def _receive(self) -> None:
        try:
            while (message := self._child.channel.receive()) is not None:
                with self._lock:
                    self._last_sign_s = self._clock.monotonic()
                    self._unanswered += "call" in message
                self._take(message)
        except BadMessage as error:
            logger.error("The job's process sent nonsense: %s", error)
            self.wish(Cause.BROKEN)
        finally:
            self._calls.put(None)

    def _take(self, message: Message) -> None:
        event = message.get("event")
        if "call" in message and isinstance(message.get("id"), int):
            self._calls.put(message)
        elif event == "heartbeat":
            before, self.progress = self.progress, self.progress.after(Heartbeat.of_message(message))
            if before.stage != self.progress.stage:
                self._to_report.set()
        elif event in {"result", "failed"}:
            self._last_word = self._last_word or LastWord.of_message(message)
        elif event != "alive":
            raise BadMessage(f"An unknown message: {str(message)[:100]}")

    def _serve(self) -> None:
        while (message := self._calls.get()) is not None:
            reply = self._reply_to(message)
            with self._lock:
                self._unanswered -= 1
                self._last_sign_s = self._clock.monotonic()
            with suppress(ChannelClosed):  # it is gone; its exit says why
                self._child.channel.send(reply)

    def _reply_to(self, message: Message) -> dict[str, Any]:
        try:
            result = self._services.answer(message["call"], message.get("arguments", {}))
            return {"id": message["id"], "result": result}
        except Exception as error:  # the child is told, and decides; the supervisor lives on
            kind, sentence = describe(error)
            if isinstance(error, LeaseLost):
                self.wish(Cause.LOST)
            elif not isinstance(error, WorkerError):
                logger.exception("The call %s failed", str(message["call"])[:60])
            return {"id": message["id"], "error": {"kind": kind.value, "message": sentence}}

    def _look(self) -> None:
        cause = self._project.look()
        if cause is not None:
            self.wish(cause)

    def _report(self) -> None:
        shown = JobProgress()
        while not self._over.is_set():
            self._clock.wait(self._to_report, self._rhythm.report_s)
            self._to_report.clear()
            if self._over.is_set():
                return
            if self.progress != shown:
                shown = self.progress
                logger.info("%s", shown.sentence)
            self._try(lambda: self._project.report(self.progress))

    def _every(self, interval_s: float, action: Callable[[], None]) -> None:
        while not self._clock.wait(self._over, interval_s):
            self._try(action)

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
        except LeaseLost as error:
            logger.warning("%s", error)
            self.wish(Cause.LOST)
        except (WorkerError, OSError) as error:
            self._complaints.say(f"{error} The job goes on; this is tried again.")
        except Exception:  # a defect of ours must not end a job that goes well
            logger.exception("Looking after the job failed; the job goes on")

    def _end(self, threads: list[threading.Thread]) -> None:
        self._over.set()
        self._to_report.set()
        if self._return_code is None:  # the watch itself failed: no child without a supervisor
            self._child.kill()
        for thread in threads:
            thread.join(_THREADS_PATIENCE_S)
        self._child.channel.close()
