"""A dataset's texts from the history are people's, as those of a training job are."""

import pytest

from codex_worker.codex.choose import Selection, cells_with_recording
from codex_worker.data.project import Project
from codex_worker.data.sources import TextChoice, text_of
from codex_worker.job.memory import MemoryScanner, job_in
from tests.support.notebooks import PATH, notebook, recorded_cell, validation, value_edit

HISTORY = (
    value_edit("impor", 1, "initial-import"),
    value_edit("manusia", 2),
    value_edit("mesin", 3, "llm-generation", "ASR model"),
)


def project_of(tmp_path, *cells):
    return Project(MemoryScanner({PATH: notebook(*cells)}, job_in(tmp_path / "job")))


@pytest.mark.parametrize(
    ("edit", "validated", "text"),
    [
        ("initial_import", False, "impor"),
        ("first", False, "impor"),
        ("last", False, "manusia"),
        ("last", True, "mesin"),
    ],
)
def test_a_machines_edit_counts_where_a_person_validated_it(tmp_path, edit, validated, text):
    newest = {**HISTORY[-1], "validatedBy": [validation("maria", 4)] if validated else []}
    project = project_of(tmp_path, recorded_cell("MRK 1:1", "mesin", edits=(*HISTORY[:-1], newest)))
    (cell,) = project.choose_from(cells_with_recording, Selection()).chosen
    assert text_of(project, TextChoice("edit_history", edit))(cell) == text


def test_a_recording_that_a_machine_made_is_left_out_whatever_the_text_is(tmp_path):
    raw = recorded_cell("MRK 1:1", "")
    for entry in raw["metadata"]["attachments"].values():
        entry["isGenerated"] = True
    cells = project_of(tmp_path, raw, recorded_cell("MRK 1:2", "")).choose_from(
        cells_with_recording, Selection()
    )
    assert [one.cell.id for one in cells.chosen] == ["MRK 1:2"]
    assert cells.machine_made == 1
