"""What a merge left out is put back; what a person did stays done; and nothing else is ever written."""

import json
from collections.abc import Mapping

import pytest

from codex_worker.codex.cell import CellState
from codex_worker.codex.patch import TextPatch
from codex_worker.contract import yaml_text
from codex_worker.git.memory import MemoryCommit
from codex_worker.git.ports import blob_id
from codex_worker.publish.artifacts import publish_artifact
from codex_worker.publish.ledger import cell_line, file_line
from tests.support.notebooks import PATH, notebook, written_cell
from tests.unit.publish.conftest import BRANCH, RECORD, Desk, dropped, looker

REPORT = b"<p>a long report</p>" * 100


def three_verses() -> bytes:
    return notebook(*(written_cell(f"MRK 1:{verse}", f"Verse {verse}.") for verse in (1, 2, 3)))


def silent_verses(*verses: int) -> bytes:
    return notebook(*(written_cell(f"MRK 1:{verse}", "") for verse in verses))


def publish_everything(desk: Desk) -> None:
    """Two recordings with their pointers, a model and a report."""
    desk.publisher.publish([desk.spoken(PATH, f"MRK 1:{verse}", verse) for verse in (1, 2)])
    for name, content, folder in (
        ("voice.safetensors", b"weights", "checkpoint"),
        ("data.html", REPORT, "report"),
    ):
        (desk.folder / name).write_bytes(content)
        publish_artifact(desk.owned, desk.store, desk.folder / name, folder)


def write_record(desk: Desk, files: Mapping[str, bytes]) -> None:
    """A stranger's push to the record's ref, beside what is there."""
    server = desk.project.server
    before = server.refs[RECORD]
    kept = {**server.commits[before].files, **files}
    server.refs[RECORD] = server.add(MemoryCommit(before, kept))


def test_what_a_merge_dropped_is_put_back_as_it_was(open_fixture):
    desk = open_fixture({PATH: three_verses()})
    before, published = dropped(desk, publish_everything)
    assert desk.files() == before
    look = looker(desk).look()
    assert desk.files() == published
    assert (look.cells, look.changed, look.is_complete) == (2, {}, True)
    assert look.put_back == 2 + 2 + 2  # cells, their pointers, artifacts


def test_a_second_look_writes_nothing(open_fixture):
    desk = open_fixture({PATH: three_verses()})
    dropped(desk, publish_everything)
    first = looker(desk)
    first.look()
    commits, refs = desk.commits(), desk.project.refs()
    for again in (first, looker(desk)):
        look = again.look()
        assert (look.put_back, look.cells) == (0, 2)
    assert (desk.commits(), desk.project.refs()) == (commits, refs)


def test_looking_at_what_stands_writes_nothing(open_fixture):
    desk = open_fixture({PATH: three_verses()})
    publish_everything(desk)
    refs = desk.project.refs()
    assert looker(desk).look().put_back == 0
    assert desk.project.refs() == refs


def test_a_merge_that_drops_it_again_and_again_does_not_win(open_fixture):
    desk = open_fixture({PATH: three_verses()})
    fork = desk.project.refs()[BRANCH]
    before, published = dropped(desk, publish_everything)
    eyes = looker(desk)
    for _ in range(3):
        assert eyes.look().put_back == 6
        assert desk.files() == published
        desk.project.merge_from(fork, before)


def test_a_person_who_changed_a_cell_since_then_wins_and_is_counted(open_fixture):
    desk = open_fixture({PATH: three_verses()})
    dropped(desk, publish_everything)
    desk.set({PATH: desk.files()[PATH].replace(b"Verse 2.", b"A better verse 2.")})
    eyes = looker(desk)
    look = eyes.look()
    assert look.cells == 1
    assert list(look.changed) == ["MRK 1:2"]
    assert "text was changed" in look.changed["MRK 1:2"]
    assert b"A better verse 2." in desk.files()[PATH]
    pointers = [path for path in desk.files() if path.startswith(".project/attachments/pointers/")]
    assert len(pointers) == 1  # the other recording has no cell any more
    refs = desk.project.refs()
    assert eyes.look().changed == look.changed
    assert desk.project.refs() == refs


def test_a_notebook_that_a_person_deleted_stays_deleted(open_fixture):
    desk = open_fixture({PATH: three_verses()})
    dropped(desk, publish_everything)
    desk.project.edit(lambda files: files.pop(PATH))
    look = looker(desk).look()
    assert PATH not in desk.files()
    assert (look.cells, sorted(look.changed)) == (0, ["MRK 1:1", "MRK 1:2"])


@pytest.mark.parametrize("is_dropped_too", [False, True])
@pytest.mark.parametrize("part", [".project/attachments/pointers/", "/checkpoint/", "/report/"])
def test_what_a_persons_own_commit_removed_stays_removed(open_fixture, part, is_dropped_too):
    desk = open_fixture({PATH: three_verses()})
    fork, before = desk.project.refs()[BRANCH], desk.files()
    publish_everything(desk)
    gone = {path for path in desk.files() if part in path}
    assert gone

    def remove(files: dict[str, bytes]) -> None:
        for path in gone:
            del files[path]

    desk.project.edit(remove)
    left = desk.files()
    if is_dropped_too:
        desk.project.merge_from(fork, before)
    eyes = looker(desk)
    eyes.look()
    assert {path for path in desk.files() if part in path} == set()
    assert desk.files() == left
    assert eyes.look().put_back == 0


def test_a_person_who_deletes_a_job_deletes_its_publications(open_fixture):
    desk = open_fixture({PATH: three_verses()})
    publish_everything(desk)

    def delete(files: dict[str, bytes]) -> None:
        files["gpu_jobs/manifest.yaml"] = b"version: 1\njobs: []\n"
        for path in [path for path in files if path.startswith("gpu_jobs/job_one/")]:
            del files[path]

    desk.project.edit(delete)
    files = desk.files()
    assert looker(desk).look().put_back == 0
    assert desk.files() == files


def test_a_result_for_a_cell_with_half_a_character_is_noted_and_put_back(open_fixture):
    desk = open_fixture({PATH: notebook(written_cell("MRK 1:1", "half \ud83d"), written_cell("MRK 1:2", ""))})
    results = [desk.spoken(PATH, "MRK 1:1", 1), desk.heard(PATH, "MRK 1:2", "kìkà")]
    _, published = dropped(desk, lambda desk: desk.publisher.publish(results))
    assert looker(desk).look().cells == 2
    assert desk.files() == published


DAMAGED = {
    "empty": b"",
    "no JSON": b"{ nothing\n",
    "no text": b"\xff\xfe\0",
    "no objects": b'7\n"text"\nnull\n[1]\n',
    "wrong types": b'{"notebook":5,"patch":[]}\n{"file":{},"blob":1}\n',
    "deep": b"[" * 100_000 + b"\n",
    "too long": b"x" * 300_000,
    "too many lines": b"{}\n" * 3_000,
}


@pytest.mark.parametrize("page", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_page_takes_nothing_from_the_others(open_fixture, page):
    desk = open_fixture({PATH: three_verses()})
    _, published = dropped(desk, publish_everything)
    write_record(desk, {"published/2.jsonl": page, "published/0.jsonl": page, "published/x": page})
    eyes = looker(desk)
    assert eyes.look().cells == 2
    assert desk.files() == published
    assert eyes.look().is_complete


@pytest.mark.parametrize("version", [0, 2, "two"])
def test_a_record_of_another_version_is_left_alone(open_fixture, version):
    desk = open_fixture({PATH: three_verses()})
    before, _ = dropped(desk, publish_everything)
    server = desk.project.server
    about = yaml_text.load(server.commits[server.refs[RECORD]].files["about.yaml"], "about.yaml")
    write_record(desk, {"about.yaml": yaml_text.dump({**about, "version": version})})
    refs = desk.project.refs()
    assert looker(desk).look().put_back == 0
    assert (desk.files(), desk.project.refs()) == (before, refs)


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize 7\n" % (b"a" * 64)
LONG_BINARY = b"\0" * 1_000


@pytest.mark.parametrize(
    "line",
    [
        file_line("gpu_jobs/job_two/checkpoint/a.html", POINTER),
        file_line("gpu_jobs/manifest.yaml", POINTER),
        file_line("../x", POINTER),
        file_line(".git/config", POINTER),
        file_line(".gitattributes", POINTER),
        file_line("gpu_jobs/job_one/response.yaml", POINTER),
        file_line("gpu_jobs/job_one/checkpoint/training_metrics.csv", POINTER),
        file_line("gpu_jobs/job_one/workers/w/attempt-9-00000000.yaml", POINTER),
        file_line("gpu_jobs/job_one/report/a.html", LONG_BINARY),
        file_line("gpu_jobs/job_one/report/lost.html", b"a text that the record does not hold" * 20),
        json.dumps({"file": "gpu_jobs/job_one/report/a.html", "blob": blob_id(b"a"), "content": "b"}),
        json.dumps({"file": "gpu_jobs/job_one/report/a.html", "blob": blob_id(REPORT)[:-1] + "/"}),
        cell_line("files/source/MRK.codex", TextPatch("MRK 1:1", CellState("", None, "", None, None, False),
                  "forged", "ASR"), None),
        cell_line("files/target/NEW.codex", TextPatch("MRK 1:1", CellState("", None, "", None, None, False),
                  "forged", "ASR"), None),
    ],
)  # fmt: skip
def test_a_forged_line_writes_nothing_and_costs_the_good_ones_nothing(open_fixture, line):
    source = {"files/source/MRK.codex": silent_verses(1), ".gitattributes": b"* text\n"}
    desk = open_fixture({PATH: three_verses(), **source})
    _, published = dropped(desk, publish_everything)
    held = {f"files/{blob_id(LONG_BINARY)}": LONG_BINARY}
    write_record(desk, {"published/2.jsonl": f"{line}\n".encode(), **held})
    eyes = looker(desk)
    eyes.look()
    assert desk.files() == published
    again = eyes.look()
    assert (again.put_back, again.is_complete, again.cells) == (0, True, 2)


@pytest.mark.parametrize("by", ["deleted", "without files", "a commit of the branch"])
def test_a_record_that_somebody_moved_by_hand_brings_nothing_back_and_breaks_nothing(open_fixture, by):
    desk = open_fixture({PATH: three_verses()})
    before, _ = dropped(desk, publish_everything)
    server = desk.project.server
    if by == "deleted":
        del server.refs[RECORD]
    else:
        files = {} if by == "without files" else desk.files()
        server.refs[RECORD] = server.add(MemoryCommit(server.refs[RECORD], files))
    refs = desk.project.refs()
    look = looker(desk).look()
    assert (look.put_back, look.cells) == (0, 0)
    assert (desk.files(), desk.project.refs()) == (before, refs)
