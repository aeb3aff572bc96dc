"""Repositories of the first version, which kept no records: read rightly, finished, and given records."""

import subprocess
from pathlib import Path

import pytest

from codex_worker.contract.records import EndState
from codex_worker.contract.state import State
from gitlab_jobs import JobQueue, Outcome
from tests.support.clock import FakeClock
from tests.support.present import present
from tests.support.queues import SERVER_SETTINGS, GitProject, claimed, queue

EXPORT = Path(__file__).parents[2] / "data" / "first_version" / "project.export"
FINISHED = ["completed", "canceled"]
AFTER_SILENCE_S = 6 * 60


class FirstVersionProject(GitProject):
    """The repository as it was recorded."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bare, self._work = folder, folder / "project.git", folder / "person"
        self._git("init", "-q", "--bare", "-b", "main", str(self.bare))
        for key in SERVER_SETTINGS:
            self._git("-C", str(self.bare), "config", key, "true")
        with EXPORT.open("rb") as stream:
            subprocess.run(["git", "-C", str(self.bare), "fast-import", "--quiet"], stdin=stream, check=True)
        self._git("init", "-q", "-b", "main", str(self._work))
        self._git("-C", str(self._work), "remote", "add", "origin", str(self.bare))


@pytest.fixture
def project(tmp_path):
    return FirstVersionProject(tmp_path)


def states(q: JobQueue) -> dict[str, State]:
    return {view.job_id: view.state for view in q.survey()}


def watch_until_silent(q: JobQueue, clock: FakeClock) -> list[str]:
    silent: list[str] = []
    for _ in range(AFTER_SILENCE_S // 60 + 1):
        silent = q.look().silent
        clock.advance(60)
    return silent


def files_of(project: GitProject, job_id: str) -> dict[str, bytes]:
    return {
        path: data for path, data in project.files().items() if path.startswith(f"gpu_jobs/job_{job_id}/")
    }


def test_every_state_is_read_rightly(project):
    assert states(queue(project, "present")) == {
        "silent": State.RUNNING,
        "released": State.PENDING,
        "completed": State.COMPLETED,
        "canceled": State.CANCELED,
        "dropped": State.RUNNING,  # nobody can know better: its end was only on the branch
        "asked": State.PENDING,
    }


@pytest.mark.parametrize("job_id", FINISHED)
def test_a_finished_job_is_left_alone(project, job_id):
    before = files_of(project, job_id)
    clock = FakeClock()
    q = queue(project, "present", clock)
    silent = watch_until_silent(q, clock)
    q.tidy()
    assert job_id not in silent
    assert q.claim(job_id) is None
    assert files_of(project, job_id) == before
    assert f"refs/gpu-records/{job_id}" not in project.refs()


@pytest.mark.parametrize("job_id", ["released", "asked"])
def test_a_pending_job_is_claimed_finished_and_given_a_record(project, job_id):
    q = queue(project, "present")
    owned = claimed(q, job_id)
    assert owned.attempt.number == {"released": 2, "asked": 1}[job_id]
    owned.end(Outcome(EndState.COMPLETED, message="Done"))
    assert f"refs/gpu-records/{job_id}" in project.refs()
    assert states(queue(project, "another"))[job_id] is State.COMPLETED
    ends = {path for path in files_of(project, job_id) if "/end-" in path}
    (record,) = [view.facts.record for view in q.survey() if view.job_id == job_id]
    assert record is not None
    assert len(record.ends) == len(ends) == owned.attempt.number


@pytest.mark.parametrize("job_id", ["silent", "dropped"])
def test_a_silent_job_is_taken_over_finished_and_given_a_record(project, job_id):
    clock = FakeClock()
    q = queue(project, "present", clock)
    assert set(watch_until_silent(q, clock)) == {"silent", "dropped"}
    owned = present(q.take_over(job_id))
    assert owned.attempt.number == 2
    owned.end(Outcome(EndState.COMPLETED, message="Done"))
    view = next(view for view in queue(project, "another").survey() if view.job_id == job_id)
    assert view.state is State.COMPLETED
    assert view.facts.record is not None
    assert [end.state for end in view.facts.ends.values() if end] == [EndState.LOST, EndState.COMPLETED]


@pytest.mark.parametrize("job_id", ["silent", "dropped"])
def test_a_job_whose_worker_is_not_silent_for_long_is_not_taken(project, job_id):
    q = queue(project, "present")
    assert q.look().silent == []
    assert q.claim(job_id) is None
    assert q.take_over(job_id) is None
