"""Where a training stands is saved on the server when it can be; when it cannot, the training goes on."""

import shutil
from functools import partial

import pytest

from codex_worker.contract.exit_codes import ExitCode
from codex_worker.git.lfs import http
from codex_worker.worker import assembly
from tests.integration.gitlab.test_worker_on_gitlab import SCOPES, Place, in_background
from tests.support.event_clock import until
from tests.support.gitlab import GitLabServer
from tests.support.jobs import WAITING_THREADS, handlers_with

# Trains two "epochs", saves after each, and says what it went on from. It waits to be let on.
TRAIN = """
from handlers.base import stop_error

def wait_for(name):
    (folder / f"before-{name}").touch()
    while not (folder / name).exists():
        if callbacks.should_stop():
            raise stop_error(callbacks.stop_reason())

earlier = scanner.fetch_resume()
began_at = 0 if earlier is None else int(earlier.read_text())
for epoch in (began_at + 1, began_at + 2):
    wait_for(f"epoch-{epoch}")
    (folder / "partial").write_text(f"{epoch}")
    (folder / "partial").rename(folder / "resume.pt")
    scanner.save_resume(folder / "resume.pt", float(epoch))
wait_for("end")
(folder / "model.safetensors").write_bytes(b"a model" * 100)
path = scanner.publish_artifact(folder / "model.safetensors", "checkpoint")
return {"checkpoint_path": path, "began_at": began_at}
"""
UPLOAD = "/gitlab-lfs/objects/[0-9a-f]{64}/"
LEASE = "refs/gpu-jobs/one"


class Training(Place):
    """One project with a training, and a worker in this process."""

    def begin(self) -> None:
        self.project("team/mark")
        self.start()

    def start(self) -> None:
        self.worker, self.supervisor = self.assembly(resume_interval=0.2).worker()
        self.thread, self.codes = in_background(self.worker)

    def passing(self, condition) -> None:
        """Lets time pass until this has happened, whenever all who look after the job wait for it."""

        def moved() -> bool:
            if self.clock.idle >= WAITING_THREADS + 1:
                self.clock.advance(1.0)
            return bool(condition())

        until(moved, patience_s=60)

    def let(self, name: str) -> None:
        """Lets the handler go on when it has come to where it waits for this."""
        until(lambda: list(self.folder.glob(f"work/job_*/before-{name}")), patience_s=60)
        for path in self.folder.glob(f"work/job_*/before-{name}"):
            path.with_name(name).touch()

    def end(self) -> dict:
        self.let("end")
        until(lambda: not self.thread.is_alive(), patience_s=60)
        return self.response("team/mark")

    def leave(self) -> None:
        until(lambda: list(self.folder.glob("work/job_*/before-end")))
        self.supervisor.leave()
        self.clock.advance(2)
        until(lambda: not self.thread.is_alive())
        assert self.codes == [ExitCode.RELEASED]

    def uploads(self) -> int:
        return len(self.server.requests_to(UPLOAD, "PUT"))

    def attempts(self) -> int:
        return len([path for path in self.paths("team/mark") if "/attempt-" in path])

    def lease(self) -> str:
        return self.git("team/mark", "log", "-1", "--format=%B", LEASE).decode()


@pytest.fixture
def training(tmp_path, monkeypatch):
    # A request is not repeated in real time.
    monkeypatch.setattr(http, "HttpSettings", partial(http.HttpSettings, tries=1))
    code = handlers_with(tmp_path / "code", asr_w2v2bert_training=TRAIN)
    monkeypatch.setattr(assembly, "handlers_root", lambda: code)
    with GitLabServer(tmp_path / "server") as server:
        yield Training(tmp_path, server)


class Fault:
    """Something is wrong with the server until it is healed."""

    def __init__(self, place: Training) -> None:
        self.place = place

    def heal(self) -> None:
        self.place.server.faults.clear()


class Away(Fault):
    def begin(self) -> None:
        self.place.server.faults.drop("before", "", times=None)


class QuotaFull(Fault):
    def begin(self) -> None:
        self.place.server.faults.answer(507, UPLOAD, method="PUT", times=None)


class Revoked(Fault):
    def begin(self) -> None:
        self.place.server.state.tokens[self.place.token].revoked = True

    def heal(self) -> None:
        fresh = self.place.server.create_token("worker", SCOPES)
        self.place.env_file.write_text(f"GITLAB_TOKEN={fresh}\n")


class Maintenance(Fault):
    def begin(self) -> None:
        self.hook = self.place.repositories["team/mark"].bare / "hooks" / "pre-receive"
        self.kept = self.place.folder / "kept-hook"
        shutil.move(self.hook, self.kept)
        self.hook.write_text("#!/bin/sh\necho 'GitLab: read-only (maintenance)' >&2\nexit 1\n")
        self.hook.chmod(0o755)

    def heal(self) -> None:
        shutil.move(self.kept, self.hook)


@pytest.mark.parametrize("kind", [Away, QuotaFull, Revoked, Maintenance])
def test_a_server_that_takes_no_state_ends_no_training(training, caplog, kind):
    training.begin()
    training.let("epoch-1")
    training.passing(lambda: "epochs: 1.0" in training.lease())
    fault = kind(training)
    fault.begin()
    training.let("epoch-2")
    training.passing(lambda: "could not be saved on the server" in caplog.text)
    assert training.thread.is_alive(), "the training goes on"
    fault.heal()
    training.passing(lambda: "epochs: 2.0" in training.lease())
    response = training.end()
    assert training.codes == [ExitCode.DONE] and response["state"] == "completed"
    assert training.attempts() == 1
    assert caplog.text.count("could not be saved on the server") == 1


def test_a_training_that_ends_uploads_no_state(training):
    training.begin()
    training.let("epoch-1")
    until(lambda: training.uploads() == 1)
    training.let("epoch-2")
    assert training.end()["state"] == "completed"
    assert training.uploads() == 2, "the first state, and the model"
    assert not list(training.folder.glob("work/states/*"))


def test_the_next_attempt_on_this_machine_goes_on_from_what_could_not_be_carried(training):
    training.server.faults.answer(507, UPLOAD, method="PUT", times=None)
    training.begin()
    training.let("epoch-1")
    training.let("epoch-2")
    training.leave()
    assert "resume:" not in training.lease()
    for path in training.folder.glob("work/job_*"):
        shutil.rmtree(path)
    training.server.faults.clear()

    training.start()
    training.let("epoch-3")
    training.let("epoch-4")
    response = training.end()
    assert response["state"] == "completed" and response["result"]["began_at"] == 2
    assert training.attempts() == 2


def test_a_worker_that_leaves_carries_the_last_state_to_the_next_machine(training):
    training.begin()
    training.let("epoch-1")
    training.let("epoch-2")
    training.leave()
    assert "epochs: 2.0" in training.lease()
    shutil.rmtree(training.folder / "work")

    training.start()
    training.let("epoch-3")
    training.let("epoch-4")
    assert training.end()["result"]["began_at"] == 2
