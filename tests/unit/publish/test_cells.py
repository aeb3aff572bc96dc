"""Results become commits: never before their objects, never over a person's work, never twice."""

import tracemalloc

import pytest

from codex_worker.codex.notebook import Notebook
from codex_worker.errors import DataError, LeaseLost, SystemFault
from codex_worker.git.lfs.pointer import parse_pointer
from codex_worker.publish import cells as cells_module
from codex_worker.publish.cells import CellPublisher
from tests.support.notebooks import PATH, notebook, recorded_cell, written_cell
from tests.support.queues import queue
from tests.unit.publish.conftest import spoken

OTHER = "files/target/JON.codex"


def three_verses() -> bytes:
    return notebook(*(written_cell(f"MRK 1:{verse}", f"Verse {verse}.") for verse in (1, 2, 3)))


def pointers_in(files):
    return {path: data for path, data in files.items() if path.startswith(".project/attachments/pointers/")}


def test_a_recording_is_published_with_its_pointer_in_one_commit_after_its_object(open_desk):
    desk = open_desk({PATH: three_verses()})
    commits = []
    desk.store.before_upload = lambda: commits.append(desk.commits())
    before = desk.commits()
    published = desk.publisher.publish([desk.spoken(PATH, "MRK 1:2", 2)])
    assert list(published.applied) == [0]
    assert commits == [before]
    assert desk.commits() == before + 1
    cell = desk.notebook(PATH).cell("MRK 1:2")
    assert cell.selected_audio_id == "audio-1767225700000-000000002"
    (pointer,) = pointers_in(desk.files()).values()
    assert parse_pointer(pointer) in desk.store.objects


def test_a_cell_that_a_person_changed_meanwhile_is_left_alone_and_brings_no_pointer(open_desk):
    desk = open_desk({PATH: three_verses()})
    results = [desk.spoken(PATH, f"MRK 1:{verse}", verse) for verse in (1, 2)]
    desk.set({PATH: three_verses().replace(b"Verse 2.", b"A better verse 2.")})
    published = desk.publisher.publish(results)
    assert list(published.applied) == [0]
    assert "text was changed" in published.dropped[1]
    assert len(pointers_in(desk.files())) == 1
    assert b"A better verse 2." in desk.files()[PATH]


def test_a_cell_with_a_persons_recording_is_replaced_only_where_the_job_names_it(open_desk):
    files = {PATH: notebook(recorded_cell("MRK 1:1", "One."), recorded_cell("MRK 1:2", "Two."))}
    desk = open_desk(files, inference={"include_verses": ["MRK 1:2"]})
    published = desk.publisher.publish([desk.spoken(PATH, "MRK 1:1", 1), desk.spoken(PATH, "MRK 1:2", 2)])
    assert list(published.applied) == [1]
    assert "nobody asked" in published.dropped[0]


def test_publishing_the_same_results_again_changes_nothing(open_desk):
    desk = open_desk({PATH: three_verses()})
    results = [desk.spoken(PATH, f"MRK 1:{verse}", verse) for verse in (1, 2, 3)]
    desk.publisher.publish(results)
    files, commits = desk.files(), desk.commits()
    again = desk.publisher.publish(results)
    assert list(again.applied) == [0, 1, 2]
    assert (desk.files(), desk.commits()) == (files, commits)


def test_an_upload_that_fails_leaves_no_commit_behind(open_desk):
    desk = open_desk({PATH: three_verses()})

    def fail() -> None:
        raise SystemFault("the store is away")

    desk.store.before_upload = fail
    before = desk.commits()
    with pytest.raises(SystemFault, match="away"):
        desk.publisher.publish([desk.spoken(PATH, "MRK 1:1", 1)])
    assert desk.commits() == before


def test_a_fenced_worker_publishes_nothing(open_desk):
    desk = open_desk({PATH: three_verses()})
    result = desk.spoken(PATH, "MRK 1:1", 1)
    assert queue(desk.project, "other").claim("one", force=True) is not None
    files = desk.files()
    with pytest.raises(LeaseLost):
        desk.publisher.publish([result])
    assert desk.files() == files


def test_one_wrong_result_costs_that_cell_only(open_desk):
    desk = open_desk({PATH: three_verses(), OTHER: b"{ no notebook"})
    good = desk.spoken(PATH, "MRK 1:1", 1)
    empty = desk.spoken(PATH, "MRK 1:2", 2, content=b"")
    gone = desk.spoken(PATH, "MRK 1:3", 3)
    gone.recording.unlink()
    cell = desk.notebook(PATH).cell("MRK 1:1")
    unreadable = spoken(desk.folder, OTHER, cell, 4)
    absent = spoken(desk.folder, "files/target/GEN.codex", cell, 5)
    source = spoken(desk.folder, ".project/sourceTexts/MRK.source", cell, 6)
    published = desk.publisher.publish([empty, gone, unreadable, absent, source, good])
    assert list(published.applied) == [5]
    reasons = [published.dropped[index] for index in range(5)]
    assert "empty" in reasons[0]
    assert "cannot be read" in reasons[1]
    assert "not valid JSON" in reasons[2]
    assert "no longer in the project" in reasons[3]
    assert "no notebook of the target" in reasons[4]


def test_a_file_that_the_store_refuses_costs_its_cell_only(open_desk):
    desk = open_desk({PATH: three_verses()})
    results = [desk.spoken(PATH, f"MRK 1:{verse}", verse) for verse in (1, 2, 3)]
    refused = results[1].recording

    class Picky(type(desk.store)):
        def upload(self, objects, *, on_progress=None):
            if any(path == refused for _, path in objects):
                raise DataError("the server does not accept this file")
            super().upload(objects)

    published = CellPublisher(desk.owned, Picky()).publish(results)
    assert list(published.applied) == [0, 2]
    assert "does not accept" in published.dropped[1]


def test_a_pointer_that_is_there_already_is_never_overwritten(open_desk):
    desk = open_desk({PATH: three_verses()})
    result = desk.spoken(PATH, "MRK 1:1", 1)
    path = result.patch.recording.pointer_path
    desk.set({path: b"somebody's"})
    published = desk.publisher.publish([result])
    assert "name is taken" in published.dropped[0]
    assert desk.files()[path] == b"somebody's"
    assert desk.notebook(PATH).cell("MRK 1:1").selected_audio_id == ""


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


def test_eight_thousand_verses_go_in_sixteen_commits_and_as_many_uploads(open_desk):
    files = books_of(16, 500)
    desk = open_desk(files)
    before = desk.commits()
    published = desk.publisher.publish(all_spoken(desk.folder, files))
    assert len(published.applied) == 8000
    assert desk.commits() - before == 16
    assert desk.store.calls == [500] * 16


def test_the_memory_that_publishing_needs_does_not_grow_with_the_job(open_desk, monkeypatch):
    monkeypatch.setattr(cells_module, "MAX_CELLS", 20)
    files = books_of(10, 20)
    desk = open_desk(files)
    results = all_spoken(desk.folder, files)
    needed = []
    for few in (results[:40], results[40:]):
        tracemalloc.start()
        desk.publisher.publish(few)
        kept, peak = tracemalloc.get_traced_memory()  # kept: the commits of the server in memory
        tracemalloc.stop()
        needed.append(peak - kept)
    assert needed[1] < 1.5 * needed[0]


def test_a_commit_rewrites_at_most_five_megabytes_of_notebooks(open_desk, monkeypatch):
    monkeypatch.setattr(cells_module, "MAX_COMMIT_BYTES", 3_000)
    paths = [f"files/target/B{number:02d}.codex" for number in range(4)]
    files = {
        path: notebook(*(written_cell(f"GEN 1:{v}", "In the beginning.") for v in (1, 2))) for path in paths
    }
    desk = open_desk(files)
    assert 1_000 < len(files[paths[0]]) < 1_500  # with the patch some 1,900
    before = desk.commits()
    results = [desk.spoken(path, "GEN 1:1", number) for number, path in enumerate(paths)]
    published = desk.publisher.publish(results)
    assert list(published.applied) == [0, 1, 2, 3]
    assert desk.commits() - before == 4
