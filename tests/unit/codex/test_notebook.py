import json

import pytest

from codex_worker.codex.json_spans import document, elements, members
from codex_worker.codex.notebook import MAX_NOTEBOOK_BYTES, Notebook, document_name
from codex_worker.errors import DataError
from tests.support.notebooks import CREATED_AT_MS, PATH, cell, notebook, recorded_cell, take, value_edit
from tests.support.present import present


def only_cell(raw: dict):
    return Notebook.parse(notebook(raw), PATH).cells[0]


def test_a_cell_tells_what_is_in_it():
    read = only_cell(
        recorded_cell(
            "u-1",
            "<p>kata</p>",
            data={"globalReferences": ["JON 1:2"], "startTime": 1, "endTime": 2.5},
            edits=(value_edit("<p>kata</p>", CREATED_AT_MS),),
            cellLabel="2",
            isLocked=True,
            parentId="u-0",
        )
    )
    assert (read.id, read.type, read.text, read.label, read.chapter) == ("u-1", "text", "kata", "2", 1)
    assert (read.is_locked, read.is_merged, read.is_deleted, read.is_hidden) == (True, False, False, False)
    assert (read.parent_id, read.start_s, read.end_s) == ("u-0", 1.0, 2.5)
    assert read.selected_audio_id in read.attachments
    assert read.selection_timestamp_ms == CREATED_AT_MS + 500
    assert read.edits[0].field == ("value",)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ("x", "not an object"),
        ({"value": "x"}, "no metadata"),
        ({"value": "x", "metadata": {}}, "no id"),
        ({"value": "x", "metadata": {"id": 5}}, "not a text"),
        ({"value": "x", "metadata": {"id": "x" * 600}}, "longer than"),
        ({"value": 5, "metadata": {"id": "B"}}, "value is not a text"),
        ({"value": "x" * 200_000, "metadata": {"id": "B"}}, "longer than"),
        ({"value": "", "metadata": {"id": "B", "edits": {}}}, "edits"),
        ({"value": "", "metadata": {"id": "B", "attachments": []}}, "attachments"),
        ({"value": "", "metadata": {"id": "B", "data": []}}, "data"),
        (cell("A"), "same id"),
    ],
)
def test_one_wrong_cell_costs_that_cell_only(wrong, sentence):
    read = Notebook.parse(notebook(cell("A"), wrong, cell("C")), PATH)
    assert [entry.id for entry in read.cells] == ["A", "C"]
    assert [entry.index for entry in read.cells] == [0, 2]
    assert len(read.problems) == 1
    assert sentence in read.problems[0].reason
    assert "cell 2" in str(read.problems[0])


def test_null_and_missing_parts_are_as_good_as_empty_ones():
    raw = {"value": None, "metadata": {"id": "A", "data": None, "edits": None, "attachments": None}}
    read = only_cell(raw)
    assert (read.value, read.edits, read.attachments, read.selected_audio_id) == ("", (), {}, "")


def test_a_wrong_take_and_a_wrong_edit_cost_nothing_else():
    attachments = {"x": None, "y": {"url": 5}, "z": take("z", 1), "film": take("f", 1, type="video")}
    read = only_cell(cell("A", attachments=attachments, edits=("x", {}, value_edit("a", True))))
    assert [entry.id for entry in read.live_attachments] == ["y", "z"]
    assert [entry.timestamp_ms for entry in read.edits] == [0]


def test_the_newest_change_of_the_text_is_known():
    flag = {**value_edit("", 900), "editMap": ["metadata", "isLocked"]}
    legacy = {"cellValue": "old", "timestamp": 300, "type": "user-edit"}
    preview = value_edit("not taken", 950, preview=True)
    read = only_cell(
        cell("A", "a", edits=(value_edit("a", 200), legacy, flag, preview, value_edit("b", "700")))
    )
    assert read.value_changed_at_ms == 300


def test_the_newest_change_of_the_recordings_is_known():
    read = only_cell(cell("A", attachments={"x": take("x", 5, updatedAt=9.5)}, selectionTimestamp=7))
    assert read.selection_changed_at_ms == 10
    assert only_cell(cell("A")).selection_changed_at_ms is None


@pytest.mark.parametrize(
    ("metadata", "created"),
    [
        ({"sourceCreatedAt": "2026-01-01T00:00:00.000Z"}, CREATED_AT_MS),
        ({"sourceCreatedAt": "2026-01-01T02:00:00+02:00"}, CREATED_AT_MS),
        ({"sourceCreatedAt": CREATED_AT_MS}, CREATED_AT_MS),
        ({"sourceCreatedAt": "", "importTimestamp": "2026-01-01T00:00:00Z"}, CREATED_AT_MS),
        ({"sourceCreatedAt": "last week"}, None),
        ({"sourceCreatedAt": None}, None),
    ],
)
def test_when_a_notebook_was_created(metadata, created):
    assert Notebook.parse(notebook(**metadata), PATH).created_at_ms == created


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "not valid JSON"),
        (b"[]", "not valid JSON"),
        (b'{"cells": [', "not valid JSON"),
        (b'{"cells": []} x', "not valid JSON"),
        (b'{"cells": [NaN]}', "not valid JSON"),
        (b'{"cells": [{"a": 1,}]}', "not valid JSON"),
        (b'{"cells": ' + b"[" * 200_000, "not valid JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b"{}", "no list of cells"),
        (b'{"cells": {}}', "no list of cells"),
        (b" " * (MAX_NOTEBOOK_BYTES + 1), "larger than"),
    ],
)
def test_a_file_that_is_no_notebook_is_refused_with_its_name_and_a_reason(data, sentence):
    with pytest.raises(DataError, match=sentence) as refusal:
        Notebook.parse(data, PATH)
    assert PATH in str(refusal.value)


def test_a_byte_order_mark_is_read_over():
    assert Notebook.parse(b"\xef\xbb\xbf" + notebook(cell("A")), PATH).cells[0].id == "A"


def test_the_name_of_a_document():
    assert document_name("files/target/sub/Kisah Ñu-(1a2b).codex") == "Kisah Ñu-(1a2b)"


def test_the_spans_are_those_of_the_values():
    text = '\ufeff { "a" : [1, "x\\u00e9" , {"b":2}] ,\r\n"cells":[ {"c" : 5e-05} , [] ], "a": -0.0 }\n'
    top, cells = document(text, "cells")
    assert [text[span.start : span.end] for span in present(cells)] == ['{"c" : 5e-05}', "[]"]
    assert text[top["a"].start : top["a"].end] == "-0.0"
    assert text[top["cells"].start : top["cells"].end] == '[ {"c" : 5e-05} , [] ]'
    inside = members(text, present(cells)[0].start)["c"]
    assert (text[inside.start : inside.end], text[inside.key_start]) == ("5e-05", '"')
    assert [span.value for span in elements(text, text.index("["))] == [1, "xé", {"b": 2}]


def test_reading_by_spans_and_reading_at_once_agree():
    data = notebook(recorded_cell("A", "é \ud83d “x”"), cell("B"))
    top, cells = document(data.decode(), "cells")
    assert [span.value for span in present(cells)] == json.loads(data)["cells"]
    assert top["metadata"].value == json.loads(data)["metadata"]
