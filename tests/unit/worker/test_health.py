"""When a machine is fit to claim a job: what its probe says, and how its last jobs ended."""

from dataclasses import dataclass, field

import pytest

from codex_worker.contract.manifest import JobEntry
from codex_worker.contract.records import EndState
from codex_worker.errors import Kind, ResourceError
from codex_worker.queue.owned import Outcome
from codex_worker.supervisor.fitness import FIT, Fitness
from codex_worker.supervisor.machine import Condition
from codex_worker.worker.health import Health

SYSTEM = Outcome(EndState.FAILED, Kind.SYSTEM, "The driver is gone.")
RESOURCE = Outcome(EndState.FAILED, Kind.RESOURCE, "No memory.")
DATA = Outcome(EndState.FAILED, Kind.DATA, "No recordings.")
USER = Outcome(EndState.FAILED, Kind.USER, "A key is wrong.")
DONE = Outcome(EndState.COMPLETED)
CANCELED = Outcome(EndState.CANCELED, Kind.CANCELED)
DEAD = Fitness((Condition("torch", "it cannot be loaded: no libcudart.", "Install it.", is_fatal=True),))
NO_GPU = Fitness((Condition("gpu", "there is none", "Get one.", stops_full=True),))


@dataclass
class Probe:
    """Answers one after the other, the last one again and again."""

    answers: list[Fitness] = field(default_factory=lambda: [FIT])
    asked: int = 0

    def __call__(self) -> Fitness:
        self.asked += 1
        return self.answers[min(self.asked, len(self.answers)) - 1]


def entry(**keys) -> JobEntry:
    return JobEntry.model_validate({"job_id": "j1", "job_type": "asr", **keys})


@pytest.mark.parametrize(
    ("outcomes", "is_fit"),
    [
        ([], True),
        ([SYSTEM], True),
        ([SYSTEM, RESOURCE], False),
        ([RESOURCE, RESOURCE], False),
        ([SYSTEM, DONE, SYSTEM], True),
        ([SYSTEM, DATA, SYSTEM], True),
        ([DONE, SYSTEM, SYSTEM], False),
        ([SYSTEM, CANCELED, SYSTEM], False),
        ([SYSTEM, USER, SYSTEM], False),
        ([DATA, DATA, USER, USER], True),
    ],
)
def test_two_ends_in_a_row_that_speak_of_the_machine_make_it_unfit(outcomes, is_fit):
    health = Health(Probe())
    for number, outcome in enumerate(outcomes):
        health.stay_fit()
        health.before_claim()
        health.ended(f"j{number}", outcome)
    if is_fit:
        health.stay_fit()
        return
    with pytest.raises(ResourceError, match="in a row failed here"):
        health.stay_fit()


def test_the_machine_is_probed_before_the_first_claim_and_after_an_end_that_speaks_of_it():
    health = Health(probe := Probe())
    health.stay_fit()
    assert probe.asked == 0, "a worker without work does not load torch"
    for outcome in (DONE, DATA, CANCELED):
        health.before_claim()
        health.ended("j1", outcome)
        health.stay_fit()
    assert probe.asked == 1
    health.ended("j2", SYSTEM)
    health.stay_fit()
    health.stay_fit()
    assert probe.asked == 2


def test_a_machine_that_has_become_sick_claims_no_more():
    health = Health(Probe([FIT, DEAD]))
    health.before_claim()
    health.ended("j1", SYSTEM)
    with pytest.raises(ResourceError, match=r"no libcudart. Install it. No job is claimed"):
        health.stay_fit()


@pytest.mark.parametrize(
    ("preset", "operators", "is_done"),
    [("tiny", None, True), ("full", "tiny", False), (None, "tiny", True), (None, None, False)],
)
def test_what_a_machine_lacks_stops_only_jobs_of_the_full_preset(preset, operators, is_done):
    health = Health(Probe([NO_GPU]), operators)
    health.before_claim()
    reason = health.why_not(entry(model={"preset": preset}))
    assert reason == (None if is_done else "gpu: there is none. Get one.")
