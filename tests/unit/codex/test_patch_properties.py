"""Generated notebooks in any layout: a patch changes what it says and nothing else."""

import json
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from codex_worker.codex.attachments import NewRecording
from codex_worker.codex.json_spans import document, members
from codex_worker.codex.locate import _by_reading
from codex_worker.codex.notebook import Notebook
from codex_worker.codex.patch import RecordingPatch, TextPatch, apply_patches
from tests.support.notebooks import PATH
from tests.support.present import present

NUMBERS = ["5e-05", "1.0", "-0.0", "1e400", "12345678901234567890", "0.1", "1E+2", "0", "-7"]
STRINGS = [r'"\ud83d"', r'"\u00e9\/\b"', '"é“”\u2028"', r'"\"quoted\" \\"', '""', '"plain"', '"  {\\n  ]"']

texts = st.one_of(
    st.sampled_from(["", "kata", "<p>é</p>", "a\ud83d", "<range>", '"\\']), st.text(max_size=20)
)
layouts = st.tuples(
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([None, "  ", "\t", "    ", " "]),  # None: all on one line
    st.sampled_from([":", ": ", " : "]),
    st.booleans(),  # escapes of all that is not ASCII
)
odd_values = st.recursive(
    st.sampled_from(NUMBERS + STRINGS + ["null", "true"]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[" + ",".join(items) + "]"),
        st.lists(inner, max_size=3).map(
            lambda items: "{" + ",".join(f'"k{i}":{v}' for i, v in enumerate(items)) + "}"
        ),
    ),
    max_leaves=4,
)
edits = st.lists(
    st.fixed_dictionaries(
        {"editMap": st.sampled_from([["value"], ["metadata", "isLocked"]]), "value": texts},
        optional={
            "timestamp": st.integers(0, 10**13),
            "type": st.just("user-edit"),
            "preview": st.booleans(),
        },
    ),
    max_size=2,
)
takes = st.dictionaries(
    st.sampled_from(["x", "y"]),
    st.fixed_dictionaries(
        {"type": st.just("audio")}, optional={"isDeleted": st.booleans(), "createdAt": st.integers(0, 10**13)}
    ),
)


@st.composite
def notebooks(draw) -> tuple[bytes, str]:
    """A notebook's bytes and the id of one of its cells. Odd values stand in as raw JSON behind markers."""
    cells = []
    for number in range(draw(st.integers(1, 3))):
        metadata = {"id": f"MRK 1:{number}", "type": "text", "marker": "@odd@"}
        optional = {
            "edits": edits,
            "attachments": takes,
            "data": st.just({"@odd@": 1}),
            "selectedAudioId": st.just("x"),
        }
        for key in draw(st.permutations(sorted(optional))):
            if draw(st.booleans()):
                metadata[key] = draw(optional[key])
        cells.append({"kind": 2, "value": draw(texts), "odd": "@odd@", "metadata": metadata})
    whole = {"cells": cells, "metadata": {"sourceCreatedAt": "2026-01-01T00:00:00Z", "odd": "@odd@"}}
    newline, unit, colon, only_ascii = draw(layouts)
    separators = ("," if unit else draw(st.sampled_from([",", ", "])), colon)
    text = json.dumps(whole, indent=unit, separators=separators, ensure_ascii=only_ascii)
    text = re.sub(r'"@odd@"(?!\s*:)', lambda match: draw(odd_values), text)
    text = re.sub("[\ud800-\udfff]", lambda match: f"\\u{ord(match[0]):04x}", text).replace("\n", newline)
    text = draw(st.sampled_from(["", "\ufeff"])) + text + draw(st.sampled_from(["", newline]))
    return text.encode(), draw(st.sampled_from(cells))["metadata"]["id"]


def patches_for(data: bytes, identity: str) -> tuple[TextPatch, RecordingPatch]:
    state = present(Notebook.parse(data, PATH).cell(identity)).state
    new = NewRecording(
        "audio-1767225600001-abc123xyz", "MRK", "webm", "worker", "audio/webm", 1000, 16000, 1, 1.25
    )
    return TextPatch(identity, state, "“new” & <é>", "worker"), RecordingPatch(identity, state, new)


@settings(max_examples=100, deadline=None)
@given(notebooks(), st.booleans())
def test_a_patch_changes_what_it_says_and_nothing_else(generated, with_text):
    data, identity = generated
    by_text, by_recording = patches_for(data, identity)
    result = apply_patches(data, PATH, [by_text if with_text else by_recording])
    found = _by_reading(data, PATH, {identity}).cells[identity]
    if not result.applied:
        assert result.data == data
        assert result.dropped[0][1]
        return
    assert result.data.startswith(data[: found.start])
    assert result.data.endswith(data[found.end :])
    before = json.loads(found.text)
    after = json.loads(_by_reading(result.data, PATH, {identity}).cells[identity].text)
    assert list(after) == list(before)
    expected = {**before, "metadata": dict(before["metadata"])}
    if with_text:
        assert after["value"] == "“new” &amp; &lt;é&gt;"
        kept = before["metadata"].get("edits", [])
        assert after["metadata"]["edits"][: len(kept)] == kept
        assert after["metadata"]["edits"][-1]["value"] == after["value"]
        expected |= {"value": after["value"]}
        expected["metadata"]["edits"] = after["metadata"]["edits"]
    else:
        assert list(after["metadata"]["attachments"])[-1] == by_recording.recording.attachment_id
        assert after["metadata"]["selectedAudioId"] == by_recording.recording.attachment_id
        kept = before["metadata"].get("attachments", {})
        assert {key: after["metadata"]["attachments"][key] for key in kept} == kept
        for key in ("attachments", "selectedAudioId", "selectionTimestamp"):
            expected["metadata"][key] = after["metadata"][key]
    assert after == expected
    assert untouched_parts(
        _by_reading(result.data, PATH, {identity}).cells[identity].text
    ) == untouched_parts(found.text)


def untouched_parts(text: str) -> dict[str, str]:
    """The JSON text of each part of a cell that no patch has to do with, character for character."""
    cell = members(text, 0)
    parts = cell | members(text, cell["metadata"].start)
    touched = {"metadata", "value", "edits", "attachments", "selectedAudioId", "selectionTimestamp"}
    return {key: text[span.start : span.end] for key, span in parts.items() if key not in touched}


@settings(max_examples=100, deadline=None)
@given(notebooks(), st.booleans())
def test_patching_again_changes_nothing(generated, with_text):
    data, identity = generated
    patch = patches_for(data, identity)[0 if with_text else 1]
    once = apply_patches(data, PATH, [patch])
    again = apply_patches(once.data, PATH, [patch])
    assert again.data == once.data
    assert not again.applied
    assert bool(again.unchanged) == bool(once.applied)


@settings(max_examples=100, deadline=None)
@given(notebooks())
def test_the_layout_of_the_cell_is_kept(generated):
    data, identity = generated
    result = apply_patches(data, PATH, [patches_for(data, identity)[1]])
    if not result.applied:
        return
    text = _by_reading(result.data, PATH, {identity}).cells[identity].text
    assert ("\n" in text) == (b"\n" in data.rstrip())
    if b"\r\n" in data.rstrip():
        assert not re.search(r"(?<!\r)\n", text)
    if b"\t" in data:
        assert not re.search(r"\n\t* ", text)


@settings(max_examples=100, deadline=None)
@given(notebooks())
def test_the_spans_of_the_cells_hold_the_cells(generated):
    data, _ = generated
    text = data.decode()
    _, cells = document(text, "cells")
    whole = json.loads(text.lstrip("\ufeff"))
    assert [json.loads(text[span.start : span.end]) for span in present(cells)] == whole["cells"]


@settings(max_examples=100, deadline=None)
@given(
    st.binary(max_size=200), st.integers(0, 10**6), st.sampled_from(["cut", "flip", "insert"]), notebooks()
)
def test_a_damaged_notebook_is_refused_or_read_as_json_reads_it(noise, place, damage, generated):
    data = generated[0]
    place %= len(data)
    kept = data[place + 1 :] if damage != "insert" else data[place:]
    damaged = data[:place] if damage == "cut" else data[:place] + noise[:1] + kept
    try:
        expected = json.loads(damaged.decode().lstrip("\ufeff"))
    except ValueError:
        expected = None
    try:
        read = Notebook.parse(damaged, PATH)
    except Exception as error:
        assert type(error).__name__ == "DataError"
        assert expected is None or not isinstance(expected.get("cells"), list)
    else:
        assert len(read.cells) + len(read.problems) == len(expected["cells"])
