"""What a machine made is known as such, and what a person approved or changed is a person's."""

import pytest

from codex_worker.codex.choose import Selection, cells_for_training
from codex_worker.codex.notebook import Notebook
from codex_worker.codex.provenance import made_by_worker, people_and_machines, unvalidated_by_person
from tests.support.notebooks import PATH, notebook, recorded_cell, take, validation, value_edit
from tests.support.present import present

MARIA = validation("maria", 50)
GONE = {**MARIA, "isDeleted": True}


def made_by(edits=(), value="kata", **take_fields):
    raw = recorded_cell("MRK 1:1", value, edits=tuple(edits))
    (entry,) = raw["metadata"]["attachments"].values()
    entry |= take_fields
    for key in [key for key, found in take_fields.items() if found is ...]:
        del entry[key]
    return unvalidated_by_person(Notebook.parse(notebook(raw), PATH).cells[0])


@pytest.mark.parametrize(
    ("fields", "is_machines"),
    [
        ({"createdBy": made_by_worker("StableTTS")}, True),
        ({"createdBy": "Codex Worker (StableTTS)"}, True),
        ({"createdBy": "codex worker (another model)"}, True),
        ({"createdBy": "Codex Worker"}, True),
        ({"createdBy": "Codex Workerson"}, False),
        ({"createdBy": "maria"}, False),
        ({"createdBy": ...}, False),
        ({"createdBy": 7}, False),
        ({"createdBy": None}, False),
        ({"createdBy": ..., "isGenerated": True}, True),
        ({"createdBy": ..., "isGenerated": "yes"}, False),
        ({"isGenerated": True, "validatedBy": [MARIA]}, False),
        ({"createdBy": "Codex Worker (StableTTS)", "validatedBy": []}, True),
        ({"createdBy": "Codex Worker (StableTTS)", "validatedBy": [MARIA]}, False),
        ({"createdBy": "Codex Worker (StableTTS)", "validatedBy": [GONE]}, True),
        ({"createdBy": "Codex Worker (StableTTS)", "validatedBy": [GONE, validation("tom", 1)]}, False),
        ({"createdBy": "Codex Worker (StableTTS)", "validatedBy": ["maria"]}, False),
        ({"createdBy": "Codex Worker (StableTTS)", "validatedBy": ["", None, 7, {}]}, True),
        ({"createdBy": "Codex Worker (StableTTS)", "validatedBy": "maria"}, True),
        ({"createdBy": "Codex Worker (StableTTS)", "validatedBy": [{"username": "maria"}]}, False),
        ({"createdBy": "Codex Worker (StableTTS)", "validatedBy": [{**MARIA, "isDeleted": "no"}]}, True),
        ({"createdBy": "Codex Worker (StableTTS)", "validatedBy": [{**MARIA, "username": 7}]}, True),
        ({"createdBy": "Codex Worker (X)", "validatedBy": [validation("Codex Worker (X)", 1)]}, True),
        # of two entries of one person, the newer counts
        ({"isGenerated": True, "validatedBy": [{**GONE, "updatedTimestamp": 60}, MARIA]}, True),
        ({"isGenerated": True, "validatedBy": [{**GONE, "updatedTimestamp": 40}, MARIA]}, False),
    ],
)
def test_who_made_a_recording(fields, is_machines):
    assert made_by(**fields) == ("recording" if is_machines else None)


@pytest.mark.parametrize(
    ("origin", "copy", "is_machines"),
    [
        ({"createdBy": "Codex Worker (StableTTS)"}, {}, True),
        ({"isGenerated": True, "isDeleted": True}, {}, True),
        ({"isGenerated": True}, {"validatedBy": [MARIA]}, False),
        ({"isGenerated": True, "validatedBy": [MARIA]}, {}, False),
        ({"createdBy": "tom"}, {}, False),
        ({"metadata": {"derivedFromAudioId": "copy"}}, {}, False),
    ],
)
def test_a_recording_that_was_cut_in_the_editor_is_whose_the_first_one_was(origin, copy, is_machines):
    raw = recorded_cell("MRK 1:1", "kata")
    raw["metadata"] |= {
        "attachments": {
            "first": take("first", 1, **origin),
            "copy": take("copy", 2, metadata={"derivedFromAudioId": "first"}, **copy),
        },
        "selectedAudioId": "copy",
    }
    cell = Notebook.parse(notebook(raw), PATH).cells[0]
    assert unvalidated_by_person(cell) == ("recording" if is_machines else None)


def machine(value="kata", time=10, kind="llm-generation", author="ASR asr_model.pth.tar", **more):
    return value_edit(value, time, kind, author, **more)


@pytest.mark.parametrize(
    ("edits", "is_machines"),
    [
        ([], False),
        ([value_edit("kata", 1)], False),
        ([machine()], True),
        ([machine(author="maria")], True),  # the editor's AI signs with the user's name
        ([machine(kind="llm-edit", author="maria")], True),
        ([machine(kind="user-edit")], True),
        ([machine(kind=7, author=None)], False),
        ([machine(kind="", author="ASR w2v-bert-2.0")], True),
        ([machine(kind="initial-import")], False),  # the worker's note of what was there before
        ([machine(author="ASRIEL", kind="user-edit")], False),
        ([machine(validatedBy=[MARIA])], False),
        ([machine(validatedBy=["maria"])], False),
        ([machine(validatedBy=[GONE])], True),
        ([machine(validatedBy=None)], True),
        ([machine(validatedBy=7)], True),
        ([value_edit("lama", 1), machine()], True),
        ([machine("lama", 5), value_edit("kata", 20)], False),
        ([value_edit("kata", 20), machine("lama", 5)], False),  # the times count, not the order
        ([machine(time=10), value_edit("kata", 10)], False),  # a person's wins, as in the editor
        ([value_edit("kata", 10, " User-Edit"), machine(time=10)], False),
        ([machine(), value_edit("<p>kata</p>", 11, "migration", "system")], True),  # only the markup
        ([value_edit("kata", 1), value_edit("kata", 11, "migration", "system")], False),
        ([machine(), value_edit("kata", 11, "migration", "system", validatedBy=[MARIA])], False),
        ([value_edit("kata", 1), machine("saran", 10, preview=True)], False),
        ([value_edit("kata", 1), machine("saran", 10)], False),  # never applied: the cell says something else
        ([machine("saran", 10)], True),
        ([{**machine(), "editMap": ["metadata", "cellLabel"]}], False),
        ([{"cellValue": "kata", "timestamp": 5, "type": "llm-generation", "author": "x"}], True),
        ([{"cellValue": "kata", "timestamp": 5, "type": "user-edit", "author": "x"}], False),
    ],
)
def test_who_wrote_a_text(edits, is_machines):
    assert made_by(edits) == ("text" if is_machines else None)


def test_text_and_recording_may_both_be_a_machines():
    assert made_by([machine()], isGenerated=True) == "text and recording"


@pytest.mark.parametrize(
    ("human", "machine_made", "words"),
    [
        (47, 11, "47 human, 11 machine-made left out, because no person has validated them"),
        (1, 1, "1 human, 1 machine-made left out, because no person has validated it. To learn from it,"),
    ],
)
def test_what_is_left_out_is_counted_and_said(human, machine_made, words):
    assert words in present(people_and_machines("Verses", human, machine_made))


def test_nothing_is_said_where_no_machine_was_at_work():
    assert people_and_machines("Verses", 47, 0) is None


def test_a_job_may_ask_for_what_machines_made():
    everything = Selection(include_machine_made=True)
    raw = recorded_cell("MRK 1:1", "kata", edits=(machine(),))
    assert cells_for_training(Notebook.parse(notebook(raw), PATH), everything).chosen
    assert not cells_for_training(Notebook.parse(notebook(raw), PATH), Selection()).chosen
