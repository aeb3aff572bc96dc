"""A project whose look does not end: the others are served, and it is looked at again when it is over."""

import threading

import pytest

from codex_worker.contract.exit_codes import ExitCode
from codex_worker.git.memory import MemoryServer
from tests.support.event_clock import until
from tests.support.hostile_projects import INNOCENT, Village
from tests.support.queues import job, manifest


class Hanging:
    """A server that answers some call only when the test lets it."""

    def __init__(self, call: str) -> None:
        self.call = call
        self.reached = threading.Event()
        self.may_go_on = threading.Event()

    def __call__(self, call: str, when: str) -> None:
        if call == self.call and when == "before":
            self.reached.set()
            assert self.may_go_on.wait(60)


@pytest.mark.parametrize("call", ["look", "snapshot", "records", "push"])
def test_a_look_that_does_not_end_holds_up_no_other_project(call, tmp_path, caplog):
    hanging = Hanging(call)
    bad = MemoryServer({"gpu_jobs/manifest.yaml": manifest(job("x", canceled=True))})
    bad.refs["refs/gpu-records/y"] = bad.refs[bad.branch]
    village = Village(tmp_path, {"bad": bad, "good": MemoryServer(INNOCENT)}, hanging)
    codes: list[ExitCode] = []
    thread = threading.Thread(target=lambda: codes.append(village.serve()), daemon=True)
    thread.start()
    until(hanging.reached.is_set)

    def is_over() -> bool:
        village.clock.advance(20)
        return not thread.is_alive()

    until(is_over)
    assert village.supervisor.begun == [("good", "good")] and codes == [ExitCode.DONE]
    assert "Project bad: A look takes longer than 60 s; the others go on." in caplog.text
    hanging.may_go_on.set()


def test_a_worker_waits_for_a_slow_project_before_it_says_that_nothing_is_left(tmp_path):
    hanging = Hanging("snapshot")
    bad = MemoryServer({"gpu_jobs/manifest.yaml": manifest(job("good"))})
    village = Village(tmp_path, {"bad": bad}, hanging)
    thread = threading.Thread(target=village.serve, daemon=True)
    thread.start()
    until(hanging.reached.is_set)
    village.clock.advance(60)

    def polls_again() -> bool:
        village.clock.advance(0.1)
        return village.polls > 1

    until(polls_again)  # the first poll has stopped waiting
    hanging.may_go_on.set()
    until(lambda: village.supervisor.begun or not thread.is_alive())
    assert village.supervisor.begun == [("bad", "good")]
