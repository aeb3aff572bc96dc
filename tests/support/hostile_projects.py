"""Projects that mean harm beside an innocent one, and the one poll in which all of them are looked at."""

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from codex_worker.contract.exit_codes import ExitCode
from codex_worker.contract.records import EndState
from codex_worker.git.git_transport import GitTransport
from codex_worker.git.memory import MemoryServer, MemoryTransport
from codex_worker.git.repository import LockedTransport, Repository
from codex_worker.supervisor.attempt import Supervisor
from codex_worker.supervisor.sandbox import Equipment
from codex_worker.supervisor.settings import SpareTime
from codex_worker.supervisor.spares import Spares
from codex_worker.supervisor.tenancy import FREE, Admission, Tenancy
from codex_worker.worker.loop import LoopSettings, Worker
from codex_worker.worker.projects import ProjectAddress
from gitlab_jobs import JobQueue, Outcome, OwnedJob, QueueSettings
from tests.support.event_clock import ManualClock
from tests.support.queues import job, manifest

INNOCENT = {"gpu_jobs/manifest.yaml": manifest(job("good"))}
Where = MemoryServer | Path


@dataclass
class Leaving:
    event: threading.Event = field(default_factory=threading.Event)


class Begins:
    """A supervisor that ends every job at once, and leaves when the innocent one is done."""

    def __init__(self, clock: ManualClock, folder: Path) -> None:
        self.leaving = Leaving()
        self.tenancy = Tenancy(clock, folder)
        self.spares = Spares(folder, equips_nothing, clock, SpareTime.NEVER)
        self.begun: list[tuple[str, str]] = []

    def run(self, owned: OwnedJob, project: str, address: str, admission: Admission = FREE) -> Outcome:
        self.begun.append((project, owned.entry.job_id))
        outcome = Outcome(EndState.COMPLETED)
        owned.end(outcome)
        if owned.entry.job_id == "good":
            self.leaving.event.set()
        return outcome

    def read_token_again(self) -> None:
        pass

    def leave(self) -> None:
        self.leaving.event.set()


def equips_nothing(folder: Path, variables: Mapping[str, str]) -> Equipment:
    raise AssertionError("no process is made in advance here")


class Village:
    """One worker and its projects, by name, in memory or in bare repositories."""

    def __init__(
        self,
        folder: Path,
        projects: Mapping[str, Where],
        fault: Callable[[str, str], None] = lambda call, when: None,
    ) -> None:
        """`fault` may raise in what the project "bad" is asked for."""
        self.projects = projects
        self.fault = fault
        self.clock = ManualClock()
        self.supervisor = Begins(self.clock, folder)
        self.polls = 0
        self.queues: dict[str, JobQueue] = {}
        self._folder = folder

    def changed(self) -> Sequence[ProjectAddress]:
        self.polls += 1
        return [ProjectAddress(name, name) for name in self.projects]

    def queue(self, address: str) -> JobQueue:
        repository = Repository(self._transport(address), self.clock)
        settings = QueueSettings(publish_timeout_s=1.0)
        self.queues[address] = JobQueue(repository, "tester", self.clock, settings)
        return self.queues[address]

    def serve(self) -> ExitCode:
        """Until the innocent job is done, or nothing is left to do."""
        worker = Worker(
            self,
            self.queue,
            cast(Supervisor, self.supervisor),
            cast(Callable[..., Any], None),
            self.clock,
            LoopSettings(self._folder),
        )
        return worker.run()

    def _transport(self, name: str) -> LockedTransport:
        where = self.projects[name]
        if isinstance(where, MemoryServer):
            return MemoryTransport(where, self.fault if name == "bad" else None)
        return GitTransport(str(where), self._folder / f"{name}.git", author="tester", email="t@example.org")


def bare_repository(folder: Path, files: Mapping[str, bytes]) -> Path:
    """A repository whose branch holds these files; names may be any bytes (surrogateescape)."""
    git(folder, "init", "-q", "--bare", "-b", "main", str(folder))
    for key in ("uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"):
        git(folder, "config", key, "true")
    stream = [b"commit refs/heads/main\ncommitter m <m@example.org> 1790000000 +0000\ndata 0\n"]
    for path, data in files.items():
        stream += [b"M 100644 inline ", _quoted(path), b"\ndata %d\n" % len(data), data, b"\n"]
    git(folder, "fast-import", "--quiet", stdin=b"".join([*stream, b"done\n"]))
    return folder


def tree_bomb(
    folder: Path, place: str, *, levels: int = 11, width: int = 10, leaf: bytes | None = b"x"
) -> None:
    """Puts a folder of `width` ** `levels` files, or of empty folders, at a place in the branch."""
    if leaf is None:
        kind, oid = b"40000", git(folder, "mktree")
    else:
        kind, oid = b"100644", git(folder, "hash-object", "-w", "--stdin", stdin=leaf)
    for _ in range(levels):
        lines = [b"%s %d\0" % (kind, number) + bytes.fromhex(oid.decode()) for number in range(width)]
        oid = git(folder, "hash-object", "-w", "-t", "tree", "--stdin", stdin=b"".join(lines))
        kind = b"40000"
    stream = b"commit refs/heads/main\ncommitter m <m@example.org> 1790000001 +0000\ndata 0\n"
    stream += b"from refs/heads/main^0\nM 040000 %s %s\ndone\n" % (oid, place.encode())
    git(folder, "fast-import", "--quiet", stdin=stream)


def git(folder: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["git", f"--git-dir={folder}", *arguments], input=stdin, capture_output=True, check=True
    )
    return done.stdout.strip()


def _quoted(path: str) -> bytes:
    raw = path.encode("utf-8", "surrogateescape")
    for sign, escape in ((b"\\", b"\\\\"), (b'"', b'\\"'), (b"\n", b"\\n")):
        raw = raw.replace(sign, escape)
    return b'"' + raw + b'"'


def main() -> None:
    """Serves bare repositories, the last of which is "good"; prints what the test asks about."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    folder, *bad, good = map(Path, sys.argv[1:])
    village = Village(folder, {**{path.stem: path for path in bad}, "good": good})
    code = village.serve()
    told = {"code": code, "begun": village.supervisor.begun, "polls": village.polls}
    print(json.dumps({**told, "peak_mb": _peak_mb()}))


def _peak_mb() -> int:
    """Of this process since its exec; what getrusage tells begins with the memory of its parent."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line]
    return int(line.split()[1]) // 1024


if __name__ == "__main__":
    main()
