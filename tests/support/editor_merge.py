"""What a translator's sync does to a project: a stand-in for the editor's merge, after its observed outcomes.

A user without local changes is fast-forwarded. Any other sync resolves every path that either side changed,
with all contents as text: most kinds of files keep the user's copy even where only the other side changed it,
and notebooks are merged cell by cell.
"""

import re
from collections.abc import Mapping

from tests.support.editor_json import merge_comments, merge_metadata, merge_settings
from tests.support.editor_notebooks import SyncRefused, merge_documents, merge_notebooks
from tests.support.editor_tombstones import is_content, is_meant_to_go, tombstones

__all__ = [
    "SyncRefused",
    "keep_notebooks",
    "merge_documents",
    "merge_notebooks",
    "merge_trees",
    "resolve_trees",
]

# What features that are gone have left: every merge removes it.
ORPHANS = re.compile(
    r"(^|/)(chat-threads\.json|\.project/dictionary\.sqlite|files/(project\.dictionary|chat_history\.jsonl"
    r"|ab-test-results\.jsonl|(smart_passages_memories|smart_edits|ice_edits|silver_path_memories)\.json))$"
)
NOTEBOOKS = re.compile(r"files/target/.*.codex|\.project/sourceTexts/.*.source")

Files = Mapping[str, bytes]


def merge_trees(
    base: Mapping[str, bytes | None], ours: Mapping[str, bytes | None], theirs: Mapping[str, bytes | None]
) -> dict[str, bytes]:
    """The tree that a user's sync pushes, from the user's files, the remote's, and those where they forked.

    A path that is absent or None does not exist. Raises SyncRefused.
    """
    forked, own, remote = (_existing(tree) for tree in (base, ours, theirs))
    own = keep_notebooks(forked, own)
    if own == forked:
        return remote
    if remote == forked:
        return own
    return resolve_trees(forked, own, remote)


def keep_notebooks(committed: Files, working: Files) -> dict[str, bytes]:
    """The working tree that is committed: a notebook that went without a tombstone is put back before."""
    recorded = tombstones(working.get("metadata.json"))
    return {
        **working,
        **{
            path: _text(content, strips_bom=False)
            for path, content in committed.items()
            if path not in working and is_content(path) and not is_meant_to_go(recorded, path, content)
        },
    }


def resolve_trees(base: Files, ours: Files, theirs: Files) -> dict[str, bytes]:
    """The tree of a merge commit: each path on which the three differ goes through the resolver of its kind.

    Raises SyncRefused after all of them.
    """
    recorded = tombstones(ours.get("metadata.json"), theirs.get("metadata.json"))
    merged: dict[str, bytes] = {}
    refusals = []
    for path in sorted(base.keys() | ours.keys() | theirs.keys()):
        try:
            content = _resolve(path, base.get(path), ours.get(path), theirs.get(path), recorded)
        except SyncRefused as refused:
            refusals.append(f"{path}: {refused}")
            content = ours.get(path)
        if content is not None:
            merged[path] = content
    if refusals:
        raise SyncRefused("; ".join(refusals), merged)
    return merged


def _existing(tree: Mapping[str, bytes | None]) -> dict[str, bytes]:
    return {path: content for path, content in tree.items() if content is not None}


def _resolve(
    path: str, base: bytes | None, ours: bytes | None, theirs: bytes | None, recorded: list[dict]
) -> bytes | None:
    if base == ours == theirs or (ours is None and theirs is None):
        return ours
    if base is not None and (ours is None or theirs is None):
        return _resolve_deletion(path, base, ours, theirs, recorded)
    if ORPHANS.search(path) and ours != theirs:
        return None
    if base is None and not (ours and theirs):
        return _resolve_new(ours, theirs)
    return _resolve_both(
        path, base if base is not None or ours != theirs else ours, ours or b"", theirs or b""
    )


def _resolve_deletion(
    path: str, base: bytes, ours: bytes | None, theirs: bytes | None, recorded: list[dict]
) -> bytes | None:
    if theirs is None and not base and not ours:
        raise SyncRefused("the remote deleted an empty file, and no conflict can be made of that")
    surviving = _text((ours or b"") or (theirs or b""))
    if is_content(path) and surviving and not is_meant_to_go(recorded, path, surviving):
        return surviving
    return None


def _resolve_new(ours: bytes | None, theirs: bytes | None) -> bytes:
    """A file that one side made, or both, and at least one of them without content."""
    if ours is not None and not ours:
        return _text(theirs or b"")
    if ours:
        return _text(ours, strips_bom=False)
    content = _text(theirs or b"")
    if not content:
        raise SyncRefused("the file is new and empty")
    return content


def _resolve_both(path: str, base: bytes | None, ours: bytes, theirs: bytes) -> bytes:
    """A file that both sides have. The user's is read from the disk, and keeps a byte order mark."""
    base, ours, theirs = _text(base or b""), _text(ours, strips_bom=False), _text(theirs)
    if NOTEBOOKS.search(path):
        return merge_notebooks(ours, theirs)
    if _is_named(path, ".project/comments.json"):
        return merge_comments(ours, theirs)
    if _is_named(path, "metadata.json"):
        return merge_metadata(base, ours, theirs)
    if path.endswith(".json"):
        return merge_settings(base, ours, theirs)
    return ours


def _is_named(path: str, name: str) -> bool:
    return f"/{path}".endswith(f"/{name}")


def _text(content: bytes, *, strips_bom: bool = True) -> bytes:
    """What is left of bytes that were read as text."""
    return content.decode("utf-8-sig" if strips_bom else "utf-8", errors="replace").encode()
