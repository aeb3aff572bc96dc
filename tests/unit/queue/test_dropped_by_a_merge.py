"""What the editor's sync does when a worker pushes between its two fetches.

The merge has the worker's commit as a parent and none of its files. No person deleted anything.
"""

from codex_worker.contract.records import EndState
from codex_worker.contract.state import State
from gitlab_jobs import Outcome
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
