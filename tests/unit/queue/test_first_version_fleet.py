"""A worker of the first version beside a present one: neither takes the other's living job.

What the first version pushes is replayed as it was recorded, while a present worker looks and tidies.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from codex_worker.contract.records import EndState
from codex_worker.contract.state import State
from codex_worker.errors import LeaseLost
from codex_worker.git.memory import MemoryCommit
from gitlab_jobs import JobQueue, OwnedJob
from tests.support.clock import FakeClock
from tests.support.queues import MemoryProject, claimed, job, manifest, queue

RECORDED = Path(__file__).parents[2] / "data" / "first_version" / "pushes.json"
STEPS: list[dict[str, Any]] = json.loads(RECORDED.read_text())
NAMES = [step["step"] for step in STEPS]
TAKES_OVER = NAMES.index("take over")
THEIRS, OURS = "gpu_jobs/job_theirs/", "gpu_jobs/job_ours/"


class Fleet:
    """A project with a job of each, the present worker's queue, and the first version's recorded pushes."""

    def __init__(self) -> None:
        self.project = MemoryProject({"gpu_jobs/manifest.yaml": manifest(job("theirs"), job("ours"))})
        self.clock = FakeClock()
        self.queue = queue(self.project, "present-worker", self.clock)
        self.owned: OwnedJob | None = None

    def replay(self, step: Mapping[str, Any]) -> None:
        if step["step"] == "take over" and self.owned is None:
            self.owned = claimed(self.queue, "ours")
        nonce = self.owned.attempt.nonce if self.owned else ""
        files = {
            path.replace("{nonce}", nonce): text.replace("{nonce}", nonce).encode()
            for path, text in step["files"].items()
        }
        if files:
            self.project.edit(lambda present: present.update(files))
        server = self.project.server
        for ref, message in step["leases"].items():
            server.refs[ref] = server.add(MemoryCommit(None, {}, message.encode()))

    def of(self, folder: str) -> dict[str, bytes]:
        return {path: data for path, data in self.project.files().items() if path.startswith(folder)}


def state(q: JobQueue, job_id: str) -> State:
    return next(view.state for view in q.survey() if view.job_id == job_id)


def test_a_job_that_the_first_version_beats_is_never_claimed_and_its_files_are_left_alone():
    fleet = Fleet()
    for step in STEPS:
        fleet.replay(step)
        before = fleet.of(THEIRS)
        assert "theirs" not in fleet.queue.look().silent
        fleet.queue.tidy()
        assert fleet.queue.claim("theirs") is None
        assert fleet.queue.take_over("theirs") is None
        assert fleet.of(THEIRS) == before
        fleet.clock.advance(60)
    assert state(fleet.queue, "theirs") is State.COMPLETED
    assert "refs/gpu-records/theirs" not in fleet.project.refs()


def test_beats_of_the_first_version_alone_keep_its_job_for_hours():
    fleet = Fleet()
    claim, beat = STEPS[0], STEPS[NAMES.index("beat")]
    fleet.replay(claim)
    for _ in range(120):
        fleet.replay(beat)  # a commit of its own each time, as a beat is
        assert fleet.queue.look().silent == []
        fleet.clock.advance(60)
    assert fleet.queue.claim("theirs") is None


def test_a_job_of_the_first_version_without_beats_is_taken_over():
    fleet = Fleet()
    fleet.replay(STEPS[0])
    for _ in range(7):
        silent = fleet.queue.look().silent
        fleet.clock.advance(60)
    assert silent == ["theirs"]
    owned = fleet.queue.take_over("theirs")
    assert owned is not None
    assert owned.attempt.number == 2
    assert "refs/gpu-records/theirs" in fleet.project.refs()


def test_a_takeover_by_the_first_version_is_respected():
    fleet = Fleet()
    for step in STEPS[: TAKES_OVER + 1]:
        fleet.replay(step)
    assert fleet.owned is not None
    before = fleet.of(OURS)
    assert state(fleet.queue, "ours") is State.RUNNING
    (view,) = [view for view in fleet.queue.survey() if view.job_id == "ours"]
    assert view.facts.newest is not None
    assert (view.facts.newest.number, view.facts.newest.folder) == (2, "first-worker")
    assert [end.state for end in view.facts.ends.values() if end] == [EndState.LOST]
    with pytest.raises(LeaseLost):
        fleet.owned.progress("training", 2.0, "late", None, None)
    with pytest.raises(LeaseLost):
        fleet.owned.beat("training", 2.0, "late")
    fleet.queue.tidy()
    assert fleet.queue.claim("ours") is None
    assert fleet.of(OURS) == before


def test_what_the_first_version_finished_after_its_takeover_stays_finished():
    fleet = Fleet()
    for step in STEPS:
        fleet.replay(step)
        fleet.queue.look()
        fleet.queue.tidy()
    assert state(fleet.queue, "ours") is State.COMPLETED
    before = fleet.of(OURS)
    for _ in range(10):
        fleet.clock.advance(3600)
        fleet.queue.look()
        fleet.queue.tidy()
        assert fleet.queue.claim("ours") is None
    assert fleet.of(OURS) == before


def test_what_the_first_version_says_again_does_no_harm_to_a_present_workers_job():
    fleet = Fleet()
    fleet.owned = claimed(fleet.queue, "ours")
    before = fleet.of(OURS)
    for step in STEPS[:TAKES_OVER] + STEPS[NAMES.index("end") : NAMES.index("say again") + 1]:
        fleet.replay(step)
        fleet.owned.beat("training", 1.0, "an epoch")
        assert fleet.owned.look() is None
        fleet.queue.tidy()
    assert fleet.of(OURS) == before
    assert state(fleet.queue, "ours") is State.RUNNING
