"""Which notebooks may go: the editor deletes none without a record of the deletion in metadata.json."""

import json
import posixpath
from collections.abc import Iterator


def is_content(path: str) -> bool:
    """Whether a path is a notebook's, which no merge deletes unrecorded."""
    return (path.startswith("files/target/") and path.endswith(".codex")) or (
        path.startswith(".project/sourceTexts/") and path.endswith(".source")
    )


def tombstones(*metadata_files: bytes | None) -> list[dict]:
    """The deletions that versions of metadata.json record: filePath, maybe relPath, and timestamp."""
    return [entry for content in metadata_files for entry in _recorded(content)]


def is_meant_to_go(recorded: list[dict], path: str, content: bytes) -> bool:
    """Whether a tombstone of the path is at least as new as the last thing that happened in the notebook."""
    times = [entry["timestamp"] for entry in recorded if _is_about(entry, path)]
    return bool(times) and max(times) >= _last_event(content)


def _recorded(content: bytes | None) -> Iterator[dict]:
    document = _parsed(content or b"")
    for edit in _dicts(document.get("edits") if isinstance(document, dict) else None):
        field, value = edit.get("editMap"), edit.get("value")
        if not isinstance(value, dict):
            continue
        deleted = [value] if field == ["deletedFile"] else []
        if field == ["deletedCorpusMarker"]:
            deleted = list(_dicts(value.get("deletedFiles")))
        for file in deleted:
            if isinstance(file.get("filePath"), str) and file["filePath"]:
                yield {**file, "timestamp": _number(edit.get("timestamp"))}


def _is_about(entry: dict, path: str) -> bool:
    """A source goes with the target of its name. A record without relPath is about all of one name."""
    name = posixpath.basename(path)
    paired = name.removesuffix(".source") + ".codex" if name.endswith(".source") else None
    wanted = [path, *([f"files/target/{paired}"] if paired else [])]
    paths = [
        place.replace("\\", "/").lstrip("/")
        for place in (entry["filePath"], entry.get("relPath"))
        if isinstance(place, str) and place
    ]
    if any(f"/{place}".endswith(f"/{end}") for place in paths for end in wanted):
        return True
    return not entry.get("relPath") and any(posixpath.basename(place) in {name, paired} for place in paths)


def _last_event(content: bytes) -> float:
    """The newest time in a notebook's histories, of edits and of validations. 0: it has none."""
    document = _parsed(content)
    if not isinstance(document, dict):
        return 0
    holders = [document, *_dicts(document.get("cells"))]
    metadata = [holder["metadata"] for holder in holders if isinstance(holder.get("metadata"), dict)]
    edits = [edit for holder in metadata for edit in _dicts(holder.get("edits"))]
    validations = [entry for edit in edits for entry in _dicts(edit.get("validatedBy"))]
    times = [edit.get("timestamp") for edit in edits] + [
        entry.get("updatedTimestamp") for entry in validations
    ]
    return max((_number(time) for time in times), default=0)


def _parsed(content: bytes) -> object:
    try:
        return json.loads(content.decode("utf-8-sig", errors="replace"))
    except ValueError:
        return None


def _dicts(value: object) -> Iterator[dict]:
    yield from (entry for entry in (value if isinstance(value, list) else []) if isinstance(entry, dict))


def _number(value: object) -> float:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else 0
