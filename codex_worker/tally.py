"""What one worker counts on its way: bytes over the network, and how often something was tried again."""

import threading
from collections import Counter
from enum import StrEnum
from typing import TypeVar

K = TypeVar("K")


class Traffic(StrEnum):
    """What goes over the network."""

    GIT = "git"
    LARGE_FILES = "large files"


class Tally:
    """Counts that only grow. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._received: Counter[Traffic] = Counter()
        self._sent: Counter[Traffic] = Counter()
        self._retries: Counter[str] = Counter()

    def received(self, what: Traffic, count_bytes: int) -> None:
        """So much has come from a server."""
        self._count(self._received, what, count_bytes)

    def sent(self, what: Traffic, count_bytes: int) -> None:
        """So much has gone to a server."""
        self._count(self._sent, what, count_bytes)

    def retried(self, what: str) -> None:
        """Something failed for a reason that may pass, and is tried again."""
        self._count(self._retries, what, 1)

    @property
    def received_bytes(self) -> dict[Traffic, int]:
        """What has come, by what it was."""
        return self._copy(self._received)

    @property
    def sent_bytes(self) -> dict[Traffic, int]:
        """What has gone, by what it was."""
        return self._copy(self._sent)

    @property
    def retries(self) -> dict[str, int]:
        """How often was tried again what."""
        return self._copy(self._retries)

    def _count(self, counter: Counter[K], key: K, count: int) -> None:
        with self._lock:
            counter[key] += count

    def _copy(self, counter: Counter[K]) -> dict[K, int]:
        with self._lock:
            return dict(counter)
