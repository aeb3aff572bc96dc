"""A worker that is told to leave is gone in time, whatever its server does, and nothing is lost."""

import os
import signal
import subprocess
import sys
import threading

import pytest
import yaml

from codex_worker.contract.exit_codes import ExitCode
from tests.support.event_clock import until
from tests.support.gitlab import DEVELOPER, GitLabServer
from tests.support.jobs import ROOT, handlers_with, manifest
from tests.support.queues import GitProject

DEAF = """
(folder / "reached").touch()
import threading
threading.Event().wait()
"""
OBEDIENT = """
(folder / "reached").touch()
while not callbacks.should_stop():
    pass
(folder / "half.csv").write_text("half a model")
scanner.publish_artifact(folder / "half.csv", "report")
from codex_worker.errors import Preempted
raise Preempted("The worker had to leave.")
"""


@pytest.fixture
def released():
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def server(tmp_path, released):
    with GitLabServer(tmp_path / "server", sleep=released.wait) as server:
        yield server
        released.set()  # before the listener waits for its answers


def command(server, tmp_path, *options):
    return [
        sys.executable, "-m", "worker_entry", "--gitlab-url", server.url, "--worker-id", "tester",
        "--work-dir", str(tmp_path / "work"), "--settle-minutes", "0", "--allow-cpu", *options,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "handler"),
    [("hangs", DEAF), ("drops every connection", OBEDIENT), ("refuses every push", OBEDIENT)],
    ids=lambda value: value if "\n" not in value else "",
)
def test_a_worker_is_gone_within_its_grace_and_what_it_could_not_publish_is_published_later(
    tmp_path, server, released, fault, handler
):
    project = GitProject({"gpu_jobs/manifest.yaml": manifest({"job_id": "one"})}, tmp_path)
    server.create_project("team/mark", {"worker": DEVELOPER}, repository=project.bare)
    code = handlers_with(tmp_path / "code", asr_w2v2bert_training=handler)
    environment = {
        "CODEX_WITHOUT_SPARE": "true",
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": f"{code}:{ROOT}",
        "GITLAB_TOKEN": server.create_token("worker", ["read_api", "read_repository", "write_repository"]),
    }  # fmt: skip
    with subprocess.Popen(
        command(server, tmp_path, "--grace", "14"), env=environment, cwd=tmp_path, stderr=subprocess.PIPE
    ) as process:
        try:
            until(lambda: list(tmp_path.glob("work/job_*/reached")))
            if fault == "hangs":
                server.faults.slow(1e6, "/", times=None)
            elif fault == "drops every connection":
                server.faults.drop("before", "/", times=None)
            else:
                server.faults.answer(403, "git-receive-pack", times=None)
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=40)  # a transaction alone would take a minute
        finally:
            process.kill()
    assert process.returncode == ExitCode.RELEASED, said
    kept = "".join(path.read_text() for path in tmp_path.glob("work/notes/job_*/unpublished/*.json"))
    assert '"call": "end"' in kept, said

    server.faults.clear()
    released.set()
    other = handlers_with(tmp_path / "other", asr_w2v2bert_training="return {}")
    done = subprocess.run(
        command(server, tmp_path),
        env=environment | {"PYTHONPATH": f"{other}:{ROOT}"}, cwd=tmp_path,
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == ExitCode.DONE, done.stderr
    files = project.files()
    ends = [yaml.safe_load(files[path]) for path in files if "/end-" in path and "-1-" in path]
    assert [end["state"] for end in ends] == ["preempted"], done.stderr
    assert handler is DEAF or any("/report/half-1-" in path for path in files)
