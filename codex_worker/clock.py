"""Time as something that is handed in, so that tests and the simulator can hand in their own."""

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """What the worker knows of time."""

    def time(self) -> float:
        """Seconds since 1970, UTC."""

    def monotonic(self) -> float:
        """Seconds that never run backwards."""

    def sleep(self, duration_s: float) -> None:
        """Waits."""


class SystemClock:
    """The machine's own clock."""

    def time(self) -> float:
        """Seconds since 1970, UTC."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never run backwards."""
        return time.monotonic()

    def sleep(self, duration_s: float) -> None:
        """Waits."""
        time.sleep(duration_s)


class EventClock(Clock, Protocol):
    """A clock on which threads can wait for each other."""

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """Waits until the event is set, at most so long; True when it is."""


class SystemEventClock(SystemClock):
    """The machine's own."""

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """Waits until the event is set, at most so long; True when it is."""
        return event.wait(timeout_s)
