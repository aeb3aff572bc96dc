"""Watching over one child: its limits, and everybody's wish that it ends."""

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from codex_worker.clock import EventClock
from codex_worker.job.channel import LastWord, Message
from codex_worker.job.ends import Cause
from codex_worker.supervisor.conversation import Conversation, JobProgress, Wishes
from codex_worker.supervisor.decide import ChildState, Departure, Step, next_step
from codex_worker.supervisor.process import ChildProcess
from codex_worker.supervisor.rounds import Rounds, WatchedJob
from codex_worker.supervisor.services import Services
from codex_worker.supervisor.settings import JobLimits, Rhythm

logger = logging.getLogger(__name__)

# A process that was killed is gone at once, unless a driver of the machine holds it.
_EXIT_PATIENCE_S = 120.0
# Of a worker that has to leave, with all threads that may wait for a server.
_HURRIED_PATIENCE_S = 1.0
_LOOK_EVERY_S = 0.2


class Leaving:
    """Whether the worker has to leave: set by a signal, seen by every wait."""

    def __init__(self, clock: EventClock) -> None:
        self._clock = clock
        self.event = threading.Event()
        self.since_s: float | None = None
        self._hurried_until_s: float | None = None

    def ask(self) -> None:
        """Save what is there, and leave."""
        if self.since_s is None:
            self.since_s = self._clock.monotonic()
        self.event.set()

    def wait_for(self, thread: threading.Thread, patience_s: float) -> None:
        """Waits for a thread's end; a moment for all threads together once the worker has to leave."""
        end_s = time.monotonic() + patience_s
        while thread.is_alive() and not self.event.is_set() and time.monotonic() < end_s:
            thread.join(_LOOK_EVERY_S)
        if self.event.is_set():
            self._hurried_until_s = self._hurried_until_s or time.monotonic() + _HURRIED_PATIENCE_S
            thread.join(max(self._hurried_until_s - time.monotonic(), 0.0))


@dataclass(frozen=True)
class Terms:
    """What a child is held to."""

    limits: JobLimits = field(default_factory=JobLimits)
    rhythm: Rhythm = field(default_factory=Rhythm)
    deadline_s: float | None = None  # on the monotonic clock


class ChildWatch:
    """One child from its start to its end. `run` blocks; everything else happens in threads of its own.

    The watch itself never sends and never waits for anything but its clock, so that it can always kill.
    """

    def __init__(
        self,
        child: ChildProcess,
        services: Services,
        project: WatchedJob,
        terms: Terms,
        clock: EventClock,
        leaving: Leaving,
        give_up: threading.Event,
    ) -> None:
        self._child = child
        self._terms = terms
        self._clock = clock
        self._leaving = leaving
        self._give_up = give_up
        self._wishes = Wishes()
        self._conversation = Conversation(child.channel, services, self._wishes, clock)
        self._rounds = Rounds(project, self._conversation, self._wishes, clock, terms.rhythm)
        self._exit = threading.Thread(target=self._await_exit, name="exit", daemon=True)
        self._memory_seen_s = -math.inf
        self._memory_bytes = 0
        self._asked: Cause | None = None
        self._asked_s = 0.0
        self._killed: Cause | None = None
        self._return_code: int | None = None

    def tell(self, on_stage: Callable[[str], object], on_audio: Callable[[float], object]) -> None:
        """Calls these with each new stage's name, and with the seconds of audio that were computed."""
        self._conversation.on_stage, self._conversation.on_audio = on_stage, on_audio

    @property
    def progress(self) -> JobProgress:
        """How far the job is."""
        return self._conversation.progress

    def run(self, assignment: Message, meanwhile: Callable[[], None] = lambda: None) -> Departure:
        """Gives the child its assignment, does something else `meanwhile`, and watches until it is gone."""
        self._exit.start()
        self._conversation.begin(assignment)
        self._rounds.begin()
        try:
            meanwhile()
            self._watch()
        finally:
            self._end()
        return self._departure()

    def wish(self, cause: Cause) -> None:
        """Something happened that the child has to end for."""
        self._wishes.add(cause)

    def _watch(self) -> None:
        changed = self._wishes.changed
        while self._return_code is None:
            self._clock.wait(changed, self._terms.rhythm.watch_s)
            changed.clear()
            step, cause = next_step(self._sight(), self._terms.limits)
            if cause is None or self._return_code is not None:
                continue
            if step is Step.ASK_TO_STOP and cause.ending.stop_reason is not None:
                logger.info("Asking the handler to stop: %s", cause.value)
                self._asked, self._asked_s = cause, self._clock.monotonic()
                self._conversation.ask_to_stop(cause.ending.stop_reason)
            elif step is Step.KILL and self._killed is None:
                logger.warning("Ending the job's process: %s", cause.value)
                self._killed = cause
                self._give_up.set()
                self._child.kill()

    def _sight(self) -> ChildState:
        now_s, limits, rhythm = self._clock.monotonic(), self._terms.limits, self._terms.rhythm
        if now_s - self._memory_seen_s >= rhythm.memory_s and limits.memory_bytes is not None:
            self._memory_bytes, self._memory_seen_s = self._child.memory_bytes(), now_s
        return ChildState(
            now_s=now_s,
            last_sign_s=self._conversation.last_sign_s,
            deadline_s=self._terms.deadline_s,
            is_served=self._conversation.is_served,
            memory_bytes=self._memory_bytes,
            wish=self._wishes.cause,
            asked=self._asked,
            asked_s=self._asked_s,
            leaving_s=self._leaving.since_s,
        )

    def _departure(self) -> Departure:
        word = self._conversation.last_word or LastWord()
        return Departure(
            self._return_code or 0,
            self._cause(),
            word.result,
            word.kind,
            word.message,
            word.summary,
            self._wishes.problem,
        )

    def _cause(self) -> Cause | None:
        # A lost lease may be seen only after the child has ended by itself.
        wish = self._wishes.cause
        if wish is not None and not wish.ending.publishes:
            return wish
        nonsense = wish if wish is Cause.BROKEN else None  # it may have left before anybody ended it
        return self._killed or self._asked or nonsense

    def _await_exit(self) -> None:
        self._return_code = self._child.wait()
        self._wishes.changed.set()

    def _end(self) -> None:
        if self._return_code is None:  # the watch itself failed: no child without a supervisor
            self._child.kill()
        self._exit.join(_EXIT_PATIENCE_S)
        self._conversation.end(self._leaving.wait_for)
        self._rounds.end(self._leaving.wait_for)
