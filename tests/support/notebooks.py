"""Small notebooks for tests, written as the editor writes them. All content is invented."""

import json
import re
from typing import Any

CREATED_AT_MS = 1767225600000  # 2026-01-01T00:00:00Z
CREATED_AT = "2026-01-01T00:00:00.000Z"
PATH = "files/target/MRK.codex"


def value_edit(
    value: str, timestamp: object, edit_type: str = "user-edit", author: str = "maria", **more: object
) -> dict:
    return {
        "editMap": ["value"],
        "value": value,
        "timestamp": timestamp,
        "type": edit_type,
        "author": author,
        "validatedBy": [],
        **more,
    }


def flag_edit(field: list[str], value: object, timestamp: object) -> dict:
    return {**value_edit("", timestamp), "editMap": field, "value": value}


def validation(user: str, time_ms: int) -> dict:
    """A person's approval of an edit or a recording."""
    return {"username": user, "creationTimestamp": time_ms, "updatedTimestamp": time_ms, "isDeleted": False}


def take(name: str, timestamp: float, document: str = "MRK", **more: object) -> dict:
    """An attachment entry of a recording `name` made at `timestamp`."""
    return {
        "url": f".project/attachments/files/{document}/{name}.wav",
        "type": "audio",
        "createdAt": timestamp,
        "updatedAt": timestamp,
        "isDeleted": False,
        "createdBy": "maria",
        "metadata": {"mimeType": "audio/wav", "durationSec": 0.5},
        **more,
    }


def cell(identity: str, value: str = "", *, data: dict | None = None, edits: tuple = (), **more: Any) -> dict:
    """A cell; `more` goes into its metadata."""
    metadata = {"id": identity, "type": "text", "edits": list(edits), "data": data or {}, **more}
    return {"kind": 2, "languageId": "html", "value": value, "metadata": metadata}


def recorded_cell(identity: str, value: str = "", **more: Any) -> dict:
    """A cell with one selected take."""
    name = f"audio-{CREATED_AT_MS + 500}-aaaaaaaaa"
    attachments = {name: take(name, CREATED_AT_MS + 500)}
    return cell(
        identity,
        value,
        attachments=attachments,
        selectedAudioId=name,
        selectionTimestamp=CREATED_AT_MS + 500,
        **more,
    )


def written_cell(identity: str, value: str, **more: Any) -> dict:
    """A cell whose text a person typed."""
    return cell(identity, value, edits=(value_edit(value, CREATED_AT_MS + 100),), **more)


def notebook(*cells: object, **metadata: object) -> bytes:
    """A notebook in the editor's own layout."""
    document = {
        "cells": list(cells),
        "metadata": {"id": "MRK", "edits": [], "sourceCreatedAt": CREATED_AT, **metadata},
    }
    return dump_notebook(document)


def dump_notebook(document: dict) -> bytes:
    """A notebook as the editor writes it: two spaces, raw UTF-8, one final newline."""
    text = json.dumps(document, ensure_ascii=False, indent=2) + "\n"
    return re.sub("[\ud800-\udfff]", lambda match: f"\\u{ord(match[0]):04x}", text).encode()
