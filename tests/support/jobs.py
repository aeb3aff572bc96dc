"""A job on an in-memory server, supervised for real: a real child process, a real queue, a clock of ours."""

import shutil
import textwrap
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from codex_worker.contract.paths import response_path
from codex_worker.git.memory import MemoryServer, MemoryTransport
from codex_worker.git.repository import Change, Repository
from codex_worker.job.api import CellResult, Fetched, Published, Weights
from codex_worker.publish.artifacts import artifact_path
from codex_worker.queue.owned import PublishedChange
from codex_worker.supervisor.attempt import Secrets, Supervisor
from codex_worker.supervisor.job_folder import JobFolder
from codex_worker.supervisor.settings import JobLimits, Rhythm, RuntimeSettings
from codex_worker.supervisor.tenancy import FREE, Tenancy
from gitlab_jobs import JobQueue, Outcome, OwnedJob, QueueSettings
from tests.support.event_clock import ManualClock, until

# The watch, the beat, the look and the report.
WAITING_THREADS = 4
ROOT = Path(__file__).parents[2]
HANDLER = """\
from pathlib import Path

def run(job, callbacks):
    folder = callbacks.get_work_dir()
    scanner = callbacks.scanner
"""
# What the worker's probe needs of torch, which takes seconds to load and which no handler here computes with.
TORCH = """\
__version__ = "a stand-in"

class cuda:
    is_available = staticmethod(lambda: False)

class Generator:
    manual_seed = lambda self, seed: self

class Number(float):
    to = lambda self, device: self
    double = cpu = abs = max = lambda self: self
    __matmul__ = lambda self, other: Number(self * other)
    __sub__ = lambda self, other: Number(float(self) - float(other))

def randn(*shape, generator):
    return Number(2)
"""


def handlers_with(folder: Path, **bodies: str) -> Path:
    """A folder with a `handlers` package; `asr_w2v2bert_training="..."` gives the lines of a run."""
    package = folder / "handlers"
    package.mkdir(parents=True, exist_ok=True)
    (folder / "torch.py").write_text(TORCH)
    for name in ("__init__.py", "base.py"):
        shutil.copy(ROOT / "handlers" / name, package / name)
    for place, body in bodies.items():
        job_type, model, mode = place.split("_", 2)
        path = package / job_type / model / f"{mode}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(HANDLER + textwrap.indent(textwrap.dedent(body).strip() + "\n", "    "))
    return folder


def manifest(*jobs: Mapping[str, Any]) -> bytes:
    entries = [{"job_type": "asr", "mode": "training", "model": {"type": "w2v2bert"}, **job} for job in jobs]
    return yaml.safe_dump({"version": 1, "jobs": entries}).encode()


@dataclass
class FakeProject:
    """Files and publications without LFS; `on_publish` may raise what a server would."""

    folder: JobFolder
    job: OwnedJob
    contents: Mapping[str, bytes] = field(default_factory=dict)
    on_publish: Callable[[], None] = lambda: None
    name_of: Callable[[str], str] = str
    published: list[str] = field(default_factory=list)

    @property
    def commit(self) -> str:
        return self.job.commit

    def list_files(self, prefix: str = "") -> list[str]:
        return [path for path in self.contents if path.startswith(prefix)]

    def read_files(self, paths: Sequence[str]) -> dict[str, Path]:
        return {
            path: self.folder.put(f"files/{path}", self.contents[path])
            for path in paths
            if path in self.contents
        }

    def fetch_recordings(self, pointer_paths: Sequence[str]) -> Fetched:
        return Fetched({}, dict.fromkeys(pointer_paths, "not here"))

    def fetch_checkpoint(self, path: str) -> Path:
        return self.folder.put("model.safetensors", b"weights")

    def fetch_weights(self, name: str) -> Weights:
        return Weights(self.folder.path, "revision")

    def fetch_resume(self) -> Path | None:
        return None

    def save_resume(self, file: Path, epochs: float = 0.0) -> None:
        pass

    def forget_resume(self) -> None:
        pass

    def publish_cells(self, results: Sequence[CellResult]) -> Published:
        self.on_publish()
        return Published(list(range(len(results))), {})

    def publish_artifact(self, file: Path, folder: str) -> str:
        self.on_publish()
        path = artifact_path(self.job.attempt, file.with_name(self.name_of(file.name)), folder)
        self.job.publish(lambda snapshot: PublishedChange({path: file.read_bytes()}, "an artifact"))
        self.published.append(path)
        return path


class Stage:
    """A server with one job, and a supervisor that runs it in a thread while a test plays the world."""

    def __init__(self, tmp: Path, handler: str = "return {}", **entry: Any) -> None:
        self.server = MemoryServer({"gpu_jobs/manifest.yaml": manifest({"job_id": "one", **entry})})
        self.clock = ManualClock()
        self.work_dir = tmp / "work"
        self.settings = RuntimeSettings(
            work_dir=self.work_dir,
            code_root=ROOT,
            handlers_root=handlers_with(tmp / "code", asr_w2v2bert_training=handler),
            version="test",
            limits=JobLimits(),
            rhythm=Rhythm(),
        )
        self.environment = {"PATH": "/usr/bin:/bin"}
        self.secrets = Secrets()
        self.contents: Mapping[str, bytes] = {}
        self.on_publish: Callable[[], None] = lambda: None
        self.refused: dict[str, Exception] = {}  # why the results of these jobs are not taken
        self.refusals = 0
        self.name_of: Callable[[str], str] = str
        self.fault: Callable[[str, str], None] = lambda call, when: None
        self.projects: list[FakeProject] = []
        self.outcome: Outcome | None = None
        self._thread: threading.Thread | None = None
        self.tenancy: Tenancy | None = None
        self.admission = FREE
        self._supervisor: Supervisor | None = None

    def queue(self, worker_id: str = "tester") -> JobQueue:
        transport = MemoryTransport(self.server, lambda call, when: self.fault(call, when))
        repository = Repository(transport, self.clock)
        return JobQueue(repository, worker_id, self.clock, QueueSettings(publish_timeout_s=1.0, stays=True))

    def set_limits(self, **limits: Any) -> None:
        self.settings = replace(self.settings, limits=JobLimits(**limits))

    @property
    def supervisor(self) -> Supervisor:
        if self._supervisor is None:
            self._supervisor = Supervisor(
                self.settings, self._open_project, self.clock, self.secrets, self.environment, self.tenancy
            )
        return self._supervisor

    def start(self) -> None:
        """Claims the job and supervises it, in the background."""
        owned = self.queue().claim("one")
        assert owned is not None
        supervisor = self.supervisor

        def run() -> None:
            self.outcome = supervisor.run(owned, "project", "memory://project", self.admission)

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    def finish(self) -> Outcome | None:
        """Waits for the end of the attempt."""
        assert self._thread is not None
        self._thread.join(60)
        assert not self._thread.is_alive(), "the attempt never ended"
        return self.outcome

    def run(self) -> Outcome | None:
        """An attempt from its start to its end."""
        self.start()
        return self.finish()

    def reached(self, name: str) -> Path:
        """Waits until the handler has made a file of this name in its folder."""
        until(lambda: any(self.work_dir.glob(f"job_*/{name}")))
        return next(self.work_dir.glob(f"job_*/{name}"))

    def pass_time(self, duration_s: float) -> None:
        """Lets time pass once everybody who looks after the job waits for it."""
        until(lambda: self.clock.idle >= WAITING_THREADS or self.ended())
        self.clock.advance(duration_s)

    def tick(self, condition: Callable[[], object], step_s: float, waiting: int = WAITING_THREADS) -> None:
        """Lets time pass, step by step, until something has happened."""
        while not condition():
            until(lambda: self.clock.idle >= waiting or condition())
            self.clock.advance(step_s)

    def await_end(self) -> None:
        """Waits for the end of the attempt while time stands still."""
        until(self.ended)

    def ended(self) -> bool:
        """Whether the attempt is over."""
        return self._thread is not None and not self._thread.is_alive()

    def response(self) -> dict[str, Any]:
        """What the plugin reads."""
        found = yaml.safe_load(self.server.files()[response_path("one")])
        assert isinstance(found, dict)
        return found

    def log(self) -> str:
        """The published log."""
        return self.server.files()["gpu_jobs/job_one/logs.txt"].decode()

    def edit_manifest(self, *jobs: Mapping[str, Any]) -> None:
        """A translator changes the manifest."""
        self.change({"gpu_jobs/manifest.yaml": manifest(*jobs)})

    def change(self, files: Mapping[str, bytes | None]) -> None:
        """Somebody commits something."""
        transport = MemoryTransport(self.server)
        Repository(transport, self.clock).transact(_change(files))

    def _open_project(self, owned: OwnedJob, folder: JobFolder, address: str) -> FakeProject:
        def on_publish() -> None:
            self.on_publish()
            if (error := self.refused.get(owned.entry.job_id)) is not None:
                self.refusals += 1
                raise error

        project = FakeProject(folder, owned, self.contents, on_publish, self.name_of)
        self.projects.append(project)
        return project


def _change(files: Mapping[str, bytes | None]) -> Any:
    return lambda snapshot, heads: Change(files, "somebody's change")
