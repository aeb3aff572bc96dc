"""One cell of a notebook as a value: text, flags, history and recordings, read from its JSON."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from codex_worker.codex.reference import VerseReference, parse_reference, plain_spelling
from codex_worker.codex.text import plain_text
from codex_worker.contract.plain_text import plain_text as writable

MAX_ID_LENGTH = 512
MAX_VALUE_LENGTH = 100_000


@dataclass(frozen=True)
class Edit:
    """One entry of a cell's history. `field` is its editMap; a `cellValue` of older projects is a value.

    `validated_by` are the people who approved it and have not taken that back.
    """

    field: tuple[str, ...]
    value: Any
    timestamp_ms: int
    type: str
    author: str
    is_preview: bool
    validated_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Attachment:
    """One take of a cell. `url` is as written; `start_s` and `end_s` cut a part out of the file.

    `derived_from` is the take that the editor's audio tool made it of; `is_generated` is the mark that older
    workers put on theirs.
    """

    id: str
    url: str
    is_deleted: bool
    is_missing: bool
    created_at_ms: int | None
    updated_at_ms: int | None
    start_s: float | None
    end_s: float | None
    duration_s: float | None
    created_by: str = ""
    is_generated: bool = False
    derived_from: str = ""
    validated_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Names:
    """What the cells around a cell are called: see `names`. Ids are as written, all else in one spelling."""

    ids: frozenset[str] = frozenset()
    id_names: frozenset[str] = frozenset()
    shared: frozenset[str] = frozenset()  # references that more than one cell is all of
    crowded: frozenset[str] = frozenset()  # references that share a verse with another cell's


@dataclass(frozen=True)
class CellState:
    """What decides whether a result made from a cell still fits it; times are None where nothing happened."""

    value: str
    value_changed_at_ms: int | None
    selected_audio_id: str
    selection_timestamp_ms: int | None
    selection_changed_at_ms: int | None
    has_live_recording: bool


@dataclass(frozen=True)
class Cell:
    """A cell as it was read. `selected_audio_id` is "" where none is; `start_s`, `end_s` are of a film."""

    id: str
    index: int
    type: str
    value: str
    label: str
    references: tuple[VerseReference, ...]
    edits: tuple[Edit, ...]
    attachments: dict[str, Attachment]
    selected_audio_id: str
    selection_timestamp_ms: int | None
    is_locked: bool
    is_merged: bool
    is_deleted: bool
    is_hidden: bool
    parent_id: str | None
    start_s: float | None
    end_s: float | None
    among: Names = field(default=Names(), compare=False, repr=False)

    @cached_property
    def text(self) -> str:
        """The words of the cell, without markup; what no file can hold is replaced."""
        return writable(plain_text(self.value))

    @property
    def chapter(self) -> int | None:
        """The chapter that the cell's first reference names."""
        return self.references[0].chapter if self.references else None

    @property
    def is_child(self) -> bool:
        """True for a part of another cell."""
        return self.parent_id is not None or any(reference.child for reference in self.references)

    @property
    def live_attachments(self) -> tuple[Attachment, ...]:
        """The takes that nobody has deleted, whether or not one of them is selected."""
        return tuple(attachment for attachment in self.attachments.values() if not attachment.is_deleted)

    @property
    def value_changed_at_ms(self) -> int | None:
        """When the text was last changed, as far as its history says (previews were never applied)."""
        times = [edit.timestamp_ms for edit in self.edits if edit.field == ("value",) and not edit.is_preview]
        return max(times, default=None)

    @property
    def selection_changed_at_ms(self) -> int | None:
        """When a take was last selected, made or changed."""
        times = [self.selection_timestamp_ms]
        for attachment in self.attachments.values():
            times += [attachment.created_at_ms, attachment.updated_at_ms]
        return max((time for time in times if time is not None), default=None)

    @property
    def state(self) -> CellState:
        """What a patch made from this cell has to find again."""
        return CellState(
            value=self.value,
            value_changed_at_ms=self.value_changed_at_ms,
            selected_audio_id=self.selected_audio_id,
            selection_timestamp_ms=self.selection_timestamp_ms,
            selection_changed_at_ms=self.selection_changed_at_ms,
            has_live_recording=bool(self.live_attachments),
        )


def cell_id(raw: Any) -> str:
    """The id in a cell's JSON. Raises ValueError with a sentence where it has none that can be used."""
    if not isinstance(raw, dict):
        raise ValueError("it is not an object")
    metadata = raw.get("metadata")
    if not isinstance(metadata, dict):
        raise ValueError("it has no metadata")
    found = metadata.get("id")
    if not isinstance(found, str) or not found.strip():
        raise ValueError("its metadata has no id" if found is None else "its id is not a text")
    if len(found) > MAX_ID_LENGTH:
        raise ValueError(f"its id is longer than {MAX_ID_LENGTH} characters")
    return found


def read_cell(raw: Any, index: int) -> Cell:
    """The cell that this JSON is. Raises ValueError with a sentence that says why it cannot be used."""
    identity = cell_id(raw)
    if writable(identity) != identity:
        raise ValueError("its id holds characters that cannot be written")
    metadata = raw["metadata"]
    value = raw.get("value")
    if value is not None and not isinstance(value, str):
        raise ValueError("its value is not a text")
    if value and len(value) > MAX_VALUE_LENGTH:
        raise ValueError(f"its text is longer than {MAX_VALUE_LENGTH:,} characters")
    data = _object(metadata, "data")
    return Cell(
        id=identity,
        index=index,
        type=_text(metadata.get("type")),
        value=value or "",
        label=writable(" ".join(_text(metadata.get("cellLabel")).split())),
        references=tuple(_references(identity, data)),
        edits=tuple(_edits(metadata)),
        attachments={
            name: _attachment(name, entry) for name, entry in _object(metadata, "attachments").items()
        },
        selected_audio_id=_text(metadata.get("selectedAudioId")),
        selection_timestamp_ms=_time_ms(metadata.get("selectionTimestamp")),
        is_locked=metadata.get("isLocked") is True,
        is_merged=data.get("merged") is True,
        is_deleted=data.get("deleted") is True,
        is_hidden=data.get("hidden") is True,
        parent_id=_text(metadata.get("parentId")) or None,
        start_s=_number(data.get("startTime")),
        end_s=_number(data.get("endTime")),
    )


def _object(parent: dict[str, Any], key: str) -> dict[str, Any]:
    found = parent.get(key)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ValueError(f"its {key} is not an object")
    return found


def _references(identity: str, data: dict[str, Any]) -> Iterator[VerseReference]:
    listed = data.get("globalReferences")
    names = [identity] if ":" in plain_spelling(identity) else listed if isinstance(listed, list) else []
    for name in names:
        reference = parse_reference(name) if isinstance(name, str) else None
        if reference is not None:
            yield reference


def _edits(metadata: dict[str, Any]) -> Iterator[Edit]:
    listed = metadata.get("edits")
    if listed is None:
        return
    if not isinstance(listed, list):
        raise ValueError("its edits are not a list")
    for entry in listed:
        if not isinstance(entry, dict):
            continue  # the editor drops such entries when it merges
        edit_map = entry.get("editMap")
        if isinstance(edit_map, list):
            field, value = tuple(str(part) for part in edit_map), entry.get("value")
        elif "cellValue" in entry:
            field, value = ("value",), entry["cellValue"]
        else:
            continue
        yield Edit(
            field=field,
            value=value,
            timestamp_ms=_time_ms(entry.get("timestamp")) or 0,
            type=_text(entry.get("type")),
            author=_text(entry.get("author")),
            is_preview=entry.get("preview") is True,
            validated_by=_validators(entry.get("validatedBy")),
        )


def _attachment(name: str, entry: Any) -> Attachment:
    """A take; one that is no object counts as deleted, so that it costs nothing but itself."""
    fields = entry if isinstance(entry, dict) else {"isDeleted": True}
    found = fields.get("metadata")
    details = found if isinstance(found, dict) else {}
    return Attachment(
        id=name,
        url=_text(fields.get("url")),
        is_deleted=fields.get("isDeleted") is True or fields.get("type") not in (None, "audio"),
        is_missing=fields.get("isMissing") is True,
        created_at_ms=_time_ms(fields.get("createdAt")),
        updated_at_ms=_time_ms(fields.get("updatedAt")),
        start_s=_number(fields.get("startTime")),
        end_s=_number(fields.get("endTime")),
        duration_s=_number(details.get("durationSec")),
        created_by=_text(fields.get("createdBy")),
        is_generated=fields.get("isGenerated") is True,
        derived_from=_text(details.get("derivedFromAudioId")),
        validated_by=_validators(fields.get("validatedBy")),
    )


def _validators(found: Any) -> tuple[str, ...]:
    """Who approves now: the newest entry of each person counts; early projects list bare names."""
    newest: dict[str, tuple[int, bool]] = {}
    for entry in found if isinstance(found, list) else []:
        fields = {"username": entry} if isinstance(entry, str) else entry
        if not isinstance(fields, dict):
            continue
        name, time_ms = _text(fields.get("username")).strip(), _time_ms(fields.get("updatedTimestamp")) or 0
        is_deleted = fields.get("isDeleted")
        approves = is_deleted is None or is_deleted is False  # anything else is no clear yes
        if name and (name not in newest or time_ms >= newest[name][0]):
            newest[name] = time_ms, approves
    return tuple(name for name, (_, approves) in newest.items() if approves)


def _text(found: Any) -> str:
    return found if isinstance(found, str) else ""


def _number(found: Any) -> float | None:
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return float(found) if abs(found) < 1e300 and math.isfinite(found) else None


def _time_ms(found: Any) -> int | None:
    number = _number(found)
    return math.ceil(number) if number is not None and number >= 0 else None
