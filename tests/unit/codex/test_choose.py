import itertools

import pytest

from codex_worker.codex.choose import (
    Selection,
    cells_for_training,
    cells_to_speak,
    cells_to_transcribe,
    cells_with_text_only,
)
from codex_worker.codex.notebook import Notebook, read_together
from tests.support.notebooks import (
    PATH,
    cell,
    notebook,
    recorded_cell,
    take,
    validation,
    value_edit,
    written_cell,
)

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


def test_a_voice_teaches_with_texts_of_people_that_nobody_has_recorded():
    machines = cell("MRK 1:7", "a machine's", edits=(value_edit("a machine's", 1, author="ASR model.pt"),))
    locked = written_cell("MRK 1:8", "finished work", isLocked=True)
    cells = (*CELLS, machines, locked, written_cell("MRK 1:9", "?!"))
    ids, reasons = chosen(cells_with_text_only, ALL, *cells)
    assert ids == ["MRK 1:2", "MRK 1:6", "MRK 1:8"]
    assert reasons["MRK 1:5"] == "has a recording"
    assert reasons["MRK 1:7"].startswith("made by a machine")
    assert chosen(cells_with_text_only, Selection(include=("MRK 1:1", "MRK 1:2")), *cells)[0] == ["MRK 1:2"]
    assert "MRK 1:7" in chosen(cells_with_text_only, Selection(include_machine_made=True), *cells)[0]


@pytest.mark.parametrize("text", ["…", "—", "?!", "<b>***</b>", "&nbsp;· · ·"])
@pytest.mark.parametrize("selection", [ALL, Selection(include=("MRK 1:1",))])
def test_a_cell_of_signs_only_is_not_spoken_and_says_why(text, selection):
    assert chosen(cells_to_speak, selection, written_cell("MRK 1:1", text)) == (
        [],
        {"MRK 1:1": "its text holds no letters"},
    )


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
    take_back: dict[str, object] = {"attachments": {}} if choose is cells_to_speak else {}
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


UUID = "b7288c71-804a-8548-cc74-30254617f167"
OTHER = "0e2f1c36-5a0e-4b7d-9a54-3f1d5b1f0c11"


def told_apart(include, cells, exclude=()):
    """Of cells (id -> references), those that may be worked on and those that may be replaced."""
    raw = [
        recorded_cell(identity, "kata", data={"globalReferences": list(references)})
        for identity, references in cells.items()
    ]
    read = Notebook.parse(notebook(*raw), PATH).cells
    selection = Selection(tuple(include), tuple(exclude))
    return (
        [cell.id for cell in read if selection.allows(cell)],
        [cell.id for cell in read if selection.explicit(cell)],
    )


MATTHEW = {"MAT 8:14": [], "MAT 8:14-15": [], "MAT 8:15": [], "MAT 8:15-16": [], UUID: ["MAT 8:14"]}


@pytest.mark.parametrize("entry", ["MAT 8:14", "MAT 8:14-15", "MAT 8:15", "MAT 8:15-16", UUID])
def test_an_entry_that_is_a_cells_id_means_that_cell_alone(entry):
    assert told_apart([entry], MATTHEW) == ([entry], [entry])


@pytest.mark.parametrize(
    ("entry", "cells", "allowed", "replaced"),
    [
        # a reference: worked on where a verse of it is, replaced where the cell is all of it
        ("MAT 8:14", {"MAT 8:14-15": []}, ["MAT 8:14-15"], []),
        ("MAT 8:14-15", {"MAT 8:14": [], "MAT 8:15": []}, ["MAT 8:14", "MAT 8:15"], []),
        ("MAT 8:15", {"MAT 8:14-15": [], "MAT 8:15-16": []}, ["MAT 8:14-15", "MAT 8:15-16"], []),
        ("MAT 8:14", {UUID: ["MAT 8:14"]}, [UUID], [UUID]),
        ("MAT 8:14", {UUID: ["MAT 8:14-15"]}, [UUID], []),
        ("MAT 8:14", {UUID: ["MAT 8:14", "MAT 8:15"]}, [UUID], []),
        ("MAT 8:14-15", {UUID: ["MAT 8:14", "MAT 8:15"]}, [UUID], [UUID]),
        ("MAT 8:14-15", {UUID: ["MAT 8:14-15"], OTHER: ["MAT 8:14"]}, [UUID, OTHER], [UUID]),
        ("MAT 8:14", {UUID: ["MAT 8:14", "MAT 8:20"]}, [UUID], []),
        # two cells with the same reference: nobody knows which is meant
        ("MAT 8:14", {UUID: ["MAT 8:14"], OTHER: ["MAT 8:14"]}, [UUID, OTHER], []),
        (OTHER, {UUID: ["MAT 8:14"], OTHER: ["MAT 8:14"]}, [OTHER], [OTHER]),
        # spelling
        ("mat 8:14", {"MAT 8:14": [], "MAT 8:14-15": []}, ["MAT 8:14"], ["MAT 8:14"]),
        ("MAT 8: 14", {"MAT 8:14": [], "MAT 8:14-15": []}, ["MAT 8:14"], ["MAT 8:14"]),
        (" MAT\u00a08:14\u200b ", {"MAT 8:14": []}, ["MAT 8:14"], ["MAT 8:14"]),
        ("MAT 8:14 – 15", {"MAT 8:14-15": []}, ["MAT 8:14-15"], ["MAT 8:14-15"]),
        ("MAT 8:14-15", {"MAT 8:14–15": []}, ["MAT 8:14–15"], ["MAT 8:14–15"]),
        ("MAT\u20038:14\u201115", {UUID: ["MAT 8:14-15"]}, [UUID], [UUID]),
        (UUID.upper(), {UUID: []}, [UUID], [UUID]),
        ("A", {"a": [], "A": []}, ["A"], ["A"]),
        # letters
        ("MRK 1:3a", {"MRK 1:3a": [], "MRK 1:3b": []}, ["MRK 1:3a"], ["MRK 1:3a"]),
        ("MRK 1:3A", {UUID: ["MRK 1:3a"], OTHER: ["MRK 1:3b"]}, [UUID], [UUID]),
        ("MRK 1:3", {"MRK 1:3a": [], "MRK 1:3b": []}, ["MRK 1:3a", "MRK 1:3b"], []),
        ("MRK 1:3a", {UUID: ["MRK 1:3"]}, [UUID], []),
        ("MRK 1:3a", {UUID: ["MRK 1:3b-5"]}, [], []),
        # children
        ("GEN 1:1", {"GEN 1:1": [], "GEN 1:1:cue-1": []}, ["GEN 1:1"], ["GEN 1:1"]),
        ("GEN 1:1:cue-1", {"GEN 1:1": [], "GEN 1:1:cue-1": []}, ["GEN 1:1:cue-1"], ["GEN 1:1:cue-1"]),
        ("GEN 1:1:cue-2", {"GEN 1:1": []}, ["GEN 1:1"], []),
        # chapters and books
        ("GEN 1", {"GEN 1:31-2:3": [], "GEN 1:30": []}, ["GEN 1:31-2:3", "GEN 1:30"], ["GEN 1:30"]),
        ("GEN 2", {"GEN 1:31-2:3": [], "GEN 2:4": []}, ["GEN 1:31-2:3", "GEN 2:4"], ["GEN 2:4"]),
        ("GEN 2:1", {"GEN 1:31-2:3": []}, ["GEN 1:31-2:3"], []),
        ("GEN 3", {"GEN 1:31-2:3": []}, [], []),
        ("gen", {"GEN 1:31-2:3": [], UUID: ["GEN 5:1"]}, ["GEN 1:31-2:3", UUID], ["GEN 1:31-2:3", UUID]),
        ("MAT 8", MATTHEW, list(MATTHEW), [identity for identity in MATTHEW if identity != UUID]),
        ("MAT 8", {UUID: ["MAT 8:14"], OTHER: ["MAT 8:12-16"]}, [UUID, OTHER], []),
        ("MAT", {"MAT": [], "MAT 8:14": []}, ["MAT"], ["MAT"]),
    ],
)
def test_what_may_be_worked_on_and_what_may_be_replaced(entry, cells, allowed, replaced):
    assert told_apart([entry], cells) == (allowed, replaced)


@pytest.mark.parametrize("exclude", ["MAT 8:14", "MAT 8", "MAT", "mat 8:14"])
def test_whatever_has_an_excluded_verse_is_left_alone(exclude):
    cells = {"MAT 8:14": [], "MAT 8:14-15": [], UUID: ["MAT 8:14"]}
    assert told_apart(["MAT 8:14-15", "MAT"], cells, [exclude]) == ([], [])


def test_the_reference_of_a_merged_cell_names_only_its_first_verse():
    merged = recorded_cell(UUID, "kata", data={"globalReferences": ["MAT 8:14"]}, cellLabel="14–15")
    gone = recorded_cell(OTHER, "kata", data={"globalReferences": ["MAT 8:15"], "merged": True})
    (cell, _) = Notebook.parse(notebook(merged, gone), PATH).cells
    assert Selection(("MAT 8:14",)).allows(cell) and not Selection(("MAT 8:14",)).explicit(cell)
    for entry in ("MAT 8:14-15", "MAT 8", UUID):
        assert Selection((entry,)).explicit(cell)


def test_what_cells_of_other_notebooks_are_called_counts():
    bible = Notebook.parse(notebook(recorded_cell("GEN 1:3", "kata")), "files/target/GEN.codex")
    commentary = Notebook.parse(
        notebook(recorded_cell(UUID, "kata", data={"globalReferences": ["GEN 1:3"]})),
        "files/target/Notes.codex",
    )
    for entry in ("GEN 1:3", "gen 1:3", "GEN 1"):
        selection = Selection((entry,))
        verse, note = (read.cells[0] for read in read_together([bible, commentary]))
        assert selection.explicit(verse) and not selection.explicit(note)
        assert selection.explicit(commentary.cells[0])  # as it would be in a project of its own


def test_a_replaced_cell_is_always_one_that_may_be_worked_on():
    entries = [*MATTHEW, "MAT 8", "MAT", "mat 8:14–15", "MAT 8:16"]
    for entry, excluded in itertools.product(entries, [(), *((one,) for one in entries)]):
        allowed, replaced = told_apart([entry], MATTHEW, excluded)
        assert set(replaced) <= set(allowed)


def test_what_a_machine_made_is_not_learnt_from_until_a_person_validates_it():
    by_machine = recorded_cell("MRK 1:1", "kata")
    (made,) = by_machine["metadata"]["attachments"].values()
    made["createdBy"] = "Codex Worker (StableTTS)"
    by_person = recorded_cell("MRK 1:2", "kata")
    ids, reasons = chosen(cells_for_training, ALL, by_machine, by_person)
    assert (ids, list(reasons)) == (["MRK 1:2"], ["MRK 1:1"])
    assert "made by a machine" in reasons["MRK 1:1"]
    assert chosen(cells_for_training, Selection(("MRK 1:1",)), by_machine)[0] == []
    every = Selection(include_machine_made=True)
    assert chosen(cells_for_training, every, by_machine, by_person)[0] == ["MRK 1:1", "MRK 1:2"]
    made["validatedBy"] = [validation("maria", 5)]
    assert chosen(cells_for_training, ALL, by_machine, by_person)[0] == ["MRK 1:1", "MRK 1:2"]


SCRIPTS = (
    recorded_cell("Марк 1:1", "kata"),
    recorded_cell("Марк 2:1", "kata"),
    recorded_cell("1 Коринфянам 3:1", "kata"),
    recorded_cell("Éxodo 1:1", "kata"),
    recorded_cell("PS2 1:1", "kata"),
    recorded_cell("note", "kata", data={"globalReferences": ["MRK 1:3"]}),
)


@pytest.mark.parametrize(
    ("entry", "meant"),
    [
        ("Марк", ["Марк 1:1", "Марк 2:1"]),
        ("МАРК", ["Марк 1:1", "Марк 2:1"]),
        ("марк 2", ["Марк 2:1"]),
        ("Марк 1:1", ["Марк 1:1"]),
        ("1 Коринфянам", ["1 Коринфянам 3:1"]),
        ("1  коринфянам 3", ["1 Коринфянам 3:1"]),
        ("E\u0301xodo", ["Éxodo 1:1"]),
        ("e\u0301xodo 1:1", ["Éxodo 1:1"]),
        ("PS2", ["PS2 1:1"]),
        ("\u200fMRK 1\u22363\u200e", ["note"]),
        ("\u2067mrk 1:3\u2069", ["note"]),
        ("NOTE", ["note"]),
        ("Мар", []),
        ("Коринфянам", []),
        ("not", []),
    ],
)
def test_a_book_of_any_script_is_included_and_excluded_by_its_name(entry, meant):
    included = Selection(include=(entry,))
    assert chosen(cells_to_speak, included, *SCRIPTS)[0] == meant
    excluded = Selection(include=("Марк", "1 Коринфянам", "Éxodo", "PS2", "note"), exclude=(entry,))
    left = chosen(cells_to_speak, excluded, *SCRIPTS)[0]
    assert left == [raw["metadata"]["id"] for raw in SCRIPTS if raw["metadata"]["id"] not in meant]
    cells = Notebook.parse(notebook(*SCRIPTS), PATH).cells
    assert included.unmatched(cells) == (() if meant else (entry,))


def test_a_cell_that_is_called_like_a_book_is_meant_alone():
    cells = (recorded_cell("Марк", "kata"), recorded_cell("Марк 1:1", "kata"))
    assert chosen(cells_to_speak, Selection(include=("Марк",)), *cells)[0] == ["Марк"]
    assert chosen(cells_to_speak, Selection(include=("Марк 1:1",), exclude=("Марк",)), *cells)[0] == []
