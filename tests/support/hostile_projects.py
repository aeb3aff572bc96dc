"""Projects that mean harm beside an innocent one, and the one poll in which all of them are looked at."""

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

    def __init__(self) -> None:
        self.leaving = Leaving()
        self.begun: list[tuple[str, str]] = []

    def run(self, owned: OwnedJob, project: str, address: str) -> Outcome:
        self.begun.append((project, owned.entry.job_id))
        outcome = Outcome(EndState.COMPLETED)
        owned.end(outcome)
        if owned.entry.job_id == "good":
            self.leaving.event.set()
        return outcome

    def read_token_again(self) -> None:
        pass


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
        self.supervisor = Begins()
        self.clock = ManualClock()
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
