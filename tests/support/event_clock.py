"""A clock that moves only when a test moves it; threads that wait on it wake when it does."""

import threading
import time
from collections.abc import Callable


class ManualClock:
    """Time stands still until `advance`. Whoever sleeps moves it; whoever waits does not."""

    def __init__(self, start_s: float = 1_790_000_000.0) -> None:
        self._now_s = start_s
        self._lock = threading.Lock()
        self._waiting: dict[int, float] = {}  # thread -> until when

    def time(self) -> float:
        return self._now_s

    def monotonic(self) -> float:
        return self._now_s

    def sleep(self, duration_s: float) -> None:
        self.advance(duration_s)

    def advance(self, duration_s: float) -> None:
        with self._lock:
            self._now_s += duration_s

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        until_s = self._now_s + timeout_s
        self._waiting[threading.get_ident()] = until_s
        while not event.is_set() and self._now_s < until_s:
            event.wait(0.002)
        del self._waiting[threading.get_ident()]
        return event.is_set()

    @property
    def idle(self) -> int:
        """How many threads wait for a moment that has not come yet."""
        return sum(until_s > self._now_s for until_s in list(self._waiting.values()))


def until(condition: Callable[[], object], patience_s: float = 30.0) -> None:
    """Returns when another thread or process has brought something about; fails when it never does."""
    end_s = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end_s, "it never happened"
        time.sleep(0.002)
