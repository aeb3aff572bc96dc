"""Results become commits: never before their objects, never over a person's work, never twice."""

import tracemalloc

import pytest

from codex_worker.codex.choose import Selection, cells_to_speak
from codex_worker.codex.notebook import Notebook
from codex_worker.contract.options import InferenceOptions
from codex_worker.data.project import Project
from codex_worker.errors import DataError, LeaseLost, SystemFault
from codex_worker.git.lfs.pointer import parse_pointer
from codex_worker.job.memory import MemoryScanner, job_in
from codex_worker.publish import cells as cells_module
from codex_worker.publish.replacing import MayReplace
from tests.support.notebooks import PATH, notebook, recorded_cell, written_cell
from tests.support.noted import noted
from tests.support.queues import MemoryProject, queue
from tests.unit.publish.conftest import spoken

OTHER = "files/target/JON.codex"


def three_verses() -> bytes:
    return notebook(*(written_cell(f"MRK 1:{verse}", f"Verse {verse}.") for verse in (1, 2, 3)))


def pointers_in(files):
    return {path: data for path, data in files.items() if path.startswith(".project/attachments/pointers/")}


def test_a_recording_is_published_with_its_pointer_in_one_commit_after_its_object(open_fixture):
    project = open_fixture({PATH: three_verses()})
    commits = []
    project.store.before_upload = lambda: commits.append(project.commits())
    before = project.commits()
    published = project.publisher.publish([project.spoken(PATH, "MRK 1:2", 2)])
    assert list(published.applied) == [0]
    assert commits == [before]
    assert project.commits() == before + 1
    cell = project.notebook(PATH).cell("MRK 1:2")
    assert cell.selected_audio_id == "audio-1767225700000-000000002"
    (pointer,) = pointers_in(project.files()).values()
    assert parse_pointer(pointer) in project.store.objects


def test_a_cell_that_a_person_changed_meanwhile_is_left_alone_and_brings_no_pointer(open_fixture):
    project = open_fixture({PATH: three_verses()})
    results = [project.spoken(PATH, f"MRK 1:{verse}", verse) for verse in (1, 2)]
    project.set({PATH: three_verses().replace(b"Verse 2.", b"A better verse 2.")})
    published = project.publisher.publish(results)
    assert list(published.applied) == [0]
    assert "text was changed" in published.dropped[1]
    assert len(pointers_in(project.files())) == 1
    assert b"A better verse 2." in project.files()[PATH]


def test_a_cell_with_a_persons_recording_is_replaced_only_where_the_job_names_it(open_fixture):
    files = {PATH: notebook(recorded_cell("MRK 1:1", "One."), recorded_cell("MRK 1:2", "Two."))}
    project = open_fixture(files, inference={"include_verses": ["MRK 1:2"]})
    published = project.publisher.publish(
        [project.spoken(PATH, "MRK 1:1", 1), project.spoken(PATH, "MRK 1:2", 2)]
    )
    assert list(published.applied) == [1]
    assert "nobody asked" in published.dropped[0]


def test_publishing_the_same_results_again_changes_nothing(open_fixture):
    project = open_fixture({PATH: three_verses()})
    results = [project.spoken(PATH, f"MRK 1:{verse}", verse) for verse in (1, 2, 3)]
    project.publisher.publish(results)
    files, commits = project.files(), project.commits()
    again = project.publisher.publish(results)
    assert list(again.applied) == [0, 1, 2]
    assert (project.files(), project.commits()) == (files, commits)


def test_an_upload_that_fails_leaves_no_commit_behind(open_fixture):
    project = open_fixture({PATH: three_verses()})

    def fail() -> None:
        raise SystemFault("the store is away")

    project.store.before_upload = fail
    before = project.commits()
    with pytest.raises(SystemFault, match="away"):
        project.publisher.publish([project.spoken(PATH, "MRK 1:1", 1)])
    assert project.commits() == before


def test_a_fenced_worker_publishes_nothing(open_fixture):
    project = open_fixture({PATH: three_verses()})
    result = project.spoken(PATH, "MRK 1:1", 1)
    assert queue(project.project, "other").claim("one", force=True) is not None
    files = project.files()
    with pytest.raises(LeaseLost):
        project.publisher.publish([result])
    assert project.files() == files


def test_one_wrong_result_costs_that_cell_only(open_fixture):
    project = open_fixture({PATH: three_verses(), OTHER: b"{ no notebook"})
    good = project.spoken(PATH, "MRK 1:1", 1)
    empty = project.spoken(PATH, "MRK 1:2", 2, content=b"")
    gone = project.spoken(PATH, "MRK 1:3", 3)
    gone.recording.unlink()
    cell = project.notebook(PATH).cell("MRK 1:1")
    unreadable = spoken(project.folder, OTHER, cell, 4)
    absent = spoken(project.folder, "files/target/GEN.codex", cell, 5)
    source = spoken(project.folder, ".project/sourceTexts/MRK.source", cell, 6)
    published = project.publisher.publish([empty, gone, unreadable, absent, source, good])
    assert list(published.applied) == [5]
    reasons = [published.dropped[index] for index in range(5)]
    assert "empty" in reasons[0]
    assert "cannot be read" in reasons[1]
    assert "not valid JSON" in reasons[2]
    assert "no longer in the project" in reasons[3]
    assert "no notebook of the target" in reasons[4]


def test_a_file_that_the_store_refuses_costs_its_cell_only(open_fixture, monkeypatch):
    project = open_fixture({PATH: three_verses()})
    results = [project.spoken(PATH, f"MRK 1:{verse}", verse) for verse in (1, 2, 3)]
    refused = results[1].recording

    def refuse(objects):
        if any(path == refused for _, path in objects):
            raise DataError("the server does not accept this file")

    monkeypatch.setattr(project.store, "upload", noted(project.store.upload, refuse))
    published = project.publisher.publish(results)
    assert list(published.applied) == [0, 2]
    assert "does not accept" in published.dropped[1]


def test_a_pointer_that_is_there_already_is_never_overwritten(open_fixture):
    project = open_fixture({PATH: three_verses()})
    result = project.spoken(PATH, "MRK 1:1", 1)
    path = result.patch.recording.pointer_path
    project.set({path: b"somebody's"})
    published = project.publisher.publish([result])
    assert "name is taken" in published.dropped[0]
    assert project.files()[path] == b"somebody's"
    assert project.notebook(PATH).cell("MRK 1:1").selected_audio_id == ""


def books_of(count: int, verses: int) -> dict[str, bytes]:
    return {
        f"files/target/B{number:02d}.codex": notebook(
            *(written_cell(f"B{number:02d} 1:{verse}", f"Verse {verse}.") for verse in range(1, verses + 1))
        )
        for number in range(count)
    }


def all_spoken(folder, files):
    return [
        spoken(folder, path, cell, 1000 * book + number)
        for book, (path, data) in enumerate(files.items())
        for number, cell in enumerate(Notebook.parse(data, path).cells)
    ]


@pytest.mark.slow
def test_eight_thousand_verses_go_in_sixteen_commits_and_as_many_uploads(open_fixture):
    files = books_of(16, 500)
    project = open_fixture(files)
    before = project.commits()
    published = project.publisher.publish(all_spoken(project.folder, files))
    assert len(published.applied) == 8000
    assert project.commits() - before == 16
    assert project.store.calls == [500] * 16


def test_the_memory_that_publishing_needs_does_not_grow_with_the_job(open_fixture, monkeypatch):
    monkeypatch.setattr(cells_module, "MAX_CELLS", 20)
    files = books_of(10, 20)
    project = open_fixture(files)
    results = all_spoken(project.folder, files)
    needed = []
    for few in (results[:40], results[40:]):
        tracemalloc.start()
        project.publisher.publish(few)
        kept, peak = tracemalloc.get_traced_memory()  # kept: the commits of the server in memory
        tracemalloc.stop()
        needed.append(peak - kept)
    assert needed[1] < 1.5 * needed[0]


def test_a_commit_rewrites_at_most_five_megabytes_of_notebooks(open_fixture, monkeypatch):
    monkeypatch.setattr(cells_module, "MAX_COMMIT_BYTES", 3_000)
    paths = [f"files/target/B{number:02d}.codex" for number in range(4)]
    files = {
        path: notebook(*(written_cell(f"GEN 1:{v}", "In the beginning.") for v in (1, 2))) for path in paths
    }
    project = open_fixture(files)
    assert 1_000 < len(files[paths[0]]) < 1_500  # with the patch some 1,900
    before = project.commits()
    results = [project.spoken(path, "GEN 1:1", number) for number, path in enumerate(paths)]
    published = project.publisher.publish(results)
    assert list(published.applied) == [0, 1, 2, 3]
    assert project.commits() - before == 4


UUID = "b7288c71-804a-8548-cc74-30254617f167"


def book_with_a_range_and_notes(make) -> dict[str, bytes]:
    """Each cell with what a person made: two versifications in one book, and a commentary beside it."""
    commentary = make(UUID, "A note.", data={"globalReferences": ["MRK 1:2"]})
    return {
        PATH: notebook(*(make(f"MRK 1:{verses}", f"Verse {verses}.") for verses in ("1", "2", "2-3", "3"))),
        "files/target/Notes-(1).codex": notebook(commentary),
    }


@pytest.mark.parametrize("kind", ["recording", "text"])
@pytest.mark.parametrize(
    ("entry", "replaced"),
    [
        ("MRK 1:2", ["MRK 1:2"]),
        ("mrk 1:2", ["MRK 1:2"]),
        ("MRK 1:2-3", ["MRK 1:2-3"]),
        (UUID, [UUID]),
        ("MRK 1", ["MRK 1:1", "MRK 1:2", "MRK 1:2-3", "MRK 1:3"]),
        ("MRK 1:1-2", []),
        ("GEN 1:1", []),
    ],
)
def test_only_the_very_cells_that_were_asked_for_are_replaced(open_fixture, kind, entry, replaced):
    files = book_with_a_range_and_notes(recorded_cell)
    project = open_fixture(files, inference={"include_verses": [entry]})
    cells = [(path, cell.id) for path in files for cell in project.notebook(path).cells]
    results = [
        project.spoken(path, identity, number)
        if kind == "recording"
        else project.heard(path, identity, "kata mesin")
        for number, (path, identity) in enumerate(cells)
    ]
    published = project.publisher.publish(results)
    assert [cells[index][1] for index in published.applied] == replaced
    for path, before in files.items():
        for cell in Notebook.parse(before, path).cells:
            now = project.notebook(path).cell(cell.id)
            assert (now == cell) is (cell.id not in replaced)


def test_what_a_job_chooses_to_replace_is_what_may_be_published(tmp_path):
    files = book_with_a_range_and_notes(recorded_cell)
    for entry in ("MRK 1:2", "mrk 1:2", "MRK 1:2-3", UUID, "MRK 1", "MRK", "MRK 1:1-2"):
        scanner = MemoryScanner(files, job_in(tmp_path / entry.replace(":", "-")))
        chosen = Project(scanner).choose(cells_to_speak, InferenceOptions(include_verses=(entry,))).chosen
        transport = MemoryProject(files).transport("a worker")
        snapshot = transport.snapshot(transport.look())
        may_replace = MayReplace(Selection(include=(entry,)), snapshot)
        allowed = [
            cell.id for path in files for cell in Notebook.parse(files[path], path).cells if may_replace(cell)
        ]
        assert sorted(one.cell.id for one in chosen) == sorted(allowed)
