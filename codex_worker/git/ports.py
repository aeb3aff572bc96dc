"""What a transaction needs of a repository; real git and the in-memory twin both offer it."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol


@dataclass(frozen=True)
class Entry:
    """A file in a commit."""

    path: str
    oid: str  # git's blob id


class Snapshot(Protocol):
    """The files of one commit."""

    commit: str

    def files(self, prefix: str = "") -> list[Entry]:
        """All files below a folder, sorted by path."""

    def existing(self, paths: Iterable[str]) -> set[str]:
        """Those of the paths that are files of this commit."""

    def read(self, path: str) -> bytes | None:
        """A file's bytes; None where it isn't there."""

    def read_many(self, paths: Iterable[str]) -> dict[str, bytes]:
        """Several files with one request; those that aren't there are left out."""

    def read_blobs(self, oids: Iterable[str]) -> dict[str, bytes]:
        """Several blobs by their ids with one request."""


@dataclass(frozen=True)
class Heads:
    """The refs of the server at one moment."""

    branch: str  # the default branch, with refs/heads/
    commit: str
    leases: Mapping[str, str] = field(default_factory=dict)  # ref -> commit


@dataclass(frozen=True)
class RefMove:
    """A ref's change, from the value expected there (None: it must not exist) to a new one (None: gone)."""

    ref: str
    expected: str | None
    new: str | None
    fast_forward: bool = False  # True for the branch: the server moves it only to a descendant


@dataclass(frozen=True)
class PushAnswer:
    """What came back. Only `accepted` can be relied on; a lost race can read like a hook's refusal."""

    accepted: bool
    words: str = ""


class GitPort(Protocol):
    """One project's repository on a server. Every method may raise ServerUnreachable or AccessDenied."""

    def look(self) -> Heads:
        """Asks for the default branch and the leases."""

    def snapshot(self, heads: Heads) -> Snapshot:
        """Fetches the head that was seen."""

    def commit(self, base: Snapshot, files: Mapping[str, bytes | None], message: str) -> str:
        """Makes a commit on `base`, here; None deletes a file."""

    def lease_commit(self, content: bytes) -> str:
        """Makes a commit without parents or files whose message is `content`, here."""

    def read_lease(self, ref: str, commit: str) -> bytes:
        """The message of a lease's commit on the server."""

    def push(self, moves: Sequence[RefMove], *, atomic: bool) -> PushAnswer:
        """Moves refs; with `atomic` all of them or none. Raises where no answer came."""

    def contains(self, heads: Heads, commit: str) -> bool:
        """True when the fetched head descends from `commit`."""


@lru_cache(maxsize=50_000)
def blob_id(data: bytes) -> str:
    """Git's id of a blob with these bytes."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
