"""Results that could not be published: kept among the notes, offered again when the server takes them."""

import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from codex_worker.codex.patch import patch_from_dict
from codex_worker.contract.records import Attempt, EndState
from codex_worker.errors import DataError, Kind, Refused, SystemFault
from codex_worker.job.api import CellResult, Published
from codex_worker.publish.artifacts import artifact_path
from codex_worker.queue.owned import HeldClaim, Outcome
from codex_worker.supervisor.job_folder import UNPUBLISHED, JobFolder

logger = logging.getLogger(__name__)

_OWNER = "attempt.json"


@dataclass(frozen=True)
class Owner:
    """Whose results a folder holds."""

    project: str  # the repository's address
    held: HeldClaim


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

    @property
    def promised_path(self) -> str:
        """Where the file of a call "artifact" will lie in the repository."""
        return str(self.content["path"])

    def because(self, reason: str) -> None:
        """Notes why it is not published, for people."""
        _write(self.path, {**self.content, "reason": reason})

    def again(self) -> "Waiting":
        """As it is now."""
        return replace(self, content=json.loads(self.path.read_text()))

    def remove(self) -> None:
        """It is published, or nobody will ever want it."""
        self.path.unlink(missing_ok=True)
        shutil.rmtree(self.path.with_suffix(""), ignore_errors=True)


class Outbox:
    """The unpublished results of one attempt, and whose they are; both among the worker's notes."""

    def __init__(self, folder: JobFolder) -> None:
        self._path = folder.notes / UNPUBLISHED
        self._owner = folder.notes / _OWNER
        self._folder = folder

    def belongs_to(self, owner: Owner) -> None:
        """Notes whose results these will be."""
        self._owner.write_text(
            json.dumps(
                {
                    "project": owner.project,
                    "attempt": owner.held.attempt.model_dump(mode="json"),
                    "commit": owner.held.commit,
                    "record_ref": owner.held.record_ref,
                }
            )
        )

    def owner(self) -> Owner | None:
        """Whose results these are; None where that was never noted, or cannot be read."""
        try:
            found = json.loads(self._owner.read_text())
            attempt = Attempt.model_validate(found["attempt"])
            return Owner(str(found["project"]), HeldClaim(attempt, found["commit"], found["record_ref"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("Nobody knows whose results %s holds: %s", self._path.parent, error)
            return None

    def keep_cells(self, results: Sequence[CellResult], reason: str) -> Waiting:
        """Keeps a batch of cells with their recordings, and for people why they are not published."""
        name, folder = self._next()
        cells = [
            {
                "notebook": result.notebook,
                "patch": result.patch.to_dict(),
                "recording": result.recording and _keep(result.recording, folder, str(index)),
            }
            for index, result in enumerate(results)
        ]
        return self._write(name, {"call": "cells", "results": cells, "reason": reason})

    def keep_artifact(self, file: Path, folder: str, reason: str) -> Waiting:
        """Keeps an artifact. Raises SystemFault where nobody has noted whose it is."""
        owner = self.owner()
        if owner is None:
            raise SystemFault(f"{file.name} could not be kept: {self._owner} is gone.")
        path = artifact_path(owner.held.attempt, file, folder)
        name, kept = self._next()
        content = {"call": "artifact", "folder": folder, "file": _keep(file, kept, "0"), "path": path}
        return self._write(name, {**content, "reason": reason})

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

    @property
    def reason(self) -> str | None:
        """Why the first result that waits is not published; None where no more than an end waits."""
        results = (waiting for waiting in self.waiting() if waiting.call != "end")
        return next((str(waiting.content.get("reason", "")) for waiting in results), None)

    def amend_end(self, change: Callable[[Outcome], Outcome]) -> None:
        """Puts the kept end right, where there is one."""
        for waiting in self.waiting():
            if waiting.call == "end":
                outcome = asdict(change(waiting.outcome()))
                self._write(waiting.path.stem, {**waiting.content, "outcome": outcome})

    def discard(self) -> None:
        """Nothing in it may be published any more."""
        shutil.rmtree(self._path, ignore_errors=True)

    def _next(self) -> tuple[str, Path]:
        self._path.mkdir(exist_ok=True)
        self._folder.show_notes()
        numbers = [int(path.stem) for path in self._path.glob("*.json") if path.stem.isdigit()]
        name = f"{max(numbers, default=0) + 1:06d}"
        folder = self._path / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return name, folder

    def _write(self, name: str, content: Mapping[str, Any]) -> Waiting:
        path = self._path / f"{name}.json"
        _write(path, content)
        return Waiting(path, str(content["call"]), content)


def _write(path: Path, content: Mapping[str, Any]) -> None:
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(content))
    partial.replace(path)


def kept_sentence(worker_id: str, reason: str) -> str:
    """What a translator reads of a job whose results wait: where they are, and what the server says."""
    return (
        f"The work is done. What the server does not take is kept on worker {worker_id} and offered again "
        f"until it is taken: {reason}"
    )


def publish_waiting(
    outbox: Outbox,
    cells: Callable[[Sequence[CellResult]], Published],
    artifact: Callable[[Path, str], str],
    end: Callable[[Outcome], object],
) -> int:
    """Publishes what waits, in order, and the end only behind all the rest; answers how much.

    What the server refuses goes on waiting and does not stop the others; the first refusal is raised when
    all were offered. Any other error is raised at once.
    """
    done, refusal = 0, None
    for waiting in outbox.waiting():
        if waiting.call == "end" and refusal is not None:
            break
        try:
            _publish(waiting, outbox, cells, artifact, end)
        except Refused as error:
            refusal = refusal or error
            continue
        waiting.remove()
        done += 1
    if refusal is not None:
        raise refusal
    return done


def _publish(
    waiting: Waiting,
    outbox: Outbox,
    cells: Callable[[Sequence[CellResult]], Published],
    artifact: Callable[[Path, str], str],
    end: Callable[[Outcome], object],
) -> None:
    if waiting.call == "cells":
        dropped = len(cells(waiting.cells()).dropped)
        if dropped:
            outbox.amend_end(lambda outcome: _with_fewer_cells(outcome, dropped))
    elif waiting.call == "artifact":
        path = artifact(waiting.file(str(waiting.content["file"])), str(waiting.content["folder"]))
        if path != (expected := waiting.content.get("path", path)):
            outbox.amend_end(lambda outcome: _with_path(outcome, expected, path))
    elif waiting.call == "end":
        end(waiting.again().outcome())  # what was published before it may have put it right
    else:
        raise DataError(f"{waiting.path} asks for {waiting.call!r}, which is nothing to publish.")


def _with_fewer_cells(outcome: Outcome, dropped: int) -> Outcome:
    """People had changed these cells before the server took them."""
    written = outcome.result.get("cells_written")
    message = f"{outcome.message} {dropped} of these cells had been changed meanwhile and were left alone."
    result = (
        {**outcome.result, "cells_written": written - dropped} if isinstance(written, int) else outcome.result
    )
    return replace(outcome, message=message, result=result)


def _with_path(outcome: Outcome, expected: str, path: str) -> Outcome:
    result = {key: path if value == expected else value for key, value in outcome.result.items()}
    return replace(outcome, result=result)


def _keep(file: Path, folder: Path, name: str) -> str:
    """A second name for a file, so that a handler that tidies up does not remove the only one."""
    target = folder / name / file.name
    target.parent.mkdir()
    try:
        os.link(file, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(file, target)
    return f"{name}/{file.name}"
