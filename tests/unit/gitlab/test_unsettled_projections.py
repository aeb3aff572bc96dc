"""A projection that has to wait for being put right keeps its project on the watch list."""

import pytest

from codex_worker.contract.paths import response_path
from codex_worker.contract.records import EndState
from gitlab_jobs import Outcome
from tests.support.clock import FakeClock
from tests.support.queues import MemoryProject, claimed, job, manifest, queue


@pytest.fixture
def clock():
    return FakeClock()


def test_a_project_is_watched_until_a_turned_back_response_is_right_again(clock):
    project = MemoryProject({"gpu_jobs/manifest.yaml": manifest(job("one"))})
    worker = queue(project, "a", clock)
    owned = claimed(worker, "one")
    running = project.files()[response_path("one")]
    owned.end(Outcome(EndState.COMPLETED), log=b"done\n")
    completed = project.files()[response_path("one")]

    def merge_brings_the_old_one_back():
        project.edit(lambda files: files.update({response_path("one"): running}))

    def poll() -> bool:
        """Whether the project is watched after it."""
        views = worker.look().views
        if worker.tidy(views):
            views = worker.survey()
            worker.tidy(views)
        return worker.is_watched(views)

    worker.close_ledger("one")
    merge_brings_the_old_one_back()
    assert not poll() and project.files()[response_path("one")] == completed
    merge_brings_the_old_one_back()
    assert poll() and project.files()[response_path("one")] == running
    clock.advance(15 * 60)
    assert poll() and response_path("one") not in project.files()  # taken away, so that merges take that over
    clock.advance(15 * 60)
    assert not poll() and project.files()[response_path("one")] == completed
