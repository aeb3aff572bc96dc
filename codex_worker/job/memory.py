"""A job's callbacks without a supervisor: a project in memory or in a folder, for tests of handlers.

    files = files_below(Path("sample-project"))
    callbacks = MemoryCallbacks(MemoryScanner(files, job), job, stop_after_looks=3)
    result = training.run(job, callbacks)
    assert callbacks.scanner.cells[0].notebook == "files/target/GEN.codex"

It refuses what the real one refuses: paths outside the job folder, unknown folders, empty files.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from codex_worker.codex.alike import FilesByName, TwoAlike
from codex_worker.codex.pointer_text import named_by
from codex_worker.errors import DataError, SystemFault, UserError
from codex_worker.job.api import (
    Absence,
    CellResult,
    Fetched,
    JobContext,
    Published,
    Result,
    StopReason,
    Weights,
    stop_error,
)
from codex_worker.job.channel import Heartbeat

ARTIFACT_FOLDERS = ("checkpoint", "samples", "report")


def files_below(folder: Path) -> dict[str, Path]:
    """Repository path -> file, for everything in a folder except git's own files."""
    return {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".git" not in path.relative_to(folder).parts
    }


class MemoryScanner:
    """The project as a mapping of repository paths to contents; what is published stays here.

    `recordings` maps a pointer's repository path to its bytes. A pointer that is not in it is looked up
    among the project's files by its sha256 (so a checked-out project with its recordings needs nothing
    more), and a file below `pointers/` that is no pointer is taken for the recording itself.
    `refuse` plays the person who was there first: a sentence drops the result, None lets it through.
    """

    def __init__(
        self,
        files: Mapping[str, bytes | str | Path],
        job: JobContext,
        *,
        recordings: Mapping[str, bytes | Path] | None = None,
        weights: Mapping[str, Weights] | None = None,
        resume: bytes | None = None,
        refuse: Callable[[CellResult], str | None] = lambda result: None,
    ) -> None:
        self.files = dict(files)
        self.job = job
        self.recordings = dict(recordings or {})
        self.weights = dict(weights or {})
        self.resume = resume
        self.refuse = refuse
        self.cells: list[CellResult] = []
        self.batches: list[int] = []  # how many results each call of publish_cells brought
        self.artifacts: dict[str, bytes] = {}
        self._by_oid: dict[str, str] | None = None

    def list_files(self, prefix: str = "") -> list[str]:
        """Repository paths below `prefix`, sorted."""
        return sorted(path for path in self.files if path.startswith(prefix))

    def read_files(self, paths: Sequence[str]) -> dict[str, Path]:
        """Copies files into the job folder; a path that isn't there is left out."""
        return {
            path: self._put("files", path, _content(self.files[path])) for path in paths if path in self.files
        }

    def fetch_recordings(self, pointer_paths: Sequence[str]) -> Fetched:
        """Copies recordings into the job folder, and says which are missing."""
        found: dict[str, Path] = {}
        missing: dict[str, str] = {}
        absences: dict[str, Absence] = {}
        files = FilesByName(lambda: (*self.recordings, *self.files))
        for path in pointer_paths:
            try:
                file = files.meant_by(path)
            except TwoAlike as error:
                missing[path], absences[path] = str(error), Absence.TWO_ALIKE
                continue
            content = None if file is None else self._recording(file)
            if file is None or content is None:
                missing[path] = f"The recording behind {path} is not on the server."
                absences[path] = Absence.NEVER_SENT if file is None else Absence.NOT_ON_SERVER
            elif file in self.files and not _content(self.files[file]):
                missing[path], absences[path] = f"{file} is empty: it was never sent.", Absence.NEVER_SENT
            else:
                found[path] = self._put("recordings", file, content)
        return Fetched(found, missing, absences)

    def fetch_checkpoint(self, path: str) -> Path:
        """A checkpoint among the published artifacts or the project's files."""
        if path in self.artifacts:
            return self._put("fetched", path, self.artifacts[path])
        if path in self.files:
            return self._put("fetched", path, _content(self.files[path]))
        raise UserError(f"There is no checkpoint at {path} in this project.")

    def fetch_weights(self, name: str) -> Weights:
        """Weights that the test put there."""
        if name not in self.weights:
            raise SystemFault(f"The weights {name} are not on this machine.")
        return self.weights[name]

    def publish_cells(self, results: Sequence[CellResult]) -> Published:
        """Keeps the results that `refuse` lets through; a recording's bytes are copied, as a push would."""
        applied: list[int] = []
        dropped: dict[int, str] = {}
        self.batches.append(len(results))
        for index, result in enumerate(results):
            why = self.refuse(result)
            if why is not None:
                dropped[index] = why
                continue
            recording = result.recording
            if recording is not None:
                name = f"{len(self.cells)}{recording.suffix}"
                recording = self._put("published", name, self._own(recording).read_bytes())
            self.cells.append(CellResult(result.notebook, result.patch, recording))
            applied.append(index)
        return Published(applied, dropped)

    def publish_artifact(self, file: Path, folder: str) -> str:
        """Keeps the file's bytes under the path that the real one would give it."""
        if folder not in ARTIFACT_FOLDERS:
            raise SystemFault(f"An artifact goes to one of {', '.join(ARTIFACT_FOLDERS)}, not to {folder!r}.")
        content = self._own(file).read_bytes()
        if not content:
            raise DataError(f"{file.name} is empty and cannot be published.")
        stem = f"gpu_jobs/job_{self.job.job_id}/{folder}/{file.stem}-{self.job.attempt}"
        path, again = f"{stem}{file.suffix}", 1
        while path in self.artifacts:
            again += 1
            path = f"{stem}-{again}{file.suffix}"
        self.artifacts[path] = content
        return path

    def save_resume(self, file: Path, epochs: float = 0.0) -> None:
        """Keeps the bytes for the next attempt."""
        self.resume = self._own(file).read_bytes()

    def fetch_resume(self) -> Path | None:
        """What an earlier attempt kept."""
        return None if self.resume is None else self._put("fetched", "resume", self.resume)

    def _recording(self, path: str) -> bytes | None:
        if path in self.recordings:
            return _content(self.recordings[path])
        if path not in self.files:
            return None
        content = _content(self.files[path])
        named = named_by(content)
        if named is None:
            return content
        if self._by_oid is None:
            self._by_oid = {
                hashlib.sha256(_content(value)).hexdigest(): at for at, value in self.files.items()
            }
        at = self._by_oid.get(named.oid)
        return None if at is None else _content(self.files[at])

    def _put(self, folder: str, path: str, content: bytes) -> Path:
        target = (self.job.folder / folder / path).resolve()
        if not target.is_relative_to(self.job.folder.resolve()):
            raise SystemFault(f"{path} leads out of the job folder.")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        return target

    def _own(self, file: Path) -> Path:
        resolved = file.resolve()
        if not resolved.is_relative_to(self.job.folder.resolve()):
            raise SystemFault(f"{file} is outside the job folder {self.job.folder}.")
        if not resolved.is_file():
            raise SystemFault(f"{file} is not a file.")
        return resolved


class MemoryCallbacks:
    """Remembers what the handler said, and asks it to stop where a test wants that.

    `stop_after_looks=n` lets the handler look n times (heartbeats and should_stop together) before it
    is asked to stop for `reason`.
    """

    def __init__(
        self,
        scanner: MemoryScanner,
        job: JobContext,
        *,
        stop_after_looks: int | None = None,
        reason: StopReason = StopReason.CANCELED,
    ) -> None:
        self.scanner = scanner
        self.job = job
        self.heartbeats: list[Heartbeat] = []
        self.result: Result | None = None
        self.failure: str | None = None
        self._looks_left = stop_after_looks
        self.audio_s = 0.0
        self._asked_for = reason
        self._reason: StopReason | None = None

    def stop(self, reason: StopReason = StopReason.CANCELED) -> None:
        """From now on the handler is asked to stop."""
        self._reason = reason

    def heartbeat(
        self, epochs_completed: float | None = None, message: str | None = None, stage: str | None = None
    ) -> None:
        """Remembers the report, then raises what a stop was asked for."""
        self.heartbeats.append(Heartbeat(epochs_completed, message, stage))
        if self.should_stop():
            raise stop_error(self._reason)

    def computed(self, audio_s: float) -> None:
        """Adds it up."""
        self.audio_s += audio_s

    def should_stop(self) -> bool:
        """True once a stop was asked for."""
        if self._looks_left is not None and self._reason is None:
            if self._looks_left <= 0:
                self._reason = self._asked_for
            self._looks_left -= 1
        return self._reason is not None

    def stop_reason(self) -> StopReason | None:
        """Why, or None."""
        return self._reason

    def get_work_dir(self) -> Path:
        """The job folder."""
        return self.job.folder

    def get_job_config(self, key: str, default: Any = None) -> Any:
        """The manifest's value at a dotted key."""
        return self.job.setting(key, default)

    def mark_complete(self, result: Result) -> None:
        """Keeps the result."""
        self.result = result

    def mark_failed(self, message: str) -> None:
        """Keeps the message."""
        self.failure = message


def job_in(folder: Path, config: Mapping[str, Any] | None = None, **fields: Any) -> JobContext:
    """A job for a test: plausible values, any of which `fields` replaces."""
    folder.mkdir(parents=True, exist_ok=True)
    values: dict[str, Any] = {
        "job_id": "test-job",
        "job_type": "asr",
        "mode": "training",
        "model_type": "w2v2bert",
        "preset": "tiny",
        "attempt": "1-0000abcd",
        "worker_id": "test-worker",
        "project": "sample",
        "commit": "0" * 40,
        "folder": folder,
        "config": dict(config or {}),
    }
    return JobContext(**{**values, **fields})


def _content(value: bytes | str | Path) -> bytes:
    if isinstance(value, Path):
        return value.read_bytes()
    return value.encode() if isinstance(value, str) else value
