"""A worker that ends itself: after so long without a job, and after so long in all."""

from dataclasses import replace

import pytest

from codex_worker.contract.exit_codes import ExitCode
from codex_worker.errors import Refused, ServerUnreachable
from codex_worker.worker.lifetime import LifeLimits
from codex_worker.worker.projects import ProjectAddress
from tests.integration.supervisor.test_worker_loop import WRITE_ORDER, Town, job, server
from tests.support.event_clock import until

STEP_S = 20.0
SOON_S = 30 * STEP_S  # the clock goes on while threads come to act; far less than the time to the next poll
BUSY = "(folder / 'reached').touch()\nwhile True: callbacks.heartbeat()"


def staying(tmp_path, handler: str = WRITE_ORDER, *, idle_s=None, uptime_s=None, interval_s=300.0, **servers):
    town = Town(tmp_path, handler, **servers)
    town.loop = replace(town.loop, interval_s=interval_s, life=LifeLimits(idle_s, uptime_s))
    return town


@pytest.mark.parametrize(
    ("idle_s", "interval_s"),
    [(600.0, 300.0), (600.0, 7 * 86400.0), (30.0, 300.0), (3600.0, 1.0)],
    ids=["after two polls", "in the middle of a long pause", "before the first pause ends", "many polls"],
)
def test_a_worker_without_a_job_for_so_long_ends_in_time(tmp_path, caplog, idle_s, interval_s):
    caplog.set_level("INFO")
    town = staying(tmp_path, idle_s=idle_s, interval_s=interval_s, a=server())
    began_s = town.clock.time()
    assert town.run() is ExitCode.DONE
    assert idle_s <= town.clock.time() - began_s <= idle_s + SOON_S
    assert "--max-idle-minutes" in caplog.text


def test_a_job_sets_the_idle_time_back(tmp_path):
    town = staying(tmp_path, idle_s=600.0, a=server(job("one")))
    began_s = town.clock.time()
    thread = town.start()
    town.tick(lambda: "gpu_jobs/job_one/response.yaml" in town.servers["a"].files(), step_s=STEP_S)
    done_s = town.clock.time()
    town.tick(lambda: not thread.is_alive(), step_s=STEP_S)
    assert town.code is ExitCode.DONE and town.order() == ["one"]
    assert done_s - began_s > 600.0, "it was busy for longer than it may be idle"
    assert town.clock.time() - done_s >= 600.0 - STEP_S


def test_a_worker_that_exits_when_nothing_is_left_does_not_wait_for_the_idle_time(tmp_path):
    town = staying(tmp_path, idle_s=1e6, interval_s=-1.0, a=server())
    began_s = town.clock.time()
    assert town.run() is ExitCode.DONE
    assert town.clock.time() - began_s < 1e6


@pytest.mark.parametrize("fault", [None, ServerUnreachable("No answer.")])
def test_what_it_cannot_do_or_see_keeps_no_idle_worker(tmp_path, fault):
    town = staying(tmp_path, "raise RuntimeError('a hiccup')", idle_s=900.0, a=server(job("one")))
    if fault is not None:
        town.faults["a"] = fault
    assert town.run() is ExitCode.DONE


def test_an_idle_worker_stays_with_results_that_are_nowhere_else(tmp_path):
    handler = "(folder / 'm').touch(); return {'m': scanner.publish_artifact(folder / 'm', 'report')}"
    town = staying(tmp_path, handler, idle_s=60.0, a=server(job("one")))
    town.loop = replace(town.loop, publish_timeout_s=3600.0)
    town.stage.refused["one"] = Refused("No room.")
    began_s = town.clock.time()
    assert town.run() is ExitCode.RELEASED
    assert town.clock.time() - began_s >= 3600.0


def test_after_its_time_a_worker_gives_its_job_back_as_at_sigterm(tmp_path, caplog):
    town = staying(tmp_path, BUSY, uptime_s=3600.0, a=server(job("one"), job("two")))
    thread = town.start()
    town.stage.reached("reached")
    town.clock.advance(3599)
    assert thread.is_alive() and not town.stage.supervisor.leaving.event.is_set()
    town.clock.advance(1)
    until(town.stage.supervisor.leaving.event.is_set)
    town.clock.advance(1)
    until(lambda: not thread.is_alive())
    assert town.code is ExitCode.RELEASED and "--max-uptime-hours" in caplog.text
    assert town.queue("a", "next").claim("one") is not None, "the job goes to the next worker"
    assert not any("job_two/workers" in path for path in town.servers["a"].files()), "no other is claimed"


@pytest.mark.parametrize("interval_s", [300.0, 7 * 86400.0])
def test_after_its_time_a_worker_without_a_job_ends_with_zero(tmp_path, interval_s):
    town = staying(tmp_path, uptime_s=7200.0, interval_s=interval_s, a=server())
    began_s = town.clock.time()
    assert town.run() is ExitCode.DONE
    assert 7200.0 <= town.clock.time() - began_s < 7200.0 + SOON_S


def test_a_forced_job_is_given_back_after_the_workers_time(tmp_path):
    town = staying(tmp_path, BUSY, uptime_s=3600.0, a=server(job("one")))
    town.loop = replace(town.loop, force_job=(ProjectAddress("a", "a"), "one"))
    thread = town.start()
    town.stage.reached("reached")
    town.clock.advance(3600)
    until(town.stage.supervisor.leaving.event.is_set)
    town.clock.advance(1)
    until(lambda: not thread.is_alive())
    assert town.code is ExitCode.RELEASED
