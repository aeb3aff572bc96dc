import random
from typing import Any

import pytest

from codex_worker.codex.attachments import (
    NewRecording,
    new_attachment_id,
    pointer_path,
    resolve_voice_reference,
    selected_recording,
)
from codex_worker.codex.notebook import Notebook
from codex_worker.errors import DataError, UserError
from tests.support.notebooks import PATH, cell, notebook, take

POINTER = ".project/attachments/pointers/JON/audio-1.webm"


@pytest.mark.parametrize(
    "value",
    [
        ".project/attachments/files/JON/audio-1.webm",
        ".project/attachments/pointers/JON/audio-1.webm",
        ".project/attachments/JON/audio-1.webm",
        "./.project/attachments/files/JON/audio-1.webm",
        r".project\attachments\files\JON\audio-1.webm",
        r"C:\Users\Ana Pérez\proj\.project\attachments\files\JON\audio-1.webm",
        "/home/ana/proj/.project/attachments/files/JON/audio-1.webm",
        "/mnt/.project/attachments/old/proj/.project/attachments/files/JON/audio-1.webm",
    ],
)
def test_every_form_of_a_path_leads_to_the_pointer(value):
    assert pointer_path(value) == POINTER
    assert resolve_voice_reference(value) == POINTER


@pytest.mark.parametrize("absent", [None, "", "  "])
def test_without_a_voice_reference_there_is_none(absent):
    assert resolve_voice_reference(absent) is None


@pytest.mark.parametrize(
    "value",
    [
        "",
        "audio.wav",
        "/etc/passwd",
        "../.project/attachments/files/JON/a.wav",
        ".project/attachments/../../secret.wav",
        ".project/attachments/files/../../../secret.wav",
        r".project\attachments\files\..\..\x.wav",
        ".project/attachments/files//a.wav",
        ".project/attachments/files/./a.wav",
        ".project/attachments/files/.git/a.wav",
        ".project/attachments/files/JON/a\x00.wav",
        ".project/attachments/files/JON/a\n.wav",
        ".project/attachments/",
        ".project/attachmentsX/files/JON/a.wav",
        "x.project/attachments/files/JON/a.wav",
        "https://example.org/.project/attachments/files/JON/a.wav",
        ".project/attachments/files/JON/" + "a" * 2000,
        ".project/attachments/files/JON/" + "é" * 200 + ".wav",
    ],
)
def test_a_path_that_leaves_the_folder_is_refused(value):
    with pytest.raises(DataError):
        pointer_path(value)


def test_a_voice_reference_outside_of_the_project_asks_for_another():
    with pytest.raises(UserError, match="Choose"):
        resolve_voice_reference("/etc/passwd")
    with pytest.raises(UserError, match="not an audio file"):
        resolve_voice_reference(".project/attachments/files/JON/notes.txt")


def selected(attachments: dict, selection: object, **more: Any):
    raw = cell("A", attachments=attachments, selectedAudioId=selection, **more)
    return selected_recording(Notebook.parse(notebook(raw), PATH).cells[0])


def test_the_selected_recording_is_found_though_the_editor_misses_its_file():
    found = selected({"x": take("x", 1, isMissing=True, startTime=0.5, endTime=2), "y": take("y", 2)}, "x")
    assert found.pointer_path == ".project/attachments/pointers/MRK/x.wav"
    assert found.legacy_path is None
    assert (found.attachment.start_s, found.attachment.end_s) == (0.5, 2.0)


def test_a_recording_of_an_old_project_may_lie_at_its_old_place():
    found = selected({"x": take("x", 1, url=".project/attachments/MRK/x.WAV")}, "x")
    assert found.pointer_path == ".project/attachments/pointers/MRK/x.WAV"
    assert found.legacy_path == ".project/attachments/MRK/x.WAV"


@pytest.mark.parametrize(
    ("attachments", "selection", "sentence"),
    [
        ({}, "", "no recording"),
        ({"x": take("x", 1)}, "", "none of its 1 recordings is selected"),
        ({"x": take("x", 1)}, None, "none of its 1 recordings is selected"),
        ({"x": take("x", 1)}, "gone", "not among"),
        ({"x": take("x", 1, isDeleted=True)}, "x", "deleted"),
        ({"x": take("x", 1, url="../x.wav")}, "x", "not in"),
        ({"x": take("x", 1, url=".project/attachments/files/MRK/x.txt")}, "x", "not an audio file"),
        ({"x": {"type": "audio"}}, "x", "no url"),
    ],
)
def test_a_selection_that_cannot_be_used_says_why(attachments, selection, sentence):
    with pytest.raises(DataError, match=sentence):
        selected(attachments, selection)


def recording(**changes: Any) -> NewRecording:
    fields: dict[str, Any] = {
        "attachment_id": "audio-1767225600000-abc123xyz",
        "document": "Kisah (ñ)",
        "extension": "webm",
        "created_by": "worker",
        "mime_type": "audio/webm",
        "size_bytes": 1000,
        "sample_rate": 24000,
        "channels": 1,
        "duration_s": 2.0,
    }
    return NewRecording(**{**fields, **changes})


def test_a_new_recording_is_named_as_the_editor_demands():
    new = recording(bitrate_kbps=24.0004)
    assert new.pointer_path == ".project/attachments/pointers/Kisah (ñ)/audio-1767225600000-abc123xyz.webm"
    assert new.entry() == {
        "url": ".project/attachments/files/Kisah (ñ)/audio-1767225600000-abc123xyz.webm",
        "type": "audio",
        "createdAt": 1767225600000,
        "updatedAt": 1,
        "isDeleted": False,
        "createdBy": "worker",
        "metadata": {
            "mimeType": "audio/webm",
            "sizeBytes": 1000,
            "sampleRate": 24000,
            "channels": 1,
            "durationSec": 2,
            "bitrateKbps": 24,
        },
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"attachment_id": "audio-1-x"},
        {"attachment_id": f"audio-{2**53}-abc123xyz"},
        {"attachment_id": "audio-1767225600000-abc123xyz/../x"},
        {"document": "../MRK"},
        {"document": ""},
        {"document": ".git"},
        {"extension": "flac"},
        {"extension": "wav/../x"},
        {"mime_type": "text/html"},
        {"created_by": "a\nb"},
        {"size_bytes": 0},
        {"duration_s": float("nan")},
        {"bitrate_kbps": float("inf")},
    ],
)
def test_a_recording_that_the_editor_could_not_use_is_refused(wrong):
    with pytest.raises(DataError):
        recording(**wrong)


def test_new_ids_are_valid_and_differ():
    ids = {new_attachment_id(1767225600000) for _ in range(100)}
    assert len(ids) == 100
    assert all(recording(attachment_id=identity) for identity in ids)
    assert new_attachment_id(5, random.Random(1)) == new_attachment_id(5, random.Random(1))
