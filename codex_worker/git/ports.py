"""What a transaction needs of a repository; real git and the in-memory twin both offer it."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

from codex_worker.contract.limits import AT_ONCE_BYTES
from codex_worker.contract.paths import (
    LEASE_BRANCHES,
    LEASE_NAMESPACE,
    RECORD_BRANCHES,
    RECORD_NAMESPACE,
    WATCHER_NAMESPACE,
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in a commit."""

    path: str
    oid: str  # git's blob id


class Snapshot(Protocol):
    """The files of one commit.

    A file that is larger than its kind may be (codex_worker.contract.limits) is left out where files are
    read. Raises DataError where there are more files, or bytes at once, than can be read.
    """

    commit: str

    def files(self, prefix: str = "") -> list[Entry]:
        """All files below a folder, sorted by path; those whose names are no UTF-8 are left out."""

    def existing(self, paths: Iterable[str]) -> set[str]:
        """Those of the paths that are files of this commit."""

    def read(self, path: str) -> bytes | None:
        """A file's bytes; None where it isn't there."""

    def read_many(self, paths: Iterable[str]) -> dict[str, bytes]:
        """Several files with one request; those that aren't there are left out."""

    def read_each(self, paths: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """The same, one after another: all of them together may be larger than the memory."""

    def read_blobs(self, limits: Mapping[str, int], *, at_once: int = AT_ONCE_BYTES) -> dict[str, bytes]:
        """Several blobs by their ids with one request, each with how many bytes it may have at most."""


@dataclass(frozen=True)
class Heads:
    """The refs of the server at one moment; those of ours by kind, ref -> commit."""

    branch: str  # the default branch, with refs/heads/
    commit: str
    leases: Mapping[str, str] = field(default_factory=dict)
    records: Mapping[str, str] = field(default_factory=dict)
    watchers: Mapping[str, str] = field(default_factory=dict)

    def at(self, ref: str) -> str | None:
        """The value of a lease or record; None where there is none."""
        return self.leases.get(ref) or self.records.get(ref)

    def moved(self, moves: "Sequence[RefMove]") -> "Heads":
        """The refs after these moves."""
        refs: dict[str, str] = {**self.leases, **self.records, **self.watchers, self.branch: self.commit}
        for move in moves:
            if move.new is None:
                refs.pop(move.ref, None)
            else:
                refs[move.ref] = move.new
        return heads_of(self.branch, refs[self.branch], refs)


def heads_of(branch: str, commit: str, refs: Mapping[str, str]) -> Heads:
    """Sorts a server's refs into the kinds that matter here."""

    def below(*namespaces: str) -> dict[str, str]:
        return {ref: oid for ref, oid in refs.items() if ref.startswith(namespaces)}

    return Heads(
        branch,
        commit,
        below(LEASE_NAMESPACE, LEASE_BRANCHES),
        below(RECORD_NAMESPACE, RECORD_BRANCHES),
        below(WATCHER_NAMESPACE),
    )


@dataclass(frozen=True)
class PathChange:
    """What one ordinary commit did to one file: its blob ids before and after, None where there is none."""

    commit: str
    path: str
    before: str | None
    after: str | None


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
        """Asks for the default branch, the leases, the records and the watchers."""

    def snapshot(self, heads: Heads) -> Snapshot:
        """Fetches the head that was seen."""

    def commit(self, base: Snapshot, files: Mapping[str, bytes | None], message: str) -> str:
        """Makes a commit on `base`, here; None deletes a file."""

    def lease_commit(self, content: bytes) -> str:
        """Makes a commit without parents or files whose message is `content`, here."""

    def read_leases(self, commits: Sequence[str]) -> dict[str, bytes]:
        """The messages of leases' commits on the server, with one request; of what is none, nothing."""

    def record_commit(self, base: str, files: Mapping[str, bytes | None], *, is_first: bool) -> str:
        """Makes a record's commit on `base`, here; None deletes a file.

        `base` is the record before it, or, for the first one, the branch's commit on which the job was
        claimed: the record then begins without its files, and whoever fetches can leave out all history
        before that.
        """

    def records(self, commits: Sequence[str]) -> dict[str, Snapshot]:
        """The files of records, by commit; one that has more of them than a record may have is left out."""

    def ordinary_changes(
        self, heads: Heads, record_ref: str | None, since: str, paths: Sequence[str]
    ) -> list[PathChange] | None:
        """What commits with one parent (so people, never merges) did to files since a commit.

        `since` is a commit of ours, `record_ref` the record that begins there, `paths` are files or
        folders. None where that history cannot be had: it is too long, or nothing is known of `since`.
        """

    def push(self, moves: Sequence[RefMove], *, atomic: bool) -> PushAnswer:
        """Moves refs; with `atomic` all of them or none. Raises where no answer came."""

    def contains(self, heads: Heads, commit: str) -> bool:
        """True when the fetched head descends from `commit`."""


def one_after_another(moves: Sequence[RefMove]) -> list[RefMove]:
    """The order for a server that knows no atomic pushes: the branch, then the record, the lease last."""
    records = (RECORD_NAMESPACE, RECORD_BRANCHES)
    return sorted(moves, key=lambda move: (not move.fast_forward, not move.ref.startswith(records)))


@lru_cache(maxsize=50_000)
def blob_id(data: bytes) -> str:
    """Git's id of a blob with these bytes."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
