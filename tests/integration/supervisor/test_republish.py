"""Results that wait in a job folder, when the worker starts again."""

from pathlib import Path

from codex_worker.contract.records import EndState
from codex_worker.supervisor.job_folder import JobFolder, has_unpublished
from codex_worker.supervisor.republish import offer_again
from codex_worker.supervisor.unpublished import Outbox, Owner
from gitlab_jobs import Outcome
from tests.support.clock import FakeClock
from tests.support.queues import MemoryProject, claimed, job, manifest, queue


def start_again(files):
    files.clear()
    files["README.md"] = b"empty\n"


def no_project(owned, folder, name):
    raise AssertionError("There is nothing left that a project would have to be opened for.")


def test_results_of_a_job_that_is_gone_altogether_are_offered_once_and_then_left(tmp_path: Path):
    project = MemoryProject({"gpu_jobs/manifest.yaml": manifest(job("j1"))})
    owned = claimed(queue(project, "me"), "j1")
    with JobFolder.create(tmp_path, "j1", owned.attempt.name) as folder:
        outbox = Outbox(folder)
        outbox.belongs_to(Owner("project", owned.held))
        outbox.keep_end(Outcome(EndState.COMPLETED, message="Done"))
        path = folder.path
    project.edit(start_again)
    for ref in [ref for ref in project.refs() if "gpu-jobs" in ref]:
        del project.server.refs[ref]
    assert has_unpublished(path)

    offered = offer_again(tmp_path, lambda _: queue(project, "me"), no_project, FakeClock())

    assert offered == 0
    assert not has_unpublished(path)
    assert path.is_dir(), "what was kept stays for people to look at"
