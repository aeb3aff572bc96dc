"""A training job looks at its data first, and publishes what it found."""

import pytest

from codex_worker.codex.choose import Selection
from codex_worker.data.recordings import FetchedCells, read_recorded
from codex_worker.errors import JobCanceled, UserError
from codex_worker.job.memory import MemoryCallbacks, MemoryScanner, files_below, job_in
from handlers.steps import check_up
from sample.make_codex_project import make_project


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
