"""A training job looks at its data first, and publishes what it found."""

import pytest

from codex_worker.codex.choose import Selection
from codex_worker.codex.provenance import made_by_worker
from codex_worker.data.project import Project
from codex_worker.data.recordings import FetchedCells, read_recorded
from codex_worker.errors import JobCanceled, UserError
from codex_worker.job.memory import MemoryCallbacks, MemoryScanner, files_below, job_in
from handlers.steps import cells_to_train_on, check_up
from sample.make_codex_project import make_project
from tests.support.notebooks import PATH, notebook, recorded_cell


def started(tmp_path, **keywords):
    project = make_project(tmp_path / "project")
    job = job_in(tmp_path / "job", project="a sample")
    callbacks = MemoryCallbacks(MemoryScanner(files_below(project.folder), job), job, **keywords)
    return job, callbacks, read_recorded(callbacks.scanner, Selection(include=("JON", "MRK 2")))


def test_the_page_goes_to_the_jobs_report_folder_and_the_findings_to_the_log(tmp_path, caplog):
    job, callbacks, recorded = started(tmp_path)
    with caplog.at_level("INFO"):
        report = check_up(job, callbacks, recorded)
    (path,) = callbacks.scanner.artifacts
    assert path == f"gpu_jobs/job_{job.job_id}/report/data-{job.attempt}.html"
    assert "The recordings of a sample" in callbacks.scanner.artifacts[path].decode()
    assert report.lines()[0] in caplog.text
    assert (
        callbacks.heartbeats[-1].message
        == f"Listened to {len(recorded.cells)} of {len(recorded.cells)} recordings"
    )


def test_a_canceled_job_stops_listening(tmp_path):
    job, callbacks, recorded = started(tmp_path, stop_after_looks=0)
    with pytest.raises(JobCanceled):
        check_up(job, callbacks, recorded)


def test_a_project_without_anything_usable_gets_its_page_and_a_reason(tmp_path):
    job, callbacks, recorded = started(tmp_path)
    with pytest.raises(UserError, match="Record some verses"):
        check_up(job, callbacks, FetchedCells((), recorded.skipped))
    assert len(callbacks.scanner.artifacts) == 1


def project_of(tmp_path, human, machine_made, **training):
    """A project whose first verses are people's, and whose last ones a worker spoke; a job on it."""
    cells = [recorded_cell(f"MRK 1:{verse}", "kata") for verse in range(1, human + machine_made + 1)]
    for raw in cells[human:]:
        for entry in raw["metadata"]["attachments"].values():
            entry["createdBy"] = made_by_worker("StableTTS")
    job = job_in(tmp_path / "job", {"training": training})
    return job, Project(MemoryScanner({PATH: notebook(*cells)}, job))


@pytest.mark.parametrize(
    ("human", "machine_made", "said"),
    [
        (47, 11, "47 human, 11 machine-made left out, because no person has validated them."),
        (1, 1, "1 human, 1 machine-made left out, because no person has validated it."),
    ],
)
def test_what_machines_made_is_left_out_of_training_and_said(tmp_path, human, machine_made, said, caplog):
    job, project = project_of(tmp_path, human, machine_made)
    with caplog.at_level("INFO"):
        cells = cells_to_train_on(job, project)
    assert (len(cells.chosen), cells.machine_made) == (human, machine_made)
    (note,) = project.notes
    assert said in note and note in caplog.text


def test_where_people_made_everything_nothing_is_said(tmp_path):
    job, project = project_of(tmp_path, 2, 0)
    assert len(cells_to_train_on(job, project).chosen) == 2
    assert project.notes == []


def test_a_job_that_has_only_machines_work_fails_with_what_to_do(tmp_path):
    job, project = project_of(tmp_path, 0, 2)
    with pytest.raises(
        UserError, match=r"validate them in the editor, or set training\.include_machine_made"
    ):
        cells_to_train_on(job, project)


def test_a_job_may_learn_from_machines_work(tmp_path):
    job, project = project_of(tmp_path, 1, 2, include_machine_made=True)
    assert len(cells_to_train_on(job, project).chosen) == 3
    assert project.notes == []
