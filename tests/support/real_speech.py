"""A project of real speech, the commands that are run on it, and the repository that a worker leaves."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import yaml

from codex_worker.codex.cell import Cell
from codex_worker.codex.notebook import Notebook
from sample.real_speech.make import RealProject, alone
from sample.real_speech.truth import Truth
from sample.repository import commit_file
from sample.sample_jobs import manifest

ROOT = Path(__file__).parents[2]


def run_command(module: str, *arguments: str | Path) -> str:
    """What `python -m MODULE` says; it has to succeed."""
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "300"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout


def made_once(base: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder of the whole run: one of pytest's processes fills it, the others wait and share it."""
    shared = base.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder, done = shared / name, shared / f"{name}.done"
    with alone(shared / f"{name}.lock"):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


@dataclass(frozen=True)
class Repository:
    """A bare repository, with its large files."""

    path: Path

    def copied(self, folder: Path) -> "Repository":
        """Another one that a worker may write to."""
        return Repository(Path(shutil.copytree(self.path, folder / self.path.name)))

    def ask_for(self, jobs: Sequence[Mapping[str, Any]]) -> None:
        """A manifest with these jobs."""
        commit_file(self.path, "gpu_jobs/manifest.yaml", manifest(jobs), message="Ask for jobs")

    def files(self, below: str) -> list[str]:
        """The paths of the newest commit below a folder."""
        return self._git("ls-tree", "-r", "-z", "--name-only", "main", below).decode().split("\0")[:-1]

    def content(self, path: str) -> bytes:
        """A file of the newest commit; of a pointer, what it points to."""
        content = self._git("show", f"main:{path}")
        if content.startswith(b"version https://git-lfs.github.com/spec/v1\n"):
            oid = content.decode().splitlines()[1].removeprefix("oid sha256:")
            return (self.path / f"lfs/objects/{oid[:2]}/{oid[2:4]}/{oid}").read_bytes()
        return content

    def cells(self) -> dict[str, Cell]:
        """All cells, by id."""
        books = [Notebook.parse(self.content(path), path) for path in self.files("files/target")]
        return {cell.id: cell for book in books for cell in book.cells}

    def recording(self, cell_id: str) -> bytes | None:
        """A cell's newest recording; None where the server has none."""
        takes = self._cells[cell_id].live_attachments
        try:
            return self.content(takes[-1].url.replace("/files/", "/pointers/")) if takes else None
        except FileNotFoundError:
            return None

    @cached_property
    def _cells(self) -> dict[str, Cell]:
        return self.cells()

    def _git(self, *arguments: str) -> bytes:
        command = ["git", "--git-dir", str(self.path), *arguments]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


@dataclass(frozen=True)
class JobDone:
    """What a job has left in the repository."""

    repository: Repository
    job_id: str

    @cached_property
    def response(self) -> Any:
        """`response.yaml`."""
        return yaml.safe_load(self.repository.content(f"gpu_jobs/job_{self.job_id}/response.yaml"))

    @cached_property
    def log(self) -> str:
        """`logs.txt`."""
        return self.repository.content(f"gpu_jobs/job_{self.job_id}/logs.txt").decode()

    @property
    def everything_said(self) -> str:
        """The log, and the notes of the result."""
        return "\n".join([self.log, *self.response["result"]["notes"]])

    def published(self, name: str) -> bytes:
        """The one file whose name begins so, such as `report/data-`."""
        (path,) = self._named(name)
        return self.repository.content(path)

    def has_report(self, name: str) -> bool:
        """Whether there was anything to report."""
        return bool(self._named(f"report/{name}-"))

    def report(self, name: str) -> Any:
        """A report that is JSON."""
        return json.loads(self.published(f"report/{name}-"))

    def _named(self, name: str) -> list[str]:
        folder = f"gpu_jobs/job_{self.job_id}"
        return [path for path in self.repository.files(folder) if path.startswith(f"{folder}/{name}")]


BOTH = {"mode": "training_and_inference", "canceled": False}
ASR = BOTH | {
    "job_id": "real1_transcribe",
    "job_type": "asr",
    "submitted_at": "2026-01-03T00:00:00.000Z",
    "model": {"type": "W2V2BERT", "preset": "tiny"},
}
"""A transcriber of preset tiny, and every default."""
TTS = BOTH | {
    "epochs": 3,
    "job_id": "real2_speak",
    "job_type": "tts",
    "submitted_at": "2026-01-03T01:00:00.000Z",
    "model": {"type": "StableTTS", "preset": "tiny"},
    "inference": {"diffusion_steps": 2},
}
"""A voice that is far from speaking, but no longer silent."""


@dataclass(frozen=True)
class WorkedProject:
    """A project of real speech after a worker has done its jobs on a copy."""

    truth: Truth
    before: Repository
    after: Repository
    asr: JobDone
    tts: JobDone

    def readings(self) -> dict[str, dict[str, Any]]:
        """What the transcriber read in each cell that has a recording and no text, by the cell's id."""
        return {reading["cell"]: reading for reading in self.asr.report("transcripts")}


def worked_project(project: RealProject, base: pytest.TempPathFactory) -> WorkedProject:
    """The project after both jobs; a run of tests trains once for each language (about ten minutes)."""
    before = Repository(project.repository)

    def work(folder: Path) -> None:
        after = before.copied(folder)
        after.ask_for([ASR, TTS])
        options = ("--work-dir", folder / "work", "--settle-minutes", "0", "--worker-id", "tester")
        run_command("worker_entry", "--project", after.path, *options)

    folder = made_once(base, f"jobs-{project.truth.language}", work)
    after = Repository(folder / before.path.name)
    asr, tts = (JobDone(after, str(job["job_id"])) for job in (ASR, TTS))
    return WorkedProject(project.truth, before, after, asr, tts)
