"""What the editor's merge makes of two versions of a notebook: cells by id, histories and takes by union."""

import json
from collections.abc import Mapping
from typing import Any

from tests.support.editor_histories import merge_histories, merge_plain_histories, migrated, newest_per_field
from tests.support.editor_order import align_reimported, insert_missing, reorder_verse_ranges
from tests.support.editor_takes import SELECTION, are_valid, merge_takes, selection
from tests.support.notebooks import dump_notebook

SET_BY_EDITS = {"cellLabel", "selectedAudioId", "selectionTimestamp", "isLocked"}  # of a cell's metadata


class SyncRefused(Exception):
    """The user cannot sync until the other side mends the file.

    left_behind: the working tree then: what could be resolved is, and the rest is the user's.
    """

    def __init__(self, message: str, left_behind: Mapping[str, bytes] | None = None) -> None:
        super().__init__(message)
        self.left_behind = left_behind or {}


def merge_notebooks(ours: bytes, theirs: bytes) -> bytes:
    """The notebook that the editor writes from the user's copy and the other one. Raises SyncRefused."""
    if not ours or not theirs:
        return ours or theirs
    return dump_notebook(merge_documents(_load(ours), _load(theirs)))


def merge_documents(ours: dict, theirs: dict) -> dict:
    """`merge_notebooks` on parsed notebooks; the result shares parts with them, and they stay as they are."""
    ours, theirs = (_independent(side) for side in (ours, theirs))
    their_cells = {_identity(cell): cell for cell in theirs["cells"] if _identity(cell)}
    merged: list[dict] = []
    shared = 0
    for cell in ours["cells"]:
        other = their_cells.pop(_identity(cell), None)
        shared += other is not None
        if _identity(cell):
            merged.append(merge_cells(cell, other) if other else cell)
    if not shared or their_cells:
        align_reimported(merged, their_cells, merge_cells, aligns_milestones=not shared)
    cells = insert_missing(merged, theirs["cells"], their_cells)
    for cell in cells:
        for edit in cell["metadata"].get("edits") or []:
            if "validatedBy" in edit:
                edit["validatedBy"] = are_valid(edit["validatedBy"])
    metadata = _merge_file_metadata(ours.get("metadata") or {}, theirs.get("metadata") or {})
    importer = metadata.get("importerType", (theirs.get("metadata") or {}).get("importerType"))
    return {**ours, "cells": reorder_verse_ranges(cells, importer), "metadata": metadata}


def merge_cells(ours: dict, theirs: dict) -> dict:
    """One cell: history and takes by union, values by the newest edit, the selection by its timestamp."""
    own, other = ours["metadata"], theirs["metadata"]
    edits = [*(own.get("edits") or []), *(other.get("edits") or [])]
    metadata = {**other, **own, "data": {**(other.get("data") or {}), **(own.get("data") or {})}}
    merged = {**theirs, **ours, "metadata": metadata}
    for field, edit in newest_per_field(edits).items():
        if field != "value" or not edit.get("preview"):
            _apply(merged, edit)
    metadata["edits"] = merge_histories(edits)
    takes = merge_takes(own.get("attachments") or {}, other.get("attachments") or {})
    decided = {**({"attachments": takes} if takes else {}), **selection(own, other)}
    metadata |= decided
    for key in ("attachments", *SELECTION):
        if key not in decided:
            metadata.pop(key, None)
    return merged


def _apply(cell: dict, edit: dict) -> None:
    """Does again what an edit did. It says so of a few fields only; edits of others are history alone."""
    target: dict | None = None
    match edit["editMap"]:
        case ["value"]:
            target = cell
        case ["metadata", field] if field in SET_BY_EDITS:
            target = cell["metadata"]
        case ["metadata", "data", _]:
            target = cell["metadata"]["data"]
    if target is not None:
        key = edit["editMap"][-1]
        target.pop(key, None) if "value" not in edit else target.update({key: edit["value"]})


def _merge_file_metadata(ours: dict, theirs: dict) -> dict:
    """The user's, with the newest edits of both, previews too."""
    own, other = ours.get("edits") or [], theirs.get("edits") or []
    metadata = dict(ours)
    for edit in newest_per_field([*own, *other], counts_previews=True).values():
        if len(edit["editMap"]) == 2 and edit["editMap"][0] == "metadata":
            metadata[edit["editMap"][1]] = edit.get("value")
    metadata["edits"] = merge_plain_histories(own, other)
    return metadata


def _load(data: bytes) -> dict:
    try:
        document = json.loads(data.decode())
    except ValueError as error:
        raise SyncRefused(f"a notebook cannot be read: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("cells"), list):
        raise SyncRefused("a notebook has no cells")
    return document


def _independent(document: dict) -> dict:
    """The notebook with cells, metadata and edits of its own, the edits in today's form."""
    return {**document, "cells": [_independent_cell(cell) for cell in document["cells"]]}


def _independent_cell(cell: dict) -> dict:
    metadata = dict(cell.get("metadata") or {})
    if isinstance(metadata.get("edits"), list):
        metadata["edits"] = [migrated(edit) for edit in metadata["edits"]]
    if isinstance(metadata.get("data"), dict):
        metadata["data"] = dict(metadata["data"])
    return {**cell, "metadata": metadata} if "metadata" in cell else dict(cell)


def _identity(cell: dict) -> Any:
    return (cell.get("metadata") or {}).get("id")
