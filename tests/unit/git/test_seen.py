"""What a worker knows of a server's refs without asking again."""

import pytest

from codex_worker.git.ports import Heads, RefMove
from codex_worker.git.seen import SeenHeads

BRANCH, LEASE, RECORD = "refs/heads/main", "refs/gpu-jobs/one", "refs/gpu-records/one"
BEFORE = Heads(BRANCH, "1", {LEASE: "a"}, {RECORD: "r"})


def seen() -> SeenHeads:
    heads = SeenHeads()
    heads.saw(heads.begin(), BEFORE)
    return heads


@pytest.mark.parametrize(
    ("moves", "after"),
    [
        ([RefMove(BRANCH, "1", "2", fast_forward=True)], Heads(BRANCH, "2", {LEASE: "a"}, {RECORD: "r"})),
        ([RefMove(LEASE, "a", "b")], Heads(BRANCH, "1", {LEASE: "b"}, {RECORD: "r"})),
        ([RefMove(LEASE, "a", None)], Heads(BRANCH, "1", {}, {RECORD: "r"})),
        (
            [RefMove(BRANCH, "1", "2", fast_forward=True), RefMove("refs/gpu-jobs/two", None, "c")],
            Heads(BRANCH, "2", {LEASE: "a", "refs/gpu-jobs/two": "c"}, {RECORD: "r"}),
        ),
    ],
)
def test_what_we_have_pushed_is_known(moves, after):
    heads = seen()
    heads.pushed(BEFORE, moves)
    assert heads.heads == after


def test_a_look_that_began_before_our_push_and_ended_after_it_is_no_news():
    heads = seen()
    late = heads.begin()
    heads.pushed(BEFORE, [RefMove(BRANCH, "1", "2", fast_forward=True)])
    heads.saw(late, BEFORE)
    assert heads.heads is not None and heads.heads.commit == "2"


def test_a_push_of_a_lease_alone_says_nothing_of_the_branch():
    heads = seen()
    before = heads.number
    heads.pushed(BEFORE, [RefMove(LEASE, "a", "b")])
    assert heads.number == before
    heads.pushed(BEFORE, [RefMove(BRANCH, "1", "2", fast_forward=True)])
    assert heads.number > before


def test_after_a_push_without_an_answer_one_has_to_look():
    heads = seen()
    heads.forget()
    assert heads.heads is None
    heads.moved([RefMove(LEASE, "a", "b")])
    assert heads.heads is None
    heads.saw(heads.begin(), BEFORE)
    assert heads.heads == BEFORE
