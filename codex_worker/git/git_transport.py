"""A project's bare cache repository: shallow, without blobs, and the git commands on it."""

import fcntl
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from codex_worker.contract.paths import (
    LEASE_BRANCHES,
    LEASE_NAMESPACE,
    RECORD_BRANCHES,
    RECORD_NAMESPACE,
    WATCHER_NAMESPACE,
)
from codex_worker.errors import AccessDenied, CacheBroken, DataError, SystemFault
from codex_worker.git.blobs import Blobs
from codex_worker.git.cache_folder import CacheFolder
from codex_worker.git.gate import Gate
from codex_worker.git.git_snapshot import GitSnapshot
from codex_worker.git.ports import (
    Heads,
    PathChange,
    PushAnswer,
    RefMove,
    Snapshot,
    heads_of,
    one_after_another,
)
from codex_worker.git.process import Git

logger = logging.getLogger(__name__)

T = TypeVar("T")

HEAD_REF = "refs/worker/head"
TRY_REF = "refs/worker/try"
NOTHING_SINCE = "no commits selected for shallow requests"
NOT_THERE = "not our ref"
NO_SUCH_COMMIT = "Not a valid commit name"  # it is none of this cache's, which is an answer
FETCH_OF_A_COMMIT = ("--depth=1", "--filter=blob:none", "--no-tags", "--no-write-fetch-head")
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"  # the id that git gives a tree without entries
RECORD_REF = "refs/worker/record"
OUR_REFS = tuple(
    f"{namespace}*"
    for namespace in (
        LEASE_NAMESPACE, LEASE_BRANCHES, RECORD_NAMESPACE, RECORD_BRANCHES, WATCHER_NAMESPACE,
    )
)  # fmt: skip
# A merge that forked before the shallow boundary would bring the whole history.
MAX_FETCHED_OBJECTS = 5_000
# People whose last sync was before a job's claim, and who have synced since.
MAX_FORKS = 100
# A lease is one commit, of which everybody has the tree.
MAX_LEASE_OBJECTS = 8
MAX_TOLD_BYTES = 20_000_000
# Leases, records and watchers; each job has two of them.
MAX_REFS = 100_000
# Of the first fetch: a project's folders. Those known have some hundreds.
MAX_FOLDERS = 200_000
# A record holds an attempt, at most some twenty ends, and up to some hundred pieces of a ledger.
MAX_RECORD_OBJECTS = 500


class GitTransport:
    """A repository on a GitLab server or on disk, through a cache repository in the work directory."""

    def __init__(
        self,
        url: str,
        folder: Path,
        *,
        author: str,
        email: str,
        gate: Gate | None = None,
        redact: Callable[[str], str] = str,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`url` is an http(s) address or a path; `author` and `email` sign the commits.

        With a `gate`, an address on the token's server is reached with the token.
        """
        self.url = repository_url(url)
        self._author = f"{_signature_text(author)} <{_signature_text(email)}>"
        self._now = now
        self._git = Git(folder, address=self.url, gate=gate, redact=redact)
        self._cache = CacheFolder(self._git, self.url)
        self._blobs = Blobs(self._git)
        self._can_push_options = True
        self._can_atomic = True
        self._thread_lock = threading.RLock()
        self._lock_held = False
        self._records_here: set[str] = set()
        self._leases_here: set[str] = set()

    @property
    def folder(self) -> Path:
        """The cache repository."""
        return self._git.folder

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Parallel shallow fetches into one repository break each other; one process at a time."""
        with self._thread_lock:
            if self._lock_held:
                yield
                return
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            with self.folder.with_suffix(".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._lock_held = True
                try:
                    self._cache.remove_stale_locks()
                    self._prepare()
                    yield
                finally:
                    self._lock_held = False

    def look(self) -> Heads:
        """Asks for the default branch and the leases."""
        self._ensure_there()
        branch, commit = None, None
        refs: dict[str, str] = {}
        for line in self._listed("ls-remote", "--symref", "origin", "HEAD", *OUR_REFS):
            value, _, ref = line.partition("\t")
            if ref == "HEAD" and value.startswith("ref: "):
                branch = value.removeprefix("ref: ")
            elif ref == "HEAD":
                commit = value
            else:
                refs[ref] = value
        if commit is None or branch is None:
            raise AccessDenied(_no_branch(self.url, branch))
        return heads_of(branch, commit, refs)

    def _listed(self, *arguments: str) -> Iterator[str]:
        """The refs of the server. Raises DataError where there are too many."""
        with self._git.streaming(*arguments, online=True) as output:
            for number, line in enumerate(output):
                if number >= MAX_REFS:
                    raise DataError(f"{self.url} has more than {MAX_REFS:,} refs of jobs; it is not read.")
                yield line.decode(errors="surrogateescape").rstrip("\n")

    def snapshot(self, heads: Heads) -> GitSnapshot:
        """Fetches the head that was seen (or a newer one, where the branch has moved since)."""
        if self._head() != heads.commit:
            self._fetch(heads)
        head = self._head()
        if head is None:
            raise SystemFault(f"git fetched no commit of {heads.branch} into {self.folder}.")
        return GitSnapshot(self._git, self._blobs, head, self.renew)

    def commit(self, base: Snapshot, files: Mapping[str, bytes | None], message: str) -> str:
        """Builds a commit from the trees alone: no checkout, no blob of `base` is needed."""
        return self._import(TRY_REF, base.commit, files, message)

    def record_commit(self, base: str, files: Mapping[str, bytes | None], *, is_first: bool) -> str:
        """Makes a record's commit on `base`; the first one starts without the branch's files."""
        made = self._import(RECORD_REF, base, files, "record", starts_empty=is_first)
        self._records_here.add(made)
        return made

    def _import(
        self,
        ref: str,
        base: str,
        files: Mapping[str, bytes | None],
        message: str,
        *,
        starts_empty: bool = False,
    ) -> str:
        stamp = f"{self._author} {int(self._now())} +0000\n".encode()
        text = message.encode()
        stream = [b"commit " + ref.encode() + b"\nmark :1\ncommitter " + stamp]
        stream += [b"data %d\n" % len(text), text, b"\nfrom ", base.encode(), b"\n"]
        if starts_empty:
            stream.append(b"deleteall\n")
        for path, data in files.items():
            name = _quoted(path)
            if data is None:
                stream.append(b"D " + name + b"\n")
            else:
                stream += [b"M 100644 inline " + name + b"\ndata %d\n" % len(data), data, b"\n"]
        stream.append(b"get-mark :1\ndone\n")
        output = self._git.local("fast-import", "--quiet", "--force", "--done", stdin=b"".join(stream))
        return output.decode().split()[-1]

    def lease_commit(self, content: bytes) -> str:
        """Makes a commit without parents or files whose message is `content`."""
        self._ensure_there()
        name, _, email = self._author.partition(" <")
        who = {"NAME": name, "EMAIL": email.rstrip(">"), "DATE": f"{int(self._now())} +0000"}
        environment = {f"GIT_{role}_{key}": who[key] for role in ("AUTHOR", "COMMITTER") for key in who}
        made = self._git.local("commit-tree", EMPTY_TREE, stdin=content, environment=environment)
        commit = made.decode().strip()
        self._leases_here.add(commit)
        return commit

    def read_leases(self, commits: Sequence[str]) -> dict[str, bytes]:
        """The messages of leases' commits on the server, with one request; of what is none, nothing."""
        wanted = list(dict.fromkeys(commits))
        missing = [commit for commit in wanted if commit not in self._leases_here]
        if missing and not self._bring_leases(missing):
            middle = len(wanted) // 2
            if middle == 0:
                logger.warning("The lease %s of %s holds files; it counts as none.", wanted[0], self.url)
                return {}
            return self.read_leases(wanted[:middle]) | self.read_leases(wanted[middle:])
        return {oid: data.partition(b"\n\n")[2] for oid, data in self._blobs.commits(wanted)}

    def _bring_leases(self, commits: Sequence[str]) -> bool:
        """Fetches leases; False where that is more than so many leases are."""
        most = MAX_LEASE_OBJECTS * len(commits)
        return self._git.fetch_at_most(most, *FETCH_OF_A_COMMIT, "origin", *commits)

    def records(self, commits: Sequence[str]) -> dict[str, Snapshot]:
        """The files of records, by commit; their long ones are fetched when they are read."""
        missing = [commit for commit in commits if commit not in self._records_here]
        if missing and not self._bring_records(missing):
            for commit in missing:
                self._bring_records([commit])
        return {
            commit: GitSnapshot(self._git, self._blobs, commit, self.renew)
            for commit in commits
            if commit in self._records_here
        }

    def _bring_records(self, commits: Sequence[str]) -> bool:
        options = ["--depth=1", "--filter=blob:limit=4k", "--no-tags", "--no-write-fetch-head", "origin"]
        came = self._git.fetch_at_most(MAX_RECORD_OBJECTS * len(commits), *options, *commits)
        if came:
            self._records_here.update(commits)
        elif len(commits) == 1:
            logger.warning("The record %s of %s has too many files; it counts as none.", commits[0], self.url)
        return came

    def ordinary_changes(
        self, heads: Heads, record_ref: str | None, since: str, paths: Sequence[str]
    ) -> list[PathChange] | None:
        """What commits with one parent did to files since `since`; None where that cannot be known.

        With a record the server leaves out everything before it; without one, only what this cache has
        followed is known.
        """
        if record_ref is not None and not self._bring_history(heads, record_ref):
            return None
        if record_ref is None and not self.contains(heads, since):
            return None
        forks = self._forks(since)
        if len(forks) > MAX_FORKS or not self._bring_commits(forks.values()):
            return None
        # Without its promisor git takes what is not here for missing, and does not go and fetch it all.
        settings = ["remote.origin.promisor=false", "log.showRoot=false"]
        kind = ["--raw", "-r", "--no-abbrev", "--no-renames", "-z"]
        said = self._bounded(
            "log", "--ignore-missing", "--no-merges", "--full-history", *kind, "--format=%x01%H",
            HEAD_REF, "--not", since, "--", *paths, settings=settings,
        )  # fmt: skip
        if said is None:
            return None
        found = _path_changes(said)
        for commit, parent in forks.items():
            output = self._bounded("diff-tree", *kind, parent, commit, "--", *paths)
            if output is None:
                return None
            found += _path_changes(b"\x01" + commit.encode() + b"\0" + output)
        return found

    def _bounded(self, *arguments: str, settings: Sequence[str] = ()) -> bytes | None:
        """What git tells of the history; None where it cannot, or one commit changed a world of files."""
        try:
            with self._git.streaming(*arguments, settings=settings) as output:
                said = output.read(MAX_TOLD_BYTES + 1)
        except SystemFault:
            return None
        return said if len(said) <= MAX_TOLD_BYTES else None

    def _forks(self, since: str) -> dict[str, str]:
        """The commits since `since` that forked before it, whose parents are not here: commit -> parent."""
        shallow = self.folder / "shallow"
        if not shallow.is_file():
            return {}
        done = self._git.run(
            "rev-list", "--ignore-missing", "--no-merges", HEAD_REF, "--not", since,
            settings=["remote.origin.promisor=false"],
        )  # fmt: skip
        boundary = sorted(set(done.output.decode().split()) & set(shallow.read_text().split()))
        forks = {}
        for commit in boundary:
            header = (
                self._git.local("cat-file", "commit", commit).partition(b"\n\n")[0].decode(errors="replace")
            )
            parents = [line.split()[1] for line in header.splitlines() if line.startswith("parent ")]
            if len(parents) == 1:
                forks[commit] = parents[0]
        return forks

    def _bring_commits(self, commits: Iterable[str]) -> bool:
        """Fetches single commits with their trees; False where that is more than a look may cost."""
        wanted = sorted(set(commits))
        return not wanted or self._git.fetch_at_most(
            MAX_FETCHED_OBJECTS, *FETCH_OF_A_COMMIT, "origin", *wanted
        )

    def _bring_history(self, heads: Heads, record_ref: str) -> bool:
        options = ["--filter=blob:none", "--no-tags", "--no-write-fetch-head"]
        options += [f"--shallow-exclude={record_ref}", "origin", f"+{heads.branch}:{HEAD_REF}"]
        try:
            return self._git.fetch_at_most(MAX_FETCHED_OBJECTS, *options)
        except SystemFault as error:
            # The branch stands where the record begins, or before: its history holds nothing of the job's.
            if NOTHING_SINCE in str(error):
                return True
            raise

    def push(self, moves: Sequence[RefMove], *, atomic: bool) -> PushAnswer:
        """Moves refs. A server that knows no atomic pushes gets them one after another."""
        if atomic and len(moves) > 1 and not self._can_atomic:
            for move in one_after_another(moves):
                answer = self.push([move], atomic=False)
                if not answer.accepted:
                    return answer
            return PushAnswer(True)
        if not self._cache.is_ours:
            raise CacheBroken(f"The settings of the cache {self.folder} were changed.")
        arguments = ["push", "--porcelain", "--no-verify"]
        if atomic and len(moves) > 1:
            arguments.append("--atomic")
        if self._can_push_options:
            arguments += ["-o", "ci.skip"]
        for move in moves:
            if not move.fast_forward:
                arguments.append(f"--force-with-lease={move.ref}:{move.expected or ''}")
        arguments += ["origin", *(f"{move.new or ''}:{move.ref}" for move in moves)]
        done = self._git.run(*arguments, online=True)
        if done.code == 0:
            self._follow(moves)
            return PushAnswer(True)
        # Both of these fail here, before anything is sent.
        if self._can_push_options and "does not support push options" in done.words:
            self._can_push_options = False
            return self.push(moves, atomic=atomic)
        if atomic and self._can_atomic and "does not support --atomic" in done.words:
            self._can_atomic = False
            return self.push(moves, atomic=atomic)
        report = done.output.decode(errors="replace")
        refusals = [line for line in report.splitlines() if line.startswith("!")]
        if not refusals or any("[remote failure]" in line for line in refusals):
            raise self._git.fault("push", done.words, done.code)
        return PushAnswer(False, f"{report}\n{done.words}".strip())

    def _follow(self, moves: Sequence[RefMove]) -> None:
        """What we pushed to the branch is its head now, and need not be fetched."""
        for move in moves:
            if move.fast_forward and move.new is not None:
                self._git.local("update-ref", HEAD_REF, move.new)

    def contains(self, heads: Heads, commit: str) -> bool:
        """True when the fetched head descends from `commit` (within what the shallow cache knows)."""
        done = self._git.run("merge-base", "--is-ancestor", commit, HEAD_REF)
        if done.code not in (0, 1) and NO_SUCH_COMMIT not in done.words:
            raise self._git.local_fault("merge-base", done.words, done.code)
        return done.code == 0

    def _head(self) -> str | None:
        done = self._git.run("rev-parse", "--verify", "--quiet", HEAD_REF)
        return done.output.decode().strip() if done.code == 0 else None

    def _fetch(self, heads: Heads) -> None:
        try:
            self._fetch_of(heads.commit)  # git asks for a branch's commit once more
        except SystemFault as error:
            if NOT_THERE not in str(error):
                raise
            self._fetch_of(heads.branch)  # it was rewritten just now, and the server forgets quickly

    def _fetch_of(self, what: str) -> None:
        options = ["--filter=blob:none", "--no-tags", "--no-write-fetch-head"]
        options += ["origin", f"+{what}:{HEAD_REF}"]
        if self._head() is not None:
            if self._git.fetch_at_most(MAX_FETCHED_OBJECTS, *options):
                return
            logger.info("Starting a fresh cache of %s: its new history is long.", self.url)
            self._start_afresh()
        if not self._git.fetch_at_most(MAX_FOLDERS, "--depth=1", *options):
            raise DataError(f"{self.url} has more folders, or longer ones, than can be read.")

    def _prepare(self) -> None:
        if self._cache.prepare():
            self._forget_what_is_here()

    def renew(self, commit: str | None = None) -> None:
        """Throws the cache away and makes it anew, with one commit of the server's in it."""
        logger.warning("The cache of %s is damaged; it is fetched again.", self.url)
        with self.locked():
            self._start_afresh()
            if commit is not None:
                self._git.online("fetch", *FETCH_OF_A_COMMIT, "origin", commit)

    def _ensure_there(self) -> None:
        if not self._cache.is_ours:
            with self.locked():
                pass  # makes it

    def _forget_what_is_here(self) -> None:
        self._records_here.clear()
        self._leases_here.clear()

    def _start_afresh(self) -> None:
        self._forget_what_is_here()
        self._cache.make()


def _no_branch(url: str, branch: str | None) -> str:
    """git shows no HEAD for an empty repository, and for one whose HEAD names a branch that is not there."""
    if branch is not None:
        return f"The default branch of {url} ({branch.removeprefix('refs/heads/')}) is not there. Push it."
    remedy = "in the project's settings"
    if url.startswith("file:"):
        remedy = "by git symbolic-ref HEAD refs/heads/NAME in it"
    return (
        f"The repository {url} is empty, or its default branch is one that it does not have: push to it, or "
        f"choose a branch that is there as the default ({remedy})."
    )


def repository_url(address: str) -> str:
    """An http(s) address as it is; a path as `file://`, which makes git treat a disk like a server."""
    if urlsplit(address).scheme in {"http", "https", "file"}:
        return address
    path = Path(os.path.expandvars(address)).expanduser().resolve()
    return path.as_uri()


def _path_changes(output: bytes) -> list[PathChange]:
    """The raw log with NUL between its fields: after each commit's id, a pair of fields for each file."""
    changes = []
    for section in output.split(b"\x01")[1:]:
        commit, *fields = section.split(b"\0")
        pairs = [field.strip(b"\n") for field in fields if field.strip(b"\n")]
        for meta, path in zip(pairs[::2], pairs[1::2], strict=False):
            _, _, before, after, _ = meta.decode().lstrip(":").split()
            changes.append(
                PathChange(
                    commit.decode(), path.decode("utf-8", "surrogateescape"), _oid(before), _oid(after)
                )
            )
    return changes


def _oid(text: str) -> str | None:
    return text if text.strip("0") else None


def _quoted(path: str) -> bytes:
    raw = path.encode("utf-8", "surrogateescape")
    return b'"' + raw.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"' if raw.startswith(b'"') else raw


def _signature_text(text: str) -> str:
    return re.sub(r"[<>\x00-\x1f]", "", text).strip() or "worker"
