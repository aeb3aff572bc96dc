"""Which language a project translates into: from `metadata.json`, as the editor writes it."""

import json
from typing import Any

METADATA = "metadata.json"


def target_languages(data: bytes) -> tuple[str, ...]:
    """The tags of the languages that are translated into (`tur`, `az-Latn`), as far as the file tells."""
    try:
        metadata = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return ()
    listed = metadata.get("languages") if isinstance(metadata, dict) else None
    targets = (entry for entry in listed if _is_target(entry)) if isinstance(listed, list) else ()
    return tuple(entry["tag"] for entry in targets if isinstance(entry.get("tag"), str) and entry["tag"])


def _is_target(entry: Any) -> bool:
    return isinstance(entry, dict) and entry.get("projectStatus") == "target"
