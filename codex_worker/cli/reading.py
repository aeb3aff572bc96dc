"""Reading a project outside of a job: a folder on this machine."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from codex_worker.codex.alike import FilesByName, TwoAlike
from codex_worker.codex.attachments import ATTACHMENTS_FOLDER, FILES_FOLDER, POINTERS_FOLDER
from codex_worker.codex.pointer_text import trouble_of
from codex_worker.errors import DataError
from codex_worker.git.lfs.cache import LfsCache
from codex_worker.git.lfs.pointer import Pointer, parse_pointer
from codex_worker.git.lfs.store import FileStore, LfsStore
from codex_worker.job.api import Absence, Fetched
from codex_worker.supervisor.gathering import Gathering

logger = logging.getLogger(__name__)

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
        self._attachments = FilesByName(lambda: self.list_files(ATTACHMENTS_FOLDER))

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
        gathering = Gathering()
        pointers: dict[str, Pointer] = {}
        for path in pointer_paths:
            try:
                self._look(path, gathering, pointers)
            except TwoAlike as error:
                gathering.lacks(path, Absence.TWO_ALIKE, str(error))
        self._from_store(pointers, gathering)
        return gathering.fetched()

    def _look(self, path: str, gathering: Gathering, pointers: dict[str, Pointer]) -> None:
        """Finds the recording itself, or its pointer."""
        local = self._meant(path.replace(POINTERS_FOLDER, FILES_FOLDER, 1))
        if local is not None and not _stands_for_another(local):
            gathering.found[path] = local
            return
        committed = self._meant(path)
        pointer = _pointer_in(committed)
        if pointer is not None:
            pointers[path] = pointer
        elif committed is not None and committed.stat().st_size:
            gathering.found[path] = committed
        else:
            gathering.lacks(
                path,
                Absence.NEVER_SENT,
                "its recording is not in this folder; open the project in the editor",
            )

    def _from_store(self, pointers: Mapping[str, Pointer], gathering: Gathering) -> None:
        if self._store is None:
            for path in pointers:
                gathering.lacks(
                    path,
                    Absence.NOT_FETCHED,
                    "its recording is not in this folder; download it in the editor first",
                )
            return
        answers = self._store.download(pointers.values(), self._cache)
        for path, pointer in pointers.items():
            answer = answers[pointer]
            if isinstance(answer, DataError):
                gathering.refused(path, answer)
            else:
                gathering.found[path] = answer

    def _meant(self, path: str) -> Path | None:
        """The file that a path means. Raises TwoAlike where it could be two."""
        file = self._file(path)
        meant = self._attachments.meant_by(path) if file is None else None
        return file if meant is None else self._file(meant)

    def _file(self, path: str) -> Path | None:
        file = (self._folder / path).resolve()
        return file if file.is_relative_to(self._folder) and file.is_file() else None


def is_working_folder(address: str) -> bool:
    """Whether this is a translator's folder and no repository that one pushes to."""
    return "://" not in address and (Path(address).expanduser() / "files" / "target").is_dir()


def _stands_for_another(file: Path) -> bool:
    """True for a pointer in any state, and for the empty place of a recording."""
    if file.stat().st_size > _MAX_POINTER_FILE_BYTES:
        return False
    content = file.read_bytes()
    return not content or parse_pointer(content) is not None or trouble_of(content) is not None


def _pointer_in(file: Path | None) -> Pointer | None:
    if file is None or file.stat().st_size > _MAX_POINTER_FILE_BYTES:
        return None
    return parse_pointer(file.read_bytes())
