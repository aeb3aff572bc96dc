"""A sync of the editor beside pushes that fall into it, on an in-memory repository."""

import pytest

from tests.support.editor_merge import SyncRefused
from tests.support.editor_sync import Clone, Phase, Sync
from tests.support.memory_repository import MemoryRepository

BASE = {"a.txt": b"a", "gone.txt": b"g"}


def synced(
    before: dict[Phase, list[str]], typed: dict[str, bytes], first: tuple[str, ...] = ("n0",)
) -> tuple[MemoryRepository, Clone, Sync]:
    """A sync of a person with `typed`, and pushes of a worker, each of one new file, before its phases."""
    remote = MemoryRepository(BASE)
    clone = Clone(remote.head(), {**BASE, **typed})
    for name in first:
        remote.push_changes({name: b"w"})
    sync = Sync(remote, clone)
    waiting = {phase: list(names) for phase, names in before.items()}
    while sync.phase is not Phase.OVER:
        if waiting.get(sync.phase):
            remote.push_changes({waiting[sync.phase].pop(0): b"w"})
        sync.step()
    return remote, clone, sync


COMPLETE, RESOLVE, PUSH = Phase.FETCH_TO_COMPLETE, Phase.FETCH_TO_RESOLVE, Phase.PUSH_MERGE


@pytest.mark.parametrize(
    ("before", "arrived", "dropped"),
    [
        pytest.param({}, {"n0"}, set(), id="without a push in it a merge has everything"),
        pytest.param(
            {RESOLVE: ["w1"]}, {"n0", "w1"}, set(), id="what is pushed before the resolving is merged"
        ),
        pytest.param(
            {COMPLETE: ["w1"]}, {"n0"}, {"w1"}, id="what is pushed before the last fetch is dropped"
        ),
        pytest.param(
            {COMPLETE: ["w1"], PUSH: ["w2"]},
            {"n0", "w2"},
            {"w1"},
            id="a retry merges what refused it and keeps what was dropped away",
        ),
        pytest.param(
            {COMPLETE: ["w1", "w4"], PUSH: ["w2", "w3"]},
            {"n0", "w2", "w3"},
            {"w1", "w4"},
            id="each attempt drops what is pushed between its own fetches",
        ),
        pytest.param(
            {PUSH: ["w1", "w2", "w3"]}, {"n0", "w1", "w2", "w3"}, set(), id="three refusals are borne"
        ),
    ],
)
def test_what_a_worker_pushes_into_a_sync(before, arrived, dropped):
    remote, clone, sync = synced(before, {"mine": b"m"})
    files = remote.files(remote.head())
    assert remote.head() == clone.head == sync.pushed
    assert {*BASE, "mine", *arrived} == set(files)
    assert not dropped & set(files)


def test_a_removal_and_a_change_between_the_last_fetches_are_undone():
    remote = MemoryRepository(BASE)
    clone = Clone(remote.head(), {**BASE, "mine": b"m"})
    remote.push_changes({"n0": b"w"})
    sync = Sync(remote, clone)
    while sync.phase is not COMPLETE:
        sync.step()
    remote.push_changes({"gone.txt": None, "a.txt": b"changed"})
    sync.finish()
    assert remote.files(remote.head()) == {**BASE, "mine": b"m", "n0": b"w"}


def test_the_merge_has_the_users_commit_and_the_last_fetched_head_as_parents():
    remote, _, sync = synced({COMPLETE: ["w1"]}, {"mine": b"m"})
    first, second = remote.parents(remote.head())
    assert first == sync.own[0]
    assert "w1" in remote.files(second)
    assert len(remote.parents(sync.own[0])) == 1


def test_a_retry_stands_on_the_refused_merge():
    remote, _, sync = synced({COMPLETE: ["w1"], PUSH: ["w2"]}, {"mine": b"m"})
    refused, pushed = sync.merges
    assert remote.parents(pushed)[0] == refused
    assert len(sync.own) == 1


def test_after_four_refusals_the_sync_gives_up_and_keeps_its_merge():
    remote, clone, sync = synced({PUSH: ["w1", "w2", "w3", "w4"]}, {"mine": b"m"})
    assert sync.pushed is None
    assert clone.head == sync.merges[-1] != remote.head()
    assert Sync(remote, clone).finish() == remote.head()
    assert {"mine", "w4"} <= set(remote.files(remote.head()))


@pytest.mark.parametrize("refusals", [0, 1, 2])
def test_a_user_without_changes_is_fast_forwarded(refusals):
    later = [f"late{number}" for number in range(refusals)]
    remote, clone, sync = synced({Phase.PUSH_OWN: later}, {})
    assert (clone.head, sync.merges, sync.own) == (remote.head(), [], [])


def test_a_user_without_changes_merges_after_three_refusals_with_an_ancestor_as_first_parent():
    remote, _, sync = synced({Phase.PUSH_OWN: ["w1", "w2", "w3"], COMPLETE: ["w4"]}, {})
    first, second = remote.parents(sync.merges[0])
    assert remote.parents(remote.parents(second)[0]) == (first,)
    assert "w3" in remote.files(remote.head())
    assert "w4" not in remote.files(remote.head())


def test_what_is_typed_while_it_fetches_is_in_the_merge_and_in_no_ordinary_commit():
    remote = MemoryRepository(BASE)
    clone = Clone(remote.head(), {**BASE, "mine": b"m"})
    remote.push_changes({"n0": b"w"})
    sync = Sync(remote, clone)
    sync.step()
    clone.files = {**clone.files, "a.txt": b"typed"}
    sync.finish()
    assert remote.files(sync.own[0])["a.txt"] == b"a"
    assert remote.files(remote.head())["a.txt"] == b"typed"


def test_a_failed_merge_is_committed_as_the_users_own_by_the_next_sync():
    remote = MemoryRepository(BASE)
    clone = Clone(remote.head(), {**BASE, "mine": b"m"})
    remote.push_changes({"gone.txt": None, "new": b"w", "empty": b""})
    with pytest.raises(SyncRefused, match="new and empty"):
        Sync(remote, clone).finish()
    remote.push_changes({"empty": b"mended"})
    later = Sync(remote, clone)
    later.finish()
    assert len(remote.parents(later.own[0])) == 1
    assert "gone.txt" not in remote.files(later.own[0])
    assert remote.files(later.own[0])["new"] == b"w"
