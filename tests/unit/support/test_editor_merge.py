"""The outcomes of the editor's merge that were observed with the editor itself, row by row."""

import json

import pytest

from tests.support.editor_merge import SyncRefused, merge_notebooks, merge_trees
from tests.support.notebooks import CREATED_AT_MS, cell, notebook, take, value_edit
from tests.support.present import present

T = CREATED_AT_MS
HUMAN = value_edit("human", T + 1000)


def merged_cell(ours: dict, theirs: dict) -> dict:
    return json.loads(merge_notebooks(notebook(ours), notebook(theirs)))["cells"][0]


def validation(username: str, updated: int) -> dict:
    return {"username": username, "creationTimestamp": T, "updatedTimestamp": updated, "isDeleted": False}


@pytest.mark.parametrize(
    ("ours", "theirs", "outcome"),
    [
        pytest.param(
            cell("A", "human", edits=(HUMAN,)),
            cell("A", "worker", edits=(HUMAN,)),
            "human",
            id="a value changed without an edit goes back to the newest edit",
        ),
        pytest.param(cell("A", ""), cell("A", "worker"), "", id="and to nothing in a cell without edits"),
        pytest.param(
            cell("A", "human", edits=(HUMAN,)),
            cell("A", "worker", edits=(HUMAN, value_edit("worker", T + 1001, "llm-generation"))),
            "worker",
            id="a value with the newest edit wins",
        ),
        pytest.param(
            cell("A", "human", edits=(HUMAN,)),
            cell("A", "one", edits=(HUMAN, value_edit("two", T + 1001, "llm-generation"))),
            "two",
            id="where edit and cell differ, the edit is right",
        ),
        pytest.param(
            cell("A", "human", edits=(HUMAN,)),
            cell("A", "worker", edits=(value_edit("worker", T + 999, "llm-generation"),)),
            "human",
            id="a newer human edit wins",
        ),
        pytest.param(
            cell("A", "human", edits=(HUMAN,)),
            cell("A", "worker", edits=(value_edit("worker", T + 1000, "llm-generation"),)),
            "human",
            id="a human edit of the same time wins",
        ),
        pytest.param(
            cell("A", "human", edits=({**HUMAN, "validatedBy": [validation("maria", T + 2000)]},)),
            cell("A", "worker", edits=(value_edit("worker", T + 1500, "llm-generation"),)),
            "worker",
            id="an older human edit loses even when it is validated",
        ),
        pytest.param(
            cell("A", "human", edits=(HUMAN,)),
            cell("A", "worker", edits=(HUMAN, value_edit("worker", (T + 9000) // 1000, "llm-generation"))),
            "human",
            id="a time in seconds loses",
        ),
        pytest.param(
            cell("A", "human", edits=(HUMAN,)),
            cell("A", "worker", edits=(value_edit("worker", T * 10, "llm-generation"),)),
            "worker",
            id="a time in the far future beats people",
        ),
        pytest.param(
            cell("A", "human", edits=(HUMAN,)),
            cell(
                "A", "worker", edits=(HUMAN, value_edit("worker", T + 1001, "llm-generation", preview=True))
            ),
            "human",
            id="a preview is not applied",
        ),
        pytest.param(
            cell("A", "old", edits=({"cellValue": "old", "timestamp": T, "type": "user-edit"},)),
            cell("A", "", edits=()),
            "old",
            id="a legacy edit is migrated",
        ),
        pytest.param(
            cell("A", "a", edits=(value_edit("a", T, "initial-import"), value_edit("b", T, "migration"))),
            cell("A", "c", edits=(value_edit("c", T, "user-edit"),)),
            "b",
            id="of one time, migration comes before people before others before imports",
        ),
    ],
)
def test_the_value_after_a_merge(ours, theirs, outcome):
    assert merged_cell(ours, theirs)["value"] == outcome


def test_an_edit_that_does_not_say_what_it_changed_leaves_the_history():
    nameless = {"value": "x", "timestamp": T, "type": "user-edit"}
    assert merged_cell(cell("A", "", edits=(nameless,)), cell("A", ""))["metadata"]["edits"] == []


def test_what_the_other_side_dropped_comes_back():
    validated = {**HUMAN, "validatedBy": [validation("maria", T)]}
    ours = cell("A", "human", edits=(validated,), attachments={"t": take("t", T)})
    result = json.loads(merge_notebooks(notebook(ours, cell("B", "")), notebook(cell("A", "human"))))
    assert [entry["metadata"]["id"] for entry in result["cells"]] == ["A", "B"]
    assert result["cells"][0]["metadata"]["edits"] == [validated]
    assert set(result["cells"][0]["metadata"]["attachments"]) == {"t"}


def test_unknown_keys_survive_and_ours_win():
    ours = cell("A", "", data={"mine": 1, "both": "ours"}, shared="ours")
    theirs = cell("A", "", data={"theirs": 2, "both": "theirs"}, shared="theirs", extra=[1])
    metadata = merged_cell(ours, theirs)["metadata"]
    assert metadata["data"] == {"mine": 1, "both": "ours", "theirs": 2}
    assert (metadata["shared"], metadata["extra"]) == ("ours", [1])


def test_order_and_notebook_metadata_without_an_edit_stay_ours():
    ours = notebook(cell("A"), cell("B"), fileDisplayName="ours")
    result = json.loads(merge_notebooks(ours, notebook(cell("B"), cell("A"), fileDisplayName="theirs")))
    assert [entry["metadata"]["id"] for entry in result["cells"]] == ["A", "B"]
    assert result["metadata"]["fileDisplayName"] == "ours"


def test_a_cell_without_an_id_is_dropped_and_a_second_one_is_folded_into_the_first():
    newer = cell("A", "two", edits=(value_edit("two", T + 5),))
    nameless = {"kind": 2, "value": "x", "metadata": {}}
    result = json.loads(merge_notebooks(notebook(cell("A")), notebook(cell("A"), newer, nameless)))
    assert [(entry["metadata"]["id"], entry["value"]) for entry in result["cells"]] == [("A", "two")]


def test_takes_are_united_and_of_one_take_the_newer_form_stays():
    ours = cell("A", attachments={"x": take("x", T, validatedBy=[validation("maria", T)]), "y": take("y", T)})
    deleted = take("x", T, isDeleted=True, updatedAt=T + 5, validatedBy=[validation("tom", T + 5)])
    legacy = {**take("z", T), "url": r".project\attachments\pointers\MRK\z.wav"}
    takes = merged_cell(ours, cell("A", attachments={"x": deleted, "z": legacy}))["metadata"]["attachments"]
    assert takes["x"]["isDeleted"] is True
    assert {entry["username"] for entry in takes["x"]["validatedBy"]} == {"maria", "tom"}
    assert takes["z"]["url"] == ".project/attachments/files/MRK/z.wav"
    assert "y" in takes


@pytest.mark.parametrize(("their_time", "selected"), [(T + 1, "theirs"), (T, "ours"), (T - 1, "ours")])
def test_only_its_timestamp_decides_the_selection(their_time, selected):
    fake = value_edit("ours", T + 99)
    fake["editMap"] = ["metadata", "selectedAudioId"]
    ours = cell("A", selectedAudioId="ours", selectionTimestamp=T)
    theirs = cell("A", selectedAudioId="theirs", selectionTimestamp=their_time, edits=(fake,))
    assert merged_cell(ours, theirs)["metadata"]["selectedAudioId"] == selected


def test_a_well_formed_notebook_merged_with_itself_is_the_same_bytes():
    text = "“é” \ud83d"
    data = notebook(cell("A", text, edits=(value_edit(text, T),), attachments={"t": take("t", T)}), cell("B"))
    assert merge_notebooks(data, data) == data


JOB = "gpu_jobs/job_a/response.yaml"
NOTEBOOK, TEXT = "files/target/MRK.codex", notebook(cell("A"))
POINTER = ".project/attachments/pointers/MRK/a.wav"


@pytest.mark.parametrize(
    ("path", "base", "ours", "theirs", "outcome"),
    [
        pytest.param(
            JOB, b"running", b"running", b"done", b"running", id="an update of a job file is undone"
        ),
        pytest.param(JOB, b"a", b"b", b"c", b"b", id="where both changed it, the user's stays"),
        pytest.param(JOB, None, None, b"completed", b"completed", id="a new file survives"),
        pytest.param(JOB, b"running", b"running", None, None, id="a deletion is honoured"),
        pytest.param(JOB, b"running", None, b"completed", None, id="a user's deletion too"),
        pytest.param(POINTER, b"old", b"old", b"new", b"old", id="a pointer is never replaced"),
        pytest.param("gpu_jobs/manifest.yaml", b"a", b"b", b"c", b"b", id="the later user's manifest stays"),
        pytest.param("new.bin", None, None, b"\xff\xfe", "\ufffd\ufffd".encode(), id="raw binary is broken"),
        pytest.param("new.txt", None, None, b"\xef\xbb\xbfa", b"a", id="a byte order mark is stripped"),
        pytest.param(NOTEBOOK, TEXT, TEXT, None, TEXT, id="a removed notebook returns"),
    ],
)
def test_a_path_after_the_sync_of_a_user_with_changes(path, base, ours, theirs, outcome):
    merged = merge_trees({path: base}, {path: ours, "mine": b"x"}, {path: theirs}).get(path)
    assert (json.loads(present(merged)) if isinstance(outcome, dict | list) else merged) == outcome


def test_a_user_without_changes_is_fast_forwarded():
    assert merge_trees({JOB: b"running"}, {JOB: b"running"}, {JOB: b"completed"}) == {JOB: b"completed"}


def test_a_user_alone_with_changes_pushes_them():
    assert merge_trees({JOB: b"a"}, {JOB: b"b", "x": None}, {JOB: b"a"}) == {JOB: b"b"}


@pytest.mark.parametrize(("path", "content"), [("gpu_jobs/.gitkeep", b""), ("files/target/MRK.codex", b"{")])
def test_an_empty_new_file_and_an_unreadable_notebook_stop_the_sync(path, content):
    base = {"files/target/MRK.codex": notebook()}
    with pytest.raises(SyncRefused):
        merge_trees(base, {**base, "mine": b"x"}, {**base, path: content})
