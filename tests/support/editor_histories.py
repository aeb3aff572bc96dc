"""What the editor's merge makes of two histories: each edit once, and of each field the edit that counts."""

import json
from functools import cmp_to_key

from tests.support.editor_takes import merge_edit_validations

TIE_ORDER = {"migration": 0, "user-edit": 1, "initial-import": 3}  # of one time the first counts; others: 2


def migrated(edit: dict) -> dict:
    """The edit in today's form."""
    if "cellValue" not in edit or edit.get("editMap"):
        return dict(edit)
    rest = {key: value for key, value in edit.items() if key != "cellValue"}
    return {**rest, "value": edit["cellValue"], "editMap": ["value"]}


def newest_per_field(edits: list[dict], *, counts_previews: bool = False) -> dict[str, dict]:
    """The edit that counts, by field (its editMap with dots).

    That is the newest one that is no preview, or the newest preview where all of a field's are; of one time
    and type the first one, ours.
    """
    by_field: dict[str, list[dict]] = {}
    for edit in by_time(edits):
        if isinstance(edit.get("editMap"), list):
            by_field.setdefault(".".join(edit["editMap"]), []).append(edit)
    newest = {}
    for field, entries in by_field.items():
        entries.sort(key=lambda edit: (-(edit.get("timestamp") or 0), TIE_ORDER.get(edit.get("type", ""), 2)))
        kept = [edit for edit in entries if counts_previews or not edit.get("preview")]
        newest[field] = (kept or entries)[0]
    return newest


def merge_histories(edits: list[dict]) -> list[dict]:
    """A cell's edits: each once, with the validations of all its copies; one without editMap is dropped."""
    merged: dict[str, dict] = {}
    for edit in by_time(edits):
        if not isinstance(edit.get("editMap"), list):
            continue
        known = merged.setdefault(_key(edit, _as_text(edit.get("value", ...))), edit)
        if known is not edit:
            known["validatedBy"] = merge_edit_validations(
                known.get("validatedBy") or [], edit.get("validatedBy") or []
            )
    return by_time(list(merged.values()))


def merge_plain_histories(ours: list[dict], theirs: list[dict]) -> list[dict]:
    """The edits of a project or of a notebook as a whole, each once."""
    merged: dict[str, dict] = {}
    for edit in [*ours, *theirs]:
        if isinstance(edit.get("editMap"), list):
            value = edit.get("value", ...)
            text = _json(value) if isinstance(value, dict | list) else _as_text(value)
            merged.setdefault(_key(edit, text), edit)
    return by_time(list(merged.values()))


def by_time(edits: list[dict]) -> list[dict]:
    """In the order of their times. One without a time is taken for as old as whatever it is compared with."""

    def compare(one: dict, other: dict) -> int:
        first, second = one.get("timestamp"), other.get("timestamp")
        return 0 if first is None or second is None else (first > second) - (first < second)

    return sorted(edits, key=cmp_to_key(compare))


def _key(edit: dict, value: str) -> str:
    return f"{edit.get('timestamp')}:{'.'.join(edit['editMap'])}:{value}"


def _as_text(value: object) -> str:
    """A value as a script's template writes it: all objects alike, a number like its digits."""
    if isinstance(value, dict):
        return "[object Object]"
    if isinstance(value, list):
        return ",".join("" if entry is None else _as_text(entry) for entry in value)
    if isinstance(value, str):
        return value
    return "undefined" if value is ... else _json(value)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
