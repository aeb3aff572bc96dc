"""What the editor's merge makes of files of JSON that are no notebooks: settings, metadata.json, comments."""

import json
from typing import Any

from tests.support.editor_histories import merge_plain_histories

ABSENT: Any = object()
DEEPEST_OBJECT = 5


def merge_settings(base: bytes, ours: bytes, theirs: bytes) -> bytes:
    """Any .json: by key, theirs where both changed one; and whatever it is, `git.enabled` becomes false.

    Where a side cannot be read ours stays, and where ours cannot nothing of it does.
    """
    try:
        forked, own, remote = (json.loads(side or b"{}") for side in (base, ours, theirs))
    except ValueError:
        forked, own, remote = {}, _parsed_or_empty(ours), {}
    if remote == forked:
        merged = own
    elif own == forked:
        merged = remote
    else:
        sides = [
            (key, *(side.get(key, ABSENT) for side in (forked, own, remote))) for key in forked | own | remote
        ]
        merged = {key: _setting(*values) for key, *values in sides}
    return _dump(
        {**{key: value for key, value in merged.items() if value is not ABSENT}, "git.enabled": False}
    )


def merge_metadata(base: bytes, ours: bytes, theirs: bytes) -> bytes:
    """metadata.json: histories and users are united; a field is theirs where only they changed it, else ours.

    The histories do not decide what the fields are. An unreadable side: ours stays.
    """
    try:
        forked, own, remote = (json.loads(side or b"{}") for side in (base, ours, theirs))
    except ValueError:
        return ours
    merged = _merge_objects(forked, own, remote)
    merged.pop("edits", None)
    if "edits" in own:
        both = isinstance(remote.get("edits"), list)
        merged["edits"] = merge_plain_histories(own["edits"], remote["edits"]) if both else own["edits"]
    merged["meta"] = {**merged.get("meta", {}), "initiateRemoteUpdatingFor": []}
    users = _merge_users([*own.get("users", []), *remote.get("users", [])])
    return _dump({**merged, "users": users} if users else merged)


def merge_comments(ours: bytes, theirs: bytes) -> bytes:
    """Threads by id, each with the comments of both; the rest is from the side that wrote last."""
    threads = {thread["id"]: _thread(thread) for thread in json.loads(ours)}
    for thread in map(_thread, json.loads(theirs)):
        known = threads.get(thread["id"])
        threads[thread["id"]] = _merge_threads(known, thread) if known else thread
    return _dump(list(threads.values()))


def _setting(base: Any, ours: Any, theirs: Any) -> Any:
    """One key; ABSENT: it goes, as where either side removed it."""
    if base is not ABSENT and (ours is ABSENT or theirs is ABSENT):
        return ABSENT
    return ours if theirs is ABSENT or theirs == base else theirs


def _merge_objects(base: Any, ours: dict, theirs: Any, depth: int = 0) -> dict:
    sides = [side if isinstance(side, dict) else {} for side in (base, ours, theirs)]
    merged = {}
    for key in sides[0] | sides[1] | sides[2]:
        forked, own, remote = (side.get(key, ABSENT) for side in sides)
        if depth < DEEPEST_OBJECT and isinstance(own, dict) and _is_object_or_absent(forked, remote):
            merged[key] = _merge_objects(forked, own, remote, depth + 1)
        else:
            merged[key] = remote if own == forked and remote is not ABSENT else own
    return {key: value for key, value in merged.items() if value is not ABSENT}


def _is_object_or_absent(*values: Any) -> bool:
    return all(value is ABSENT or isinstance(value, dict) for value in values)


def _merge_users(entries: list[dict]) -> list[dict]:
    """One entry a user name, the one of the newest `updatedAt`."""
    merged: dict[str, dict] = {}
    for entry in entries:
        known = merged.get(entry["userName"])
        if known is None or entry.get("updatedAt", 0) > known.get("updatedAt", 0):
            merged[entry["userName"]] = entry
    return list(merged.values())


def _thread(thread: dict) -> dict:
    """The thread with the keys that are stored."""
    kept = ("id", "canReply", "cellId", "collapsibleState", "threadTitle")
    events = {key: thread.get(key) or [] for key in ("deletionEvent", "resolvedEvent")}
    return {**{key: thread[key] for key in kept if key in thread}, **events, "comments": thread["comments"]}


def _merge_threads(ours: dict, theirs: dict) -> dict:
    comments = {comment["id"]: comment for comment in ours["comments"]}
    said = {_saying(comment) for comment in ours["comments"]}
    for comment in theirs["comments"]:
        if comment["id"] not in comments and _saying(comment) not in said:
            comments[comment["id"]] = comment
            said.add(_saying(comment))
    newer = theirs if _last_comment(theirs) > _last_comment(ours) else ours
    events = {key: _merge_events(ours[key], theirs[key]) for key in ("deletionEvent", "resolvedEvent")}
    return {**newer, **events, "comments": list(comments.values())}


def _saying(comment: dict) -> tuple[str, str]:
    return comment["body"], comment["author"]["name"]


def _last_comment(thread: dict) -> float:
    return max((comment["timestamp"] for comment in thread["comments"]), default=0)


def _merge_events(ours: list[dict], theirs: list[dict]) -> list[dict]:
    events = {json.dumps(event, sort_keys=True): event for event in [*ours, *theirs]}
    return sorted(events.values(), key=lambda event: event["timestamp"])


def _parsed_or_empty(content: bytes) -> dict:
    try:
        return json.loads(content or b"{}")
    except ValueError:
        return {}


def _dump(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=4).encode()
