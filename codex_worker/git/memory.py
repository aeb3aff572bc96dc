"""An in-memory twin of a git server: same interface, same compare-and-swap. For tests and the simulator."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from codex_worker.contract.limits import AT_ONCE_BYTES, most_bytes
from codex_worker.errors import AccessDenied, DataError, SystemFault
from codex_worker.git.ports import (
    Entry,
    Heads,
    PathChange,
    PushAnswer,
    RefMove,
    Snapshot,
    blob_id,
    heads_of,
    one_after_another,
)

Files = Mapping[str, bytes]
Check = Callable[[str, Files, Files], str | None]


@dataclass(frozen=True)
class MemoryCommit:
    """A commit: its files, or a lease's message."""

    parent: str | None
    files: Files = field(default_factory=dict)
    message: bytes = b""
    second_parent: str | None = None


class MemoryServer:
    """Commits and refs. `branch` always exists; ref moves are compare-and-swap, as on a real server."""

    def __init__(self, files: Files | None = None, branch: str = "refs/heads/main") -> None:
        self.branch = branch
        self.commits: dict[str, MemoryCommit] = {}
        self.refs: dict[str, str] = {}
        self.refused_refs: tuple[str, ...] = ()  # ref prefixes that this server refuses
        self.atomic = True
        self.check: Check | None = None  # a hook: (ref, old files, new files) -> words of a refusal
        self._lock = threading.RLock()
        self._count = 0
        self.refs[branch] = self.add(MemoryCommit(None, dict(files or {})))

    def add(self, commit: MemoryCommit) -> str:
        """Stores a commit under a new id."""
        with self._lock:
            self._count += 1
            name = f"{self._count:040x}"
            self.commits[name] = commit
            return name

    def files(self) -> Files:
        """The files at the head of the default branch."""
        return self.commits[self.refs[self.branch]].files

    def descends(self, commit: str | None, ancestor: str) -> bool:
        """True when `ancestor` is `commit` or before it."""
        seen: set[str] = set()
        stack = [commit]
        while stack:
            name = stack.pop()
            if name == ancestor:
                return True
            # Ids grow with age, so nothing older than the ancestor can lead to it.
            if name is None or name in seen or name < ancestor:
                continue
            seen.add(name)
            stack += [self.commits[name].parent, self.commits[name].second_parent]
        return False

    def ancestors(self, commit: str) -> set[str]:
        """A commit and all before it."""
        seen: set[str] = set()
        stack: list[str | None] = [commit]
        while stack:
            name = stack.pop()
            if name is not None and name not in seen:
                seen.add(name)
                stack += [self.commits[name].parent, self.commits[name].second_parent]
        return seen

    def move(self, moves: Sequence[RefMove], *, atomic: bool) -> PushAnswer:
        """Moves refs as `git push` does."""
        with self._lock:
            words = [self._refusal(move) for move in moves]
            if atomic and any(words):
                return PushAnswer(False, "; ".join(filter(None, words)))
            for move, refusal in zip(moves, words, strict=True):
                if refusal:
                    continue
                if move.new is None:
                    self.refs.pop(move.ref, None)
                else:
                    self.refs[move.ref] = move.new
            return PushAnswer(not any(words), "; ".join(filter(None, words)))

    def _refusal(self, move: RefMove) -> str | None:
        if move.ref.startswith(self.refused_refs) if self.refused_refs else False:
            return f"remote rejected {move.ref} (hook declined)"
        current = self.refs.get(move.ref)
        if current == move.new:
            return None
        if not move.fast_forward:
            return None if current == move.expected else f"rejected {move.ref} (stale info)"
        if move.new is None or (current is not None and not self.descends(move.new, current)):
            return f"rejected {move.ref} (fetch first)"
        if self.check and current is not None:
            return self.check(move.ref, self.commits[current].files, self.commits[move.new].files)
        return None


class MemoryTransport:
    """One worker's way to a MemoryServer; `fault` may raise before or after any call takes effect."""

    def __init__(self, server: MemoryServer, fault: Callable[[str, str], None] | None = None) -> None:
        self.server = server
        self._fault = fault or (lambda call, when: None)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nothing here has to be kept from other processes."""
        yield

    def renew(self, commit: str | None = None) -> None:
        """There is no cache that could be damaged."""

    def look(self) -> Heads:
        """The default branch and the leases."""
        self._fault("look", "before")
        refs = dict(self.server.refs)
        if self.server.branch not in refs:
            raise AccessDenied("The repository is empty or has no default branch.")
        return heads_of(self.server.branch, refs[self.server.branch], refs)

    def snapshot(self, heads: Heads) -> "MemorySnapshot":
        """The files at that head."""
        self._fault("snapshot", "before")
        return MemorySnapshot(heads.commit, self.server.commits[heads.commit].files, self.server.commits)

    def commit(self, base: Snapshot, files: Mapping[str, bytes | None], message: str) -> str:
        """A commit on `base`."""
        before = self.server.commits[base.commit].files
        kept = {path: data for path, data in before.items() if path not in files}
        kept.update({path: data for path, data in files.items() if data is not None})
        return self.server.add(MemoryCommit(base.commit, kept, message.encode()))

    def lease_commit(self, content: bytes) -> str:
        """A commit without parents or files."""
        return self.server.add(MemoryCommit(None, {}, content))

    def read_leases(self, commits: Sequence[str]) -> dict[str, bytes]:
        """The messages of leases' commits."""
        self._fault("read_lease", "before")
        for commit in commits:
            if commit not in self.server.commits:
                raise SystemFault(f"There is no commit {commit}.")
        return {commit: self.server.commits[commit].message for commit in commits}

    def record_commit(self, base: str, files: Mapping[str, bytes | None], *, is_first: bool) -> str:
        """A record's commit on `base`."""
        before = {} if is_first else self.server.commits[base].files
        kept = {path: data for path, data in before.items() if path not in files}
        kept.update({path: data for path, data in files.items() if data is not None})
        return self.server.add(MemoryCommit(base, kept, b"record"))

    def records(self, commits: Sequence[str]) -> dict[str, Snapshot]:
        """The files of records, by commit."""
        self._fault("records", "before")
        known = self.server.commits
        return {c: MemorySnapshot(c, known[c].files, known) for c in commits if c in known}

    def ordinary_changes(
        self, heads: Heads, record_ref: str | None, since: str, paths: Sequence[str]
    ) -> list[PathChange] | None:
        """What commits with one parent did to files since `since`."""
        self._fault("history", "before")
        if since not in self.server.commits:
            return None
        known = self.server.ancestors(since)
        found = []
        for name in sorted(self.server.ancestors(heads.commit) - known, reverse=True):
            commit = self.server.commits[name]
            if commit.second_parent is not None or commit.parent is None:
                continue
            before, after = self.server.commits[commit.parent].files, commit.files
            for path in sorted(before.keys() | after.keys()):
                if before.get(path) != after.get(path) and _is_below(path, paths):
                    found.append(PathChange(name, path, _blob(before.get(path)), _blob(after.get(path))))
        return found

    def push(self, moves: Sequence[RefMove], *, atomic: bool) -> PushAnswer:
        """Moves refs."""
        self._fault("push", "before")
        if atomic and not self.server.atomic and len(moves) > 1:
            for move in one_after_another(moves):
                answer = self.push([move], atomic=False)
                if not answer.accepted:
                    return answer
            return PushAnswer(True)
        answer = self.server.move(moves, atomic=atomic)
        self._fault("push", "after")
        return answer

    def contains(self, heads: Heads, commit: str) -> bool:
        """True when the head descends from `commit`."""
        return self.server.descends(heads.commit, commit)


class MemorySnapshot:
    """The files of one commit."""

    def __init__(self, commit: str, files: Files, commits: Mapping[str, MemoryCommit]) -> None:
        self.commit = commit
        self.tree = files
        self._commits = commits

    def files(self, prefix: str = "") -> list[Entry]:
        """All files below a folder, sorted by path."""
        start = prefix.rstrip("/") + "/" if prefix else ""
        return [Entry(path, blob_id(self.tree[path])) for path in sorted(self.tree) if path.startswith(start)]

    def existing(self, paths: Iterable[str]) -> set[str]:
        """Those of the paths that are files of this commit."""
        return {path for path in paths if path in self.tree}

    def read(self, path: str) -> bytes | None:
        """A file's bytes; None where it isn't there."""
        return self.read_many([path]).get(path)

    def read_many(self, paths: Iterable[str]) -> dict[str, bytes]:
        """Several files; those that aren't there, or are too large, are left out."""
        found = {path: self.tree[path] for path in paths if path in self.tree}
        return {path: data for path, data in found.items() if len(data) <= most_bytes(path)}

    def read_each(self, paths: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """The same, one after another."""
        yield from self.read_many(paths).items()

    def read_blobs(self, limits: Mapping[str, int], *, at_once: int = AT_ONCE_BYTES) -> dict[str, bytes]:
        """Several blobs by their ids."""
        found = {oid: data for oid, data in self._blobs(set(limits)).items() if len(data) <= limits[oid]}
        if sum(map(len, found.values())) > at_once:
            raise DataError(f"{len(found)} files are too large together and are not read.")
        return found

    def _blobs(self, wanted: set[str]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        seen: set[str] = set()
        commits = deque([self.commit])
        while commits and len(found) < len(wanted):
            commit = self._commits[commits.popleft()]
            found |= {oid: data for data in commit.files.values() if (oid := blob_id(data)) in wanted}
            for parent in (commit.parent, commit.second_parent):
                if parent is not None and parent not in seen:
                    seen.add(parent)
                    commits.append(parent)
        return found


def _is_below(path: str, paths: Sequence[str]) -> bool:
    return any(path == wanted or path.startswith(wanted.rstrip("/") + "/") for wanted in paths)


def _blob(data: bytes | None) -> str | None:
    return None if data is None else blob_id(data)
