"""Codex notebooks as the editor writes them: cells, their edits, their recordings, and the file's form."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

CREATED_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
HOUR_MS = 3_600_000
SOURCE_DATA = ("originalText", "globalReferences", "startTime", "endTime")
SOURCE_PLACES = ("cellLabel", "chapterNumber")
MIME_TYPES = {
    "webm": "audio/webm",
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "m4a": "audio/mp4",
    "ogg": "audio/ogg",
}


@dataclass(frozen=True)
class Take:
    """One recording of a cell: its attachment, and its sound."""

    attachment_id: str
    content: bytes
    extension: str
    duration_s: float
    sample_rate: int
    recorded_ms: int

    @property
    def file_name(self) -> str:
        """The editor finds a file's cell by its name, so it is the attachment's id."""
        return f"{self.attachment_id}.{self.extension}"


@dataclass
class Notebook:
    """A document of the project: the translation, and the text it is translated from."""

    path: str
    """Below ``files/target``, without ``.codex``."""
    metadata: Json
    final_newline: bool = True
    cells: list[Json] = field(default_factory=list)
    source_cells: list[Json] = field(default_factory=list)
    takes: list[Take] = field(default_factory=list)
    awaiting_upload: list[Take] = field(default_factory=list)
    """Takes whose bytes never reached the server: git holds an empty file."""

    recorded: dict[str, str] = field(default_factory=dict)
    """Cells with text and a usable recording, by id, and the words said in it."""
    unheard: dict[str, str] = field(default_factory=dict)
    """Cells with a recording and no text, by id, and the words said in it."""
    text_only: list[str] = field(default_factory=list)
    """Ids of cells with text and without a recording."""
    unusable: list[str] = field(default_factory=list)
    """Ids of cells with text and a recording that is deselected, or was never sent."""
    skipped: list[str] = field(default_factory=list)
    """Ids of cells that a worker neither learns from nor writes to."""

    @property
    def document(self) -> str:
        """The folder of the recordings."""
        return self.path.rsplit("/", maxsplit=1)[-1]

    def url(self, take: Take) -> str:
        """Where the editor says that a take lies."""
        return f".project/attachments/files/{self.document}/{take.file_name}"

    def add(self, new_cell: Json) -> None:
        """Append a cell."""
        self.cells.append(new_cell)

    def add_with_source(self, new_cell: Json) -> None:
        """Append a cell, and the cell it is translated from."""
        self.add(new_cell)
        metadata = new_cell["metadata"]
        data = {key: metadata["data"][key] for key in SOURCE_DATA if key in metadata["data"]}
        places = {key: metadata[key] for key in SOURCE_PLACES if key in metadata}
        text = data.get("originalText") or f"(sumber {metadata['id']})"
        self.source_cells.append(cell(metadata["id"], text, metadata["type"], data=data, **places))

    def render(self) -> str:
        """The ``.codex`` file."""
        return render(self.cells, self.metadata) + ("\n" if self.final_newline else "")

    def render_source(self) -> str:
        """The ``.source`` file."""
        return render(self.source_cells, self.metadata) + "\n"


def render(cells: list[Json], metadata: Json) -> str:
    """JSON as JavaScript writes it: two spaces, letters unescaped, cells before metadata."""
    return json.dumps({"cells": cells, "metadata": metadata}, ensure_ascii=False, indent=2)


def notebook_metadata(book: str, title: str, **extra: Any) -> Json:
    """The metadata of a document."""
    return {
        "textDirection": "ltr",
        "videoUrl": "",
        "lineNumbersEnabled": True,
        "lineNumbersEnabledSource": "global",
        "edits": [],
        "id": book,
        "originalName": book,
        "sourceFsPath": "",
        "codexFsPath": "",
        "navigation": [],
        "sourceCreatedAt": "2026-01-01T00:00:00.000Z",
        "corpusMarker": "NT",
        "fileDisplayName": title,
        **extra,
    }


def cell(
    cell_id: str,
    value: str,
    cell_type: str = "text",
    *,
    data: Json | None = None,
    edits: tuple[Json, ...] = (),
    **extra: Any,
) -> Json:
    """One cell; ``extra`` goes to the end of its metadata."""
    metadata: Json = {"id": cell_id, "type": cell_type, "edits": list(edits), "data": data or {}, **extra}
    return {"kind": 2, "languageId": "html", "value": value, "metadata": metadata}


def value_edit(
    value: str,
    age_ms: int,
    *,
    edit_type: str = "user-edit",
    validated_by: tuple[str, ...] = (),
) -> Json:
    """The entry of a change of the text, made ``age_ms`` before the project's time."""
    timestamp = CREATED_MS - age_ms
    return {
        "editMap": ["value"],
        "value": value,
        "timestamp": timestamp,
        "type": edit_type,
        "author": "maria",
        "validatedBy": [validation(user, timestamp) for user in validated_by],
    }


def placed(reference: str, *, label: str, chapter: str | None = None, **flags: bool) -> Json:
    """What newer cells say of their place, as arguments of ``cell``."""
    data = {"originalText": f"(sumber {reference})", "globalReferences": [reference], **flags}
    return {"data": data, "cellLabel": label} | ({"chapterNumber": chapter} if chapter else {})


def typed(
    cell_id: str,
    value: str,
    *,
    edit_type: str = "user-edit",
    validated_by: tuple[str, ...] = (),
    **metadata: Any,
) -> Json:
    """A cell with text, and the edit that put it there."""
    edit = value_edit(value, 2 * HOUR_MS, edit_type=edit_type, validated_by=validated_by)
    return cell(cell_id, value, edits=(edit,), **metadata)


def validation(user: str, timestamp_ms: int) -> Json:
    """A person's approval of an edit or a recording."""
    return {
        "username": user,
        "creationTimestamp": timestamp_ms,
        "updatedTimestamp": timestamp_ms,
        "isDeleted": False,
    }


def attachment(take: Take, url: str, **changed: Any) -> Json:
    """A recording as its cell lists it."""
    return {
        "url": url,
        "type": "audio",
        "createdAt": take.recorded_ms,
        "updatedAt": take.recorded_ms,
        "isDeleted": False,
        "createdBy": "maria",
        "metadata": {
            "mimeType": MIME_TYPES[take.extension],
            "sizeBytes": len(take.content),
            "sampleRate": take.sample_rate,
            "channels": 1,
            "durationSec": take.duration_s,
        },
        **changed,
    }


def selecting(take: Take, url: str, **changed: Any) -> Json:
    """The metadata of a cell with one recording, selected."""
    return {
        "attachments": {take.attachment_id: attachment(take, url, **changed)},
        "selectedAudioId": take.attachment_id,
        "selectionTimestamp": take.recorded_ms,
    }


def stable_uuid(old_id: str) -> str:
    """The id that the editor gives to a cell that was called ``old_id``."""
    digest = hashlib.sha256(old_id.encode()).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"
