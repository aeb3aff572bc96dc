import pytest

from codex_worker.codex.choose import Selection, cells_for_training, cells_to_speak, cells_to_transcribe
from codex_worker.codex.notebook import Notebook
from tests.support.notebooks import PATH, cell, notebook, recorded_cell, take, written_cell

ALL = Selection()


def chosen(choose, selection, *cells, **metadata):
    choice = choose(Notebook.parse(notebook(*cells, **metadata), PATH), selection)
    assert len(choice.chosen) + len(choice.skipped) == len(cells)
    return [entry.id for entry in choice.chosen], {entry.cell_id: entry.reason for entry in choice.skipped}


CELLS = (
    recorded_cell("MRK 1:1", "both"),
    written_cell("MRK 1:2", "text"),
    recorded_cell("MRK 1:3", ""),
    cell("MRK 1:4", "<span></span>"),
    written_cell("MRK 1:5", "an unselected take", attachments={"x": take("x", 1)}),
    written_cell(
        "MRK 1:6", "a deleted take", attachments={"x": take("x", 1, isDeleted=True)}, selectedAudioId="x"
    ),
)


def test_training_takes_cells_with_text_and_a_selected_recording():
    ids, reasons = chosen(cells_for_training, ALL, *CELLS)
    assert ids == ["MRK 1:1"]
    assert reasons["MRK 1:2"] == "no recording"
    assert reasons["MRK 1:3"] == "no text"
    assert reasons["MRK 1:5"] == "none of its 1 recordings is selected"
    assert reasons["MRK 1:6"] == "the selected recording was deleted"


def test_transcribing_takes_cells_with_a_recording_and_no_text():
    ids, reasons = chosen(cells_to_transcribe, ALL, *CELLS)
    assert ids == ["MRK 1:3"]
    assert "has text already" in reasons["MRK 1:1"]


def test_speaking_takes_cells_with_text_and_no_live_recording():
    ids, reasons = chosen(cells_to_speak, ALL, *CELLS)
    assert ids == ["MRK 1:2", "MRK 1:6"]
    assert "has a recording already" in reasons["MRK 1:5"]
    assert reasons["MRK 1:4"] == "no text"


def test_what_was_asked_for_by_name_is_done_again_but_not_without_a_source():
    everything = Selection(include=("MRK 1",))
    assert chosen(cells_to_transcribe, everything, *CELLS)[0] == ["MRK 1:1", "MRK 1:3"]
    assert chosen(cells_to_speak, everything, *CELLS)[0] == ["MRK 1:1", "MRK 1:2", "MRK 1:5", "MRK 1:6"]


@pytest.mark.parametrize(
    ("more", "data", "reason"),
    [
        ({"isLocked": True}, {}, "locked"),
        ({}, {"merged": True}, "merged into another cell"),
        ({}, {"deleted": True}, "deleted"),
        ({}, {"hidden": True}, "hidden"),
        ({"type": "milestone"}, {}, "not a text cell (milestone)"),
        ({"type": "paratext"}, {}, "not a text cell (paratext)"),
        ({"type": "style"}, {}, "not a text cell (style)"),
        ({"type": None}, {}, "not a text cell (no type)"),
        ({"parentId": "MRK 1:1"}, {}, "part of another cell"),
    ],
)
@pytest.mark.parametrize("choose", [cells_for_training, cells_to_transcribe, cells_to_speak])
def test_cells_that_are_left_alone(choose, more, data, reason):
    take_back = {"attachments": {}} if choose is cells_to_speak else {}
    value = "" if choose is cells_to_transcribe else "kata"
    raw = recorded_cell("u-1", value, data={"globalReferences": ["MRK 1:1"], **data})
    raw["metadata"] |= {**more, **take_back}
    ids, reasons = chosen(choose, Selection(include=("MRK 1:1",)), raw)
    if reason == "locked" and choose is cells_for_training:
        assert ids == ["u-1"]  # finished work: nothing is written to it
    else:
        assert (ids, reasons) == ([], {"u-1": reason})


def test_a_continued_verse_is_left_alone():
    _, reasons = chosen(cells_to_speak, ALL, cell("MRK 1:2", "<range>"))
    assert reasons == {"MRK 1:2": "part of the range before it (<range>)"}


def test_a_part_of_a_verse_is_worked_on_only_where_its_own_id_is_listed():
    child = written_cell("GEN 1:1:cue-5", "kata")
    assert chosen(cells_to_speak, ALL, child)[1] == {"GEN 1:1:cue-5": "part of another cell"}
    assert chosen(cells_to_speak, Selection(include=("GEN 1:1",)), child)[0] == []
    assert chosen(cells_to_speak, Selection(include=("GEN 1:1:cue-5",)), child)[0] == ["GEN 1:1:cue-5"]


def test_a_wrong_cell_is_reported_among_the_skipped():
    ids, reasons = chosen(cells_to_speak, ALL, {"value": "x"}, written_cell("MRK 1:1", "kata"))
    assert (ids, reasons) == (["MRK 1:1"], {"": "it has no metadata"})


@pytest.mark.parametrize("choose", [cells_for_training, cells_to_speak])
@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        ((), (), ["a", "b", "c"]),
        (("a",), (), ["a"]),
        (("MRK 1:1",), (), ["a"]),
        (("MRK 1:3",), (), ["b"]),
        (("MRK 1",), (), ["a", "b"]),
        (("MRK",), ("MRK 1:2",), ["a", "c"]),
        ((), ("a", "MRK 2"), ["b"]),
        (("a",), ("MRK 1:1",), []),
        (("GEN.1.1",), (), []),
    ],
)
def test_one_rule_for_lists_of_verses(choose, include, exclude, expected):
    make = written_cell if choose is cells_to_speak else recorded_cell
    cells = [
        make(identity, "kata", data={"globalReferences": [reference]})
        for identity, reference in (("a", "MRK 1:1"), ("b", "MRK 1:2-3"), ("c", "MRK 2:1"))
    ]
    assert chosen(choose, Selection(include, exclude), *cells)[0] == expected


def test_entries_that_mean_nothing_are_named():
    cells = Notebook.parse(notebook(cell("MRK 1:1"), cell("u")), PATH).cells
    selection = Selection(("MRK 1:1", "GEN.1.1", "u"), ("JON", "MRK"))
    assert selection.unmatched(cells) == ("GEN.1.1", "JON")
