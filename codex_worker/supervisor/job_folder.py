"""The folder of one attempt, `<work dir>/job_<id>_<attempt>/`: the only place where a child writes.

The worker's own notes lie beside it, in `<work dir>/notes/job_<id>_<attempt>/`: the lock that says the folder
is in use, the log, whose attempt it is, and results that could not be published yet. The child never writes
there, so what is noted can be believed.
"""

import errno
import fcntl
import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path, PurePosixPath

from codex_worker.contract.ids import job_id_problem
from codex_worker.errors import DataError, ResourceError, SystemFault, UserError
from codex_worker.supervisor.beneath import bring, ends_of, opened, remove

logger = logging.getLogger(__name__)

NOTES = "notes"
UNPUBLISHED = "unpublished"
# Of one file that a child hands over: twice the largest model. Refused before it is copied or hashed.
MAX_HANDED_OVER_BYTES = 8 << 30
MAX_METRICS_BYTES = 1_000_000
_HANDED_OVER = "handed-over"
_OURS_ALONE = 0o700
# What a child can put where a file or folder of the worker's is to go.
_IN_THE_WAY = {errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY}
LOG_NAME = "logs.txt"
_SHOWN_NOTES = ".worker"
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
        self._user: int | None = None
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
        shutil.rmtree(self.notes / _HANDED_OVER, ignore_errors=True)  # of a worker that was killed

    @classmethod
    def create(cls, work_dir: Path, job_id: str, attempt: str) -> "JobFolder":
        """The folder for an attempt at a job. Raises UserError for a job id that is unfit for a path."""
        return cls(_attempt_folder(work_dir, job_id, attempt))

    def become(self, job_id: str, attempt: str) -> None:
        """From now on it is the folder of an attempt: it and its notes get that name, no more.

        A process that works in it goes on doing so, and walls around it stay where they are. Raises UserError
        for a job id that is unfit for a path, and OSError where an attempt has left such a folder.
        """
        path = _attempt_folder(self.path.parent, job_id, attempt)
        self.path.rename(path)
        try:
            self.notes.rename(notes_of(path))
        except OSError:
            path.rename(self.path)
            raise
        self.path, self.notes = path, notes_of(path)
        (self.path / LOG_NAME).unlink(missing_ok=True)
        self._show_log()

    def __enter__(self) -> "JobFolder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def remove_all(self) -> None:
        """Removes it with its notes, and gives the name free."""
        for path in (self.path, self.notes):
            shutil.rmtree(path, ignore_errors=True)
        self.close()

    def close(self) -> None:
        """Gives the folder free; its newest use is now."""
        if not self._lock.closed:
            with suppress(FileNotFoundError):  # it was removed while we had it
                os.utime(self.path)
            self._lock.close()

    @property
    def _mine(self) -> Path:
        """What this thread has between the child and the project; another may be answering another call."""
        return self.notes / _HANDED_OVER / str(threading.get_ident())

    @property
    def log_path(self) -> Path:
        """The attempt's log: among the notes, because it is published by whoever ends the attempt."""
        return self.notes / LOG_NAME

    def give_to(self, user: int | None) -> None:
        """Makes the folder the user's, as whom the child runs; None: it is the worker's own."""
        self._user = user
        if user is not None:
            for path in (self.path, self.path / "home", self.path / "tmp"):
                os.chown(path, user, user, follow_symlinks=False)

    def metrics(self) -> bytes | None:
        """What training wrote of its metrics (at the top of the folder or below `checkpoint/`), if anything.

        Of a long file the first line and the end.
        """
        for name in (METRICS_NAME, f"checkpoint/{METRICS_NAME}"):
            with suppress(OSError), opened(self.path, self._checked(name)) as file:
                return ends_of(file, MAX_METRICS_BYTES) or None
        return None

    def read(self, name: str, most_bytes: int) -> bytes | None:
        """A file that the child wrote; None where there is none, or a longer one."""
        with suppress(OSError), opened(self.path, self._checked(name)) as file:
            return os.pread(file, most_bytes, 0) if os.fstat(file).st_size <= most_bytes else None
        return None

    def remove(self, name: str) -> None:
        """Removes a file of the child's."""
        remove(self.path, self._checked(name))

    def file(self, name: str) -> Path:
        """A second name, outside the child's reach, for a file that it names by its path inside this folder.

        The child is not trusted: absolute paths, `..`, links and everything that is no plain file are refused
        with SystemFault, one that is too large with DataError. The name is good until `let_go`.
        """
        parts = self._checked(name)
        target = self.spare(parts[-1])
        try:
            with opened(self.path, parts) as file:
                size = os.fstat(file).st_size
                if size > MAX_HANDED_OVER_BYTES:
                    raise DataError(
                        f"The handler handed over {name} with {size:,} bytes; "
                        f"a file may have {MAX_HANDED_OVER_BYTES:,}."
                    )
                _second_name(file, target)
        except OSError as error:
            raise SystemFault(
                f"The handler named {name!r}, which is no file inside its job folder."
            ) from error
        return target

    def let_go(self) -> None:
        """Nobody needs the second names any more."""
        shutil.rmtree(self._mine, ignore_errors=True)

    def put(self, name: str, content: bytes) -> Path:
        """Writes a file for the child, whole or not at all. Raises SystemFault as `file` does."""
        return self.fill(name, lambda path: path.write_bytes(content))

    def fill(self, name: str, write: Callable[[Path], object]) -> Path:
        """A file for the child, which `write` writes out of its reach, and which then takes its place."""
        partial = self.spare(self._checked(name)[-1])
        try:
            write(partial)
            return self.bring_in(partial, name)
        finally:
            shutil.rmtree(partial.parent, ignore_errors=True)

    def has(self, name: str, size_bytes: int) -> bool:
        """Whether the child has this file already."""
        with suppress(OSError), opened(self.path, self._checked(name)) as file:
            return os.fstat(file).st_size == size_bytes
        return False

    def spare(self, name: str) -> Path:
        """A path out of the child's reach, in a folder of its own, good until `let_go`."""
        self._mine.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(dir=self._mine)) / name

    def bring_in(self, file: Path, name: str) -> Path:
        """Moves a file of the worker's to its place in the folder. Raises SystemFault as `file` does."""
        parts = self._checked(name)
        try:
            bring(file, self.path, parts, self._user)
        except OSError as error:
            if error.errno not in _IN_THE_WAY:
                raise
            raise SystemFault(f"{name!r} would be written outside the job folder.") from error
        return self.path.joinpath(*parts)

    def relative(self, path: Path) -> str:
        """A path as both sides of the channel name it."""
        return path.relative_to(self.path).as_posix()

    def show_notes(self) -> None:
        """A link to what is kept, for people who look for it here. Nothing is ever read by that name."""
        self._show(self.notes, _SHOWN_NOTES)

    def _show_log(self) -> None:
        """A link in the job folder, where people look for it. Nothing is ever read by that name."""
        self.log_path.touch()
        self._show(self.log_path, LOG_NAME)

    def _show(self, path: Path, name: str) -> None:
        with suppress(FileExistsError):
            (self.path / name).symlink_to(os.path.relpath(path, self.path))

    def _checked(self, name: str) -> tuple[str, ...]:
        path = PurePosixPath(name)
        if not path.parts or path.is_absolute() or ".." in path.parts or "\0" in name:
            raise SystemFault(f"The handler named {name!r}, which is no path inside its job folder.")
        return path.parts


def _second_name(file: int, target: Path) -> None:
    try:
        os.link(f"/proc/self/fd/{file}", target, follow_symlinks=True)
    except OSError:  # a disk without hard links, or somebody else's file
        with open(file, "rb", closefd=False) as source, target.open("xb") as copy:
            shutil.copyfileobj(source, copy)


def _attempt_folder(work_dir: Path, job_id: str, attempt: str) -> Path:
    problem = job_id_problem(job_id)
    if problem:
        raise UserError(problem)
    return work_dir / f"job_{job_id}_{attempt}"


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
