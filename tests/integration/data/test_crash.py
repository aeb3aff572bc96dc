"""A process that dies loses no verse that it had finished: the next attempt goes on behind it."""

import base64
import json

import pytest

from codex_worker.codex.notebook import Notebook
from codex_worker.codex.patch import TextPatch
from codex_worker.job.api import WAITING, CellResult, Published
from codex_worker.job.memory import job_in
from codex_worker.job.publication import WaitingResults
from tests.support.jobs import FakeProject, Stage
from tests.support.notebooks import PATH, notebook, recorded_cell

DIES = """
import base64, os
(folder / {name!r}).write_bytes(base64.b64decode({content!r}))
os._exit(9)
"""


@pytest.fixture
def published(monkeypatch):
    """What reaches the project."""
    seen = []

    def cells(project, results):
        project.on_publish()
        seen.extend(results)
        return Published(list(range(len(results))), {})

    monkeypatch.setattr(FakeProject, "publish_cells", cells)
    return seen


def heard(verse):
    found = Notebook.parse(notebook(recorded_cell(f"MRK 1:{verse}")), PATH).cells[0]
    return CellResult(PATH, TextPatch(found.id, found.state, f"Words of {verse}.", "ASR"))


def dying_with(content: bytes) -> str:
    return DIES.format(name=WAITING, content=base64.b64encode(content).decode())


def noted(tmp_path, *results) -> bytes:
    folder = job_in(tmp_path / "noted").folder
    journal = WaitingResults(folder)
    for result in results:
        journal.append(result)
    return (folder / WAITING).read_bytes()


def test_what_a_dead_process_had_finished_is_published_before_the_attempt_ends(tmp_path, published):
    content = noted(tmp_path, heard(1), heard(2)) + b'{"notebook": "files/tar'
    outcome = Stage(tmp_path / "stage", dying_with(content)).run()
    assert outcome is not None and outcome.kind == "system"  # the job is pending again
    assert [result.patch.text for result in published] == ["Words of 1.", "Words of 2."]


def test_nothing_is_published_for_a_process_that_had_published_all(tmp_path, published):
    folder = job_in(tmp_path / "noted").folder
    journal = WaitingResults(folder)
    journal.append(heard(1))
    journal.replace([])
    outcome = Stage(tmp_path / "stage", dying_with((folder / WAITING).read_bytes())).run()
    assert outcome is not None
    assert published == []


@pytest.mark.parametrize(
    "line",
    [
        b"[]",
        b'{"notebook": "../../etc/passwd", "patch": {}}',
        b'{"notebook": "files/target/MRK.codex", "patch": {"kind": "text"}}',
    ],
)
def test_nonsense_that_was_left_behind_changes_nothing(tmp_path, published, line):
    outcome = Stage(tmp_path / "stage", dying_with(line + b"\n")).run()
    assert outcome is not None and outcome.kind == "system"
    assert published == []


def test_a_result_keeps_its_place_in_the_folder(tmp_path):
    folder = job_in(tmp_path / "job").folder
    (folder / "speech").mkdir()
    file = folder / "speech" / "audio-1.webm"
    file.write_bytes(b"sound")
    WaitingResults(folder).append(CellResult(PATH, heard(1).patch, file))
    (line,) = (folder / WAITING).read_text().splitlines()
    assert json.loads(line)["recording"] == "speech/audio-1.webm"
