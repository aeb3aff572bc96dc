"""Results that could not be published: kept among the notes, offered again when the server takes them."""

import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from codex_worker.codex.patch import patch_from_dict
from codex_worker.contract.records import Attempt, EndState
from codex_worker.errors import DataError, Kind
from codex_worker.job.api import CellResult
from codex_worker.queue.owned import Outcome
from codex_worker.supervisor.job_folder import UNPUBLISHED, JobFolder

logger = logging.getLogger(__name__)

_OWNER = "attempt.json"


@dataclass(frozen=True)
class Owner:
    """Whose results a folder holds."""

    project: str  # the repository's address
    attempt: Attempt


@dataclass(frozen=True)
class Waiting:
    """One thing to publish, in the order in which it was to be published."""

    path: Path
    call: str  # "cells", "artifact" or "end"
    content: Mapping[str, Any]

    def cells(self) -> list[CellResult]:
        """The results of a call "cells"."""
        return [
            CellResult(
                str(cell["notebook"]),
                patch_from_dict(cell["patch"]),
                None if cell["recording"] is None else self.file(cell["recording"]),
            )
            for cell in self.content["results"]
        ]

    def outcome(self) -> Outcome:
        """The outcome of a call "end"."""
        fields = self.content["outcome"]
        kind = fields["kind"]
        return Outcome(
            EndState(fields["state"]),
            Kind(kind) if kind else None,
            fields["message"],
            fields["epochs_completed"],
            fields["result"],
        )

    def file(self, name: str) -> Path:
        """A kept file. Raises DataError for a name that leads anywhere but to a file kept for this call."""
        kept = self.path.with_suffix("").resolve()
        path = (kept / name).resolve()
        if not path.is_relative_to(kept) or not path.is_file():
            raise DataError(f"{self.path} names {name!r}, which is no file that was kept with it.")
        return path

    def remove(self) -> None:
        """It is published, or nobody will ever want it."""
        self.path.unlink(missing_ok=True)
        shutil.rmtree(self.path.with_suffix(""), ignore_errors=True)


class Outbox:
    """The unpublished results of one attempt, and whose they are; both among the worker's notes."""

    def __init__(self, folder: JobFolder) -> None:
        self._path = folder.notes / UNPUBLISHED
        self._owner = folder.notes / _OWNER

    def belongs_to(self, owner: Owner) -> None:
        """Notes whose results these will be."""
        self._owner.write_text(
            json.dumps({"project": owner.project, "attempt": owner.attempt.model_dump(mode="json")})
        )

    def owner(self) -> Owner | None:
        """Whose results these are; None where that was never noted, or cannot be read."""
        try:
            found = json.loads(self._owner.read_text())
            return Owner(str(found["project"]), Attempt.model_validate(found["attempt"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("Nobody knows whose results %s holds: %s", self._path.parent, error)
            return None

    def keep_cells(self, results: Sequence[CellResult]) -> None:
        """Keeps a batch of cells with their recordings."""
        name, folder = self._next()
        cells = [
            {
                "notebook": result.notebook,
                "patch": result.patch.to_dict(),
                "recording": result.recording and _keep(result.recording, folder, str(index)),
            }
            for index, result in enumerate(results)
        ]
        self._write(name, {"call": "cells", "results": cells})

    def keep_artifact(self, file: Path, folder: str) -> None:
        """Keeps an artifact."""
        name, kept = self._next()
        self._write(name, {"call": "artifact", "folder": folder, "file": _keep(file, kept, "0")})

    def keep_end(self, outcome: Outcome) -> None:
        """Keeps an attempt's end; log and metrics stay where they are."""
        name, _ = self._next()
        self._write(name, {"call": "end", "outcome": asdict(outcome)})

    def waiting(self) -> list[Waiting]:
        """What is to be published, in order. What cannot be read is reported and left out."""
        found = []
        for path in sorted(self._path.glob("*.json")):
            try:
                content = json.loads(path.read_text())
                found.append(Waiting(path, str(content["call"]), content))
            except (OSError, ValueError, KeyError, TypeError) as error:
                logger.warning("%s cannot be read and stays unpublished: %s", path, error)
        return found

    def discard(self) -> None:
        """Nothing in it may be published any more."""
        shutil.rmtree(self._path, ignore_errors=True)

    def _next(self) -> tuple[str, Path]:
        self._path.mkdir(exist_ok=True)
        numbers = [int(path.stem) for path in self._path.glob("*.json") if path.stem.isdigit()]
        name = f"{max(numbers, default=0) + 1:06d}"
        folder = self._path / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return name, folder

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        partial = self._path / f"{name}.part"
        partial.write_text(json.dumps(content))
        partial.replace(self._path / f"{name}.json")
        logger.warning("Kept unpublished results in %s; they are offered again later.", self._path / name)


def publish_waiting(
    outbox: Outbox,
    cells: Callable[[Sequence[CellResult]], object],
    artifact: Callable[[Path, str], object],
    end: Callable[[Outcome], None],
) -> int:
    """Publishes what waits, in order; the first error ends it and is raised, and the rest goes on waiting."""
    done = 0
    for waiting in outbox.waiting():
        if waiting.call == "cells":
            cells(waiting.cells())
        elif waiting.call == "artifact":
            artifact(waiting.file(str(waiting.content["file"])), str(waiting.content["folder"]))
        elif waiting.call == "end":
            end(waiting.outcome())
        else:
            raise DataError(f"{waiting.path} asks for {waiting.call!r}, which is nothing to publish.")
        waiting.remove()
        done += 1
    return done


def _keep(file: Path, folder: Path, name: str) -> str:
    """A second name for a file, so that a handler that tidies up does not remove the only one."""
    target = folder / name / file.name
    target.parent.mkdir()
    try:
        os.link(file, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(file, target)
    return f"{name}/{file.name}"
