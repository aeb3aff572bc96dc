"""Every byte outside of the patched cell stays, in the editor's layout and in any other."""

import difflib
import json

import pytest

from codex_worker.codex.attachments import NewRecording
from codex_worker.codex.locate import _by_layout, _by_reading
from codex_worker.codex.notebook import Notebook
from codex_worker.codex.patch import RecordingPatch, TextPatch, apply_patches
from sample.make_codex_project import make_project
from tests.support.notebooks import PATH, notebook, recorded_cell
from tests.support.present import present

ID = "MRK 1:1"


def test_finding_cells_by_layout_and_by_reading_agree():
    ids = {"MRK 1:1", '“é” \\ "x"'}
    data = notebook(*(recorded_cell(identity, "é") for identity in ("MRK 1:0", *ids, "MRK 1:9")))
    for form in (
        data,
        data.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + data,
        data[:-1],
        data.replace(b"  ", b"\t"),
    ):
        assert _by_layout(form, ids) == _by_reading(form, PATH, ids)
        assert set(present(_by_layout(form, ids)).cells) == ids


def test_a_layout_that_misleads_is_read_whole():
    twice = notebook(recorded_cell(ID, "one"), recorded_cell(ID, "two"))
    data = notebook(recorded_cell(ID, "kata"))
    cells = b'{"cells": [], ' + data[data.index(b'"metadata": {\n    "id": "MRK"') :]
    for form in (
        twice,
        data.replace(b'"id": "MRK 1:1"', b'"id":"MRK 1:1"'),
        json.dumps(json.loads(data)).encode(),
        cells,
    ):
        assert _by_layout(form, {ID}) is None
    assert _by_reading(twice, PATH, {ID}).cells[ID].text.count("one") == 1


def changed_lines(before: str, after: str) -> list[int]:
    """The lines of `before` (from 0) that were changed or have new ones before them."""
    matcher = difflib.SequenceMatcher(None, before.splitlines(True), after.splitlines(True), autojunk=False)
    return [
        line
        for tag, a, b, _, _ in matcher.get_opcodes()
        if tag != "equal"
        for line in range(a, max(b, a + 1))
    ]


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp("sample") / "project")


def notebooks_of(sample) -> dict[str, bytes]:
    return {
        path.relative_to(sample.folder).as_posix(): path.read_bytes()
        for path in sorted(sample.folder.rglob("*"))
        if path.suffix in {".codex", ".source"}
    }


def both_patches(data: bytes, path: str, one) -> tuple[TextPatch, RecordingPatch]:
    document = Notebook.parse(data, path).document
    new = NewRecording(
        "audio-1767225600001-abc123xyz", document, "webm", "worker", "audio/webm", 1000, 16000, 1, 1.25
    )
    return TextPatch(one.id, one.state, "kata baru", "worker"), RecordingPatch(one.id, one.state, new)


def test_patching_one_cell_of_the_sample_changes_only_that_cell_s_lines(sample):
    patched_cells = 0
    for path, data in notebooks_of(sample).items():
        read = Notebook.parse(data, path)
        for one in read.cells:
            located = _by_reading(data, path, {one.id}).cells[one.id]
            first, last = data[: located.start].count(b"\n"), data[: located.end].count(b"\n")
            for patch in both_patches(data, path, one):
                result = apply_patches(data, path, [patch])
                assert len(result.applied) + len(result.dropped) == 1
                if result.applied:
                    patched_cells += 1
                    assert result.data.startswith(data[: located.start])
                    assert result.data.endswith(data[located.end :])
                    changed = changed_lines(located.text, result.data[located.start :].decode())
                    assert all(0 < line <= last - first for line in changed)
                    after = [entry for entry in Notebook.parse(result.data, path).cells if entry.id != one.id]
                    assert after == [entry for entry in read.cells if entry.id != one.id]
    assert patched_cells > 100
