"""The final state shows to translators who type before each of their syncs, as most of them do."""

import itertools
import random

import pytest
import yaml

from codex_worker.contract.paths import log_path, response_path
from codex_worker.contract.records import EndState
from codex_worker.git.repository import Repository
from codex_worker.worker.settling import Settling
from gitlab_jobs import JobQueue, Outcome, QueueSettings
from tests.sim.people import Translator
from tests.sim.servers import BRANCH, TwinServer
from tests.support.clock import FakeClock
from tests.support.editor_sync import Phase
from tests.support.notebooks import PATH, notebook, written_cell
from tests.support.queues import claimed, job, manifest

RESPONSE, LOG = response_path("j1"), log_path("j1")


class Project:
    """A server, two translators, and a worker that has a job."""

    def __init__(self, *, stays: bool) -> None:
        cells = (written_cell(f"MRK 1:{verse}", "words") for verse in range(1, 6))
        files = {
            "gpu_jobs/manifest.yaml": manifest(job("j1")),
            PATH: notebook(*cells),
            "metadata.json": b"{}",
        }
        self.server = TwinServer(files, atomic=True)
        self.clock = FakeClock()
        stamps = itertools.count(1_767_225_660_000)
        self.people = [Translator(name, self.server, lambda: next(stamps)) for name in ("maria", "tom")]
        transport = self.server.transport("w", self.clock.time, lambda *_: None, lambda _: None)
        settings = QueueSettings(stays=stays)
        self.queue = JobQueue(Repository(transport, self.clock), "worker-a", self.clock, settings)
        self.settling = Settling(self.queue, self.clock)
        self.owned = claimed(self.queue, "j1")

    def type_and_sync(self, person: Translator, between=lambda phase: None) -> None:
        person.act("type", random.Random(str(self.clock.time())).randrange(5))
        person.sync(between)
        self.clock.advance(7)

    def look(self) -> None:
        sight = self.queue.look()
        self.queue.tidy(sight.views)
        self.settling.look(sight)

    def shown(self) -> list[str | None]:
        """The state that each translator, and the server, has."""
        trees = [person.clone.files for person in self.people]
        trees.append(self.server.files(self.server.refs()[BRANCH]))
        return [yaml.safe_load(tree[RESPONSE])["state"] if RESPONSE in tree else None for tree in trees]


def end_of(project: Project):
    """The job's end, at the moment when somebody's sync has fetched for the first time."""

    def between(phase: Phase) -> None:
        if phase is Phase.FETCH_TO_COMPLETE:
            project.owned.end(Outcome(EndState.COMPLETED, message="Done"), log=b"the whole log\n")

    return between


@pytest.mark.parametrize("seed", range(40))
def test_it_shows_after_the_second_sync_though_everybody_types_and_no_worker_is_left(seed):
    rng = random.Random(seed)
    project = Project(stays=False)
    for person in rng.choices(project.people, k=rng.randrange(4)):
        project.type_and_sync(person)
    if seed % 2:
        project.type_and_sync(project.people[1])
        project.type_and_sync(project.people[0], end_of(project))
    else:
        project.owned.end(Outcome(EndState.COMPLETED, message="Done"), log=b"the whole log\n")
    for _ in range(3):  # what a worker that exits does before: --settle-minutes
        project.clock.advance(20)
        project.look()
    for person in rng.sample(project.people * 2, k=4):
        project.type_and_sync(person)
    assert project.shown() == ["completed"] * 3
    for tree in (person.clone.files for person in project.people):
        assert tree[LOG] == b"the whole log\n"


@pytest.mark.parametrize("seed", range(10))
def test_where_somebody_stays_progress_shows_and_the_final_state_does_in_the_end(seed):
    rng = random.Random(seed)
    project = Project(stays=True)
    for person in project.people:
        project.type_and_sync(person)
    assert project.shown() == ["running"] * 3
    project.owned.end(Outcome(EndState.COMPLETED, message="Done"), log=b"the whole log\n")
    for _ in range(48):  # four hours, with a sync of everybody's every five minutes
        for person in rng.sample(project.people, k=2):
            project.type_and_sync(person)
            project.clock.advance(140)
            project.look()
    assert project.shown() == ["completed"] * 3


def test_nobody_is_shown_a_state_before_the_end_where_nobody_stays():
    project = Project(stays=False)
    assert not project.owned.progress("training", 2.0, "Epoch 2", b"log\n", b"epoch\n2\n")
    for person in project.people:
        project.type_and_sync(person)
    assert project.shown() == [None] * 3
