"""The ledger of a job's publications: one line of JSON for each cell and each file.

A line holds what it takes to do it again, under the same rules: for a cell the patch with what it expected,
and the pointer of its recording; for a file its path and its content, or the id of a longer text.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from codex_worker.codex.patch import Patch, RecordingPatch, patch_from_dict
from codex_worker.contract.guards import NOTEBOOKS
from codex_worker.contract.ids import check_repository_path
from codex_worker.contract.paths import job_folder
from codex_worker.errors import DataError, UserError
from codex_worker.git.lfs.pointer import parse_pointer
from codex_worker.git.ports import blob_id

MAX_LINES_A_PAGE = 2_000
MAX_READ_PAGE_BYTES = 200_000
MAX_INLINE_BYTES = 300  # a pointer; longer texts are named by their blob ids


@dataclass(frozen=True)
class CellLine:
    """A patch that was applied to a notebook, and the pointer of its recording."""

    notebook: str
    patch: Patch
    pointer: bytes | None = None

    @property
    def pointer_path(self) -> str | None:
        """Where its recording's pointer lies."""
        return self.patch.recording.pointer_path if isinstance(self.patch, RecordingPatch) else None


@dataclass(frozen=True)
class FileLine:
    """A file of the job's folder."""

    path: str
    oid: str  # the content's blob id
    content: bytes | None = None  # None: it lies in the record under its blob id


@dataclass(frozen=True)
class Page:
    """The lines of a page that can be used."""

    cells: Sequence[CellLine] = ()
    files: Sequence[FileLine] = ()

    @property
    def notebooks(self) -> frozenset[str]:
        """The notebooks that it has cells of."""
        return frozenset(line.notebook for line in self.cells)

    @property
    def paths(self) -> frozenset[str]:
        """The files that belong to it, pointers of recordings among them."""
        pointers = {line.pointer_path for line in self.cells if line.pointer_path}
        return frozenset(pointers | {line.path for line in self.files})


def cell_line(notebook: str, patch: Patch, pointer: bytes | None) -> str:
    """The line of a patch that was applied."""
    fields = {"notebook": notebook, "patch": patch.to_dict()}
    if pointer is not None:
        fields["pointer"] = pointer.decode()
    return _dumped(fields)


def file_line(path: str, content: bytes) -> str:
    """The line of a file that was published; `needs_copy` says whether the record has to hold its text."""
    fields = {"file": path, "blob": blob_id(content)}
    if not needs_copy(content):
        fields["content"] = content.decode()
    return _dumped(fields)


def needs_copy(content: bytes) -> bool:
    """True for a text that is too long for a line."""
    return len(content) > MAX_INLINE_BYTES


def read_page(job_id: str, data: bytes) -> Page:
    """The lines of a page. What is damaged, or not this job's to write, is left out.

    Raises DataError where the page as a whole is none.
    """
    if len(data) > MAX_READ_PAGE_BYTES or data.count(b"\n") > MAX_LINES_A_PAGE:
        raise DataError(f"A page of the ledger of job {job_id} is longer than one can be.")
    lines = []
    for text in data.split(b"\n"):
        try:
            lines.append(_line(job_id, json.loads(text)))
        except (DataError, UserError, ValueError, TypeError, KeyError, RecursionError):
            continue
    return Page(
        [line for line in lines if isinstance(line, CellLine)],
        [line for line in lines if isinstance(line, FileLine)],
    )


def _line(job_id: str, found: Any) -> CellLine | FileLine:
    if not isinstance(found, dict):
        raise DataError("A line of a ledger is an object.")
    if "file" in found:
        return _file_line(job_id, found)
    notebook = check_repository_path(str(found.get("notebook")))
    if not (notebook.startswith(NOTEBOOKS) and notebook.endswith(".codex")):
        raise DataError(f"{notebook} is no notebook.")
    patch = patch_from_dict(found.get("patch"))
    pointer = found.get("pointer")
    content = None if pointer is None else str(pointer).encode()
    if isinstance(patch, RecordingPatch) != (content is not None):
        raise DataError("A recording and its pointer belong together.")
    if content is not None and parse_pointer(content) is None:
        raise DataError("A pointer of a ledger is none.")
    return CellLine(notebook, patch, content)


def _file_line(job_id: str, found: dict[str, Any]) -> FileLine:
    path, oid = check_repository_path(str(found["file"])), str(found.get("blob"))
    parts = path.removeprefix(f"{job_folder(job_id)}/").split("/")
    if not path.startswith(f"{job_folder(job_id)}/") or parts[0] not in FOLDERS or len(parts) < 2:
        raise DataError(f"{path} is no published file of job {job_id}.")
    content = found.get("content")
    data = None if content is None else str(content).encode()
    if data is not None and blob_id(data) != oid:
        raise DataError(f"The content of {path} is not what its id says.")
    return FileLine(path, oid, data)


FOLDERS = ("checkpoint", "samples", "report")


def _dumped(fields: dict[str, Any]) -> str:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
