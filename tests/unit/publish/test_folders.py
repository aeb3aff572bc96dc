"""New recordings go where those of their document are: no second folder that a system takes for the first."""

import unicodedata

import pytest

from codex_worker.codex.attachments import POINTERS_FOLDER
from codex_worker.git.lfs.pointer import Pointer
from tests.support.notebooks import notebook, written_cell
from tests.unit.publish.conftest import looker

POINTER = Pointer("ab" * 32, 5).render()


def nfc(text):
    return unicodedata.normalize("NFC", text)


def nfd(text):
    return unicodedata.normalize("NFD", text)


def new_pointers(desk, *old):
    return {path for path in desk.files() if path.startswith(POINTERS_FOLDER)} - set(old)


@pytest.mark.parametrize(
    ("document", "folders", "expected"),
    [
        (nfd("Génesis-(3)"), [nfc("Génesis-(3)")], nfc("Génesis-(3)")),
        (nfc("Génesis-(3)"), [nfd("Génesis-(3)")], nfd("Génesis-(3)")),
        ("mrk", ["MRK"], "MRK"),
        ("MRK", ["mrk", "MRK"], "MRK"),
        ("Mrk", ["mrk", "MRK"], "Mrk"),  # nobody can tell which
        ("a b", ["a%20b"], "a b"),  # no system takes these for one
        ("MRK", ["JON"], "MRK"),
        ("MRK", [], "MRK"),
    ],
)
def test_a_recording_goes_into_the_folder_that_its_document_has(open_fixture, document, folders, expected):
    path = f"files/target/{document}.codex"
    old = [f"{POINTERS_FOLDER}{folder}/old.webm" for folder in folders]
    files = {path: notebook(written_cell("MRK 1:1", "One."), written_cell("MRK 1:2", "Two."))}
    desk = open_fixture({**files, **dict.fromkeys(old, POINTER)})
    results = [desk.spoken(path, "MRK 1:1", 1), desk.spoken(path, "MRK 1:2", 2)]
    assert list(desk.publisher.publish(results).applied) == [0, 1]
    identity = "audio-1767225700000-000000001"
    assert f"{POINTERS_FOLDER}{expected}/{identity}.webm" in new_pointers(desk, *old)
    taken = desk.notebook(path).cell("MRK 1:1").attachments[identity]
    assert taken.url == f".project/attachments/files/{expected}/{identity}.webm"

    before = desk.files()
    assert list(desk.publisher.publish(results).applied) == [0, 1]  # after a crash, say
    assert desk.files() == before
    assert looker(desk).look(thorough=True).cells == 2
    assert desk.files() == before


@pytest.mark.parametrize("name", ["AUDIO-1767225700000-000000001.webm", "audio-1767225700000-000000001.WEBM"])
def test_a_name_that_differs_only_in_case_is_taken(open_fixture, name):
    path, there = "files/target/MRK.codex", f"{POINTERS_FOLDER}MRK/{name}"
    desk = open_fixture({path: notebook(written_cell("MRK 1:1", "One.")), there: POINTER})
    published = desk.publisher.publish([desk.spoken(path, "MRK 1:1", 1)])
    assert there in published.dropped[0]
    assert new_pointers(desk, there) == set()
