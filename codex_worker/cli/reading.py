"""Reading a project outside of a job: a folder on this machine."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from codex_worker.contract.guards import POINTERS
from codex_worker.errors import DataError
from codex_worker.git.lfs.cache import LfsCache
from codex_worker.git.lfs.pointer import Pointer, parse_pointer
from codex_worker.git.lfs.store import FileStore, LfsStore
from codex_worker.job.api import Fetched

logger = logging.getLogger(__name__)

_FILES = ".project/attachments/files/"
_MAX_POINTER_FILE_BYTES = 1024


class FolderReader:
    """A project as it lies in a translator's folder: recordings in `files/`, else in git's own store.

    Nothing is copied and nothing is changed. Symbolic links are not followed.
    """

    def __init__(self, folder: Path, cache: LfsCache) -> None:
        self._folder = folder.resolve()
        self._cache = cache
        self._store: LfsStore | None = (
            FileStore(self._folder) if (self._folder / ".git" / "HEAD").is_file() else None
        )

    def list_files(self, prefix: str = "") -> list[str]:
        """Paths below `prefix`."""
        start = self._folder / prefix.rpartition("/")[0]
        found = (path for path in start.rglob("*") if path.is_file() and not path.is_symlink())
        paths = (path.relative_to(self._folder).as_posix() for path in found)
        return sorted(path for path in paths if path.startswith(prefix) and not path.startswith(".git/"))

    def read_files(self, paths: Sequence[str]) -> dict[str, Path]:
        """The files where they lie."""
        return {path: file for path in paths if (file := self._file(path)) is not None}

    def fetch_recordings(self, pointer_paths: Sequence[str]) -> Fetched:
        """The recordings where they lie; those that are only pointers come from the store beside git."""
        found: dict[str, Path] = {}
        missing: dict[str, str] = {}
        pointers: dict[str, Pointer] = {}
        for path in pointer_paths:
            local = self._file(path.replace(POINTERS, _FILES, 1))
            committed = self._file(path)
            pointer = _pointer_in(committed)
            if local is not None and _pointer_in(local) is None and local.stat().st_size:
                found[path] = local
            elif pointer is not None:
                pointers[path] = pointer
            elif committed is not None and committed.stat().st_size:
                found[path] = committed
            else:
                missing[path] = "its recording is not in this folder; open the project in the editor"
        self._from_store(pointers, found, missing)
        return Fetched(found, missing)

    def _from_store(
        self, pointers: Mapping[str, Pointer], found: dict[str, Path], missing: dict[str, str]
    ) -> None:
        if self._store is None:
            missing |= dict.fromkeys(
                pointers, "its recording is not in this folder; download it in the editor first"
            )
            return
        answers = self._store.download(pointers.values(), self._cache)
        for path, pointer in pointers.items():
            answer = answers[pointer]
            if isinstance(answer, DataError):
                missing[path] = str(answer)
            else:
                found[path] = answer

    def _file(self, path: str) -> Path | None:
        file = (self._folder / path).resolve()
        return file if file.is_relative_to(self._folder) and file.is_file() else None


def is_working_folder(address: str) -> bool:
    """Whether this is a translator's folder and no repository that one pushes to."""
    return "://" not in address and (Path(address).expanduser() / "files" / "target").is_dir()


def _pointer_in(file: Path | None) -> Pointer | None:
    if file is None or file.stat().st_size > _MAX_POINTER_FILE_BYTES:
        return None
    return parse_pointer(file.read_bytes())
