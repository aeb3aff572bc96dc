"""Resume states on this machine's own disk: the newest one of each job, whatever became of its upload.

A state lies at `<work dir>/states/<job>-<repository>/<sha256>.pt`, outside the job folder that a child may
write to, and `newest.json` beside it says whose it is. It comes there as a hard link: nothing is copied.
"""

import hashlib
import logging
import os
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from codex_worker.contract.records import ResumePointer
from codex_worker.git.lfs.pointer import pointer_for

logger = logging.getLogger(__name__)

_Model = TypeVar("_Model", bound=BaseModel)

# A state is of use until another machine has gone on with the job, so only the last few are.
KEPT_JOBS = 3
_NOTE, _ARRIVED, _TAKEN, _ARRIVAL = "newest.json", "arrived.pt", "taken.pt", "arrival.json"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_MAX_NOTE_BYTES = 10_000


class StateNote(BaseModel):
    """Whose state a file holds, and how far it is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    attempt: str  # "<number>-<nonce>"
    number: int = Field(ge=1)
    code: str  # the handler and the version that wrote it
    epochs: float = Field(ge=0, allow_inf_nan=False)
    oid: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=1)


class Arrival(BaseModel):
    """Whose state has arrived, noted at once: it becomes the newest in a thread that may be uploading."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    attempt: str
    code: str
    epochs: float = Field(ge=0, allow_inf_nan=False)
    boot: str  # of the machine; what no digest tells of may be damaged where that has lost its power since


def is_at_least_as_far(local: StateNote, carried: ResumePointer | None) -> bool:
    """Whether nothing is lost by going on from this machine's state instead of the one on the server.

    What a later attempt carried may be of a start from nothing; what the same or an earlier one carried was
    saved on this disk first.
    """
    if carried is None:
        return True
    if carried.attempt is None:  # of a version that did not say
        return False
    return carried.attempt <= local.number or local.epochs >= (carried.epochs or 0.0)


def read_note(path: Path) -> StateNote | None:
    """The note at a path; None where there is none that can be read. Raises OSError."""
    return _read(StateNote, path)


def _read(model: type[_Model], path: Path) -> _Model | None:
    try:
        with path.open("rb") as file:
            return model.model_validate_json(file.read(_MAX_NOTE_BYTES))
    except FileNotFoundError:
        return None
    except ValidationError:
        logger.warning("%s cannot be read; the state beside it is not used", path)
        return None


def write_note(path: Path, note: BaseModel) -> None:
    """Writes a note, whole or not at all. Raises OSError."""
    partial = path.with_name(f"partial-{path.name}")
    partial.write_text(note.model_dump_json(), encoding="utf-8")
    partial.replace(path)


def copied_whole(source: Path, note: StateNote, target: Path) -> bool:
    """Copies a state, and says whether it is whole: a machine may have lost its power while it wrote."""
    shutil.copyfile(source, target)
    found = pointer_for(target)
    return (found.oid, found.size) == (note.oid, note.size)


class LocalState:
    """The place of one job's newest state. Methods raise OSError where the disk does not take or give it."""

    where = "on this disk"

    def __init__(self, work_dir: Path, address: str, job_id: str) -> None:
        self._root = work_dir / "states"
        self._folder = self._root / f"{job_id}-{hashlib.sha256(address.encode()).hexdigest()[:16]}"

    def take(self, file: Path, attempt: str, code: str, epochs: float) -> None:
        """Takes over a file that the child has finished; `settle` makes it the newest state."""
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = self._folder / "partial"  # no name that `settle` removes, in another thread
        partial.unlink(missing_ok=True)
        try:
            os.link(file, partial, follow_symlinks=False)
        except OSError:  # a disk without hard links
            shutil.copyfile(file, partial, follow_symlinks=False)
        if partial.is_symlink() or not partial.is_file():
            partial.unlink()
            raise OSError(f"{file.name} is no plain file")
        partial.replace(self._folder / _ARRIVED)
        write_note(
            self._folder / _ARRIVAL, Arrival(attempt=attempt, code=code, epochs=epochs, boot=_boot_id())
        )

    def recover(self) -> None:
        """Settles what had arrived when an earlier worker was killed. Nobody else may be saving."""
        arrival = _read(Arrival, self._folder / _ARRIVAL)
        if arrival is None or arrival.boot != _boot_id():
            return
        taken, arrived = self._folder / _TAKEN, self._folder / _ARRIVED
        if taken.exists() and not arrived.exists():
            taken.replace(arrived)
        self.settle(arrival.attempt, arrival.code, arrival.epochs)

    def settle(self, attempt: str, code: str, epochs: float) -> StateNote | None:
        """Makes what arrived the newest state; None where nothing has. Reads the file for its digest."""
        taken = self._folder / _TAKEN
        try:
            (self._folder / _ARRIVED).replace(taken)
        except FileNotFoundError:
            return None
        pointer = pointer_for(taken)
        note = StateNote(
            attempt=attempt,
            number=int(attempt.partition("-")[0]),
            code=code,
            epochs=epochs,
            oid=pointer.oid,
            size=pointer.size,
        )
        taken.replace(self.path_of(note))
        write_note(self._folder / _NOTE, note)
        for old in self._folder.glob("*.pt"):
            if old.name not in {f"{note.oid}.pt", _ARRIVED}:
                old.unlink(missing_ok=True)
        return note

    def path_of(self, note: StateNote) -> Path:
        """Where a settled state lies, until the next one is settled."""
        return self._folder / f"{note.oid}.pt"

    def found(self, attempts: Collection[str], code: str) -> list[StateNote]:
        """The state that one of these attempts left here with the same code, if there is one."""
        note = read_note(self._folder / _NOTE)
        # A job that was deleted and submitted again under its old id is another job.
        return [note] if note is not None and note.attempt in attempts and note.code == code else []

    def copy(self, note: StateNote, target: Path) -> bool:
        """Copies a state, and says whether it is whole."""
        return copied_whole(self.path_of(note), note, target)

    def forget(self) -> None:
        """Removes the job's state; it is over."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def forget_old(self) -> None:
        """Removes what jobs before the last few left here."""
        try:
            folders = sorted(self._root.iterdir(), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        except OSError:
            return  # none yet, or another worker removes them now
        for folder in folders[KEPT_JOBS:]:
            if folder != self._folder:
                shutil.rmtree(folder, ignore_errors=True)


def _boot_id() -> str:
    """Another one each time the machine starts; "" where there is none."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""
