"""Which of a server's words on what it can do are remembered, for whom and for how long."""

import pytest

from codex_worker.git.advertised import MOST_BYTES, REMEMBERED_FOR_S, Advertised
from tests.support.clock import FakeClock

ADDRESS = "https://host.example.org/team/mark.git"
KIND = {"Content-Type": "application/x-git-upload-pack-advertisement"}
SECOND = {"Git-Protocol": "version=2"}
PLAIN = b"000eversion 2\n0015agent=git/2.39.5\n0000"
INTRODUCED = b"001e# service=git-upload-pack\n0000" + PLAIN
WITH_REFS = (
    b"001e# service=git-upload-pack\n0000004895dcfa3633004da0049d3d0fa03f80589cbcaf31 refs/heads/main\0\n"
)


@pytest.mark.parametrize(
    ("asked", "headers", "body", "is_kept"),
    [
        (SECOND, KIND, PLAIN, True),
        (SECOND, KIND, INTRODUCED, True),
        (SECOND, KIND, WITH_REFS, False),  # a server that knows the first version only
        ({}, KIND, PLAIN, False),  # nobody asked for the second
        (SECOND, {"Content-Type": "text/html"}, PLAIN, False),
        (SECOND, KIND | {"Content-Encoding": "gzip"}, PLAIN, False),
        (SECOND, KIND, PLAIN + b"x" * MOST_BYTES, False),
        (SECOND, KIND, b"", False),
    ],
)
def test_only_an_answer_without_refs_is_remembered(asked, headers, body, is_kept):
    memory = Advertised(FakeClock())
    memory.note(ADDRESS, asked, headers, body)
    found = memory.find(ADDRESS, SECOND)
    assert (found is not None and found.body == body) == is_kept
    assert memory.find(ADDRESS, {}) is None, "who speaks the first version asks for the refs"
    assert memory.find(f"{ADDRESS}/other", SECOND) is None


def test_it_is_asked_for_again_after_an_hour_and_after_a_bad_answer():
    clock = FakeClock()
    memory = Advertised(clock)
    memory.note(ADDRESS, SECOND, KIND, PLAIN)
    clock.advance(REMEMBERED_FOR_S - 1)
    assert memory.find(ADDRESS, SECOND) is not None
    clock.advance(1)
    assert memory.find(ADDRESS, SECOND) is None
    memory.note(ADDRESS, SECOND, KIND, PLAIN)
    memory.forget(ADDRESS)
    assert memory.find(ADDRESS, SECOND) is None
