"""The worker's clock, with a wait that an event cuts short."""

import threading
from typing import Protocol

from codex_worker.clock import Clock, SystemClock


class EventClock(Clock, Protocol):
    """A clock on which threads can wait for each other."""

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """Waits until the event is set, at most so long; True when it is."""


class SystemEventClock(SystemClock):
    """The machine's own."""

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """Waits until the event is set, at most so long; True when it is."""
        return event.wait(timeout_s)
