"""Whether response.yaml tells of the progress: where somebody stays who puts it right after merges."""

import pytest
import yaml

from gitlab_jobs import QueueSettings
from tests.support.clock import FakeClock
from tests.support.queues import MemoryProject, claimed, job, manifest, queue

RESPONSE = "gpu_jobs/job_j1/response.yaml"
LEAVES = QueueSettings(stays=False)


def project_with(*jobs: str) -> MemoryProject:
    return MemoryProject({"gpu_jobs/manifest.yaml": manifest(*(job(name) for name in jobs))})


def test_a_worker_that_leaves_writes_no_response_before_the_end():
    project = project_with("j1")
    owned = claimed(queue(project, "worker-a", settings=LEAVES), "j1")
    assert not owned.progress("training", 1.0, "Epoch 1")
    assert RESPONSE not in project.files()


def test_beside_a_worker_that_stays_it_tells_of_the_progress_once_that_one_was_seen_to_live():
    clock, project = FakeClock(), project_with("j1", "j2")
    watcher = queue(project, "watcher", clock, QueueSettings(stays=True))
    owned = claimed(queue(project, "worker-a", clock, LEAVES), "j1")
    watcher.look()
    owned.look()
    assert not owned.progress("training", 1.0, "Epoch 1")  # its ref may be a dead worker's
    clock.advance(301)
    watcher.look()
    owned.look()
    assert owned.progress("training", 2.0, "Epoch 2")
    assert yaml.safe_load(project.files()[RESPONSE])["epochs_completed"] == 2
    clock.advance(16 * 60)
    owned.look()
    assert not owned.progress("training", 3.0, "Epoch 3")


@pytest.mark.parametrize("told", [True, False])
def test_beside_an_older_worker_a_response_is_there_from_the_claim_on(told):
    project = project_with("j1", "j2")
    if not told:
        older = b"worker_id: older-1\nstate: running\ntimestamp: '2026-01-01T00:00:00+00:00'\n"
        project.edit(lambda files: files.update({"gpu_jobs/job_j2/response.yaml": older}))
    q = queue(project, "worker-a", settings=QueueSettings(older_workers=told))
    q.survey()
    claimed(q, "j1")
    assert yaml.safe_load(project.files()[RESPONSE])["state"] == "running"


def test_a_job_that_an_older_worker_ended_long_ago_tells_of_no_older_worker():
    project = project_with("j1", "j2")
    ended = b"worker_id: older-1\nstate: completed\ntimestamp: '2020-01-01T00:00:00+00:00'\n"
    project.edit(lambda files: files.update({"gpu_jobs/job_j2/response.yaml": ended}))
    q = queue(project, "worker-a", settings=LEAVES)
    q.survey()
    claimed(q, "j1")
    assert RESPONSE not in project.files()


def test_the_first_figures_of_a_stage_come_within_a_minute_and_later_ones_every_quarter_of_an_hour():
    clock, project = FakeClock(), project_with("j1")
    owned = claimed(queue(project, "worker-a", clock), "j1")
    told = []
    for second in range(0, 3600, 10):
        epochs = second / 50 if second >= 20 else None
        if owned.progress("training", epochs, "Epoch" if epochs else ""):
            told.append(second)
        clock.advance(10)
    assert told == [0, 30, 930, 1830, 2730]


def test_the_ref_of_a_worker_that_stayed_once_is_removed_when_it_was_not_here_for_a_day():
    clock, project = FakeClock(), project_with("j1")
    watcher = queue(project, "watcher", clock, QueueSettings(stays=True))
    watcher.look()
    other = queue(project, "worker-a", clock, LEAVES)
    other.remove_tombstones()
    assert "refs/gpu-watchers/watcher" in project.refs()
    clock.advance(25 * 3600)
    other.remove_tombstones()
    assert "refs/gpu-watchers/watcher" not in project.refs()
