"""Results as patches to single cells, applied to a notebook as it is at the head of the branch.

A patch remembers what its cell was when it was read. Where a person has changed the text or the selection
since, the patch is dropped and reported. An edit and a selection carry the time of the newest event known of
that field plus 1 ms, never the time of writing: whoever changed the cell without our knowing, however late
that is synced, is newer than we. When a recording was made is no such time: its entry says it truly.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from codex_worker.codex.alike import folded
from codex_worker.codex.attachments import NewRecording
from codex_worker.codex.cell import MAX_ID_LENGTH, Cell, CellState, read_cell
from codex_worker.codex.json_spans import members, scan
from codex_worker.codex.left_alone import skip_reason
from codex_worker.codex.locate import FoundCell, locate
from codex_worker.codex.notebook import document_name
from codex_worker.codex.splice import Style, append_elements, set_member, style_of
from codex_worker.codex.text import html_escape
from codex_worker.errors import DataError

MAX_TEXT_LENGTH = 20_000  # stays far below the limit of a cell's value after escaping
_T = TypeVar("_T")
_MAX_TIME_MS = 2**53 - 2  # above it JavaScript cannot tell one millisecond from the next


@dataclass(frozen=True)
class TextPatch:
    """A transcription: plain text for a cell, and what the cell was when its recording was read."""

    cell_id: str
    read: CellState
    text: str
    author: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "kind": "text",
            "cell_id": self.cell_id,
            "read": dict(vars(self.read)),
            "text": self.text,
            "author": self.author,
        }


@dataclass(frozen=True)
class RecordingPatch:
    """A new recording for a cell, to be selected, and what the cell was when its text was read."""

    cell_id: str
    read: CellState
    recording: NewRecording

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "kind": "recording",
            "cell_id": self.cell_id,
            "read": dict(vars(self.read)),
            "recording": dict(vars(self.recording)),
        }


Patch = TextPatch | RecordingPatch


@dataclass(frozen=True)
class Applied:
    """A notebook after patching: what was written, what was there already, what was dropped, and why."""

    data: bytes
    applied: tuple[Patch, ...]
    unchanged: tuple[tuple[Patch, str], ...]
    dropped: tuple[tuple[Patch, str], ...]


def patch_from_dict(found: Any) -> Patch:
    """The patch that `to_dict` wrote. It may come from a process that is not trusted: raises DataError."""
    fields = _Fields(found, "a patch")
    read = _Fields(fields.get("read", dict), "the state in a patch")
    state = CellState(
        value=read.get("value", str),
        value_changed_at_ms=read.optional("value_changed_at_ms", int),
        selected_audio_id=read.get("selected_audio_id", str),
        selection_timestamp_ms=read.optional("selection_timestamp_ms", int),
        selection_changed_at_ms=read.optional("selection_changed_at_ms", int),
        has_live_recording=read.get("has_live_recording", bool),
    )
    cell_id = fields.get("cell_id", str)
    if not 0 < len(cell_id) <= MAX_ID_LENGTH:
        raise DataError(f"A patch needs the id of a cell, of at most {MAX_ID_LENGTH} characters.")
    if fields.get("kind", str) == "text":
        text, author = fields.get("text", str), fields.get("author", str)
        if len(text) > MAX_TEXT_LENGTH or len(author) > 200 or not author.isprintable():
            raise DataError(
                f"The text or the author in the patch of cell {cell_id} is too long or not printable."
            )
        return TextPatch(cell_id, state, text, author)
    entry = _Fields(fields.get("recording", dict), "the recording in a patch")
    recording = NewRecording(
        attachment_id=entry.get("attachment_id", str),
        document=entry.get("document", str),
        extension=entry.get("extension", str),
        created_by=entry.get("created_by", str),
        mime_type=entry.get("mime_type", str),
        size_bytes=entry.get("size_bytes", int),
        sample_rate=entry.get("sample_rate", int),
        channels=entry.get("channels", int),
        duration_s=entry.get("duration_s", float),
        bitrate_kbps=entry.optional("bitrate_kbps", float),
    )
    return RecordingPatch(cell_id, state, recording)


def apply_patches(
    data: bytes, path: str, patches: Iterable[Patch], may_replace: Callable[[Cell], bool] = lambda cell: True
) -> Applied:
    """Applies patches by cell id; every byte outside of the patched values stays. Raises DataError.

    `may_replace` says whether a cell's text or live recording may give way: whether a person asked for
    that very cell. Applying a patch again changes nothing: who crashed after writing may simply retry.
    """
    patches = tuple(patches)
    located = locate(data, path, {patch.cell_id for patch in patches})
    only_ascii = data.isascii() and b"\\u" in data
    texts: dict[str, str] = {}
    applied: list[Patch] = []
    unchanged: list[tuple[Patch, str]] = []
    dropped: list[tuple[Patch, str]] = []
    for patch in patches:
        found = located.cells.get(patch.cell_id)
        if found is None:
            dropped.append((patch, "the cell is no longer in the notebook"))
            continue
        text = texts.get(patch.cell_id, found.text)
        try:
            cell = read_cell(scan(text, 0).value, 0)
        except ValueError as error:
            dropped.append((patch, f"the cell cannot be read: {error}"))
            continue
        present = _presence(cell, patch, located.created_at_ms)
        if present:
            unchanged.append((patch, present))
            continue
        refusal = _refusal(cell, patch, document_name(path), may_replace)
        if refusal:
            dropped.append((patch, refusal))
            continue
        texts[patch.cell_id] = _write(text, cell, patch, located.created_at_ms, only_ascii)
        applied.append(patch)
    patched = _spliced(data, [(located.cells[identity], texts[identity]) for identity in texts])
    return Applied(patched, tuple(applied), tuple(unchanged), tuple(dropped))


def value_time_ms(state: CellState, created_at_ms: int | None) -> int:
    """The time of an edit of ours: 1 ms after the newest of the value, else of the notebook's creation."""
    return (state.value_changed_at_ms if state.value_changed_at_ms is not None else created_at_ms or 1) + 1


def selection_time_ms(state: CellState, created_at_ms: int | None) -> int:
    """The time of a selection of ours: 1 ms after the selection that was read.

    Only where there is none do the recordings' own times count: a take that somebody deleted later must
    not make ours newer than a selection that a person made offline before that.
    """
    for known in (state.selection_timestamp_ms, state.selection_changed_at_ms, created_at_ms):
        if known is not None:
            return known + 1
    return 1


def _presence(cell: Cell, patch: Patch, created_at_ms: int | None) -> str | None:
    """Why there is nothing to write, or None."""
    if isinstance(patch, RecordingPatch):
        return "it was applied before" if patch.recording.attachment_id in cell.attachments else None
    value, time_ms = html_escape(patch.text), value_time_ms(patch.read, created_at_ms)
    ours = (("value",), value, time_ms, patch.author)
    if any((edit.field, edit.value, edit.timestamp_ms, edit.author) == ours for edit in cell.edits):
        return "it was applied before"
    return "the cell says the same already" if value and cell.value == value else None


def _refusal(cell: Cell, patch: Patch, document: str, may_replace: Callable[[Cell], bool]) -> str | None:
    """Why the patch may not be applied to the cell as it is now, or None."""
    now, read = cell.state, patch.read
    reason = skip_reason(cell)
    if reason:
        return f"the cell is left alone: {reason}"
    if cell.value != read.value:
        return "the text was changed since it was read"
    if (now.selected_audio_id, now.selection_timestamp_ms) != (
        read.selected_audio_id,
        read.selection_timestamp_ms,
    ):
        return "another recording was selected since the cell was read"
    if isinstance(patch, TextPatch):
        if not html_escape(patch.text):
            return "no words were recognised"
        if now.value_changed_at_ms != read.value_changed_at_ms:
            return "the text was edited since it was read"
        selected = cell.attachments.get(cell.selected_audio_id)
        if selected is not None and selected.is_deleted:
            return "the recording was deleted"
        replaces, time_ms = bool(cell.text), now.value_changed_at_ms
    else:
        if folded(patch.recording.document) != folded(document):
            return f"the recording belongs to {patch.recording.document}, not to {document}"
        if now != CellState(**{**vars(read), "value_changed_at_ms": now.value_changed_at_ms}):
            return "the recordings of the cell were changed since it was read"
        replaces, time_ms = now.has_live_recording, now.selection_changed_at_ms
    if replaces and not may_replace(cell):
        return "the cell has content, and nobody asked for this cell by name"
    if (time_ms or 0) > _MAX_TIME_MS:
        return "the cell's history lies too far in the future for any edit to be newer"
    return None


def _write(text: str, cell: Cell, patch: Patch, created_at_ms: int | None, only_ascii: bool) -> str:
    style = style_of(text, 0, only_ascii)
    if isinstance(patch, RecordingPatch):
        return _write_recording(text, patch, selection_time_ms(cell.state, created_at_ms), style)
    return _write_text(text, cell, patch, value_time_ms(cell.state, created_at_ms), style)


def _write_text(text: str, cell: Cell, patch: TextPatch, time_ms: int, style: Style) -> str:
    value = html_escape(patch.text)
    entries = [_edit(value, time_ms, "llm-generation", patch.author)]
    if cell.text and not any(edit.field == ("value",) for edit in cell.edits):
        entries.insert(0, _edit(cell.value, time_ms - 1, "initial-import", patch.author))
    text = set_member(text, 0, "value", value, style)
    metadata = members(text, 0)["metadata"]
    history = members(text, metadata.start).get("edits")
    if history is None or not isinstance(history.value, list):
        return set_member(text, metadata.start, "edits", entries, style)
    return append_elements(text, history.start, entries, style)


def _write_recording(text: str, patch: RecordingPatch, time_ms: int, style: Style) -> str:
    identity, entry = patch.recording.attachment_id, patch.recording.entry()
    start = members(text, 0)["metadata"].start
    takes = members(text, start).get("attachments")
    if takes is None or not isinstance(takes.value, dict):
        text = set_member(text, start, "attachments", {identity: entry}, style)
    else:
        text = set_member(text, takes.start, identity, entry, style)
    text = set_member(text, start, "selectedAudioId", identity, style)
    return set_member(text, start, "selectionTimestamp", time_ms, style)


def _edit(value: str, time_ms: int, edit_type: str, author: str) -> dict[str, Any]:
    return {
        "editMap": ["value"],
        "value": value,
        "timestamp": time_ms,
        "type": edit_type,
        "author": author,
        "validatedBy": [],
    }


def _spliced(data: bytes, changes: list[tuple[FoundCell, str]]) -> bytes:
    pieces: list[bytes] = []
    at = 0
    for found, text in sorted(changes, key=lambda change: change[0].start):
        pieces += [data[at : found.start], text.encode("utf-8")]
        at = found.end
    return b"".join([*pieces, data[at:]])


class _Fields:
    """An object that crossed the pipe, read with the types it has to have."""

    def __init__(self, found: Any, name: str) -> None:
        if not isinstance(found, dict):
            raise DataError(f"{name} is not an object.")
        self._found, self._name = found, name

    def get(self, key: str, kind: type[_T]) -> _T:
        value = self._found.get(key)
        if kind is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53:
            value = float(value)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise DataError(f"{key} in {self._name} has to be of type {kind.__name__}.")
        return value

    def optional(self, key: str, kind: type[_T]) -> _T | None:
        return None if self._found.get(key) is None else self.get(key, kind)
