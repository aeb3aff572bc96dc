"""What a worker asks a server with many open projects, and that it misses nothing for it."""

import math
import threading
from collections import Counter

import pytest

from codex_worker.git.credentials import Credentials
from codex_worker.gitlab.glance import PROJECTS_AT_ONCE
from codex_worker.settings import Settings
from codex_worker.worker import watched_projects
from codex_worker.worker.assembly import Assembly
from codex_worker.worker.watched_projects import FIRST_LOOKS_AT_ONCE
from tests.support.event_clock import ManualClock, until
from tests.support.open_projects import OpenProjects
from tests.support.queues import job, manifest

# One worker: a first look asks what the server can do and where its refs are, fetches the head and reads the
# manifest; a claim and an end are a push each, which asks for the refs and sends.
FIRST_LOOK, CLAIM, END = 4, 2, 2
PROJECTS_A_SWEEP = 100


@pytest.fixture
def open_projects(tmp_path):
    made: list[OpenProjects] = []

    def make(count: int, jobs: int = 1) -> OpenProjects:
        made.append(OpenProjects(tmp_path / "place", count, jobs))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def many(monkeypatch):
    """Two projects are so many that not all of them are looked at before a job is chosen."""
    monkeypatch.setattr(watched_projects, "FIRST_LOOKS_AT_ONCE", 1)


class Watching:
    """A worker that stays, on a clock of its own; with `holds` it begins one job and keeps it."""

    def __init__(self, place: OpenProjects, *, holds: bool = False) -> None:
        self.place = place
        self.clock = ManualClock()
        worker = place.worker("tester", self.clock, interval_s=24 * 3600.0)
        self.supervisor = place.supervisors[-1]
        self.waits = 1 if holds else 2  # the watch, and the loop where it has no job
        if holds:
            self.supervisor.may_end.clear()
        self.thread = threading.Thread(target=worker.run, daemon=True)
        self.thread.start()
        until(lambda: self.clock.idle == self.waits and bool(self.supervisor.begun) == holds, 120)

    def asked_within(self, duration_s: float) -> Counter[str]:
        """What is asked while so much time passes: the sweeps, and each project by its name."""
        self.place.server.requests.clear()
        until_s = self.clock.monotonic() + duration_s
        while self.clock.monotonic() < until_s:
            self.clock.advance(10)
            until(lambda: self.clock.idle == self.waits, 120)
        targets = [request.target for request in self.place.server.requests]
        return Counter("sweep" if "graphql" in each else each.split("/")[2] for each in targets)

    def leave(self) -> None:
        self.supervisor.leave()
        self.supervisor.may_end.set()
        until(lambda: not self.thread.is_alive(), 120)


def claimed_by_another(place: OpenProjects, number: int) -> None:
    credentials = Credentials(place.token, place.server.url)
    settings = Settings(worker_id="other", gitlab_url=place.server.url, work_dir=place.folder / "other")
    queue = Assembly(settings, credentials, {}).open_queue(f"{place.server.url}/team/p{number}.git")
    assert queue.claim(f"p{number}j0") is not None


def test_a_job_costs_no_more_requests_where_more_projects_are_open(open_projects):
    place = open_projects(FIRST_LOOKS_AT_ONCE + 1)
    # The first sweep, a glance at new manifests, and the sweep that finds nothing left.
    sweeps = 2 * math.ceil(place.count / PROJECTS_A_SWEEP) + math.ceil(place.count / PROJECTS_AT_ONCE)
    assert place.requests_a_job([place.worker("tester")]) <= FIRST_LOOK + CLAIM + END + sweeps / place.count


def test_the_first_job_is_begun_before_other_projects_are_looked_at(open_projects, many):
    place = open_projects(5)
    watching = Watching(place, holds=True)
    assert watching.supervisor.begun == [("team/p0", "p0j0")], "the oldest of all"
    asked = {request.target.split("/")[2] for request in place.server.requests}
    assert asked == {"graphql", "p0.git"}
    watching.leave()


def test_a_project_with_jobs_that_were_begun_once_is_looked_at_before_its_next_job(open_projects, many):
    place = open_projects(2)
    claimed_by_another(place, 0)  # and the oldest of all
    watching = Watching(place, holds=True)
    assert watching.supervisor.begun == [("team/p1", "p1j0")]
    assert place.server.requests_to("p0.git")
    watching.leave()


def test_a_manifest_that_cannot_be_read_at_a_glance_holds_up_no_other_project(open_projects, many):
    place = open_projects(2)
    place.push(0, "gpu_jobs/manifest.yaml", b"jobs: [unclosed")
    watching = Watching(place, holds=True)
    assert watching.supervisor.begun == [("team/p1", "p1j0")]
    watching.leave()


def test_projects_whose_jobs_wait_are_seen_by_the_sweep_alone(open_projects):
    place = open_projects(4)
    watching = Watching(place, holds=True)
    asked = watching.asked_within(600)
    assert set(asked) == {"sweep"} and 600 / 70 - 1 <= asked["sweep"] <= 600 / 60 + 1
    watching.leave()


def test_a_job_that_is_canceled_while_it_waits_has_its_end_within_two_minutes(open_projects):
    place = open_projects(3)
    watching = Watching(place, holds=True)
    place.push(2, "gpu_jobs/manifest.yaml", manifest(job("p2j0", canceled=True)))
    asked = watching.asked_within(120)
    assert set(asked) == {"sweep", "p2.git"}
    assert any("/job_p2j0/" in path and "/end-" in path for path in place.files(2))
    watching.leave()


def test_only_the_project_whose_job_another_worker_does_is_asked_and_a_silent_ones_job_is_taken_over(
    open_projects,
):
    place = open_projects(1)
    claimed_by_another(place, 0)
    watching = Watching(place)
    asked = watching.asked_within(240)
    assert 240 / 70 - 1 <= asked["p0.git"] <= 2 * 240 / 50  # its refs, and a sign of ours every five minutes
    watching.asked_within(150)
    until(lambda: watching.supervisor.done, 120)
    assert watching.supervisor.done == [("team/p0", "p0j0")]
    watching.leave()


def test_a_branch_that_moves_anywhere_is_compared_with_results_that_have_not_settled(open_projects):
    place = open_projects(2)
    watching = Watching(place, holds=True)
    watching.supervisor.may_end.set()
    watching.waits = 2
    until(lambda: watching.clock.idle == 2 and len(watching.supervisor.done) == 2, 120)
    assert set(watching.asked_within(120)) == {"sweep"}
    place.push(1, "files/target/MRK.codex", b"{}")
    assert set(watching.asked_within(120)) == {"sweep", "p1.git"}
    assert set(watching.asked_within(120)) == {"sweep"}
    watching.leave()
