"""What the editor's sync does when a worker pushes between its two fetches.

The merge has the worker's commit as a parent and none of its files. No person deleted anything.
"""

from types import SimpleNamespace

import pytest

from codex_worker.contract.records import EndState
from codex_worker.contract.state import State
from codex_worker.errors import LeaseLost
from codex_worker.queue import closing
from gitlab_jobs import Cause, Outcome, QueueSettings
from tests.support.clock import FakeClock
from tests.support.queues import MemoryProject, claimed, job, manifest, queue

MANIFEST = "gpu_jobs/manifest.yaml"


def states(q):
    return {view.job_id: view.state for view in q.survey()}


def test_a_claim_that_a_merge_dropped_is_no_deletion():
    project = MemoryProject({MANIFEST: manifest(job("j1"))})
    fork, before = project.refs()["refs/heads/main"], project.files()
    queue(project, "worker-a").claim("j1")
    project.merge_from(fork, {**before, "files/target/a.txt": b"a person's edit"})
    assert states(queue(project, "worker-b"))["j1"] in {State.RUNNING, State.PENDING}


def test_an_end_that_a_merge_dropped_is_not_run_again():
    project = MemoryProject({MANIFEST: manifest(job("j1"))})
    owned = claimed(queue(project, "worker-a"), "j1")
    fork, before = project.refs()["refs/heads/main"], project.files()
    owned.end(Outcome(EndState.COMPLETED, message="Done"))
    project.merge_from(fork, {**before, "files/target/a.txt": b"a person's edit"})
    assert states(queue(project, "worker-b"))["j1"] is State.COMPLETED


def deleted_and_brought_back_by_a_merge(project):
    """One person deletes the job between the fetches of another one, who still has all its files."""
    fork, before = project.refs()["refs/heads/main"], project.files()

    def without_job(files):
        for path in [path for path in files if path.startswith("gpu_jobs/job_j1/")]:
            del files[path]
        files[MANIFEST] = manifest()

    project.edit(without_job)
    project.merge_from(fork, before)


def test_a_silent_workers_job_that_was_deleted_is_not_taken_over_though_a_merge_brought_it_back():
    clock, project = FakeClock(), MemoryProject({MANIFEST: manifest(job("j1"))})
    claimed(queue(project, "worker-a", clock), "j1")
    deleted_and_brought_back_by_a_merge(project)
    other = queue(project, "worker-b", clock, QueueSettings(stays=False))
    for _ in range(7):
        silent = other.look().silent
        clock.advance(60)
    assert silent == ["j1"]
    assert other.take_over("j1") is None
    assert states(other)["j1"] is State.DELETED
    project.edit(lambda files: files.update({"files/a.txt": b"later"}))
    assert states(queue(project, "worker-c", clock))["j1"] is State.DELETED, "the record knows it now"


def test_nothing_is_told_of_a_running_job_that_was_deleted_though_a_merge_brought_it_back():
    clock, project = FakeClock(), MemoryProject({MANIFEST: manifest(job("j1"))})
    owned = claimed(queue(project, "worker-a", clock), "j1")
    project.edit(lambda files: files.pop("gpu_jobs/job_j1/response.yaml", None))
    deleted_and_brought_back_by_a_merge(project)
    other = queue(project, "worker-b", clock)
    assert states(other)["j1"] is State.RUNNING, "only who would write asks the history"
    head = project.refs()["refs/heads/main"]
    assert other.tidy() == 0
    assert project.refs()["refs/heads/main"] == head
    assert states(other)["j1"] is State.DELETED
    assert owned.look() is Cause.DELETED


@pytest.mark.parametrize("nonces", [("11111111", "22222222"), ("22222222", "11111111")])
def test_a_claim_that_a_merge_dropped_does_not_complete_a_job_that_another_has_completed(monkeypatch, nonces):
    """On a server that takes no refs of ours, nothing but the branch tells of a claim."""
    monkeypatch.setattr(closing, "secrets", SimpleNamespace(token_hex=lambda _: nonces[0]))
    clock, project = FakeClock(), MemoryProject({MANIFEST: manifest(job("j1"))})
    project.server.refused_refs = ("refs/gpu-", "refs/heads/gpu-")
    fork, before = project.refs()["refs/heads/main"], project.files()
    first = claimed(queue(project, "worker-a", clock), "j1")
    project.merge_from(fork, before)
    monkeypatch.setattr(closing, "secrets", SimpleNamespace(token_hex=lambda _: nonces[1]))
    claimed(queue(project, "worker-b", clock), "j1").end(Outcome(EndState.COMPLETED, message="Done"))
    with pytest.raises(LeaseLost):
        first.end(Outcome(EndState.COMPLETED, message="Done again"))
