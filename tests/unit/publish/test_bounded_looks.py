"""However long a ledger is, one look reads little of it, and the looks together find everything."""

from collections.abc import Mapping

import pytest

from codex_worker.codex.cell import CellState
from codex_worker.codex.patch import TextPatch, apply_patches
from codex_worker.git.memory import MemorySnapshot, MemoryTransport
from codex_worker.publish.ledger import cell_line
from codex_worker.publish.standing import PAGES_A_LOOK, Publications
from codex_worker.queue.owned import PublishedChange
from codex_worker.queue.recording import MAX_PAGE_BYTES
from tests.support.notebooks import PATH, cell, notebook, written_cell
from tests.unit.publish.conftest import BRANCH, RECORD, Desk, dropped, looker

OTHER = "files/target/JON.codex"


class CountingTransport(MemoryTransport):
    """Counts the bytes of ledger pages that are read."""

    page_bytes = 0

    def records(self, commits):
        outer = self

        class Counting(MemorySnapshot):
            def read_many(self, paths):
                found = super().read_many(paths)
                outer.page_bytes += sum(len(data) for path, data in found.items() if "published/" in path)
                return found

        known = self.server.commits
        return {name: Counting(name, known[name].files, known) for name in super().records(commits)}


def looks_until_complete(eyes: Publications, transport: CountingTransport, limit: int) -> list[int]:
    """Looks again and again; the bytes that each look read."""
    read = []
    for _ in range(limit):
        transport.page_bytes = 0
        look = eyes.look()
        read.append(transport.page_bytes)
        if look.is_complete and look.put_back == 0:
            return read
    raise AssertionError(f"There was still something to do after {limit} looks.")


def book(*cells: str) -> bytes:
    """A notebook of cells that nobody has written yet."""
    return notebook(*(cell(identity) for identity in cells))


def transcribed(desk: Desk, texts: Mapping[str, Mapping[str, str]]) -> dict[str, bytes]:
    """Publishes texts by notebook and cell in one commit, which a merge drops; how they have to be."""
    empty = CellState("", None, "", None, None, False)
    patches = {
        path: [TextPatch(identity, empty, text, "ASR") for identity, text in cells.items()]
        for path, cells in texts.items()
    }
    files = {path: apply_patches(desk.files()[path], path, of).data for path, of in patches.items()}
    lines = [cell_line(path, patch, None) for path, of in patches.items() for patch in of]
    change: PublishedChange[None] = PublishedChange(files, "all of it", lines)
    dropped(desk, lambda desk: desk.owned.publish(lambda snapshot: change))
    return files


@pytest.mark.slow
def test_a_ledger_of_twenty_thousand_cells_is_read_in_bounded_looks_that_find_everything(open_fixture):
    texts = {
        f"files/target/B{number:02d}.codex": {f"B{number:02d} 1:{verse}": "kata" for verse in range(1, 501)}
        for number in range(40)
    }
    desk = open_fixture({path: book(*cells) for path, cells in texts.items()})
    wanted = transcribed(desk, texts)
    transport = CountingTransport(desk.project.server)
    read = looks_until_complete(looker(desk, transport), transport, 200)
    assert max(read) <= PAGES_A_LOOK * MAX_PAGE_BYTES <= 200_000
    assert sum(read) > 4_000_000  # all of it, so that the bound has been at work
    files = desk.files()
    assert {path for path in wanted if files[path] != wanted[path]} == set()


def test_more_notebooks_than_a_look_compares_are_compared_by_the_next_ones(open_fixture):
    texts = {f"files/target/S{number:02d}.codex": {f"S{number:02d} 1:1": "kata"} for number in range(50)}
    desk = open_fixture({path: book(*cells) for path, cells in texts.items()})
    wanted = transcribed(desk, texts)
    transport = CountingTransport(desk.project.server)
    looks_until_complete(looker(desk, transport), transport, 10)
    files = desk.files()
    assert {path for path in wanted if files[path] != wanted[path]} == set()


def test_one_long_notebook_that_was_dropped_as_a_whole_comes_back_in_few_looks(open_fixture):
    texts = {PATH: {f"MRK 1:{verse}": "kata " * 40 for verse in range(1, 3_001)}}
    desk = open_fixture({PATH: book(*texts[PATH])})
    wanted = transcribed(desk, texts)
    pages = pages_of(desk)
    transport = CountingTransport(desk.project.server)
    looks = looks_until_complete(looker(desk, transport), transport, 3 * (1 + pages // PAGES_A_LOOK))
    assert len(looks) > 5
    assert desk.files()[PATH] == wanted[PATH]


@pytest.mark.slow
def test_pages_whose_cells_people_have_changed_do_not_keep_the_others_waiting(open_fixture):
    verses = [f"MRK 1:{verse}" for verse in range(1, 401)]
    desk = open_fixture({PATH: book(*verses), OTHER: book("JON 1:1")})
    fork, before = desk.project.refs()[BRANCH], desk.files()
    desk.publisher.publish([desk.spoken(PATH, verse, number) for number, verse in enumerate(verses, 1)])
    desk.publisher.publish([desk.spoken(OTHER, "JON 1:1", 999)])
    assert pages_of(desk) > PAGES_A_LOOK
    published = desk.files()[OTHER]
    desk.project.merge_from(
        fork, {**before, PATH: notebook(*(written_cell(verse, "mine") for verse in verses))}
    )
    transport = CountingTransport(desk.project.server)
    looks_until_complete(looker(desk, transport), transport, 10)
    assert desk.files()[OTHER] == published


def pages_of(desk: Desk) -> int:
    """How many pages the ledger has."""
    server = desk.project.server
    return sum(path.startswith("published/") for path in server.commits[server.refs[RECORD]].files)
