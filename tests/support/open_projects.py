"""A server with many projects whose jobs wait, and workers that do each job in no time: what asking costs."""

import shutil
import subprocess
import threading
from collections import Counter
from pathlib import Path
from typing import cast

from codex_worker.clock import EventClock
from codex_worker.contract.exit_codes import ExitCode
from codex_worker.contract.records import EndState
from codex_worker.git.credentials import Credentials
from codex_worker.gitlab.client import GitLabClient
from codex_worker.gitlab.leaving import Leaver
from codex_worker.gitlab.projects import ProjectFinder
from codex_worker.queue.owned import Outcome, OwnedJob
from codex_worker.settings import Settings
from codex_worker.supervisor.attempt import Supervisor
from codex_worker.supervisor.handlers_found import handlers_root
from codex_worker.supervisor.tenancy import Admission, Tenancy
from codex_worker.worker.assembly import Assembly
from codex_worker.worker.loop import LoopSettings, Worker
from codex_worker.worker.projects import ServerProjects
from codex_worker.worker.watched_projects import WatchedProjects
from tests.support.event_clock import ManualClock
from tests.support.gitlab import DEVELOPER, GitLabServer
from tests.support.queues import SERVER_SETTINGS, job, manifest

MANIFEST = "gpu_jobs/manifest.yaml"


class Instantly:
    """Stands in for the supervisor: claims nothing itself, and a job of its is over as soon as it begins.

    What a worker's loop needs of codex_worker.supervisor.attempt.Supervisor, and no more.
    """

    def __init__(self, clock: EventClock) -> None:
        self.tenancy = Tenancy(clock, handlers_root())
        self.leaving = _Leaving()
        self.spares = _NoSpares()
        self.may_end = threading.Event()  # a job goes on until it is set
        self.may_end.set()
        self.begun: list[tuple[str, str]] = []
        self.leaves_after: int | None = None  # jobs
        self.done: list[tuple[str, str]] = []  # project and job

    def run(self, owned: OwnedJob, project: str, address: str, admission: Admission) -> Outcome:
        self.begun.append((project, owned.entry.job_id))
        self.may_end.wait()
        outcome = Outcome(EndState.COMPLETED)
        owned.end(outcome, log=b"done\n")
        self.done.append((project, owned.entry.job_id))
        if len(self.done) == self.leaves_after:
            self.leave()
        return outcome

    def leave(self) -> None:
        self.leaving.event.set()

    def read_token_again(self) -> bool:
        return False


class _Leaving:
    def __init__(self) -> None:
        self.event = threading.Event()


class _NoSpares:
    """No process is kept ready, for no job has one."""

    is_wanted = False

    def keep_one(self) -> None:
        pass

    def close(self) -> None:
        pass


class OpenProjects:
    """So many projects on a stand-in for GitLab, each with so many jobs that nobody has begun."""

    def __init__(self, folder: Path, count: int, jobs: int = 1, latency_s: float = 0.0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.count = count
        self.server = GitLabServer(folder / "server", latency_s=latency_s)
        self.token = self.server.create_token("worker", ["read_api", "read_repository", "write_repository"])
        first = self._bare(folder / "first.git")
        for number in range(count):
            bare = Path(shutil.copytree(first, folder / "repositories" / f"p{number}.git"))
            _commit(bare, MANIFEST, manifest(*(_entry(number, each) for each in range(jobs))), "")
            self.server.create_project(f"team/p{number}", {"worker": DEVELOPER}, repository=bare)
        self.supervisors: list[Instantly] = []

    def worker(
        self,
        name: str,
        clock: EventClock | None = None,
        interval_s: float = -1.0,
        leaves_after: int | None = None,
    ) -> Worker:
        """A worker on all of the projects; without an interval it leaves when nothing is left."""
        clock = clock or ManualClock()
        assembly, source = self._assembly(name, clock)
        supervisor = Instantly(clock)
        supervisor.leaves_after = leaves_after
        self.supervisors.append(supervisor)
        return Worker(
            source,
            assembly.open_queue,
            cast(Supervisor, supervisor),
            assembly.open_project,
            clock,
            LoopSettings(self._work_dir(name), interval_s),
        )

    def watched(self, name: str) -> WatchedProjects:
        """The projects as a worker polls them, without the worker."""
        clock = ManualClock()
        assembly, source = self._assembly(name, clock)
        return WatchedProjects(source, assembly.open_queue, clock, lambda: None)

    def _assembly(self, name: str, clock: EventClock) -> tuple[Assembly, ServerProjects]:
        credentials = Credentials(self.token, self.server.url)
        settings = Settings(worker_id=name, gitlab_url=self.server.url, work_dir=self._work_dir(name))
        client = GitLabClient(self.server.url, credentials, clock)
        leaver = Leaver(client, clock, 0.0, self._work_dir(name) / "projects.json")
        return Assembly(settings, credentials, {}, clock), ServerProjects(
            ProjectFinder(client, clock), leaver
        )

    def _work_dir(self, name: str) -> Path:
        folder = self.folder / f"work-{name}"
        folder.mkdir(exist_ok=True)
        return folder

    def push(self, number: int, path: str, content: bytes) -> None:
        """What a person pushes to a project."""
        _commit(self.folder / "repositories" / f"p{number}.git", path, content, "from refs/heads/main^0\n")

    def files(self, number: int) -> list[str]:
        bare = str(self.folder / "repositories" / f"p{number}.git")
        listed = subprocess.run(
            ["git", "-C", bare, "ls-tree", "-r", "--name-only", "main"], check=True, capture_output=True
        )
        return listed.stdout.decode().split()

    def requests_a_job(self, workers: list[Worker]) -> float:
        """How many requests all the workers together need for each job, until all of them have left."""
        self.server.requests.clear()
        codes: list[ExitCode] = []
        threads = [threading.Thread(target=lambda w=w: codes.append(w.run())) for w in workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert codes == [ExitCode.DONE] * len(workers), codes
        done = Counter(each for supervisor in self.supervisors for each in supervisor.done)
        assert done and set(done.values()) == {1}, "a job was done twice, or none was"
        return len(self.server.requests) / len(done)

    def close(self) -> None:
        self.server.close()

    @staticmethod
    def _bare(path: Path) -> Path:
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(path)], check=True)
        for setting in SERVER_SETTINGS:
            subprocess.run(["git", "-C", str(path), "config", setting, "true"], check=True)
        return path


def _entry(project: int, number: int) -> dict[str, object]:
    """Jobs of all projects in one hour, so that the projects take turns."""
    moment = f"2026-01-01T00:{number:02}:{project % 60:02}.000Z"
    return job(f"p{project}j{number}", submitted_at=moment)


def _commit(bare: Path, path: str, content: bytes, base: str) -> None:
    said = b"commit refs/heads/main\ncommitter Maria <m@example.org> 1767225600 +0000\ndata 3\nask\n"
    said += base.encode()
    said += b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(content), content)
    subprocess.run(["git", "-C", str(bare), "fast-import", "--quiet"], input=said, check=True)
