"""The ledger of a job's publications: one line of JSON for each cell and each file.

A line holds what it takes to do it again, under the same rules: for a cell the patch with what it expected,
and the pointer of its recording; for a file its path and its content, or the id of a longer text.
"""

import json
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from codex_worker.codex.patch import Patch, RecordingPatch, patch_from_dict
from codex_worker.contract.guards import NOTEBOOKS, check_change
from codex_worker.contract.ids import check_repository_path
from codex_worker.contract.paths import job_folder, metrics_path
from codex_worker.errors import DataError, SystemFault, UserError
from codex_worker.git.ports import blob_id

logger = logging.getLogger(__name__)

MAX_LINES_A_PAGE = 2_000
MAX_READ_PAGE_BYTES = 200_000
MAX_INLINE_BYTES = 300  # a pointer; longer texts are named by their blob ids
FOLDERS = ("checkpoint", "samples", "report")

_OID = re.compile(r"[0-9a-f]{40}")
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")


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
    unusable = 0
    for text in filter(None, data.split(b"\n")):
        try:
            lines.append(_line(job_id, json.loads(text)))
        except (DataError, UserError, ValueError, TypeError, KeyError, RecursionError):
            unusable += 1  # whoever made it, the other lines of the page are good
    if unusable:
        logger.warning("%d lines in the ledger of job %s cannot be used and are left out.", unusable, job_id)
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
    line = CellLine(notebook, patch, content)
    if line.pointer_path and content is not None:
        _check_writable(job_id, line.pointer_path, content)
    return line


def _file_line(job_id: str, found: dict[str, Any]) -> FileLine:
    path, oid = check_repository_path(str(found["file"])), str(found.get("blob"))
    folder, _, name = path.removeprefix(f"{job_folder(job_id)}/").partition("/")
    is_below = path.startswith(f"{job_folder(job_id)}/") and folder in FOLDERS and name
    if not is_below or "/" in name or path == metrics_path(job_id):
        raise DataError(f"{path} is no published file of job {job_id}.")
    path.encode()  # half a character, which no file's name can hold, is a ValueError
    if not _OID.fullmatch(oid):
        raise DataError(f"The id of {path} is none.")
    content = found.get("content")
    data = None if content is None else str(content).encode()
    line = FileLine(path, oid, data)
    if data is not None:
        check_content(job_id, line, data)
    return line


def check_content(job_id: str, line: FileLine, content: bytes) -> None:
    """Raises DataError where a file's content is not the one that was published, or none that may be."""
    if blob_id(content) != line.oid:
        raise DataError(f"The content of {line.path} is not what its id says.")
    _check_writable(job_id, line.path, content)


def _check_writable(job_id: str, path: str, content: bytes) -> None:
    try:
        check_change(job_id, {path: content}, lambda path: False)
    except SystemFault as fault:
        raise DataError(str(fault)) from fault


def _dumped(fields: dict[str, Any]) -> str:
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    # The editor's cells can hold half a character, of which no UTF-8 can be made.
    return _HALF_CHARACTER.sub(lambda half: f"\\u{ord(half[0]):04x}", text)
