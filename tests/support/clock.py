"""A clock that moves only when it is told to, or when somebody sleeps."""

import threading


class FakeClock:
    """Starts on 2026-01-01; `sleep` takes no time but moves the clock."""

    def __init__(self, start_s: float = 1_767_225_600.0) -> None:
        self.now_s = start_s
        self._lock = threading.Lock()

    def time(self) -> float:
        return self.now_s

    def monotonic(self) -> float:
        return self.now_s - 1_767_000_000.0

    def sleep(self, duration_s: float) -> None:
        self.advance(duration_s)

    def advance(self, duration_s: float) -> None:
        with self._lock:
            self.now_s += duration_s
