"""What a child says and is told: its calls, their replies, its progress and its last word.

Three threads: one receives, one answers, one sends. A child that does not read holds up the last one only,
so that it can be asked to stop and be ended whatever it does.
"""

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from codex_worker.clock import EventClock
from codex_worker.contract.plain_text import plain_line
from codex_worker.errors import LeaseLost, WorkerError
from codex_worker.job.channel import (
    MAX_OPEN_CALLS,
    BadMessage,
    Channel,
    ChannelClosed,
    Computed,
    Heartbeat,
    LastWord,
    Message,
)
from codex_worker.job.ends import Cause, StopReason
from codex_worker.job.failures import describe
from codex_worker.supervisor.services import Services

logger = logging.getLogger(__name__)

Join = Callable[[threading.Thread, float], object]  # waits for a thread, at most so many seconds

# After the child's death: what lies in the pipe is read at once, unless somebody else holds its other end.
_PIPE_PATIENCE_S = 10.0
# A publication that is under way is waited for.
_ANSWER_PATIENCE_S = 120.0


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
        told = {key: value for key, value in vars(heartbeat).items() if value is not None}
        return replace(self, **told)


class Wishes:
    """Why the child has to end, as anybody may see it; what cannot wait replaces what can."""

    def __init__(self) -> None:
        self.changed = threading.Event()
        self.cause: Cause | None = None
        self.problem = ""  # what the child sent that makes no sense
        self._lock = threading.Lock()

    def add(self, cause: Cause, problem: str = "") -> None:
        """Something happened that the child has to end for."""
        with self._lock:
            if self.cause is None or self.cause.ending.stop_reason is not None:
                self.cause, self.problem = cause, problem
        self.changed.set()


class Outgoing:
    """Messages on their way to the child; `put` never waits."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._queue: queue.SimpleQueue[tuple[Message, Callable[[], None]] | None] = queue.SimpleQueue()

    def put(self, message: Message, on_turn: Callable[[], None] = lambda: None) -> None:
        """Sends it after those before it; `on_turn` is told when those have been written."""
        self._queue.put((message, on_turn))

    def close(self) -> None:
        """Nothing comes after what was put so far."""
        self._queue.put(None)

    def run(self) -> None:
        """Sends until it is closed, or until the other side is gone."""
        while (entry := self._queue.get()) is not None:
            message, on_turn = entry
            on_turn()
            try:
                self._send(message)
            except ChannelClosed:  # it is gone; its exit says why
                return

    def _send(self, message: Message) -> None:
        try:
            self._channel.send(message)
        except BadMessage as error:
            logger.error("An answer could not be sent: %s", error)
            told = {"kind": "system", "message": f"The answer could not be sent. {error}"}
            self._channel.send({"id": message.get("id"), "error": told})


class Conversation:
    """Everything that goes over the channel, from the assignment to the last word."""

    def __init__(self, channel: Channel, services: Services, wishes: Wishes, clock: EventClock) -> None:
        self.progress = JobProgress()
        self.stage_changed = threading.Event()
        self.on_stage: Callable[[str], object] = lambda stage: None  # told each new stage's name
        self.on_audio: Callable[[float], object] = lambda audio_s: None  # told how much more was computed
        self.last_word: LastWord | None = None
        self._channel = channel
        self._services = services
        self._wishes = wishes
        self._clock = clock
        self._outgoing = Outgoing(channel)
        self._calls: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._last_sign_s = clock.monotonic()
        self._unanswered = self._open = 0
        self._receiving = threading.Thread(target=self._receive, name="messages", daemon=True)
        self._answering = threading.Thread(target=self._serve, name="answers", daemon=True)
        self._sending = threading.Thread(target=self._outgoing.run, name="sender", daemon=True)

    def begin(self, assignment: Message) -> None:
        """Gives the child its assignment and listens from now on."""
        self._outgoing.put(assignment)
        for thread in (self._receiving, self._answering, self._sending):
            thread.start()

    def ask_to_stop(self, reason: StopReason) -> None:
        """Lets the handler save and leave. Waits for nothing."""
        self._outgoing.put({"event": "stop", "reason": reason.value})

    def end(self, join: Join = threading.Thread.join) -> None:
        """Hears what a child that is gone has left in the pipe, and closes the channel."""
        self._await(self._receiving, join, _PIPE_PATIENCE_S)
        self._calls.put(None)
        self._await(self._answering, join, _ANSWER_PATIENCE_S)
        self._outgoing.close()
        self._await(self._sending, join, _PIPE_PATIENCE_S)
        if not (self._receiving.is_alive() or self._sending.is_alive()):
            self._channel.close()  # closing a pipe that a thread is blocked in would wait for that thread

    @property
    def last_sign_s(self) -> float:
        """When the child last gave a sign of life, or was last given an answer."""
        return self._last_sign_s

    @property
    def is_served(self) -> bool:
        """Whether it waits for an answer that is being made."""
        return self._unanswered > 0

    def _await(self, thread: threading.Thread, join: Join, patience_s: float) -> None:
        join(thread, patience_s)
        if thread.is_alive():
            logger.warning("The %s of a job's process that is gone are not over; nobody waits.", thread.name)

    def _receive(self) -> None:
        try:
            while (message := self._channel.receive()) is not None:
                self._last_sign_s = self._clock.monotonic()
                self._take(message)
        except BadMessage as error:
            self._break(str(error))
        except Exception:  # a message that we have no answer to ends its sender, not this thread in silence
            logger.exception("A message of the job's process could not be read")
            self._break("A message could not be read.")
        finally:
            self._calls.put(None)

    def _break(self, problem: str) -> None:
        logger.error("The job's process sent nonsense: %s", problem)
        self._wishes.add(Cause.BROKEN, problem)

    def _take(self, message: Message) -> None:
        event = message.get("event")
        if "call" in message and isinstance(message.get("id"), int):
            self._take_call(message)
        elif event == "heartbeat":
            before, self.progress = self.progress, self.progress.after(Heartbeat.of_message(message))
            if before.stage != self.progress.stage:
                self.on_stage(self.progress.stage)
                self.stage_changed.set()
        elif event == "computed":
            self.on_audio(Computed.of_message(message).audio_s)
        elif event in ("result", "failed"):
            self.last_word = self.last_word or LastWord.of_message(message)
        elif event != "alive":
            raise BadMessage(f"An unknown message: {plain_line(str(event or list(message))[:100])}.")

    def _take_call(self, message: Message) -> None:
        with self._lock:
            if self._open >= MAX_OPEN_CALLS:
                raise BadMessage(f"More than {MAX_OPEN_CALLS} calls wait for their reply at once.")
            self._open += 1
            self._unanswered += 1
        self._calls.put(message)

    def _serve(self) -> None:
        while (message := self._calls.get()) is not None:
            reply = self._reply_to(message)
            with self._lock:
                self._unanswered -= 1
                self._last_sign_s = self._clock.monotonic()
            self._outgoing.put(reply, self._close_call)

    def _close_call(self) -> None:
        """Before its reply is written: who has it may call again at once."""
        with self._lock:
            self._open -= 1

    def _reply_to(self, message: Message) -> dict[str, Any]:
        try:
            result = self._services.answer(message["call"], message.get("arguments", {}))
            return {"id": message["id"], "result": result}
        except Exception as error:  # the child is told, and decides; the supervisor lives on
            kind, sentence = describe(error)
            if isinstance(error, LeaseLost):
                self._wishes.add(Cause.LOST)
            elif not isinstance(error, WorkerError):
                logger.exception("The call %s failed", plain_line(str(message["call"])[:60]))
            return {"id": message["id"], "error": {"kind": kind.value, "message": sentence}}
