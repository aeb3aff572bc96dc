"""The supervisor's answers to the child's calls. The child is not trusted: every argument is checked."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from codex_worker.codex.patch import RecordingPatch, patch_from_dict
from codex_worker.contract.ids import MAX_PATH_LENGTH, can_lie_on_disk, check_repository_path
from codex_worker.contract.paths import project_and_path
from codex_worker.errors import SystemFault, UserError
from codex_worker.job.api import CellResult, Published, Scanner
from codex_worker.retry import TAKEN_LATER, BackOff
from codex_worker.supervisor.job_folder import JobFolder
from codex_worker.supervisor.resume_saving import ResumeSaver
from codex_worker.supervisor.unpublished import Outbox, Waiting

logger = logging.getLogger(__name__)

T = TypeVar("T")

MAX_PATHS = 200_000
MAX_CELLS = 10_000
_NOT_YET = "The worker had to leave before it was published."

RepositoryPath = Annotated[str, Field(min_length=1, max_length=MAX_PATH_LENGTH)]
LocalPath = Annotated[str, Field(min_length=1, max_length=1024)]


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Nothing(_Arguments):
    pass


class _Prefix(_Arguments):
    prefix: str = Field(default="", max_length=1024)


class _Paths(_Arguments):
    paths: list[RepositoryPath] = Field(max_length=MAX_PATHS)


class _Pointers(_Arguments):
    pointer_paths: list[RepositoryPath] = Field(max_length=MAX_PATHS)


class _Path(_Arguments):
    path: RepositoryPath


class _Name(_Arguments):
    name: str = Field(max_length=200)


class _Cell(_Arguments):
    notebook: RepositoryPath
    patch: dict[str, Any]
    recording: LocalPath | None = None


class _Cells(_Arguments):
    results: list[_Cell] = Field(max_length=MAX_CELLS)


class _Artifact(_Arguments):
    file: LocalPath
    folder: Literal["checkpoint", "samples", "report"]


class _State(_Arguments):
    file: LocalPath
    epochs: float = Field(default=0.0, ge=0, allow_inf_nan=False)


class Services:
    """Answers calls, one after the other. Remembers which artifacts and cells are in the repository."""

    def __init__(
        self,
        folder: JobFolder,
        scanner: Scanner,
        outbox: Outbox,
        reading: BackOff,
        publishing: BackOff,
        resume: ResumeSaver,
    ) -> None:
        self._folder = folder
        self._scanner = scanner
        self._outbox = outbox
        self._reading = reading
        self._publishing = publishing
        self._is_taken = True  # what was published last
        self._only_keeps = False
        self._resume = resume
        self.artifacts: list[str] = []
        self.cells: set[tuple[str, str]] = set()  # notebook and id of those that were written
        self._calls: Mapping[str, tuple[type[_Arguments], Callable[[Any], Any]]] = {
            "list_files": (_Prefix, self._list_files),
            "read_files": (_Paths, self._read_files),
            "fetch_recordings": (_Pointers, self._fetch_recordings),
            "fetch_checkpoint": (_Path, self._fetch_checkpoint),
            "fetch_weights": (_Name, self._fetch_weights),
            "fetch_resume": (_Nothing, self._fetch_resume),
            "publish_cells": (_Cells, self._publish_cells),
            "publish_artifact": (_Artifact, self._publish_artifact),
            "save_resume": (_State, self._save_resume),
        }

    def only_keep(self) -> None:
        """From now on nothing is sent to a server any more: there is no time for it."""
        self._only_keeps = True

    def answer(self, call: object, arguments: object) -> Any:
        """The call's result as JSON values. Raises a WorkerError with a sentence for the child."""
        if not isinstance(call, str) or call not in self._calls:
            raise SystemFault(f"The handler called {str(call)[:60]!r}, which there is not.")
        model, method = self._calls[call]
        try:
            checked = model.model_validate(arguments)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise SystemFault(f"The handler called {call} with a wrong {where}: {first['msg']}") from error
        try:
            return method(checked)
        finally:
            self._folder.let_go()

    def _list_files(self, arguments: _Prefix) -> list[str]:
        """Without files that cannot be asked for: one bad name must not cost the whole job."""
        listed = list(self._scanner.list_files(arguments.prefix))
        bad = [path for path in listed if not can_lie_on_disk(path)]
        if bad:
            logger.warning(
                "%d files are left out because of their names; the first is %a. A name has to be UTF-8, "
                "without control characters and backslashes, at most 255 bytes and %d characters with its "
                "folders. Rename them.",
                len(bad), bad[0][:200], MAX_PATH_LENGTH,
            )  # fmt: skip
        return [path for path in listed if can_lie_on_disk(path)] if bad else listed

    def _read_files(self, arguments: _Paths) -> dict[str, str]:
        found = self._reading.insist(lambda: self._scanner.read_files(_checked(arguments.paths)))
        return {path: self._folder.relative(local) for path, local in found.items()}

    def _fetch_recordings(self, arguments: _Pointers) -> dict[str, Any]:
        """A path that cannot be one costs that recording only."""
        good = [path for path in arguments.pointer_paths if _can_be_named(path)]
        missing = dict.fromkeys(arguments.pointer_paths, "Its file has a name that no file can have.")
        for path in good:
            missing.pop(path, None)
        found = self._reading.insist(lambda: self._scanner.fetch_recordings(good))
        files = {path: self._folder.relative(local) for path, local in found.files.items()}
        return {"files": files, "missing": {**missing, **found.missing}, "absences": dict(found.absences)}

    def _fetch_checkpoint(self, arguments: _Path) -> str:
        project, inside = project_and_path(arguments.path)
        path = check_repository_path(inside)
        path = f"{project}:{path}" if project else path
        return self._folder.relative(self._reading.insist(lambda: self._scanner.fetch_checkpoint(path)))

    def _fetch_weights(self, arguments: _Name) -> dict[str, str]:
        weights = self._scanner.fetch_weights(arguments.name)
        return {"path": str(weights.path), "revision": weights.revision}

    def _fetch_resume(self, _: _Nothing) -> str | None:
        here = self._folder.spare("own-resume")
        found = self._resume.fetch(here, lambda: self._reading.insist(self._scanner.fetch_resume))
        if found == here:
            found = self._folder.bring_in(here, "fetched/own-resume")
        return None if found is None else self._folder.relative(found)

    def _publish_cells(self, arguments: _Cells) -> dict[str, Any]:
        results = [self._cell(cell) for cell in arguments.results]
        published = self._publish_or_keep(
            lambda: self._scanner.publish_cells(results),
            lambda reason: self._outbox.keep_cells(results, reason),
        )
        if isinstance(published, Waiting):
            published = Published(range(len(results)), {})
        written = [results[index] for index in published.applied]
        self.cells |= {(result.notebook, result.patch.cell_id) for result in written}
        return {
            "applied": list(published.applied),
            "dropped": {str(index): why for index, why in published.dropped.items()},
        }

    def _publish_artifact(self, arguments: _Artifact) -> str:
        file = self._folder.file(arguments.file)
        published = self._publish_or_keep(
            lambda: self._scanner.publish_artifact(file, arguments.folder),
            lambda reason: self._outbox.keep_artifact(file, arguments.folder, reason),
        )
        path = published.promised_path if isinstance(published, Waiting) else published
        self.artifacts.append(path)
        return path

    def _save_resume(self, arguments: _State) -> None:
        self._resume.save(self._folder.file(arguments.file), arguments.epochs)

    def _cell(self, cell: _Cell) -> CellResult:
        patch = patch_from_dict(cell.patch)
        if isinstance(patch, RecordingPatch) != (cell.recording is not None):
            raise SystemFault(
                f"The result for cell {patch.cell_id} and its recording do not belong together."
            )
        recording = None if cell.recording is None else self._folder.file(cell.recording)
        return CellResult(check_repository_path(cell.notebook), patch, recording)

    def _publish_or_keep(self, publish: Callable[[], T], keep: Callable[[str], Waiting]) -> T | Waiting:
        """What publishing answers; where it fails for no fault of the result, the result as it is kept.

        The child goes on in both cases: the work is done, and the rest of it may be small enough to be taken.
        A server that was away is not waited for a second time, because the GPU would wait as well. It is kept
        before it is published: the worker may have to leave at any moment.
        """
        kept = keep(_NOT_YET)
        if self._only_keeps:
            return kept
        try:
            answer = self._publishing.insist(publish) if self._is_taken else publish()
        except TAKEN_LATER as error:
            level = logging.WARNING if self._is_taken else logging.INFO
            logger.log(level, "Not published now: %s It is kept, and offered again.", error)
            self._is_taken = False
            kept.because(str(error))
            return kept
        except Exception:  # the fence, or the result itself: offering it again would change nothing
            kept.remove()
            raise
        self._is_taken = True
        kept.remove()
        return answer


def _can_be_named(path: str) -> bool:
    try:
        return len(check_repository_path(path)) <= MAX_PATH_LENGTH
    except UserError:
        return False


def _checked(paths: Sequence[str]) -> list[str]:
    return [check_repository_path(path) for path in paths]
