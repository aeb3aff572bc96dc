"""What is removed of jobs that are over, and what a job still needs to be told from a new one."""

from datetime import timedelta

import pytest

from codex_worker.contract.records import EndState
from codex_worker.contract.state import State
from codex_worker.errors import LeaseLost
from codex_worker.supervisor.republish import reopen
from gitlab_jobs import Outcome
from tests.support.clock import FakeClock
from tests.support.present import present
from tests.support.queues import MemoryProject, claimed, job, manifest, queue

MANIFEST = "gpu_jobs/manifest.yaml"
LEASE, RECORD = "refs/gpu-jobs/j1", "refs/gpu-records/j1"
DONE = Outcome(EndState.COMPLETED, message="Done")
OVER_A_MONTH_S = timedelta(days=31).total_seconds()


def project_with_one_job():
    return MemoryProject({MANIFEST: manifest(job("j1"))})


def finished_job(clock):
    project = project_with_one_job()
    claimed(queue(project, "worker-a", clock), "j1").end(DONE)
    return project


def sweep(project, clock):
    queue(project, "worker-b", clock).remove_tombstones()
    return project.refs().keys() & {LEASE, RECORD}


def without_folder(files):
    for path in [path for path in files if path.startswith("gpu_jobs/job_j1/")]:
        del files[path]


def without_job(files):
    without_folder(files)
    files[MANIFEST] = manifest()


def state_of(project, clock):
    return {view.job_id: view.state for view in queue(project, "worker-b", clock).survey()}.get("j1")


def test_a_job_that_the_manifest_lists_keeps_its_record_and_loses_its_lease_after_a_month():
    clock = FakeClock()
    project = finished_job(clock)
    assert sweep(project, clock) == {LEASE, RECORD}
    clock.advance(OVER_A_MONTH_S)
    assert sweep(project, clock) == {RECORD}


def test_a_job_whose_folder_is_deleted_after_a_month_and_a_sweep_does_not_run_again():
    clock = FakeClock()
    project = finished_job(clock)
    clock.advance(OVER_A_MONTH_S)
    sweep(project, clock)
    project.edit(without_folder)
    assert state_of(project, clock) is State.DELETED
    assert queue(project, "worker-b", clock).claim("j1") is None


def test_the_record_of_a_deleted_job_stays_for_a_month_after_the_deletion_was_seen():
    clock = FakeClock()
    project = finished_job(clock)
    clock.advance(OVER_A_MONTH_S)
    project.edit(without_job)
    queue(project, "worker-b", clock).tidy()
    assert RECORD in sweep(project, clock)
    project.edit(lambda files: files.update({MANIFEST: manifest(job("j1"))}))  # a merge brings the entry back
    assert state_of(project, clock) is State.DELETED
    project.edit(without_job)
    clock.advance(OVER_A_MONTH_S)
    assert not sweep(project, clock)


def test_an_earlier_attempt_without_a_record_does_not_bring_back_a_job_that_was_deleted_meanwhile():
    """Its server moves refs one after another, and the record's turn never came."""
    clock, project = FakeClock(), project_with_one_job()
    owned = claimed(queue(project, "worker-a", clock), "j1")
    del project.server.refs[RECORD]
    project.edit(without_folder)
    project.edit(lambda files: files.update({"files/a.txt": b"later"}))

    with pytest.raises(LeaseLost):
        reopen(queue(project, "worker-a", clock), owned.held, clock).end(DONE)
    assert not any(path.startswith("gpu_jobs/job_j1/") for path in project.files())


def test_a_record_that_comes_late_begins_before_the_claim_so_that_a_merge_is_told_from_a_rewriting():
    clock, project = FakeClock(), project_with_one_job()
    owned = claimed(queue(project, "worker-a", clock), "j1")
    del project.server.refs[RECORD]
    fork, before = project.refs()["refs/heads/main"], project.files()
    without_folder(before)
    owned.end(Outcome(EndState.PREEMPTED))
    project.merge_from(fork, before)
    (view,) = queue(project, "worker-b", clock).survey()
    assert present(view.facts.removals).is_rewritten is False


def test_an_earlier_attempt_on_a_server_without_records_ends_in_another_process_as_well():
    """The new process has not learnt yet that this server refuses our refs."""
    clock, project = FakeClock(), project_with_one_job()
    project.server.refused_refs = ("refs/gpu-", "refs/heads/gpu-")
    owned = claimed(queue(project, "worker-a", clock), "j1")
    reopen(queue(project, "worker-a", clock), owned.held, clock).end(DONE)
    assert state_of(project, clock) is State.COMPLETED
