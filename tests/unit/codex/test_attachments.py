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
        "/.project/attachments/files/JON/audio-1.webm",
        r".\.project\attachments\pointers\JON\audio-1.webm",
        r"\\server\share\proj\.project\attachments\files\JON\audio-1.webm",
        "file:///c%3A/Users/Ana%20P%C3%A9rez/proj/.project/attachments/files/JON/audio-1.webm",
        "c%3A/Users/Ana/proj/.project/attachments/files/JON/audio-1.webm",
        ".project%2Fattachments%2Ffiles%2FJON%2Faudio-1.webm",
        ".project%5Cattachments%5Cfiles%5CJON%5Caudio-1.webm",
        ".Project/Attachments/Files/JON/audio-1.webm",
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


@pytest.mark.parametrize(
    "name",
    [
        "a.x-m4a",
        "a.oga",
        "a.3gp",
        "a.m4b",
        "a.mka",
        "a.caf",
        "a.amr",
        "a.wma",
        "a.weba",
        "a.aif",
        "a.MP4",
        "a",
    ],
)
def test_what_a_recording_is_called_does_not_decide_whether_it_is_tried(name):
    url = f".project/attachments/files/JON/{name}"
    assert resolve_voice_reference(url) == f".project/attachments/pointers/JON/{name}"
    found = selected({"x": take("x", 1, url=url)}, "x")
    assert found.pointer_path == f".project/attachments/pointers/JON/{name}"


@pytest.mark.parametrize(
    "name",
    [
        "100%.webm",
        "50%25.webm",
        "a%20b.webm",
        "%2e%2e.webm",
        "a%2Fb.webm",
        "%C3%A9.webm",
        "%.webm",
        "%zz.webm",
    ],
)
def test_a_name_that_holds_percent_signs_stays_as_it_is_written(name):
    assert pointer_path(f".project/attachments/files/JON/{name}") == POINTER.replace("audio-1.webm", name)


def test_a_name_may_be_as_long_as_a_file_system_takes_it_though_its_codes_are_longer():
    coded = "%E0%A4%95" * 70  # 210 bytes on the disk
    assert pointer_path(f".project/attachments/files/JON/{coded}.webm").endswith(f"{coded}.webm")
    path = f".project/attachments/JON/{'%E0%A4%95' * 80}/{'%E0%A4%95' * 80}.webm"
    assert len(pointer_path(path)) <= 1024  # what is longer than any path is decoded


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
