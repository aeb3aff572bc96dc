import json

import pytest

from codex_worker.codex.attachments import NewRecording
from codex_worker.codex.notebook import Notebook
from codex_worker.codex.patch import RecordingPatch, TextPatch, apply_patches, patch_from_dict
from codex_worker.errors import DataError
from tests.support.editor_merge import merge_notebooks
from tests.support.notebooks import (
    CREATED_AT_MS,
    PATH,
    flag_edit,
    notebook,
    recorded_cell,
    take,
    value_edit,
    written_cell,
)
from tests.support.present import present

ID = "MRK 1:1"
NEW_TAKE = "audio-1767225600000-abc123xyz"


def text_patch(data: bytes, text: str = "a < b & c", identity: str = ID) -> TextPatch:
    return TextPatch(identity, present(Notebook.parse(data, PATH).cell(identity)).state, text, "worker")


def recording_patch(
    data: bytes, identity: str = ID, path: str = PATH, name: str = NEW_TAKE
) -> RecordingPatch:
    read = Notebook.parse(data, path)
    recording = NewRecording(name, read.document, "webm", "worker", "audio/webm", 1000, 16000, 1, 1.25, 16.0)
    return RecordingPatch(identity, present(read.cell(identity)).state, recording)


def applied(data: bytes, *patches) -> dict:
    """The first cell after patches that must all be applied."""
    result = apply_patches(data, PATH, patches)
    assert result.applied == patches
    assert not result.dropped
    assert not result.unchanged
    return json.loads(result.data)["cells"][0]


def refusal(head: bytes, patch) -> str:
    result = apply_patches(head, PATH, [patch])
    assert result.data == head
    assert not result.applied
    ((dropped, reason),) = result.dropped
    assert dropped is patch
    return reason


def test_a_transcription_becomes_escaped_text_with_its_edit():
    data = notebook(recorded_cell(ID))
    patched = applied(data, text_patch(data, " a < b\n & “c” "))
    assert patched["value"] == "a &lt; b &amp; “c”"
    assert patched["metadata"]["edits"] == [
        {
            "editMap": ["value"],
            "value": "a &lt; b &amp; “c”",
            "timestamp": CREATED_AT_MS + 1,
            "type": "llm-generation",
            "author": "worker",
            "validatedBy": [],
        }
    ]


def test_an_edit_is_1_ms_newer_than_the_newest_edit_of_the_text():
    edits = (
        value_edit("old", CREATED_AT_MS + 70),
        value_edit("older", CREATED_AT_MS + 50),
        flag_edit(["metadata", "isLocked"], False, CREATED_AT_MS + 900),
    )
    data = notebook(recorded_cell(ID, "old", edits=edits))
    history = applied(data, text_patch(data))["metadata"]["edits"]
    assert [edit["timestamp"] - CREATED_AT_MS for edit in history] == [70, 50, 900, 71]


def test_text_without_a_history_gets_one_first():
    data = notebook(recorded_cell(ID, "<p>old</p>"))
    first, second = applied(data, text_patch(data))["metadata"]["edits"]
    assert (first["type"], first["value"], first["timestamp"]) == (
        "initial-import",
        "<p>old</p>",
        CREATED_AT_MS,
    )
    assert (second["type"], second["timestamp"]) == ("llm-generation", CREATED_AT_MS + 1)
    assert first["validatedBy"] == second["validatedBy"] == []


def test_without_any_known_time_the_oldest_one_is_taken():
    data = notebook(recorded_cell(ID), sourceCreatedAt="")
    assert applied(data, text_patch(data))["metadata"]["edits"][0]["timestamp"] == 2


def test_a_recording_is_attached_and_selected_without_an_edit():
    data = notebook(written_cell(ID, "kata"))
    metadata = applied(data, recording_patch(data))["metadata"]
    assert metadata["selectedAudioId"] == NEW_TAKE
    assert metadata["selectionTimestamp"] == CREATED_AT_MS + 1
    assert metadata["attachments"][NEW_TAKE]["createdAt"] == int(NEW_TAKE.split("-")[1])
    assert metadata["attachments"][NEW_TAKE]["url"] == f".project/attachments/files/MRK/{NEW_TAKE}.webm"
    assert [edit["type"] for edit in metadata["edits"]] == ["user-edit"]


@pytest.mark.parametrize("made_ms", [CREATED_AT_MS - 1, CREATED_AT_MS, CREATED_AT_MS + 10**11])
@pytest.mark.parametrize("created", [None, "", "2026-01-01T00:00:00.000Z"])
def test_a_new_recording_says_when_it_was_made_whatever_is_known_of_the_notebook(made_ms, created):
    data = notebook(written_cell(ID, "kata"), **({} if created is None else {"sourceCreatedAt": created}))
    name = f"audio-{made_ms}-abc123xyz"
    metadata = applied(data, recording_patch(data, name=name))["metadata"]
    assert metadata["attachments"][name]["createdAt"] == made_ms
    assert metadata["selectionTimestamp"] <= CREATED_AT_MS + 1


@pytest.mark.parametrize(
    "their_clock_ms", [2, 10**12, CREATED_AT_MS - 365 * 86_400_000, CREATED_AT_MS, CREATED_AT_MS + 10**11]
)
def test_a_persons_deletion_of_our_recording_wins_whatever_their_clock_says(their_clock_ms):
    data = notebook(written_cell(ID, "kata"))
    ours = apply_patches(data, PATH, [recording_patch(data)]).data
    deleted = json.loads(ours)
    deleted["cells"][0]["metadata"]["attachments"][NEW_TAKE] |= {
        "isDeleted": True,
        "updatedAt": their_clock_ms,
    }
    theirs = json.dumps(deleted).encode()
    for merged in (merge_notebooks(theirs, ours), merge_notebooks(ours, theirs)):
        entry = json.loads(merged)["cells"][0]["metadata"]["attachments"][NEW_TAKE]
        assert entry["isDeleted"] is True
        assert entry["createdAt"] == int(NEW_TAKE.split("-")[1])


def test_a_selection_is_1_ms_newer_than_the_one_that_was_read_whatever_happened_to_a_take_since():
    takes = {"x": take("x", CREATED_AT_MS + 5, isDeleted=True, updatedAt=CREATED_AT_MS + 80)}
    data = notebook(written_cell(ID, "kata", attachments=takes, selectedAudioId="x", selectionTimestamp=7))
    metadata = applied(data, recording_patch(data))["metadata"]
    assert metadata["selectionTimestamp"] == 8


def test_a_selection_where_none_was_is_1_ms_newer_than_every_known_take():
    takes = {"x": take("x", CREATED_AT_MS + 5, isDeleted=True, updatedAt=CREATED_AT_MS + 80)}
    data = notebook(written_cell(ID, "kata", attachments=takes))
    metadata = applied(data, recording_patch(data))["metadata"]
    assert metadata["selectionTimestamp"] == CREATED_AT_MS + 81
    assert list(metadata["attachments"]) == ["x", NEW_TAKE]


def test_text_and_recording_of_one_cell_may_come_together_and_in_any_order():
    data = notebook(recorded_cell(ID), recorded_cell("MRK 1:2", "kata"))
    both = (text_patch(data), recording_patch(data, "MRK 1:2"))
    assert apply_patches(data, PATH, both).data == apply_patches(data, PATH, both[::-1]).data


HEADS = [
    pytest.param({"value": "typed"}, {}, "text was changed", id="typed"),
    pytest.param(
        {}, {"edits": [value_edit("x", 9e12), value_edit("", 9e12 + 1)]}, "edited", id="typed and undone"
    ),
    pytest.param({}, {"isLocked": True}, "locked", id="locked"),
    pytest.param({}, {"data": {"deleted": True}}, "deleted", id="deleted"),
    pytest.param({}, {"data": {"merged": True}}, "merged", id="merged"),
    pytest.param({}, {"data": {"hidden": True}}, "hidden", id="hidden"),
    pytest.param({}, {"type": "paratext"}, "paratext", id="made a paratext"),
    pytest.param(
        {}, {"selectedAudioId": "", "selectionTimestamp": 9e12}, "another recording", id="deselected"
    ),
    pytest.param({}, {"selectionTimestamp": 9e12}, "another recording", id="selected again"),
    pytest.param({}, {"id": "MRK 9:9"}, "no longer in the notebook", id="gone"),
    pytest.param({}, {"edits": {}}, "cannot be read", id="broken"),
]


@pytest.mark.parametrize(("changes", "metadata", "reason"), HEADS)
def test_a_transcription_is_dropped_where_a_person_was_faster(changes, metadata, reason):
    raw = recorded_cell(ID)
    patch = text_patch(notebook(raw))
    head = notebook({**raw, **changes, "metadata": {**raw["metadata"], **metadata}})
    assert reason in refusal(head, patch)


@pytest.mark.parametrize(
    ("changes", "metadata", "reason"),
    [
        pytest.param({"value": "typed"}, {}, "text was changed", id="typed"),
        pytest.param({}, {"isLocked": True}, "locked", id="locked"),
        pytest.param({}, {"attachments": {"x": take("x", 9e12)}}, "recordings", id="recorded, not selected"),
        pytest.param(
            {},
            {"attachments": {"x": take("x", 9e12)}, "selectedAudioId": "x", "selectionTimestamp": 9e12},
            "another recording was selected",
            id="recorded",
        ),
        pytest.param({"value": "<range>"}, {}, "range", id="made a part of a range"),
    ],
)
def test_a_recording_is_dropped_where_a_person_was_faster(changes, metadata, reason):
    raw = written_cell(ID, "kata")
    patch = recording_patch(notebook(raw))
    head = notebook({**raw, **changes, "metadata": {**raw["metadata"], **metadata}})
    assert reason in refusal(head, patch)


def test_a_transcription_of_a_recording_that_was_deleted_is_dropped():
    raw = recorded_cell(ID)
    patch = text_patch(notebook(raw))
    next(iter(raw["metadata"]["attachments"].values()))["isDeleted"] = True
    assert "recording was deleted" in refusal(notebook(raw), patch)


@pytest.mark.parametrize("text", ["", "  \n"])
def test_empty_text_overwrites_nothing(text):
    data = notebook(recorded_cell(ID, "kata"))
    assert "no words" in refusal(data, text_patch(data, text))


def test_a_recording_goes_into_no_other_document_s_folder():
    data = notebook(written_cell(ID, "kata"))
    patch = recording_patch(data, path="files/target/JON.codex")
    assert "belongs to JON" in refusal(data, patch)


def test_content_gives_way_only_where_it_may():
    texts, takes = notebook(recorded_cell(ID, "kata")), notebook(recorded_cell(ID, "kata"))
    for data, patch in ((texts, text_patch(texts)), (takes, recording_patch(takes))):
        result = apply_patches(data, PATH, [patch], may_replace=lambda cell: False)
        assert "nobody asked" in result.dropped[0][1]
        assert apply_patches(data, PATH, [patch], may_replace=lambda cell: cell.id == ID).applied
    empty = notebook(recorded_cell(ID))
    assert apply_patches(empty, PATH, [text_patch(empty)], may_replace=lambda cell: False).applied


def test_no_edit_is_written_that_could_not_be_the_newest():
    data = notebook(recorded_cell(ID, "x", edits=(value_edit("x", 2**53 - 1),)))
    assert "future" in refusal(data, text_patch(data))


def test_what_is_there_already_is_reported_as_such():
    data = notebook(recorded_cell(ID, "kata"))
    patch = text_patch(data, "kata")
    result = apply_patches(data, PATH, [patch])
    assert result.data == data
    assert result.unchanged == ((patch, "the cell says the same already"),)


@pytest.mark.parametrize("make", [text_patch, recording_patch])
def test_applying_a_patch_again_changes_nothing(make):
    data = notebook(recorded_cell(ID, "kata"))
    patch = make(data)
    once = apply_patches(data, PATH, [patch, patch])
    assert (once.applied, [reason for _, reason in once.unchanged]) == ((patch,), ["it was applied before"])
    again = apply_patches(once.data, PATH, [patch])
    assert again.data == once.data
    assert again.unchanged == ((patch, "it was applied before"),)


def test_a_retry_after_a_person_s_correction_leaves_the_correction():
    data = notebook(recorded_cell(ID))
    patch = text_patch(data)
    head = json.loads(apply_patches(data, PATH, [patch]).data)["cells"][0]
    head["value"] = "corrected"
    head["metadata"]["edits"].append(value_edit("corrected", CREATED_AT_MS + 9999))
    result = apply_patches(notebook(head), PATH, [patch])
    assert result.data == notebook(head)
    assert result.unchanged == ((patch, "it was applied before"),)


@pytest.mark.parametrize("offset", [1, 2, 5000])
def test_who_typed_offline_before_we_read_still_wins(offset):
    base = recorded_cell(ID)
    typed = {**base, "value": "typed"}
    typed["metadata"] = {**base["metadata"], "edits": [value_edit("typed", CREATED_AT_MS + offset)]}
    data = notebook(base)
    ours = apply_patches(data, PATH, [text_patch(data)]).data
    assert json.loads(merge_notebooks(notebook(typed), ours))["cells"][0]["value"] == "typed"


@pytest.mark.parametrize("offset", [1, 2, 5000])
def test_who_recorded_offline_before_we_read_still_wins(offset):
    base = written_cell(ID, "kata")
    time = CREATED_AT_MS + offset
    takes = {"attachments": {"x": take("x", time)}, "selectedAudioId": "x", "selectionTimestamp": time}
    data = notebook(base)
    ours = apply_patches(data, PATH, [recording_patch(data)]).data
    merged = json.loads(merge_notebooks(notebook({**base, "metadata": {**base["metadata"], **takes}}), ours))
    assert merged["cells"][0]["metadata"]["selectedAudioId"] == "x"
    assert set(merged["cells"][0]["metadata"]["attachments"]) == {"x", NEW_TAKE}


def test_patches_cross_the_pipe_unharmed():
    data = notebook(recorded_cell(ID, "\ud83d “x”"))
    for patch in (text_patch(data), recording_patch(data)):
        assert patch_from_dict(json.loads(json.dumps(patch.to_dict()))) == patch


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("kind",), "other"),
        (("cell_id",), ""),
        (("cell_id",), 5),
        (("cell_id",), "x" * 1000),
        (("text",), None),
        (("text",), "x" * 100_000),
        (("author",), "a\nb"),
        (("read",), None),
        (("read", "value"), 5),
        (("read", "value_changed_at_ms"), "now"),
        (("read", "value_changed_at_ms"), True),
        (("read", "has_live_recording"), 1),
        (("recording",), []),
        (("recording", "document"), "../.."),
        (("recording", "attachment_id"), "../x"),
        (("recording", "sample_rate"), True),
        (("recording", "size_bytes"), 1.5),
        (("recording", "duration_s"), 10**400),
    ],
)
def test_a_patch_that_is_none_is_refused(path, value):
    data = notebook(recorded_cell(ID))
    make = recording_patch if path[0] == "recording" else text_patch
    found = make(data).to_dict()
    holder = found if len(path) == 1 else found[path[0]]
    holder[path[-1]] = value
    with pytest.raises(DataError):
        patch_from_dict(found)


@pytest.mark.parametrize("found", [None, [], "x", {}])
def test_what_is_no_object_is_no_patch(found):
    with pytest.raises(DataError):
        patch_from_dict(found)


def test_a_file_that_is_no_notebook_is_not_patched():
    patch = text_patch(notebook(recorded_cell(ID)))
    with pytest.raises(DataError, match=PATH):
        apply_patches(b"{", PATH, [patch])
