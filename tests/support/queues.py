"""Small job repositories, in memory or in real git, and workers' queues on them."""

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import yaml

from codex_worker.clock import Clock
from codex_worker.git.git_transport import GitTransport
from codex_worker.git.memory import MemoryCommit, MemoryServer, MemoryTransport
from codex_worker.git.repository import Repository
from gitlab_jobs import JobQueue, OwnedJob, QueueSettings
from tests.support.clock import FakeClock
from tests.support.present import present

SERVER_SETTINGS = ("uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant", "receive.advertisePushOptions")


def job(job_id: str, **keys: object) -> dict[str, object]:
    """A manifest entry as the plugin writes it."""
    entry: dict[str, object] = {
        "job_id": job_id,
        "job_type": "asr",
        "mode": "training",
        "submitted_at": "2026-01-01T00:00:00.000Z",
        "model": {"type": "W2V2BERT"},
        "epochs": 3,
        "canceled": False,
    }
    return {key: value for key, value in (entry | keys).items() if value is not None}


def manifest(*jobs: Mapping[str, object]) -> bytes:
    """The manifest's bytes."""
    return yaml.safe_dump({"version": 1, "jobs": list(jobs)}, sort_keys=False).encode()


class MemoryProject:
    """A project on a MemoryServer; `edit` is what a person pushes."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.server = MemoryServer(files)

    def transport(self, name: str) -> MemoryTransport:
        return MemoryTransport(self.server)

    def files(self) -> dict[str, bytes]:
        return dict(self.server.files())

    def refs(self) -> dict[str, str]:
        return dict(self.server.refs)

    def edit(self, change: Callable[[dict[str, bytes]], object]) -> None:
        files = self.files()
        change(files)
        head = self.server.refs[self.server.branch]
        self.server.refs[self.server.branch] = self.server.add(MemoryCommit(head, files))

    def merge_from(self, fork: str, files: Mapping[str, bytes]) -> None:
        """What the editor's sync pushes: a merge whose first parent is the person's own commit on `fork`."""
        server = self.server
        own = server.add(MemoryCommit(fork, dict(files)))
        merged = MemoryCommit(own, dict(files), second_parent=server.refs[server.branch])
        server.refs[server.branch] = server.add(merged)


class GitProject:
    """A project in a bare repository on disk."""

    def __init__(self, files: Mapping[str, bytes], folder: Path) -> None:
        self.folder = folder
        self.bare = folder / "project.git"
        self._git("init", "-q", "--bare", "-b", "main", str(self.bare))
        for key in (
            "uploadpack.allowFilter",
            "uploadpack.allowAnySHA1InWant",
            "receive.advertisePushOptions",
        ):
            self._git("-C", str(self.bare), "config", key, "true")
        self._work = folder / "person"
        self._git("init", "-q", "-b", "main", str(self._work))
        self._git("-C", str(self._work), "remote", "add", "origin", str(self.bare))
        self._write(files)
        self._commit_and_push()

    def transport(self, name: str) -> GitTransport:
        return GitTransport(
            str(self.bare), self.folder / f"cache-{name}", author=name, email="worker@example.org"
        )

    def files(self) -> dict[str, bytes]:
        self._pull()
        paths = [path for path in self._work.rglob("*") if path.is_file() and ".git" not in path.parts]
        return {path.relative_to(self._work).as_posix(): path.read_bytes() for path in paths}

    def refs(self) -> dict[str, str]:
        lines = self._git(
            "-C", str(self.bare), "for-each-ref", "--format=%(refname) %(objectname)"
        ).splitlines()
        return dict(line.split() for line in lines)

    def edit(self, change: Callable[[dict[str, bytes]], object]) -> None:
        before = self.files()
        after = dict(before)
        change(after)
        for path in before.keys() - after.keys():
            (self._work / path).unlink()
        self._write(after)
        self._commit_and_push()

    def _write(self, files: Mapping[str, bytes]) -> None:
        for path, data in files.items():
            target = self._work / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)

    def _commit_and_push(self) -> None:
        work = str(self._work)
        self._git("-C", work, "add", "-A")
        self._git(
            "-C",
            work,
            "-c",
            "user.name=maria",
            "-c",
            "user.email=m@example.org",
            "commit",
            "-q",
            "-m",
            "edit",
        )
        self._git("-C", work, "push", "-q", "origin", "HEAD:main")

    def _pull(self) -> None:
        self._git("-C", str(self._work), "fetch", "-q", "origin", "main")
        self._git("-C", str(self._work), "reset", "-q", "--hard", "FETCH_HEAD")

    @staticmethod
    def _git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], check=True, capture_output=True, text=True)
        return done.stdout


Project = MemoryProject | GitProject


def claimed(queue: JobQueue, job_id: str) -> OwnedJob:
    """The job, taken by this queue's worker. Fails where it may not be taken."""
    return present(queue.claim(job_id))


def queue(
    project: Project, worker_id: str, clock: Clock | None = None, settings: QueueSettings | None = None
) -> JobQueue:
    """One worker's queue on the project; one that stays, unless told otherwise."""
    clock = clock or FakeClock()
    settings = settings or QueueSettings(stays=True)
    repository = Repository(project.transport(worker_id), clock)
    beats = Repository(project.transport(f"{worker_id}-beats"), clock)
    return JobQueue(repository, worker_id, clock, settings, beats=beats)
