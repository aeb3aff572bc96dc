"""A worker that is told to leave, or killed, at a stage of a job; and the one that goes on after it.

Both are real processes on a real repository, with a handler that does at each stage what a real one does, in
little. It counts its updates and says what it went on from.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from codex_worker.contract.exit_codes import ExitCode
from tests.support.event_clock import until
from tests.support.jobs import ROOT, handlers_with, manifest
from tests.support.notebooks import PATH, notebook, recorded_cell

STAGES = ("fetching", "checking", "preparing", "training", "validating", "saving", "publishing", "inference")
SIGNALS = ("SIGTERM", "SIGINT", "SIGKILL", "SIGINT twice")
LEAVES = {"SIGTERM", "SIGINT"}  # with time to say so
UPDATES = 3
STATE = b"state after "
# In its first attempt the handler stays at the stage that the manifest names, until it is told to stop.
HANDLER = f"""
import threading
from codex_worker.codex.choose import Selection, cells_to_transcribe
from codex_worker.codex.notebook import Notebook
from codex_worker.codex.patch import TextPatch
from handlers.base import CellResult, stop_error

held = callbacks.get_job_config("hold_at") if job.attempt.startswith("1-") else None

def leave_if_asked():
    if callbacks.should_stop():
        raise stop_error(callbacks.stop_reason())

def save(updates):
    (folder / "partial").write_bytes({STATE!r} + str(updates).encode())
    (folder / "partial").rename(folder / "resume.pt")
    scanner.save_resume(folder / "resume.pt", float(updates))

def at(stage, again=lambda: None):
    callbacks.heartbeat(None, stage, stage)
    (folder / f"at-{{stage}}").touch()
    while stage == held:
        again()
        leave_if_asked()
        threading.Event().wait(0.02)
    leave_if_asked()

at("fetching", lambda: scanner.read_files([{PATH!r}]))
read = Notebook.parse(scanner.read_files([{PATH!r}])[{PATH!r}].read_bytes(), {PATH!r})
at("checking")
(folder / "data.html").write_text("<p>What the recordings are like</p>")
scanner.publish_artifact(folder / "data.html", "report")
at("preparing")
(folder / "features").write_bytes(b"features" * 1000)
earlier = scanner.fetch_resume()
began_at = 0 if earlier is None else int(earlier.read_bytes().removeprefix({STATE!r}))
for updates in range(began_at + 1, {UPDATES} + 1):
    save(updates)
    if updates == 1:
        at("training")
    if updates == 2:
        at("validating")
        at("saving", lambda: save(2))
(folder / "model.safetensors").write_bytes(b"a model" * 500_000)
callbacks.heartbeat({UPDATES}, "publishing", "publishing")
(folder / "at-publishing").touch()
path = scanner.publish_artifact(folder / "model.safetensors", "checkpoint")
if held == "publishing":
    at("publishing")
written = 0
for cell in cells_to_transcribe(read, Selection()).chosen:
    patch = TextPatch(cell.id, cell.state, f"words of {{cell.id}}", job.worker_id)
    written += len(scanner.publish_cells([CellResult({PATH!r}, patch)]).applied)
    at("inference")
return {{"began_at": began_at, "checkpoint_path": path, "cells_written": written}}
"""


def git(*arguments: object) -> bytes:
    """What git answers."""
    words = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *map(str, arguments)]
    return subprocess.run(words, check=True, capture_output=True).stdout


class Interrupted:
    """A project with one job, whose first worker is interrupted at a stage."""

    def __init__(self, folder: Path, stage: str, *options: object) -> None:
        self.folder, self.stage, self.options = folder, stage, options
        self.repository = folder / "project.git"
        entry = {"job_id": "one", "mode": "training_and_inference", "hold_at": stage}
        source = folder / "clone"
        for path, content in {
            "gpu_jobs/manifest.yaml": manifest(entry),
            PATH: notebook(recorded_cell("MRK 1:1"), recorded_cell("MRK 1:2")),
        }.items():
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            (source / path).write_bytes(content)
        git("init", "-q", "-b", "main", source)
        git("-C", source, "add", ".")
        git("-C", source, "commit", "-q", "-m", "a job")
        git("clone", "-q", "--bare", source, self.repository)
        self.code = handlers_with(folder / "code", asr_w2v2bert_training_and_inference=HANDLER)

    def interrupt(self, name: str) -> int:
        """Starts a worker, sends it the signal once its job is at the stage, and answers its exit code."""
        log = self.folder / "first.log"
        process = self._start(self.folder / "first", log, "--project", self.repository)
        try:
            until(lambda: self._is_there() or process.poll() is not None, patience_s=120)
            assert process.poll() is None, log.read_text()
            process.send_signal(getattr(signal, name.split(maxsplit=1)[0]))
            if name == "SIGINT twice":
                until(lambda: "SIGINT: saving" in log.read_text() or process.poll() is not None)
                process.send_signal(signal.SIGINT)
            return process.wait(120)
        finally:
            process.kill()
            process.wait()

    def go_on(self, *, elsewhere: bool) -> None:
        """Lets another worker do the job to its end, on the same machine or `elsewhere`."""
        log = self.folder / "second.log"
        self.last_work_dir = self.folder / ("second" if elsewhere else "first")
        process = self._start(self.last_work_dir, log, "--force-job", f"{self.repository}:one")
        try:
            assert process.wait(240) == ExitCode.DONE, log.read_text()
        finally:
            process.kill()
            process.wait()

    def _is_there(self) -> bool:
        return any(self.folder.glob(f"first/job_*/at-{self.stage}"))

    def _start(self, work_dir: Path, log: Path, *options: object) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", "worker_entry", "--work-dir", work_dir, "--allow-cpu"]
        words += ["--settle-minutes", "0", "--worker-id", log.stem, *self.options, *options]
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder)}
        environment["PYTHONPATH"] = f"{self.code}:{ROOT}"
        with log.open("wb") as output:
            return subprocess.Popen(
                [str(word) for word in words], env=environment, cwd=self.folder, stdout=output, stderr=output
            )

    def show(self, path: str) -> bytes:
        """A file of the project."""
        return git("-C", self.repository, "show", f"main:{path}")

    def response(self) -> dict[str, Any]:
        """What the plugin reads."""
        found = yaml.safe_load(self.show("gpu_jobs/job_one/response.yaml"))
        assert isinstance(found, dict)
        return found

    def ends(self) -> list[str]:
        """How the job's attempts ended, in their order."""
        paths = git("-C", self.repository, "ls-tree", "-r", "--name-only", "main").decode().split()
        ends = [yaml.safe_load(self.show(path)) for path in paths if "/end-" in path]
        return [end["state"] for end in sorted(ends, key=lambda end: end["number"])]

    def texts(self) -> dict[str, list[str]]:
        """Every text that each verse was ever given."""
        told = [cell["metadata"] for cell in json.loads(self.show(PATH))["cells"]]
        return {cell["id"]: [e["value"] for e in cell["edits"] if e["editMap"] == ["value"]] for cell in told}

    def lease(self) -> dict[str, Any]:
        """What the job's lease says."""
        found = yaml.safe_load(git("-C", self.repository, "log", "-1", "--format=%B", "refs/gpu-jobs/one"))
        assert isinstance(found, dict)
        return found

    def states_left(self) -> list[Path]:
        """Which of the states lie on the last worker's disk, beside its job folders, or on the server."""
        places = [self.last_work_dir / "states", self.repository / "lfs"]
        files = [path for place in places for path in place.rglob("*") if path.is_file()]
        return [path for path in files if path.read_bytes().startswith(STATE) or path.suffix == ".pt"]


def is_as_documented(job: Interrupted, name: str) -> None:
    """Interrupts the job, lets another worker end it, and checks all that is promised of that."""
    code = job.interrupt(name)
    first = job.ends()
    if name in LEAVES:
        assert code == ExitCode.RELEASED and first == ["preempted"]
    elif name == "SIGKILL":
        assert code == -signal.SIGKILL and first == []
    else:  # the second one may come when all is done
        assert code == ExitCode.RELEASED and first in ([], ["preempted"])

    # Another machine has what was carried to the server, and only who was told to leave has time for that.
    job.go_on(elsewhere=name == "SIGTERM")

    response, ends = job.response(), job.ends()
    assert response["state"] == "completed" and ends.count("completed") == 1
    assert ends[-1] == "completed" and set(ends[:-1]) <= {"preempted", "lost"}
    assert job.texts() == {"MRK 1:1": ["words of MRK 1:1"], "MRK 1:2": ["words of MRK 1:2"]}, "each once"
    assert job.show(response["result"]["checkpoint_path"]).startswith(b"version https://git-lfs")
    updates_before = {"training": 1, "validating": 2, "saving": 2, "publishing": 3, "inference": 3}
    had, began_at = updates_before.get(job.stage, 0), response["result"]["began_at"]
    assert (had if name in LEAVES else had - 1) <= began_at <= UPDATES, "what was saved is not done again"
    lease = job.lease()
    assert lease["state"] == "tombstone" and "resume" not in lease
    # Who is killed in the middle of an upload can take nothing back.
    assert len(job.states_left()) <= (0 if name in LEAVES else 1)
