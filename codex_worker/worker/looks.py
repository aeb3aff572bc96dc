"""Looks at several projects side by side; nobody waits long for a project whose look does not end."""

import logging
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue

from codex_worker.clock import Clock
from codex_worker.worker.watched_project import WatchedProject

logger = logging.getLogger(__name__)

# A look is mostly waiting for the server.
LOOKS_AT_ONCE = 8
# What one project's look may take before the others go on. It ends later, in a thread of its own.
LOOK_WITHIN_S = 60.0
_PEEK_EVERY_S = 0.1  # real time: the clock that was handed in says when a look has taken too long

# A clock that was put forward, or whose machine slept meanwhile, says nothing of the look.
_PEEKS_AT_LEAST = 30


class Looks:
    """Starts looks and waits for them. Two threads may ask at once: no project has two looks at a time."""

    def __init__(self, look: Callable[[WatchedProject], None], clock: Clock) -> None:
        """`look` raises nothing."""
        self._look = look
        self._clock = clock
        self._waiting: SimpleQueue[WatchedProject | None] = SimpleQueue()
        self._under_way: set[str] = set()
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []

    def at(self, projects: Sequence[WatchedProject]) -> None:
        """Looks at these projects, and answers when all is seen or the time is used up.

        Where a look is under way already, another one follows: it may have begun before there was news.
        """
        left = list(projects)
        mine: set[str] = set()
        peeks = 0
        until_s = self._clock.monotonic() + LOOK_WITHIN_S
        with self._changed:
            while True:
                left = [watched for watched in left if not self._begin(watched, mine)]
                mine &= self._under_way
                if not (left or mine):
                    return
                if self._clock.monotonic() >= until_s and peeks >= _PEEKS_AT_LEAST:
                    break
                self._changed.wait(_PEEK_EVERY_S)
                peeks += 1
        for watched in projects:
            if watched in left or watched.project.address in mine:
                watched.is_late = True
                watched.note("look", f"A look takes longer than {LOOK_WITHIN_S:.0f} s; the others go on.")

    def is_under_way(self, watched: WatchedProject) -> bool:
        """Whether somebody looks at the project now."""
        return watched.project.address in self._under_way

    def close(self) -> None:
        """Ends the threads, but for those whose looks do not end."""
        for _ in self._threads:
            self._waiting.put(None)

    def _begin(self, watched: WatchedProject, mine: set[str]) -> bool:
        address = watched.project.address
        if address in self._under_way:
            return False
        if not self._threads:
            # Nobody may have to wait for a hung one at the process's end, as a pool's threads make one do.
            self._threads = [
                threading.Thread(target=self._work, name=f"look-{number}", daemon=True)
                for number in range(LOOKS_AT_ONCE)
            ]
            for thread in self._threads:
                thread.start()
        self._under_way.add(address)
        mine.add(address)
        self._waiting.put(watched)
        return True

    def _work(self) -> None:
        while (watched := self._waiting.get()) is not None:
            try:
                watched.is_late = False
                self._look(watched)
            finally:
                with self._changed:
                    self._under_way.discard(watched.project.address)
                    self._changed.notify_all()
