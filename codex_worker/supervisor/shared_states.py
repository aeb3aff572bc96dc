"""Resume states in a folder that several machines see (`--state-dir`): nothing is uploaded then.

A state lies at `<folder>/<project>/<job>/<attempt>-<sha256>.pt`, and `<attempt>.json` beside it says how far
it is. Every name has its attempt in it and every file comes into place whole, so two workers that write at
once, one of which was given up for lost, do not spoil each other's.
"""

import hashlib
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path

from codex_worker.errors import ResourceError, UserError
from codex_worker.supervisor.local_states import StateNote, copied_whole, read_note, write_note

logger = logging.getLogger(__name__)

# Jobs that ended where nobody saw it (canceled while they waited) leave a state behind.
KEPT_S = 30 * 86400.0
# A volume that is full stops whatever else is on it.
LEFT_FREE_BYTES = 1 << 30


def require_state_dir(folder: Path) -> Path:
    """The folder, made absolute. Raises UserError where it is not there, or takes no file."""
    if not folder.is_dir():
        raise UserError(
            f"There is no folder {folder} (--state-dir). Create it or mount its volume first: one that a "
            "worker made for itself would lie on this machine alone."
        )
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".codex-worker-"):
            pass
    except OSError as error:
        raise UserError(
            f"The folder {folder} (--state-dir) cannot be written: {error.strerror}. Let this worker's user "
            "write to it, or choose another one."
        ) from error
    return folder.resolve()


class SharedStates:
    """The place of one job's states. Methods raise OSError where the volume does not take or give one."""

    where = "in the folder of --state-dir"

    def __init__(self, root: Path, address: str, job_id: str) -> None:
        name = re.sub(r"[^A-Za-z0-9]+", "-", address.rstrip("/").removesuffix(".git"))[-40:].strip("-")
        self._root = root
        self._folder = root / f"{name}-{hashlib.sha256(address.encode()).hexdigest()[:16]}" / job_id

    def keep(self, file: Path, note: StateNote, earlier: Collection[str]) -> None:
        """Copies a state here, and removes those that it stands for: its own attempt's, and earlier ones'.

        Raises ResourceError where the volume has no room.
        """
        free_bytes = shutil.disk_usage(self._root).free
        if free_bytes < note.size + LEFT_FREE_BYTES:
            raise ResourceError(
                f"the folder of --state-dir has {free_bytes:,} bytes free, too few for {note.size:,} more"
            )
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = self._folder / f"partial-{note.attempt}"
        try:
            shutil.copyfile(file, partial)
            _to_the_disk(partial)
            partial.replace(self._path_of(note))
        finally:
            partial.unlink(missing_ok=True)
        write_note(self._note_of(note.attempt), note)
        for older in self._notes(earlier):
            if older.epochs <= note.epochs:
                self._note_of(older.attempt).unlink(missing_ok=True)
                self._remove_files(older.attempt)
        self._remove_files(note.attempt, but=self._path_of(note))

    def found(self, attempts: Collection[str], code: str) -> list[StateNote]:
        """The states that these attempts left here with the same code."""
        return [note for note in self._notes(attempts) if note.code == code]

    def copy(self, note: StateNote, target: Path) -> bool:
        """Copies a state, and says whether it is whole."""
        return copied_whole(self._path_of(note), note, target)

    def forget(self) -> None:
        """Removes all states of the job; it is over."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def forget_old(self, now_s: float) -> None:
        """Removes what no attempt has touched for a month; `now_s` in seconds since 1970."""
        for folder in self._root.glob("*/*"):
            try:
                if now_s - folder.stat().st_mtime > KEPT_S and folder.is_dir() and not folder.is_symlink():
                    shutil.rmtree(folder, ignore_errors=True)
            except OSError:
                continue  # another worker removes it now

    def _notes(self, attempts: Collection[str]) -> list[StateNote]:
        notes = [read_note(self._note_of(attempt)) for attempt in attempts]
        return [note for note in notes if note is not None and note.attempt in attempts]

    def _path_of(self, note: StateNote) -> Path:
        return self._folder / f"{note.attempt}-{note.oid}.pt"

    def _note_of(self, attempt: str) -> Path:
        return self._folder / f"{attempt}.json"

    def _remove_files(self, attempt: str, but: Path | None = None) -> None:
        for path in (*self._folder.glob(f"{attempt}-*.pt"), *self._folder.glob(f"partial-{attempt}")):
            if path != but:
                path.unlink(missing_ok=True)


def _to_the_disk(path: Path) -> None:
    """What is said to lie there is there, also after the machine has lost its power."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
