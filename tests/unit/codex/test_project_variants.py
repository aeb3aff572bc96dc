"""What projects of the editor look like besides the tidy ones, as far as notebooks show it.

Clones with pointers only, pointer text or nothing in place of a recording, and objects that are missing on
the server concern the readers of recordings; malformed manifests and vanished entries those of manifests.
"""

import json

import pytest

from codex_worker.codex.attachments import NewRecording, resolve_voice_reference, selected_recording
from codex_worker.codex.choose import (
    Selection,
    cells_for_training,
    cells_to_speak,
    cells_to_transcribe,
    cells_with_text,
)
from codex_worker.codex.notebook import Notebook
from codex_worker.codex.patch import RecordingPatch, TextPatch, apply_patches
from codex_worker.errors import DataError
from tests.support.editor_merge import merge_notebooks, merge_trees
from tests.support.notebooks import (
    CREATED_AT_MS,
    PATH,
    cell,
    flag_edit,
    notebook,
    recorded_cell,
    take,
    value_edit,
    written_cell,
)
from tests.support.present import present

ALL = Selection()


def ids(choice) -> list[str]:
    return [entry.id for entry in choice.chosen]


def transcribed(data: bytes, identity: str, path: str = PATH, text: str = "kata") -> bytes:
    state = present(Notebook.parse(data, path).cell(identity)).state
    result = apply_patches(data, path, [TextPatch(identity, state, text, "worker")])
    assert result.applied
    return result.data


def test_a_recording_that_the_editor_misses_is_still_looked_for():
    missing = recorded_cell("A", "kata")
    next(iter(missing["metadata"]["attachments"].values()))["isMissing"] = True
    assert ids(cells_for_training(Notebook.parse(notebook(missing), PATH), ALL)) == ["A"]


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n", b"\n\n"])
def test_the_end_of_the_file_stays_as_it_was(ending):
    data = notebook(recorded_cell("A")).rstrip() + ending
    assert transcribed(data, "A").endswith(b"}" + ending)


def test_legacy_edits_and_validations_stay_as_they_are():
    legacy = {"cellValue": "lama", "timestamp": CREATED_AT_MS + 50, "type": "user-edit", "author": "maria"}
    by_name = {**value_edit("lama", CREATED_AT_MS + 40), "validatedBy": ["maria"]}
    unvalidated = {
        key: part for key, part in value_edit("lama", CREATED_AT_MS + 30).items() if key != "validatedBy"
    }
    data = notebook(recorded_cell("A", "lama", edits=(legacy, by_name, unvalidated)))
    history = json.loads(transcribed(data, "A"))["cells"][0]["metadata"]["edits"]
    assert history[:3] == [legacy, by_name, unvalidated]
    assert [edit["timestamp"] - CREATED_AT_MS for edit in history] == [50, 40, 30, 51]


@pytest.mark.parametrize(
    "url",
    [
        ".project/attachments/MRK/x.webm",
        ".project/attachments/pointers/MRK/x.webm",
        r".project\attachments\files\MRK\x.webm",
        r"D:\proj\.project\attachments\pointers\MRK\x.webm",
    ],
)
def test_recordings_with_legacy_urls_are_found(url):
    raw = cell(
        "A", "kata", attachments={"x": take("x", 1, url=url)}, selectedAudioId="x", selectionTimestamp=1
    )
    (one,) = cells_for_training(Notebook.parse(notebook(raw), PATH), ALL).chosen
    assert selected_recording(one).pointer_path == ".project/attachments/pointers/MRK/x.webm"


def test_a_film_with_a_long_name_and_subtitles_without_references():
    path = "files/target/bagian satu/Kisah Ñu-(9f3a0c1e-1111-2222-3333-444455556666).codex"
    subtitle = written_cell("0a1b", "Halo!", data={"globalReferences": [], "startTime": 12.5, "endTime": 14})
    data = notebook(subtitle, cell("0a1c", data={"globalReferences": [], "startTime": 14, "endTime": 15}))
    (one,) = cells_to_speak(Notebook.parse(data, path), ALL).chosen
    assert (one.references, one.chapter, one.start_s, one.end_s) == ((), None, 12.5, 14.0)
    assert cells_to_speak(Notebook.parse(data, path), Selection(include=("0a1b",))).chosen == (one,)
    document = Notebook.parse(data, path).document
    new = NewRecording(
        "audio-1767225600001-abc123xyz", document, "ogg", "worker", "audio/ogg", 9, 16000, 1, 1.0
    )
    result = apply_patches(data, path, [RecordingPatch(one.id, one.state, new)])
    assert result.applied
    assert new.pointer_path == f".project/attachments/pointers/{document}/audio-1767225600001-abc123xyz.ogg"


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (r"C:\Users\x\p\.project\attachments\files\JON\a.webm", ".project/attachments/pointers/JON/a.webm"),
        (".project/attachments/pointers/JON/a.webm", ".project/attachments/pointers/JON/a.webm"),
        (None, None),
    ],
)
def test_the_voice_reference_of_every_system_or_none(value, path):
    assert resolve_voice_reference(value) == path


def test_a_range_and_the_cells_merged_into_it():
    data = notebook(
        written_cell("a", "dua ayat", data={"globalReferences": ["1PE 3:1-2"]}, cellLabel="1-2"),
        written_cell(
            "b", "(digabung)", data={"globalReferences": ["1PE 3:2"], "merged": True}, cellLabel="2"
        ),
        written_cell("c", "<range>", data={"globalReferences": ["1PE 3:3"]}),
        written_cell("d", "judul", data={"globalReferences": ["1PE"]}),
    )
    read = Notebook.parse(data, PATH)
    assert read.cells[0].label == "1-2"
    assert ids(cells_to_speak(read, ALL)) == ["a", "d"]
    assert ids(cells_to_speak(read, Selection(include=("1PE 3:2",)))) == ["a"]
    assert ids(cells_to_speak(read, Selection(include=("1PE",), exclude=("1PE 3:1",)))) == ["d"]


@pytest.mark.parametrize("selection", ["", "audio-gone", None, 7])
def test_a_deselected_or_dangling_selection(selection):
    takes = {"x": take("x", CREATED_AT_MS)}
    empty = cell("A", "", attachments=takes, selectedAudioId=selection, selectionTimestamp=CREATED_AT_MS)
    full = cell("B", "kata", attachments=takes, selectedAudioId=selection, selectionTimestamp=CREATED_AT_MS)
    read = Notebook.parse(notebook(empty, full), PATH)
    assert not cells_for_training(read, ALL).chosen
    assert not cells_to_transcribe(read, ALL).chosen
    assert not cells_to_speak(read, ALL).chosen
    assert ids(cells_to_speak(read, Selection(include=("B",)))) == ["B"]
    with pytest.raises(DataError):
        selected_recording(read.cells[0])


def test_a_user_who_diverged_between_reading_and_writing_keeps_all_and_gets_ours():
    base = notebook(recorded_cell("A"), recorded_cell("B"), recorded_cell("C"))
    theirs = transcribed(transcribed(base, "A"), "B", text="dua")
    document = json.loads(base)
    typed, locked = document["cells"][1], document["cells"][2]["metadata"]
    typed["value"] = "diketik"
    typed["metadata"]["edits"].append(value_edit("diketik", CREATED_AT_MS + 1))
    locked["isLocked"] = True
    locked["edits"].append(flag_edit(["metadata", "isLocked"], True, CREATED_AT_MS + 2))
    ours = notebook(*document["cells"])
    merged = Notebook.parse(merge_trees({PATH: base}, {PATH: ours}, {PATH: theirs})[PATH], PATH)
    assert [one.value for one in merged.cells] == ["kata", "diketik", ""]
    assert merged.cells[2].is_locked


def test_numbers_escapes_and_order_around_a_patch_stay():
    odd = rb'{"kind": 2, "odd": [5e-05, 1.0, -0.0, 1e400], "7": "\ud83d \u00e9 \/", "value": "", "metadata": '
    odd += rb'{"type": "text", "2": 1, "id": "A", "1": 1.50, "edits": [ ], "deep": {"b":1,"a":[ ]}}}'
    data = b'{"cells": [' + odd + b', {"a": 1E5}], "metadata": {"z": 0.10}}'
    patched = transcribed(data, "A")
    for part in (
        odd[: odd.index(b'"value"')],
        b'"2": 1, "id": "A", "1": 1.50, "edits": [{"',
        b'"deep": {"b":1,"a":[ ]}',
    ):
        assert part in patched
    assert patched.endswith(b', {"a": 1E5}], "metadata": {"z": 0.10}}')


def test_an_escaped_file_gets_escaped_text():
    data = json.dumps(json.loads(notebook(recorded_cell("A"), cell("B", "é"))), indent=2).encode()
    assert rb"\u201ckata\u201d" in transcribed(data, "A", text="“kata”")


def test_what_we_write_is_what_the_editor_would_write():
    data = transcribed(notebook(recorded_cell("A"), written_cell("B", "kata")), "A")
    state = present(Notebook.parse(data, PATH).cell("B")).state
    new = NewRecording(
        "audio-1767225600001-abc123xyz", "MRK", "webm", "worker", "audio/webm", 9, 16000, 1, 2.0
    )
    data = apply_patches(data, PATH, [RecordingPatch("B", state, new)]).data
    assert merge_notebooks(data, data) == data


def test_all_cells_with_text_show_how_the_language_is_written_but_for_a_machines():
    data = notebook(
        written_cell("a", "kata", data={"globalReferences": ["MRK 1:1"]}),
        recorded_cell("b", "<p>firman</p>", data={"globalReferences": ["MRK 1:2"]}),
        written_cell("c", "..."),
        cell(
            "d", "gibberish", edits=(value_edit("gibberish", CREATED_AT_MS, author="ASR best.safetensors"),)
        ),
        cell("e", ""),
        written_cell("f", "dihapus", data={"deleted": True}),
    )
    read = Notebook.parse(data, PATH)
    assert ids(cells_with_text(read, ALL)) == ["a", "b"]
    assert ids(cells_with_text(read, Selection(exclude=("MRK 1:2",)))) == ["a"]
    assert ids(cells_with_text(read, Selection(include_machine_made=True))) == ["a", "b", "d"]
