"""What a repository's server says that it can do: the same each time, so it is asked for once an hour.

git begins each question with this one (gitprotocol-v2, "Capability Advertisement"), because it remembers
nothing from one command to the next. The answer of the second version of its protocol holds no refs. That of
the first holds all of them, so it is never remembered; nor is the one before a push, which is of the first.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from codex_worker.clock import Clock

QUESTION = "info/refs?service=git-upload-pack"
REMEMBERED_FOR_S = 3600.0
_SECOND_VERSION = b"000eversion 2\n"
_INTRODUCTION = b"001e# service=git-upload-pack\n0000"
MOST_BYTES = 1 << 14
_KIND = "application/x-git-upload-pack-advertisement"


@dataclass(frozen=True)
class Advertisement:
    """A server's answer."""

    headers: Mapping[str, str]
    body: bytes
    until_s: float


class Advertised:
    """Remembers answers by the address of the repository. Safe to share between threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[str, Advertisement] = {}
        self._lock = threading.Lock()

    def find(self, address: str, asked: Mapping[str, str]) -> Advertisement | None:
        """What the server last said, where the one who asks speaks the second version."""
        known = self._known.get(address)
        is_fresh = known is not None and self._clock.monotonic() < known.until_s
        return known if is_fresh and _speaks_the_second(asked) else None

    def note(self, address: str, asked: Mapping[str, str], headers: Mapping[str, str], body: bytes) -> None:
        """Remembers a good answer, if it is of the second version."""
        is_second = body.removeprefix(_INTRODUCTION).startswith(_SECOND_VERSION)
        is_kind = headers.get("Content-Type") == _KIND and "Content-Encoding" not in headers
        if is_second and is_kind and len(body) <= MOST_BYTES and _speaks_the_second(asked):
            until_s = self._clock.monotonic() + REMEMBERED_FOR_S
            with self._lock:
                self._known[address] = Advertisement({"Content-Type": _KIND}, body, until_s)

    def forget(self, address: str) -> None:
        """Another question was not answered well: what the server can do may be the reason."""
        with self._lock:
            self._known.pop(address, None)


def _speaks_the_second(asked: Mapping[str, str]) -> bool:
    return asked.get("Git-Protocol") == "version=2"
