"""The lists of verses in a job's manifest entry."""

from collections.abc import Mapping
from typing import Any

from codex_worker.codex.choose import Selection
from codex_worker.errors import UserError


def verse_lists(config: Mapping[str, Any], section: str) -> Selection:
    """`include_verses` and `exclude_verses` of a section ("training" or "inference") of a manifest entry.

    Raises UserError where one of them is no list.
    """
    found = config.get(section)
    lists = found if isinstance(found, Mapping) else {}
    return Selection(
        _entries(lists, section, "include_verses"),
        _entries(lists, section, "exclude_verses"),
    )


def _entries(lists: Mapping[str, Any], section: str, key: str) -> tuple[str, ...]:
    value = lists.get(key)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise UserError(f"The manifest's {section}.{key} must be a list of cell ids or verse references.")
    return tuple(str(entry) for entry in value)
