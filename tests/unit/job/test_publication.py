"""Results go to the project by chapters or after five minutes, while the job computes on."""

import threading
from dataclasses import dataclass, field

import pytest

from codex_worker.job.publication import Pacing, Publication
from tests.support.clock import FakeClock
from tests.support.present import present


@dataclass
class Project:
    """Keeps batches; drops results that end in "!"; waits for `gate` where there is one."""

    batches: list[list[str]] = field(default_factory=list)
    gate: threading.Event | None = None
    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def publish(self, results):
        self.arrived.release()
        if self.gate is not None:
            assert self.gate.wait(20)
        self.batches.append(list(results))
        return self.answer(results)

    @dataclass
    class Answer:
        applied: list[int]
        dropped: dict[int, str]

    def answer(self, results):
        dropped = {index: "a person was there" for index, each in enumerate(results) if each.endswith("!")}
        return self.Answer([index for index in range(len(results)) if index not in dropped], dropped)


@pytest.mark.parametrize(
    ("waiting", "waited_s", "whole", "due"),
    [
        (0, 900, True, False),
        (1, 0, False, False),
        (1, 0, True, True),
        (3, 299, False, False),
        (3, 300, False, True),
        (499, 1, False, False),
        (500, 1, False, True),
    ],
)
def test_results_are_due_with_their_chapter_or_after_five_minutes(waiting, waited_s, whole, due):
    assert Pacing().is_due(waiting, waited_s, has_whole_chapter=whole) is due


def test_a_chapter_is_published_while_the_next_one_is_computed():
    project = Project(gate=threading.Event())
    with Publication(
        project.publish, ["MRK 1", "MRK 1", "MRK 2"], clock=FakeClock().monotonic
    ) as publication:
        publication.add("MRK 1", "1:1")
        publication.add("MRK 1", "1:2")
        assert project.arrived.acquire(timeout=20)
        publication.add("MRK 2", "2:1")  # does not wait for the server
        present(project.gate).set()
    assert project.batches == [["1:1", "1:2"], ["2:1"]]
    assert publication.applied == ["1:1", "1:2", "2:1"]


def test_a_cell_without_a_result_completes_its_chapter_too():
    project = Project(gate=threading.Event())
    with Publication(
        project.publish, ["MRK 1", "MRK 1", "MRK 2"], clock=FakeClock().monotonic
    ) as publication:
        publication.add("MRK 1", "1:1")
        publication.add("MRK 1", None)
        assert project.arrived.acquire(timeout=20)
        present(project.gate).set()
    assert project.batches == [["1:1"]]


def test_an_unfinished_chapter_is_published_after_five_minutes():
    project, clock = Project(), FakeClock()
    with Publication(project.publish, ["MRK 1"] * 3, clock=clock.monotonic) as publication:
        publication.add("MRK 1", "1:1")
        clock.advance(300)
        publication.add("MRK 1", "1:2")
        assert project.arrived.acquire(timeout=20)  # before the end of the block
    assert [result for batch in project.batches for result in batch] == ["1:1", "1:2"]


def test_what_a_failed_job_had_done_is_published_and_its_error_stays():
    project = Project()
    with (
        pytest.raises(MemoryError),
        Publication(project.publish, ["MRK 1"] * 3, clock=FakeClock().monotonic) as publication,
    ):
        publication.add("MRK 1", "1:1")
        raise MemoryError
    assert project.batches == [["1:1"]]


def test_results_that_a_person_forestalled_are_named_with_the_reason():
    project = Project()
    with Publication(project.publish, ["MRK 1"] * 2, clock=FakeClock().monotonic) as publication:
        publication.add("MRK 1", "1:1!")
        publication.add("MRK 1", "1:2")
    assert publication.applied == ["1:2"]
    assert publication.dropped == [("1:1!", "a person was there")]


def test_an_error_of_publishing_reaches_whoever_brings_results():
    def refuse(results):
        raise RuntimeError("the lease is lost")

    with (
        pytest.raises(RuntimeError, match="lease is lost"),
        Publication(refuse, ["MRK 1"], clock=FakeClock().monotonic) as publication,
    ):
        publication.add("MRK 1", "1:1")


def test_what_waits_is_noted_until_it_is_published():
    class Journal:
        def __init__(self):
            self.waiting, self.most = [], 0

        def append(self, result):
            self.waiting.append(result)
            self.most = max(self.most, len(self.waiting))

        def replace(self, results):
            self.waiting = list(results)

    journal, project = Journal(), Project(gate=threading.Event())
    with Publication(
        project.publish, ["MRK 1"] * 2 + ["MRK 2"], journal=journal, clock=FakeClock().monotonic
    ) as publication:
        publication.add("MRK 1", "1:1")
        publication.add("MRK 1", "1:2")
        assert project.arrived.acquire(timeout=20)
        publication.add("MRK 2", "2:1")
        assert journal.waiting == ["1:1", "1:2", "2:1"]  # the first two are on their way, not yet there
        present(project.gate).set()
    assert journal.waiting == []
