"""What the editor's merge makes of two versions of a notebook: cells by id, histories and takes by union."""

import json
import re
from collections.abc import Mapping

from tests.support.notebooks import dump_notebook

TIE_ORDER = {"migration": 3, "user-edit": 2, "initial-import": 0}  # any other type of edit: 1
SELECTION_KEYS = ("selectedAudioId", "selectionTimestamp")


class SyncRefused(Exception):
    """The user cannot sync until the other side mends the file.

    left_behind: the working tree then: what could be resolved is, and the rest is the user's.
    """

    def __init__(self, message: str, left_behind: Mapping[str, bytes] | None = None) -> None:
        super().__init__(message)
        self.left_behind = left_behind or {}


def merge_notebooks(ours: bytes, theirs: bytes) -> bytes:
    """The notebook that the editor writes from the user's copy and the other one. Raises SyncRefused."""
    return dump_notebook(merge_documents(_load_notebook(ours), _load_notebook(theirs)))


def merge_documents(ours: dict, theirs: dict) -> dict:
    """`merge_notebooks` on parsed notebooks; the result shares parts with them, and they stay as they are."""
    their_cells = _cells_by_id(theirs)
    our_cells = _cells_by_id(ours)
    merged = [
        merge_cells(cell, their_cells[identity]) if identity in their_cells else _settle(cell)
        for identity, cell in our_cells.items()
    ]
    _insert_missing(merged, our_cells, their_cells)
    metadata = dict(ours.get("metadata", {}))
    result = {**{key: value for key, value in ours.items() if key != "cells"}, "metadata": metadata}
    edits = _merge_edits(metadata.get("edits"), theirs.get("metadata", {}).get("edits"))
    if edits or "edits" in metadata:
        metadata["edits"] = edits
    for edit in _newest_per_field(edits).values():
        if len(edit["editMap"]) == 2 and edit["editMap"][0] == "metadata":
            metadata[edit["editMap"][1]] = edit["value"]
    return {"cells": merged, **result}


def merge_cells(ours: dict, theirs: dict) -> dict:
    """One cell: history and takes by union, values by the newest edit, the selection by its timestamp."""
    metadata, other = dict(ours["metadata"]), theirs["metadata"]
    metadata["edits"] = _merge_edits(metadata.get("edits"), other.get("edits"))
    for key, value in other.items():
        if key not in SELECTION_KEYS:
            metadata.setdefault(key, value)
    if isinstance(metadata.get("data"), dict) and isinstance(other.get("data"), dict):
        metadata["data"] = {
            **metadata["data"],
            **{k: v for k, v in other["data"].items() if k not in metadata["data"]},
        }
    if "attachments" in metadata or "attachments" in other:
        metadata["attachments"] = _merge_attachments(
            ours["metadata"].get("attachments") or {}, other.get("attachments") or {}
        )
    if (other.get("selectionTimestamp") or 0) > (metadata.get("selectionTimestamp") or 0):
        for key in SELECTION_KEYS:
            if key in other:
                metadata[key] = other[key]
    return _settle({**ours, "metadata": metadata})


def _load_notebook(data: bytes) -> dict:
    try:
        document = json.loads(data.decode("utf-8-sig"))
    except ValueError as error:
        raise SyncRefused(f"a notebook cannot be read: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("cells"), list):
        raise SyncRefused("a notebook has no cells")
    return document


def _cells_by_id(document: dict) -> dict[str, dict]:
    """The cells in order; one without an id is dropped, a second one of an id is folded into the first."""
    cells: dict[str, dict] = {}
    for cell in document["cells"]:
        identity = cell.get("metadata", {}).get("id") if isinstance(cell, dict) else None
        if identity:
            cells[identity] = merge_cells(cells[identity], cell) if identity in cells else cell
    return cells


def _insert_missing(merged: list[dict], ours: dict[str, dict], theirs: dict[str, dict]) -> None:
    """Cells that only the other side has, each after the cell that it follows there."""
    before = None
    for identity, cell in theirs.items():
        if identity not in ours:
            places = [place for place, known in enumerate(merged) if known["metadata"]["id"] == before]
            merged.insert(places[0] + 1 if places else 0, _settle(cell))
        before = identity


def _merge_edits(*sides: list | None) -> list[dict]:
    merged: dict[str, dict] = {}
    for edit in (entry for side in sides if isinstance(side, list) for entry in side):
        entry = _migrated(edit)
        if entry is None:
            continue
        key = json.dumps([entry.get("timestamp"), entry["editMap"], entry.get("value")])
        known = merged.setdefault(key, entry)
        known["validatedBy"] = _merge_validations(known.get("validatedBy"), entry.get("validatedBy"))
    return sorted(merged.values(), key=lambda edit: edit.get("timestamp") or 0)


def _migrated(edit: object) -> dict | None:
    """The edit in today's form; None for one that says neither what it changed nor a value of a cell."""
    if not isinstance(edit, dict):
        return None
    if isinstance(edit.get("editMap"), list):
        return dict(edit)
    if "cellValue" not in edit:
        return None
    rest = {key: value for key, value in edit.items() if key != "cellValue"}
    return {"editMap": ["value"], "value": edit["cellValue"], **rest}


def _merge_validations(*sides: list | None) -> list[dict]:
    merged: dict[str, dict] = {}
    for entry in (entry for side in sides if isinstance(side, list) for entry in side):
        if isinstance(entry, str):
            entry = {"username": entry, "creationTimestamp": 0, "updatedTimestamp": 0, "isDeleted": False}
        known = merged.get(entry["username"])
        if known is None or entry.get("updatedTimestamp", 0) > known.get("updatedTimestamp", 0):
            merged[entry["username"]] = entry
    return list(merged.values())


def _newest_per_field(edits: list[dict]) -> dict[tuple[str, ...], dict]:
    newest: dict[tuple[str, ...], dict] = {}
    for edit in edits:
        if edit.get("preview"):
            continue
        field = tuple(edit["editMap"])
        if field not in newest or _rank(edit) >= _rank(newest[field]):
            newest[field] = edit
    return newest


def _rank(edit: dict) -> tuple[float, int]:
    return edit.get("timestamp") or 0, TIE_ORDER.get(edit.get("type", ""), 1)


def _settle(cell: dict) -> dict:
    """The cell after its newest edits: what a field says is what its history says."""
    metadata = {**cell["metadata"], "edits": _merge_edits(cell["metadata"].get("edits"))}
    cell = {**cell, "metadata": metadata}
    for field, edit in _newest_per_field(metadata["edits"]).items():
        if field == ("value",):
            cell["value"] = edit["value"]
        elif field[:1] == ("metadata",) and len(field) in {2, 3} and field[-1] not in SELECTION_KEYS:
            if len(field) == 2:
                metadata[field[1]] = edit["value"]
            else:
                metadata[field[1]] = {**metadata.get(field[1], {}), field[2]: edit["value"]}
    return cell


def _merge_attachments(ours: dict, theirs: dict) -> dict:
    merged = {identity: dict(entry) for identity, entry in ours.items()}
    for identity, entry in theirs.items():
        known = merged.get(identity)
        if known is None:
            merged[identity] = dict(entry)
            continue
        newer = entry if (entry.get("updatedAt") or 0) > (known.get("updatedAt") or 0) else known
        older = known if newer is entry else entry
        merged[identity] = {**older, **newer}
        if "validatedBy" in known or "validatedBy" in entry:
            merged[identity]["validatedBy"] = _merge_validations(
                known.get("validatedBy"), entry.get("validatedBy")
            )
    for entry in merged.values():
        if isinstance(entry.get("url"), str):
            entry["url"] = _normalised_url(entry["url"])
    return merged


def _normalised_url(url: str) -> str:
    return re.sub(
        r"^\.project/attachments/(?:files/|pointers/)?", ".project/attachments/files/", url.replace("\\", "/")
    )
