"""The loop over projects: oldest first, nobody disturbed by a broken neighbour, nothing lost."""

import threading
from dataclasses import replace

import pytest
import yaml

from codex_worker.contract.exit_codes import ExitCode
from codex_worker.contract.paths import response_path
from codex_worker.errors import AccessDenied, ProjectGone, Refused, ServerUnreachable
from codex_worker.git.memory import MemoryCommit, MemoryServer, MemoryTransport
from codex_worker.git.repository import Repository
from codex_worker.worker.loop import LoopSettings, Worker
from codex_worker.worker.projects import ProjectAddress
from gitlab_jobs import JobQueue, QueueSettings
from tests.support.event_clock import until
from tests.support.jobs import Stage, manifest

WRITE_ORDER = """
import time
(folder / "begun").write_text(f"{time.monotonic_ns()} {job.job_id}")
return {}
"""


class Town:
    """Several projects and one worker."""

    def __init__(self, tmp_path, handler: str = WRITE_ORDER, **servers: MemoryServer) -> None:
        self.stage = Stage(tmp_path, handler)
        self.stage.set_limits(hang_s=1e9)
        self.clock = self.stage.clock
        self.servers = servers
        self.faults: dict[str, Exception] = {}
        self.loop = LoopSettings(self.stage.work_dir)
        self.code: ExitCode | None = None

    def changed(self) -> list[ProjectAddress]:
        return [ProjectAddress(name, name) for name in self.servers]

    def queue(self, address: str, worker_id: str = "tester") -> JobQueue:
        def fault(call: str, when: str) -> None:
            if address in self.faults:
                raise self.faults[address]

        repository = Repository(MemoryTransport(self.servers[address], fault), self.clock)
        return JobQueue(repository, worker_id, self.clock, QueueSettings(publish_timeout_s=1.0))

    def worker(self) -> Worker:
        return Worker(
            self, self.queue, self.stage.supervisor, self.stage._open_project, self.clock, self.loop
        )

    def start(self) -> threading.Thread:
        worker = self.worker()

        def run() -> None:
            self.code = worker.run()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def run(self) -> ExitCode | None:
        """Until the worker is through."""
        thread = self.start()
        self.tick(lambda: not thread.is_alive(), step_s=20)
        return self.code

    def tick(self, condition, step_s: float) -> None:
        """Lets time pass, whenever both the loop and the watch wait for it, until something has happened."""
        while not condition():
            until(lambda: self.clock.idle >= 2 or condition())
            self.clock.advance(step_s)

    def order(self) -> list[str]:
        """The jobs whose handlers ran, in the order in which they began."""
        begun = [path.read_text().split() for path in self.stage.work_dir.glob("job_*/begun")]
        return [job_id for _, job_id in sorted(filter(None, begun), key=lambda each: int(each[0]))]

    def response(self, project: str, job_id: str) -> dict:
        return yaml.safe_load(self.servers[project].files()[f"gpu_jobs/job_{job_id}/response.yaml"])


def server(*jobs: dict) -> MemoryServer:
    return MemoryServer({"gpu_jobs/manifest.yaml": manifest(*jobs)})


def job(job_id: str, submitted_at: str | None = None, **entry) -> dict:
    return {"job_id": job_id, "submitted_at": submitted_at, **entry}


def test_jobs_are_done_oldest_first_and_then_the_worker_exits(tmp_path):
    town = Town(
        tmp_path,
        a=server(job("late", "2026-05-02T00:00:00Z"), job("undated", "next week")),
        b=server(job("early", "2026-05-01T00:00:00Z")),
    )
    assert town.run() is ExitCode.DONE
    assert town.order() == ["early", "late", "undated"]
    assert town.response("a", "undated")["state"] == "completed"


def test_the_next_job_begins_while_a_result_waits_and_the_worker_stays_until_it_is_taken(tmp_path):
    handler = (
        f"(folder / 'm').write_text('x')\nscanner.publish_artifact(folder / 'm', 'report')\n{WRITE_ORDER}"
    )
    town = Town(tmp_path, handler, full=server(job("one")), near=server(job("two")))
    town.stage.refused["one"] = Refused("The server answered 507.")
    thread = town.start()
    town.tick(lambda: len(town.order()) == 2, step_s=20)
    assert town.response("full", "one")["state"] == "running"
    other = town.queue("full", "other")
    other.look()
    town.tick(lambda: town.stage.refusals > 7, step_s=20)
    assert thread.is_alive(), "the results are nowhere but here"
    assert other.look().silent == [], "nobody takes the job over"
    town.stage.refused.clear()
    town.tick(lambda: not thread.is_alive(), step_s=20)
    assert town.code is ExitCode.DONE and town.order() == ["one", "two"]
    assert town.response("full", "one")["state"] == "completed"


@pytest.mark.parametrize(
    ("error", "waits"), [(Refused("No room."), True), (ProjectGone("There is no such project."), False)]
)
def test_a_worker_with_unpublished_results_stays_for_its_time_where_that_may_be_of_use(
    tmp_path, error, waits
):
    handler = "(folder / 'm').touch(); return {'m': scanner.publish_artifact(folder / 'm', 'report')}"
    town = Town(tmp_path, handler, a=server(job("one")))
    town.stage.refused["one"] = error
    patience_s = 3600.0 if waits else 1e7
    town.loop = replace(town.loop, publish_timeout_s=patience_s)
    began_s = town.clock.time()
    assert town.run() is ExitCode.RELEASED
    assert (town.clock.time() - began_s >= patience_s) == waits


def test_a_project_that_cannot_be_reached_disturbs_no_other(tmp_path, caplog):
    town = Town(tmp_path, far=server(job("one")), near=server(job("two")))
    town.faults["far"] = ServerUnreachable("The server far does not answer.")
    assert town.run() is ExitCode.DONE
    assert town.order() == ["two"]
    assert caplog.text.count("Project far: The server far does not answer.") == 1


@pytest.mark.parametrize("fault", [ServerUnreachable("No answer."), AccessDenied("The token was refused.")])
def test_a_worker_that_can_read_no_project_at_all_has_failed(tmp_path, fault, caplog):
    town = Town(tmp_path, far=server(job("one")))
    town.faults["far"] = fault
    assert town.run() is ExitCode.FAILED
    assert str(fault) in caplog.text


@pytest.mark.parametrize("content", [None, b"jobs: [unclosed", b"3"])
def test_a_project_without_a_readable_manifest_disturbs_no_other(tmp_path, content, caplog):
    files = {"README.md": b"x"} if content is None else {"gpu_jobs/manifest.yaml": content}
    town = Town(tmp_path, odd=MemoryServer(files), near=server(job("two")))
    assert town.run() is ExitCode.DONE
    assert town.order() == ["two"]
    assert content is None or "gpu_jobs/manifest.yaml" in caplog.text


def test_a_bad_entry_gets_an_answer_and_the_next_job_is_done(tmp_path):
    town = Town(tmp_path, a=server(job("bad", mode="sing"), job("good")))
    assert town.run() is ExitCode.DONE
    assert town.order() == ["good"]
    assert (
        town.response("a", "bad")["state"] == "failed"
        and "mode" in town.response("a", "bad")["error_message"]
    )


def test_a_job_that_fails_is_followed_by_the_next(tmp_path):
    handler = (
        "if job.job_id == 'bad': raise __import__('codex_worker.errors').errors.DataError('No recordings.')"
    )
    town = Town(
        tmp_path, f"{handler}\n{WRITE_ORDER}", a=server(job("bad", "2026-01-01"), job("good", "2026-01-02"))
    )
    assert town.run() is ExitCode.DONE
    assert town.order() == ["good"]
    assert town.response("a", "bad")["error_message"] == "No recordings."


def ends(town: Town, project: str = "a") -> list[str]:
    return [path for path in town.servers[project].files() if "/end-" in path]


def test_a_job_that_this_machine_has_failed_is_left_to_others(tmp_path, caplog):
    town = Town(tmp_path, "raise RuntimeError('the driver is gone')", a=server(job("one")))
    assert town.run() is ExitCode.RELEASED
    assert len(ends(town)) == 1
    assert "Left to other workers for a while" in caplog.text and "one" in caplog.text
    assert town.run() is ExitCode.RELEASED, "nor does the same worker take it when it is started again"
    assert len(ends(town)) == 1
    assert town.queue("a", "another").claim("one") is not None


def test_a_worker_that_is_alone_tries_again_later(tmp_path):
    town = Town(
        tmp_path,
        "if job.attempt.startswith('1-'): raise RuntimeError('a hiccup')\nreturn {}",
        a=server(job("one")),
    )
    town.loop = replace(town.loop, interval_s=300)
    thread = town.start()
    began = town.clock.time()
    town.tick(lambda: "gpu_jobs/job_one/response.yaml" in town.servers["a"].files(), step_s=20)
    assert town.response("a", "one")["state"] == "completed"
    assert town.clock.time() - began >= 30 * 60
    town.stage.supervisor.leave()
    town.tick(lambda: not thread.is_alive(), step_s=1)


SICK = "raise RuntimeError('the driver is gone')"


@pytest.mark.parametrize(
    ("handler", "status"),
    [
        (SICK, ExitCode.UNFIT),
        ("import os; os.kill(os.getpid(), 9)", ExitCode.UNFIT),
        (f"if job.job_id == 'one': {SICK}\nreturn {{}}", ExitCode.RELEASED),
    ],
)
def test_two_jobs_in_a_row_that_fail_because_of_the_machine_make_it_unfit(tmp_path, caplog, handler, status):
    dated = [job(name, f"2026-05-0{day}") for day, name in enumerate(("one", "two", "three"), 1)]
    town = Town(tmp_path, handler, a=server(*dated))
    assert town.run() is status
    is_unfit = status is ExitCode.UNFIT
    assert any("job_three/" in path for path in ends(town)) is not is_unfit
    assert ("in a row failed here" in caplog.text) is is_unfit


def test_a_silent_workers_job_is_taken_over_within_minutes(tmp_path):
    town = Town(tmp_path, a=server(job("one")))
    assert town.queue("a", "dead").claim("one") is not None
    assert town.run() is ExitCode.DONE
    assert town.order() == ["one"]


def test_a_silent_workers_job_does_not_wait_for_the_next_poll(tmp_path):
    town = Town(tmp_path, a=server(job("one")))
    town.loop = replace(town.loop, interval_s=24 * 3600)
    assert town.queue("a", "dead").claim("one") is not None
    began = town.clock.time()
    thread = town.start()
    town.tick(lambda: "/workers/tester/attempt-2" in " ".join(town.servers["a"].files()), step_s=20)
    assert town.clock.time() - began <= 6 * 60 + 20
    town.stage.supervisor.leave()
    town.tick(lambda: not thread.is_alive(), step_s=1)


def test_a_living_workers_job_is_left_to_it(tmp_path):
    town = Town(tmp_path, a=server(job("one")))
    owned = town.queue("a", "alive").claim("one")
    assert owned is not None
    thread = town.start()
    beaten = town.clock.time()

    def through() -> bool:
        nonlocal beaten
        if town.clock.time() - beaten >= 60:
            beaten = town.clock.time()
            owned.beat("training", 1.0, "")
        return not thread.is_alive()

    town.tick(through, step_s=20)
    assert town.code is ExitCode.DONE
    assert owned.look() is None


def test_a_worker_with_an_interval_looks_again(tmp_path):
    town = Town(tmp_path, a=server(job("one")))
    town.loop = replace(town.loop, interval_s=300)
    thread = town.start()
    town.tick(town.order, step_s=20)
    Repository(MemoryTransport(town.servers["a"]), town.clock).transact(
        lambda snapshot, heads: _change({"gpu_jobs/manifest.yaml": manifest(job("one"), job("two"))})
    )
    town.tick(lambda: town.order() == ["one", "two"], step_s=20)
    town.stage.supervisor.leave()
    town.tick(lambda: not thread.is_alive(), step_s=1)
    assert town.code is ExitCode.DONE


def test_a_worker_told_to_leave_gives_its_job_back_and_says_so(tmp_path):
    town = Town(
        tmp_path, "(folder / 'reached').touch()\nwhile True: callbacks.heartbeat()", a=server(job("one"))
    )
    thread = town.start()
    town.stage.reached("reached")
    town.stage.supervisor.leave()
    town.clock.advance(1)
    until(lambda: not thread.is_alive())
    assert town.code is ExitCode.RELEASED
    assert town.queue("a", "next").claim("one") is not None


def test_an_unfit_worker_says_so_and_claims_nothing(tmp_path, caplog):
    town = Town(tmp_path, a=server(job("one")))
    town.stage.work_dir.write_text("a file where the folder should be")
    assert town.run() is ExitCode.UNFIT
    assert "cannot be written" in caplog.text and "No job is claimed" in caplog.text
    assert list(town.servers["a"].files()) == ["gpu_jobs/manifest.yaml"]


def test_a_forced_job_is_done_alone(tmp_path):
    town = Town(tmp_path, a=server(job("one"), job("two")))
    town.loop = replace(town.loop, force_job=(ProjectAddress("a", "a"), "two"))
    assert town.run() is ExitCode.DONE
    assert town.order() == ["two"]


def test_a_forced_job_is_taken_from_another_worker_but_not_from_its_end(tmp_path, caplog):
    town = Town(tmp_path, a=server(job("one")))
    town.loop = replace(town.loop, force_job=(ProjectAddress("a", "a"), "one"))
    assert town.queue("a", "other").claim("one") is not None
    assert town.run() is ExitCode.DONE
    assert town.run() is ExitCode.BAD_DATA
    assert "never runs again" in caplog.text


def test_a_forced_job_that_is_not_there_is_a_sentence(tmp_path, caplog):
    town = Town(tmp_path, a=server(job("one")))
    town.loop = replace(town.loop, force_job=(ProjectAddress("a", "a"), "nine"))
    assert town.run() is ExitCode.BAD_DATA
    assert "has no job nine" in caplog.text


@pytest.mark.parametrize(("settle_s", "is_there"), [(180.0, True), (0.0, False)])
def test_a_worker_that_exits_stays_to_put_back_what_a_sync_left_out(tmp_path, settle_s, is_there):
    town = Town(tmp_path, a=server(job("one")))
    town.loop = replace(town.loop, settle_s=settle_s)
    project = town.servers["a"]
    fork = project.refs[project.branch]
    thread = town.start()
    response = response_path("one")
    until(lambda: response in project.files())
    later_s = town.clock.monotonic() + 60  # by then a worker that does not stay is gone
    town.tick(lambda: not thread.is_alive() or (settle_s and town.clock.monotonic() > later_s), step_s=20)
    own = project.add(MemoryCommit(fork, {**project.commits[fork].files, "notes.txt": b"typed\n"}))
    merge = MemoryCommit(own, project.commits[own].files, second_parent=project.refs[project.branch])
    project.refs[project.branch] = project.add(merge)
    town.tick(lambda: not thread.is_alive(), step_s=20)
    ends = [path for path in project.files() if "/end-" in path]
    assert (response in project.files(), len(ends)) == (is_there, int(is_there))
    assert project.files()["notes.txt"] == b"typed\n"


def _change(files):
    from codex_worker.git.repository import Change

    return Change(files, "somebody's change")
