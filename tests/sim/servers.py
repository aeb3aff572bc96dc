"""The server that a schedule plays on: the in-memory twin for breadth, real git for depth, one interface.

What workers do goes through the product's own transports. What people and older workers push is put there
directly, which is what a push is that meets nobody: they are played one at a time.
"""

import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from codex_worker.errors import CacheBroken
from codex_worker.git.git_transport import GitSnapshot, GitTransport
from codex_worker.git.memory import MemoryCommit, MemoryServer, MemoryTransport
from codex_worker.git.ports import Heads, PathChange, PushAnswer, RefMove, Snapshot
from codex_worker.git.repository import LockedTransport
from tests.support.present import present

Files = Mapping[str, bytes]
OnCall = Callable[[str, str], None]  # (call, "before" | "after"); what it raises is the fault
OnCommit = Callable[[str], None]

BRANCH = "refs/heads/main"
SERVER_WITH_HOOKS = "git -c receive.autogc=false receive-pack"
HOOK = """#!/bin/sh
while read -r prefix; do
  case "$1" in "$prefix"*) echo "declined by the simulated hook" >&2; exit 1 ;; esac
done < "$GIT_DIR/refused"
exit 0
"""


class Server(Protocol):
    """What the simulator needs of a server beside the workers' transports."""

    def transport(
        self, name: str, now: Callable[[], float], on_call: OnCall, on_commit: OnCommit
    ) -> LockedTransport:
        """A worker's way to the server, with places for faults."""

    def refs(self) -> dict[str, str]:
        """All refs."""

    def parents(self, commit: str) -> tuple[str, ...]:
        """A commit's parents."""

    def files(self, commit: str) -> Files:
        """A commit's files."""

    def break_cache(self, worker: str, number: int) -> None:
        """Damages what a worker's machine keeps of the repository; `number` says how."""

    def refuse(self, prefixes: tuple[str, ...]) -> None:
        """From now on a hook refuses the workers' pushes to these refs."""

    def commit(self, files: Files, parents: tuple[str, ...], *, is_push: bool = True) -> str:
        """Makes a commit and moves the branch to it; without `is_push` it is only a person's own."""

    def push(self, expected: str, new: str) -> bool:
        """A person's push: moves the branch; False where it is elsewhere by now."""

    def close(self) -> None:
        """Ends what belongs to the server."""


class _TwinTransport(MemoryTransport):
    def __init__(self, server: MemoryServer, on_call: OnCall, on_commit: OnCommit) -> None:
        super().__init__(server, self._call)
        self._on_call, self._on_commit = on_call, on_commit
        self.is_broken = False

    def commit(self, base: Snapshot, files: Mapping[str, bytes | None], message: str) -> str:
        self._call("commit", "before")
        made = super().commit(base, files, message)
        self._on_commit(made)
        return made

    def record_commit(self, base: str, files: Mapping[str, bytes | None], *, is_first: bool) -> str:
        self._call("commit", "before")
        return super().record_commit(base, files, is_first=is_first)

    def lease_commit(self, content: bytes) -> str:
        self._call("commit", "before")
        return super().lease_commit(content)

    def renew(self, commit: str | None = None) -> None:
        self.is_broken = False

    def _call(self, call: str, when: str) -> None:
        if self.is_broken and call in {"snapshot", "commit", "records", "history"}:
            raise CacheBroken("The simulated cache is damaged.")
        self._on_call(call, when)


class TwinServer:
    """The in-memory twin."""

    def __init__(self, files: Files, *, atomic: bool) -> None:
        self._server = MemoryServer(files)
        self._server.atomic = atomic
        self._transports: dict[str, _TwinTransport] = {}

    def transport(
        self, name: str, now: Callable[[], float], on_call: OnCall, on_commit: OnCommit
    ) -> LockedTransport:
        self._transports[name] = _TwinTransport(self._server, on_call, on_commit)
        return self._transports[name]

    def refs(self) -> dict[str, str]:
        return self._server.refs

    def parents(self, commit: str) -> tuple[str, ...]:
        found = self._server.commits[commit]
        return tuple(parent for parent in (found.parent, found.second_parent) if parent)

    def files(self, commit: str) -> Files:
        return self._server.commits[commit].files

    def break_cache(self, worker: str, number: int) -> None:
        for name, transport in self._transports.items():
            transport.is_broken = transport.is_broken or name.startswith(f"{worker}-")

    def refuse(self, prefixes: tuple[str, ...]) -> None:
        self._server.refused_refs = prefixes

    def commit(self, files: Files, parents: tuple[str, ...], *, is_push: bool = True) -> str:
        first, second = (*parents, None, None)[:2]
        made = self._server.add(MemoryCommit(first, dict(files), second_parent=second))
        if is_push:
            self._server.refs[BRANCH] = made
        return made

    def push(self, expected: str, new: str) -> bool:
        if self._server.refs[BRANCH] != expected:
            return False
        self._server.refs[BRANCH] = new
        return True

    def close(self) -> None:
        self._server.commits.clear()


class _RealTransport(GitTransport):
    def __init__(
        self, url: str, folder: Path, now: Callable[[], float], on_call: OnCall, on_commit: OnCommit
    ) -> None:
        super().__init__(url, folder, author="worker", email="worker@example.org", now=now)
        # The worker lets no hook of a repository on disk run; here one stands for what a server refuses.
        self._git._settings.append(f"remote.origin.receivepack={SERVER_WITH_HOOKS}")
        self._on_call, self._on_commit = on_call, on_commit

    def look(self) -> Heads:
        self._on_call("look", "before")
        return super().look()

    def snapshot(self, heads: Heads) -> GitSnapshot:
        self._on_call("snapshot", "before")
        return super().snapshot(heads)

    def read_leases(self, commits: Sequence[str]) -> dict[str, bytes]:
        self._on_call("read_lease", "before")
        return super().read_leases(commits)

    def records(self, commits: Sequence[str]) -> dict[str, Snapshot]:
        self._on_call("records", "before")
        return super().records(commits)

    def ordinary_changes(
        self, heads: Heads, record_ref: str | None, since: str, paths: Sequence[str]
    ) -> list[PathChange] | None:
        self._on_call("history", "before")
        return super().ordinary_changes(heads, record_ref, since, paths)

    def commit(self, base: Snapshot, files: Mapping[str, bytes | None], message: str) -> str:
        self._on_call("commit", "before")
        made = super().commit(base, files, message)
        self._on_commit(made)
        return made

    def record_commit(self, base: str, files: Mapping[str, bytes | None], *, is_first: bool) -> str:
        self._on_call("commit", "before")
        return super().record_commit(base, files, is_first=is_first)

    def lease_commit(self, content: bytes) -> str:
        self._on_call("commit", "before")
        return super().lease_commit(content)

    def push(self, moves: Sequence[RefMove], *, atomic: bool) -> PushAnswer:
        self._on_call("push", "before")
        answer = super().push(moves, atomic=atomic)
        self._on_call("push", "after")
        return answer


class GitServer:
    """A bare repository on disk. Each one is a copy of a template, so that none costs ten processes."""

    def __init__(self, files: Files, folder: Path, *, atomic: bool) -> None:
        self._folder = folder
        self._bare = folder / "project.git"
        template = folder.parent / "template"
        if not template.exists():
            _make_template(template, self._bare)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(template, folder)
        if not atomic:
            with (self._bare / "config").open("a") as config:
                config.write("[receive]\n\tadvertiseAtomic = false\n")
        self._reader = subprocess.Popen(
            ["git", "-C", str(self._bare), "cat-file", "--batch"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._wanted, self._found = present(self._reader.stdin), present(self._reader.stdout)
        self._objects: dict[str, tuple[str, bytes]] = {}
        self._trees: dict[str, dict[str, bytes]] = {}
        self.commit(files, ())

    def transport(
        self, name: str, now: Callable[[], float], on_call: OnCall, on_commit: OnCommit
    ) -> LockedTransport:
        cache = self._folder / f"cache-{name}.git"
        if not cache.exists():
            shutil.copytree(self._folder / "cache", cache)
        return _RealTransport(str(self._bare), cache, now, on_call, on_commit)

    def refs(self) -> dict[str, str]:
        root = self._bare / "refs"
        return {
            path.relative_to(self._bare).as_posix(): path.read_text().strip()
            for path in root.rglob("*")
            if path.is_file() and not path.name.endswith(".lock")
        }

    def parents(self, commit: str) -> tuple[str, ...]:
        header = self._object(commit)[1].partition(b"\n\n")[0].decode(errors="replace")
        return tuple(line.split()[1] for line in header.splitlines() if line.startswith("parent "))

    def files(self, commit: str) -> Files:
        return self._tree(self._object(commit)[1].split(b"\n", 1)[0].split()[1].decode())

    def break_cache(self, worker: str, number: int) -> None:
        """As a power loss does: locks of nobody, objects cut to nothing, a folder that is half gone."""
        for cache in self._folder.glob(f"cache-{worker}-*.git"):
            if number % 3 == 0:
                for name in ("refs/worker/head.lock", "packed-refs.lock", "shallow.lock"):
                    (cache / name).parent.mkdir(parents=True, exist_ok=True)
                    (cache / name).touch()
            elif number % 3 == 1:
                for file in (cache / "objects").rglob("*"):
                    if file.is_file():
                        file.chmod(0o600)
                        file.write_bytes(b"")
            else:
                shutil.rmtree(cache / "objects", ignore_errors=True)

    def refuse(self, prefixes: tuple[str, ...]) -> None:
        hook = self._bare / "hooks" / "update"
        if not prefixes:
            hook.unlink(missing_ok=True)
            return
        (self._bare / "refused").write_text("".join(f"{prefix}\n" for prefix in prefixes))
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(HOOK)
        hook.chmod(0o755)

    def commit(self, files: Files, parents: tuple[str, ...], *, is_push: bool = True) -> str:
        ref = BRANCH if is_push else "refs/people/local"
        start = f"commit {ref}\nmark :1\ncommitter person <person@example.org> 1767225600 +0000\ndata 0\n"
        stream = [start.encode()]
        before: Files = {}
        for keyword, parent in zip(("from", "merge"), parents, strict=False):
            stream.append(f"{keyword} {parent}\n".encode())
        if parents:
            before = self.files(parents[0])
        stream += [f"D {path}\n".encode() for path in before if path not in files]
        for path, data in files.items():
            if before.get(path) != data:
                stream += [f"M 100644 inline {path}\ndata {len(data)}\n".encode(), data, b"\n"]
        stream.append(b"get-mark :1\ndone\n")
        force = [] if is_push else ["--force"]
        done = subprocess.run(
            ["git", "-C", str(self._bare), "fast-import", "--quiet", "--done", *force],
            input=b"".join(stream),
            capture_output=True,
            check=True,
        )
        return done.stdout.decode().split()[-1]

    def push(self, expected: str, new: str) -> bool:
        ref = self._bare / BRANCH
        if ref.read_text().strip() != expected:
            return False
        ref.write_text(f"{new}\n")
        return True

    def close(self) -> None:
        self._wanted.close()
        self._reader.wait()
        self._found.close()

    def _object(self, oid: str) -> tuple[str, bytes]:
        if oid not in self._objects:
            self._wanted.write(f"{oid}\n".encode())
            self._wanted.flush()
            _, kind, size = self._found.readline().decode().split()
            self._objects[oid] = (kind, self._found.read(int(size)))
            self._found.read(1)
        return self._objects[oid]

    def _tree(self, oid: str) -> dict[str, bytes]:
        if oid not in self._trees:
            found: dict[str, bytes] = {}
            data, at = self._object(oid)[1], 0
            while at < len(data):
                name_end = data.index(b"\0", at)
                mode, _, name = data[at:name_end].decode().partition(" ")
                child = data[name_end + 1 : name_end + 21].hex()
                at = name_end + 21
                if mode == "40000":
                    found |= {f"{name}/{path}": content for path, content in self._tree(child).items()}
                else:
                    found[name] = self._object(child)[1]
            self._trees[oid] = found
        return self._trees[oid]


def _make_template(template: Path, bare: Path) -> None:
    template.mkdir(parents=True)
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(template / "project.git")], check=True)
    settings = {
        "uploadpack.allowFilter": "true",
        "uploadpack.allowAnySHA1InWant": "true",
        "receive.advertisePushOptions": "true",
        "receive.autogc": "false",
        "core.logAllRefUpdates": "false",
    }
    for key, value in settings.items():
        subprocess.run(["git", "-C", str(template / "project.git"), "config", key, value], check=True)
    shutil.rmtree(template / "project.git" / "hooks")
    cache = GitTransport(str(bare), template / "cache", author="worker", email="worker@example.org")
    with cache.locked():
        pass


def is_plain_text(data: bytes) -> bool:
    """True for UTF-8 without NUL, which is all that survives the editor's merge."""
    try:
        return "\0" not in data.decode()
    except UnicodeDecodeError:
        return False
