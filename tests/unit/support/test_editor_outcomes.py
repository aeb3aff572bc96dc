"""The stand-in for the editor's merge and sync against what the editor's own code made of the same input."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.editor_merge import SyncRefused, merge_notebooks, merge_trees
from tests.support.editor_sync import Clone, Phase, Sync
from tests.support.memory_repository import MemoryRepository

TABLES = Path(__file__).parents[2] / "data" / "editor_merge"


def cases(table: str) -> list:
    entries = json.loads((TABLES / f"{table}.json").read_text())["cases"]
    return [pytest.param(entry, id=entry["name"]) for entry in entries]


def files(tree: Mapping[str, Any]) -> dict[str, bytes]:
    return {path: content_bytes(content) for path, content in tree.items()}


def content_bytes(content: Any) -> bytes:
    return content.encode() if isinstance(content, str) else bytes.fromhex(content["hex"])


def comparable(tree: Mapping[str, bytes]) -> dict[str, Any]:
    """Notebooks and .json as what they say, without spaces and the order of keys; all else as bytes."""
    return {path: _parsed(path, content) for path, content in tree.items()}


def _parsed(path: str, content: bytes) -> Any:
    if not path.endswith((".codex", ".source", ".json", ".bak")):
        return content
    try:
        return json.loads(content)
    except ValueError:
        return content


@pytest.mark.parametrize("case", cases("notebooks"))
def test_a_merged_notebook_is_the_editors(case):
    ours, theirs = (json.dumps(case[side]).encode() for side in ("ours", "theirs"))
    if case["outcome"] is None:
        with pytest.raises(SyncRefused):
            merge_notebooks(ours, theirs)
    else:
        assert json.loads(merge_notebooks(ours, theirs)) == case["outcome"]


@pytest.mark.parametrize("case", cases("trees"))
def test_a_merged_tree_is_the_editors(case):
    base, ours, theirs = (files(case[side]) for side in ("base", "ours", "theirs"))
    if case["outcome"] is None:
        with pytest.raises(SyncRefused):
            merge_trees(base, ours, theirs)
    else:
        assert comparable(merge_trees(base, ours, theirs)) == comparable(files(case["outcome"]))


@pytest.mark.parametrize("case", cases("syncs"))
def test_a_sync_beside_pushes_ends_as_the_editors(case):
    remote = MemoryRepository(files(case["base"]))
    clone = Clone(remote.head(), {**remote.files(remote.head()), **files(case["typed"])})
    pushes = [(phase, content) for phase, content in case["pushes"]]

    def push_what_is_due(phase: str) -> None:
        due = next((push for push in pushes if push[0] == phase), None)
        if due:
            pushes.remove(due)
            remote.push_changes({path: text and content_bytes(text) for path, text in due[1].items()})

    push_what_is_due("START")
    sync = Sync(remote, clone)
    while sync.phase is not Phase.OVER:
        push_what_is_due(sync.phase.name)
        sync.step()
    assert pushes == []
    assert comparable(remote.files(remote.head())) == comparable(files(case["outcome"]["files"]))
    assert remote.count_merges() == case["outcome"]["merges"]
