"""The ten invariants of the queue hold in random schedules, and a broken worker is found out."""

from collections.abc import Iterator

import pytest

from tests.sim.schedule import Conditions, Schedule, Step, draw
from tests.sim.simulator import SWITCHES, Report, Simulator, seeds

SHORT = 8  # steps of a schedule on git, where each call is a process
LATE_WORKER = (
    Step("worker-a", "claim", 0),
    Step("worker-a", "freeze", 3),
    Step("worker-b", "claim", 0, wait_s=400),
    Step("worker-a", "artifact", 0, wait_s=510),
)
EDIT_MEANWHILE = (
    Step("worker-a", "claim", 0),
    Step("worker-a", "read", 0),
    Step("maria", "type", 2, wait_s=30),
    Step("maria", "sync", 0),
    Step("worker-a", "cells", 0, wait_s=5),
)

ARTIFACT_IN_A_SYNC = (
    Step("worker-a", "claim", 0),
    Step("tom", "type", 2),
    Step("tom", "sync", 0, inside=1),
    Step("worker-a", "artifact", 0),
)
SICK_ALONE = tuple(
    step
    for _ in range(3)
    for step in (
        Step("worker-a", "claim", 0),
        Step("worker-a", "complete", 0),
        Step("server", "night", 0),
    )
)
YIELDED = (
    Step("worker-a", "claim", 0),
    Step("worker-a", "save", 1),
    Step("worker-a", "yield", 0),
    Step("worker-b", "claim", 0),
)
TWO_TRAIN = (
    Step("worker-a", "claim", 0),
    Step("worker-b", "claim", 0),
    Step("worker-a", "save", 1),
    Step("worker-a", "complete", 0),
    Step("worker-b", "yield", 0),
    Step("worker-a", "claim", 0),
)
END_IN_A_SYNC = (*ARTIFACT_IN_A_SYNC[:3], Step("worker-a", "complete", 0))


@pytest.fixture
def twin() -> Iterator[Simulator]:
    simulator = Simulator()
    yield simulator
    simulator.close()


@pytest.fixture
def git() -> Iterator[Simulator]:
    simulator = Simulator(on_git=True)
    yield simulator
    simulator.close()


def invariants(found: list) -> set[int]:
    return {violation.invariant for violation in found}


def test_three_hundred_schedules_on_the_twin_violate_nothing(twin):
    report = twin.run(seeds(300, seed=1))
    assert not report.findings, str(report)
    for event in ("ends: lost", "ends: completed", "ends: canceled", "merges", "re-assertions"):
        assert report.events[event] > 20, f"too few of {event!r} to prove anything:\n{report}"
    for fault in ("died before", "died after", "answer lost", "frozen in a push", "unreachable"):
        assert report.faults[fault] > 20, f"too few of {fault!r} to prove anything:\n{report}"


def test_ten_schedules_on_real_git_violate_nothing(git):
    report = git.run(seeds(10, seed=1), length=SHORT)
    assert not report.findings, str(report)
    assert report.events["attempts"] > 10, str(report)


def test_the_twin_and_git_tell_the_same_story():
    schedule = draw("same-4", length=SHORT)
    told = []
    for on_git in (False, True):
        simulator, report = Simulator(on_git=on_git), Report()
        simulator.play(schedule, report)
        simulator.close()
        told.append((report.steps, report.events, report.commits))
    assert told[0] == told[1]


def test_a_schedule_plays_the_same_every_time(twin):
    told: list[list[str]] = [[], []]
    for lines in told:
        twin.play(draw("1-8"), tell=lines.append)
    assert told[0] == told[1]
    assert len(told[0]) > 20


@pytest.mark.parametrize(
    ("switch", "steps", "invariant"),
    [
        ("without-fence", LATE_WORKER, 1),
        ("whole-notebooks", EDIT_MEANWHILE, 4),
        ("without-ledger", ARTIFACT_IN_A_SYNC, 5),
        ("absence-is-deletion", END_IN_A_SYNC, 5),
        ("counting-ends", SICK_ALONE, 7),
        ("from-the-beginning", YIELDED, 10),
        ("any-state", TWO_TRAIN, 10),
    ],
)
def test_a_story_that_a_broken_worker_cannot_survive(twin, switch, steps, invariant):
    sick = "worker-a" if steps is SICK_ALONE else ""
    schedule = Schedule("story", Conditions(jobs=2 if steps is TWO_TRAIN else 1, sick=sick), steps)
    assert not twin.play(schedule)
    with SWITCHES[switch]():
        assert invariant in invariants(twin.play(schedule))


@pytest.mark.parametrize(
    ("switch", "count", "most_steps"),
    [
        ("without-fence", 40, 8),
        ("whole-notebooks", 60, 10),
        ("without-ledger", 60, 10),
        ("absence-is-deletion", 60, 10),
    ],
)
def test_random_schedules_find_a_broken_worker_and_shrink_to_a_few_steps(twin, switch, count, most_steps):
    with SWITCHES[switch]():
        report = twin.run(seeds(count, seed=1), findings=1)
        assert report.findings, str(report)
        shrunk = report.findings[0].shrunk
        assert len(shrunk.steps) <= most_steps, str(shrunk)
        found = twin.play(shrunk)
        assert report.findings[0].shrunk_violation in found, "a shrunk schedule reproduces what it shows"
    assert not twin.play(shrunk), "it shows the switch, and nothing else"
