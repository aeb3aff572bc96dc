"""The folder of one attempt, `<work dir>/job_<id>_<attempt>/`: the only place where a child writes.

The worker's own notes lie beside it, in `<work dir>/notes/job_<id>_<attempt>/`: the lock that says the folder
is in use, the log, whose attempt it is, and results that could not be published yet. The child never writes
there, so what is noted can be believed.
"""

import fcntl
import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path, PurePosixPath

from codex_worker.contract.ids import job_id_problem
from codex_worker.errors import ResourceError, SystemFault, UserError

logger = logging.getLogger(__name__)

NOTES = "notes"
UNPUBLISHED = "unpublished"
_OURS_ALONE = 0o700
LOG_NAME = "logs.txt"
METRICS_NAME = "training_metrics.csv"


class FolderInUse(SystemFault):
    """Another process, or another attempt of this one, has the folder open."""


class JobFolder:
    """An attempt's folder, locked while this object is open.

    Raises FolderInUse where somebody has it open.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.notes = notes_of(self.path)
        try:
            for name in ("home", "tmp"):
                (self.path / name).mkdir(parents=True, exist_ok=True)
            self.notes.mkdir(mode=_OURS_ALONE, parents=True, exist_ok=True)
            self._lock = (self.notes / "lock").open("a")
            self._show_log()
        except OSError as error:
            raise ResourceError(f"The job folder {path} cannot be written: {error.strerror}.") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.close()
            raise FolderInUse(f"The job folder {path} is in use by another worker.") from error

    @classmethod
    def create(cls, work_dir: Path, job_id: str, attempt: str) -> "JobFolder":
        """The folder for an attempt at a job. Raises UserError for a job id that is unfit for a path."""
        problem = job_id_problem(job_id)
        if problem:
            raise UserError(problem)
        return cls(work_dir / f"job_{job_id}_{attempt}")

    def __enter__(self) -> "JobFolder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives the folder free; its newest use is now."""
        if not self._lock.closed:
            with suppress(FileNotFoundError):  # it was removed while we had it
                os.utime(self.path)
            self._lock.close()

    @property
    def log_path(self) -> Path:
        """The attempt's log: among the notes, because it is published by whoever ends the attempt."""
        return self.notes / LOG_NAME

    def metrics(self) -> bytes | None:
        """The metrics file that training wrote (at the top of the folder or below `checkpoint/`), if any."""
        for path in (self.path / METRICS_NAME, self.path / "checkpoint" / METRICS_NAME):
            if path.is_file() and not path.is_symlink():
                return path.read_bytes() or None
        return None

    def file(self, name: str) -> Path:
        """A file that the child names by its path inside this folder.

        The child is not trusted: absolute paths, `..`, symbolic links that lead out and everything that
        is no plain file are refused with SystemFault.
        """
        path = (self.path / self._checked(name)).resolve()
        if not path.is_relative_to(self.path) or not path.is_file():
            raise SystemFault(f"The handler named {name!r}, which is no file inside its job folder.")
        return path

    def place(self, name: str) -> Path:
        """Where a file for the child goes; its parent folders are made. Raises SystemFault as `file` does."""
        path = self.path / self._checked(name)
        # Before anything is made: a symbolic link of the child's must not lead the worker elsewhere.
        if not path.parent.resolve().is_relative_to(self.path) or path.is_symlink():
            raise SystemFault(f"{name!r} would be written outside the job folder.")
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def put(self, name: str, content: bytes) -> Path:
        """Writes a file for the child, whole or not at all."""
        path = self.place(name)
        partial = path.with_name(path.name + ".part")
        partial.unlink(missing_ok=True)
        partial.write_bytes(content)
        return partial.replace(path)

    def relative(self, path: Path) -> str:
        """A path as both sides of the channel name it."""
        return path.relative_to(self.path).as_posix()

    def _show_log(self) -> None:
        """A second name in the job folder, where people look for it. Nothing is ever read by that name."""
        self.log_path.touch()
        with suppress(FileExistsError, PermissionError):  # a file system without hard links
            os.link(self.log_path, self.path / LOG_NAME)

    def _checked(self, name: str) -> PurePosixPath:
        path = PurePosixPath(name)
        if not name or path.is_absolute() or ".." in path.parts or "\0" in name:
            raise SystemFault(f"The handler named {name!r}, which is no path inside its job folder.")
        return path


def notes_of(folder: Path) -> Path:
    """Where the worker keeps its notes about a job folder."""
    return folder.parent / NOTES / folder.name


def folders_in(work_dir: Path) -> list[Path]:
    """All job folders, the newest first."""
    found = [path for path in work_dir.glob("job_*_*") if path.is_dir() and not path.is_symlink()]
    return sorted(found, key=lambda path: path.stat().st_mtime_ns, reverse=True)


def has_unpublished(folder: Path) -> bool:
    """Whether results wait there for a server that takes them."""
    return any((notes_of(folder) / UNPUBLISHED).glob("*.json"))


def remove_old(work_dir: Path, keep: int) -> list[Path]:
    """Removes all but the newest `keep` job folders (-1: removes none).

    A folder that a worker has open, or whose results are not published yet, is never removed.
    """
    if keep < 0:
        return []
    removed = []
    for folder in folders_in(work_dir)[keep:]:
        if has_unpublished(folder):
            continue
        try:
            with JobFolder(folder) as mine:
                shutil.rmtree(mine.path)
                shutil.rmtree(mine.notes)
                removed.append(folder)
        except SystemFault:
            continue  # in use by another worker on this machine
        except (OSError, ResourceError) as error:
            logger.warning("The old job folder %s cannot be removed: %s", folder, error)
    return removed
