"""What a worker that runs tells of itself: in this process with a clock of ours, and as people start it."""

import http.client
import socket
from dataclasses import replace

from codex_worker.contract.exit_codes import ExitCode
from codex_worker.contract.state import State
from codex_worker.supervisor.figures import Figures
from codex_worker.worker.loop import Worker
from codex_worker.worker.metrics_server import SILENT_FOR_S, health_of, readiness_of
from tests.integration.supervisor.test_command_line import bare_repository, run, start
from tests.integration.supervisor.test_worker_loop import Town, job, server
from tests.support.event_clock import until
from tests.support.jobs import WAITING_THREADS, handlers_with, manifest

UNTIL_TOLD = """
callbacks.heartbeat(0, "a message", "training")
for audio_s in (10, 2.5, 0, -3, float("nan"), float("inf")):
    callbacks.computed(audio_s)
while not (folder / "go").exists():
    pass
return {}
"""


class WatchedTown(Town):
    """A town whose worker's figures are read."""

    def worker(self) -> Worker:
        self.figures = Figures(self.clock)
        # The supervisor's own, as an assembly hands the same to both.
        self.stage.supervisor._figures = self.figures
        self.now = Worker(
            self, self.queue, self.stage.supervisor, self.stage._open_project, self.clock, self.loop,
            figures=self.figures,
        )  # fmt: skip
        return self.now


def test_while_a_job_runs_its_stage_and_lease_are_known_and_the_worker_stays_healthy(tmp_path):
    town = WatchedTown(tmp_path, UNTIL_TOLD, a=server(job("one"), job("bad", mode="sing")))
    thread = town.start()
    until(lambda: town.figures.stage == "training")
    figures = town.figures
    assert figures.attempt is not None and figures.attempt.job_id == "one"
    assert readiness_of(figures, is_leaving=False).is_well
    began_s = town.clock.monotonic()
    while town.clock.monotonic() < began_s + 2 * SILENT_FOR_S:
        until(lambda: town.clock.idle > WAITING_THREADS)  # the worker's own watch as well
        assert health_of(figures).is_well
        assert figures.lease_age_s is not None and figures.lease_age_s <= 2 * 60.0
        town.clock.advance(20)
    assert figures.stage_seconds["asr", "training"] >= SILENT_FOR_S
    assert State.RUNNING in {view.state for view in town.now.jobs()}
    next(town.stage.work_dir.glob("job_*")).joinpath("go").touch()
    town.tick(lambda: not thread.is_alive(), step_s=20)
    assert town.code is ExitCode.DONE
    assert figures.attempt is None and figures.stage is None and figures.lease_age_s is None
    assert figures.ends == {("asr", "training", "completed"): 1}
    assert figures.audio_seconds == {("asr", "training"): 12.5}
    assert "ending" in {stage for _, stage in figures.stage_seconds}


def test_a_worker_that_rests_for_days_gives_signs_of_life_all_the_while(tmp_path):
    town = WatchedTown(tmp_path, a=server())
    town.loop = replace(town.loop, interval_s=7 * 86400.0)
    thread = town.start()
    for _ in range(200):
        until(lambda: town.clock.idle >= 2)
        assert health_of(town.figures).is_well
        town.clock.advance(60)
    town.stage.supervisor.leave()
    town.tick(lambda: not thread.is_alive(), step_s=20)


def test_a_machine_that_is_unfit_is_not_ready(tmp_path):
    town = WatchedTown(tmp_path, a=server(job("one")))
    town.stage.work_dir.write_text("a file where the folder should be")
    assert town.run() is ExitCode.UNFIT
    assert not readiness_of(town.figures, is_leaving=False).is_well


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def test_a_worker_answers_while_it_works_and_is_gone_afterwards(tmp_path):
    code = handlers_with(tmp_path / "code", asr_w2v2bert_training=UNTIL_TOLD)
    repository = bare_repository(tmp_path, manifest({"job_id": "one"}))
    port = free_port()

    def ask(path: str) -> tuple[int, str]:
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        line.request("GET", path)
        answer = line.getresponse()
        return answer.status, answer.read().decode()

    process = start(tmp_path, "--project", repository, "--metrics-port", port, code=code)
    running = 'codex_worker_running{kind="asr",mode="training",stage="training"} 1.0'
    until(lambda: list(tmp_path.glob("work/job_*")))
    until(lambda: running in ask("/metrics")[1])
    assert ask("/healthz")[0] == 200 == ask("/readyz")[0]
    assert "project.git" not in ask("/metrics")[1]
    next(tmp_path.glob("work/job_*")).joinpath("go").touch()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == ExitCode.DONE, output
    assert f"Metrics: http://127.0.0.1:{port}/metrics" in output


def test_a_port_that_is_taken_is_a_sentence_and_no_job_is_claimed(tmp_path):
    repository = bare_repository(tmp_path, manifest({"job_id": "one"}))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, output = run(tmp_path, "--project", repository, "--metrics-port", port)
    assert status == ExitCode.USAGE and f"--metrics-port {port}: nothing can listen there" in output
    assert "Traceback" not in output
