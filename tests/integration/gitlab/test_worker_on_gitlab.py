"""The worker against a GitLab server, from finding projects to results in them."""

import os
import re
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from codex_worker.contract.exit_codes import ExitCode
from codex_worker.git.credentials import Credentials
from codex_worker.git.lfs.pointer import parse_pointer, pointer_for
from codex_worker.settings import Settings
from codex_worker.tally import Traffic
from codex_worker.worker import assembly
from codex_worker.worker.assembly import Assembly
from tests.support.event_clock import ManualClock, until
from tests.support.gitlab import DEVELOPER, GitLabServer, Project
from tests.support.jobs import ROOT, handlers_with, manifest
from tests.support.queues import GitProject

SCOPES = ["read_api", "read_repository", "write_repository"]
RECORDING = ".project/attachments/pointers/MRK/one.webm"
MODEL = bytes(range(256)) * 300

LISTEN_AND_PUBLISH = f"""
import os
assert "GITLAB_TOKEN" not in os.environ and "glpat" not in "".join(os.environ.values())
fetched = scanner.fetch_recordings([{RECORDING!r}])
assert fetched.files[{RECORDING!r}].read_bytes() == b"a recording", fetched.missing
(folder / "model.safetensors").write_bytes(bytes(range(256)) * 300)
return {{"checkpoint_path": scanner.publish_artifact(folder / "model.safetensors", "checkpoint")}}
"""

PUBLISH_AND_COUNT = """
(folder / "computed").touch()
(folder / "page.html").write_text("<p>a report</p>")
(folder / "model.safetensors").write_bytes(bytes(range(256)) * 300)
path = scanner.publish_artifact(folder / "model.safetensors", "checkpoint")
scanner.publish_artifact(folder / "page.html", "report")
return {"checkpoint_path": path}
"""

PUBLISH_TWICE = """
def publish(name):
    (folder / name).write_bytes(name.encode() * 1000)
    return scanner.publish_artifact(folder / name, "checkpoint")
first = publish("first.safetensors")
(folder / "reached").touch()
while not (folder / "go").exists():
    pass
return {"first": first, "checkpoint_path": publish("second.safetensors")}
"""


class Place:
    """A server with projects, and workers that are started on it."""

    def __init__(self, tmp_path: Path, server: GitLabServer) -> None:
        self.folder = tmp_path
        self.server = server
        self.token = server.create_token("worker", SCOPES)
        self.env_file = tmp_path / "secrets.env"
        self.env_file.write_text(f"GITLAB_TOKEN={self.token}\n")
        self.repositories: dict[str, GitProject] = {}
        self.clock = ManualClock()

    def project(self, name: str, files: dict[str, bytes] | None = None) -> Project:
        folder = self.folder / name.replace("/", "-")
        folder.mkdir()
        jobs = {"gpu_jobs/manifest.yaml": manifest({"job_id": "one"})}
        self.repositories[name] = GitProject(jobs | (files or {}), folder)
        return self.server.create_project(
            name, {"worker": DEVELOPER}, repository=self.repositories[name].bare
        )

    def git(self, name: str, *arguments: str) -> bytes:
        command = ["git", "-C", str(self.repositories[name].bare), *arguments]
        return subprocess.run(command, check=True, capture_output=True).stdout

    def paths(self, name: str) -> list[str]:
        return self.git(name, "ls-tree", "-r", "--name-only", "main").decode().split()

    def content(self, name: str, path: str) -> bytes:
        return self.git(name, "show", f"main:{path}")

    def response(self, name: str) -> dict:
        return yaml.safe_load(self.content(name, "gpu_jobs/job_one/response.yaml"))

    def recording(self, project: Project, content: bytes) -> bytes:
        """Puts an object where an editor's upload would put it; answers its pointer."""
        source = self.folder / "recording"
        source.write_bytes(content)
        pointer = pointer_for(source)
        for path in (
            self.server.state.object_path(pointer.oid),
            self.server.state.link_path(project, pointer.oid),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
        self.server.state.object_path(pointer.oid).write_bytes(content)
        self.server.state.link_path(project, pointer.oid).touch()
        return pointer.render()

    def published(self, name: str, path: str) -> bytes:
        """What a translator's LFS client gets for a published file."""
        pointer = parse_pointer(self.content(name, path))
        assert pointer is not None, f"{path} is no pointer"
        assert self.server.state.has_object(self.server.state.by_path[name], pointer.oid, pointer.size)
        return self.server.state.object_path(pointer.oid).read_bytes()

    def process(self, code: Path, *options: str, **variables: str) -> tuple[int, str]:
        """A worker as people start it, until it ends; its exit code and what it said."""
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "PYTHONPATH": f"{code}:{ROOT}"}
        environment["CODEX_WITHOUT_SPARE"] = "true"
        command = [
            sys.executable, "-m", "worker_entry", "--gitlab-url", self.server.url,
            "--work-dir", str(self.folder / "work"), "--worker-id", "tester", "--settle-minutes", "0",
            "--allow-cpu", *options,
        ]  # fmt: skip
        done = subprocess.run(
            command, env=environment | variables, cwd=self.folder, capture_output=True, text=True, timeout=120
        )
        return done.returncode, done.stdout + done.stderr

    def assembly(self, **options) -> Assembly:
        """The same worker in this process, on a clock of ours."""
        chosen = Settings(
            worker_id="tester",
            gitlab_url=self.server.url,
            work_dir=self.folder / "work",
            settle_minutes=0,
            allow_cpu=True,
            without_spare=True,
        )
        credentials = Credentials(self.token, self.server.url, env_file=self.env_file)
        return Assembly(replace(chosen, **options), credentials, {"PATH": os.environ["PATH"]}, self.clock)


@pytest.fixture
def place(tmp_path):
    with GitLabServer(tmp_path / "server") as server:
        yield Place(tmp_path, server)


def in_background(worker) -> tuple[threading.Thread, list[ExitCode]]:
    codes: list[ExitCode] = []
    thread = threading.Thread(target=lambda: codes.append(worker.run()), daemon=True)
    thread.start()
    return thread, codes


def test_jobs_of_two_projects_are_found_done_and_published_and_the_token_stays_at_home(place):
    for name in ("team/mark", "team/luke"):
        project = place.project(name)
        pointer = place.recording(project, b"a recording")
        place.repositories[name].edit(lambda files, pointer=pointer: files.update({RECORDING: pointer}))
    code = handlers_with(place.folder / "code", asr_w2v2bert_training=LISTEN_AND_PUBLISH)

    with place.server.object_storage() as storage:  # ends in an error if a secret arrives there
        place.server.redirect_objects_to(storage)
        status, output = place.process(code, "--verbose", GITLAB_TOKEN=place.token)

    assert status == ExitCode.DONE, output
    for name in ("team/mark", "team/luke"):
        response = place.response(name)
        assert response["state"] == "completed", output
        assert place.published(name, response["result"]["checkpoint_path"]) == MODEL
    assert len(place.server.requests_to("/gitlab-lfs/objects/[0-9a-f]{64}/", "PUT")) == 2
    written = [path.read_bytes() for path in (place.folder / "work").rglob("*") if path.is_file()]
    told = [output.encode()]
    told += [place.content(name, path) for name in place.repositories for path in place.paths(name)]
    assert not [content for content in [*written, *told] if place.token.encode() in content]
    assert not [request.target for request in place.server.requests if place.token in request.target]


def test_a_token_that_ends_within_a_job_loses_nothing(place, monkeypatch, caplog):
    caplog.set_level("INFO")
    place.project("team/mark")
    code = handlers_with(place.folder / "code", asr_w2v2bert_training=PUBLISH_TWICE)
    monkeypatch.setattr(assembly, "handlers_root", lambda: code)
    made = place.assembly()
    worker, _ = made.worker()
    thread, codes = in_background(worker)
    until(lambda: list(place.folder.glob("work/job_*/reached")))

    place.server.state.tokens[place.token].revoked = True
    next(place.folder.glob("work/job_*/reached")).with_name("go").touch()

    def refused() -> bool:
        place.clock.advance(0.5)
        return "Trying again in" in caplog.text

    until(refused)
    assert "second.safetensors" not in "".join(place.paths("team/mark"))
    fresh = place.server.create_token("worker", SCOPES)
    place.env_file.write_text(f"GITLAB_TOKEN={fresh}\n")

    def ended() -> bool:
        place.clock.advance(0.05)  # beats come no faster than git can push them
        return not thread.is_alive()

    until(ended, patience_s=60)
    response = place.response("team/mark")
    assert codes == [ExitCode.DONE] and response["state"] == "completed"
    assert place.published("team/mark", response["result"]["first"]) == b"first.safetensors" * 1000
    second = place.published("team/mark", response["result"]["checkpoint_path"])
    assert second == b"second.safetensors" * 1000
    attempts = [path for path in place.paths("team/mark") if "/attempt-" in path]
    assert len(attempts) == 1
    assert made.tally.sent_bytes[Traffic.LARGE_FILES] == len(b"first.safetensors" + second) + 999 * 17
    assert made.tally.sent_bytes[Traffic.GIT] > 1000 and made.tally.received_bytes[Traffic.GIT] > 1000
    assert made.tally.retries["publication"] >= 1
    assert made.figures.ends == {("asr", "training", "completed"): 1}
    assert place.token not in caplog.text and fresh not in caplog.text


def test_a_model_that_the_server_refuses_is_kept_and_published_by_the_next_worker_of_that_folder(place):
    place.project("team/mark")
    code = handlers_with(place.folder / "code", asr_w2v2bert_training=PUBLISH_AND_COUNT)
    place.server.faults.answer(507, "/gitlab-lfs/", method="PUT", times=None)

    status, output = place.process(code, "--publish-timeout-hours", "0", GITLAB_TOKEN=place.token)

    assert status == ExitCode.RELEASED, output
    response = place.response("team/mark")
    assert response["state"] == "running"
    assert "kept on worker tester" in response["status_message"] and "507" in response["status_message"]
    assert output.count("storage is full") == 1, output
    paths = place.paths("team/mark")
    assert [path for path in paths if "/report/" in path], "what is small is taken"
    assert not [path for path in paths if "/checkpoint/" in path or "/end-" in path]

    place.server.faults.clear()
    status, output = place.process(code, GITLAB_TOKEN=place.token)

    assert status == ExitCode.DONE, output
    response = place.response("team/mark")
    assert response["state"] == "completed"
    assert place.published("team/mark", response["result"]["checkpoint_path"]) == MODEL
    assert len(list(place.folder.glob("work/job_*/computed"))) == 1


@pytest.mark.parametrize(
    ("scopes", "revoked", "words"),
    [
        (SCOPES, True, "expired, revoked or mistyped"),
        (["read_api", "read_repository"], False, "the scope write_repository is missing"),
    ],
)
def test_a_worker_whose_token_is_of_no_use_says_so_and_claims_nothing(place, scopes, revoked, words):
    place.project("team/mark")
    place.token = place.server.create_token("worker", scopes)
    place.server.state.tokens[place.token].revoked = revoked
    status, output = place.process(ROOT, GITLAB_TOKEN=place.token)
    assert status == ExitCode.UNFIT
    assert words in output and "Make a new" in output and place.token not in output
    assert place.paths("team/mark") == ["gpu_jobs/manifest.yaml"]


def test_a_server_that_is_away_is_no_reason_to_call_the_token_unfit(place):
    place.server.faults.answer(503, "/", times=None)
    assembly = place.assembly()
    assert assembly.unfit_token() == []
    worker, _ = assembly.worker()
    assert worker.run() is ExitCode.FAILED


def test_an_idle_poll_of_the_worker_itself_is_one_sweep_and_nothing_else(place):
    place.project("team/mark", {"gpu_jobs/job_one/response.yaml": b"worker_id: old\nstate: completed\n"})
    for number in range(10):
        repository = place.repositories["team/mark"].bare
        place.server.create_project(f"team/p{number}", {"worker": DEVELOPER}, repository=repository)
    worker, supervisor = place.assembly(loop_interval=300.0).worker()
    thread, _ = in_background(worker)
    sweeps = re.compile("/api/graphql")
    until(lambda: place.clock.idle == 2)
    first = len(place.server.requests)

    def polled_twice_more() -> bool:
        place.clock.advance(20)
        until(lambda: place.clock.idle == 2)
        return len(place.server.requests_to("/api/graphql")) >= 3

    until(polled_twice_more)
    supervisor.leave()
    until(lambda: not thread.is_alive())
    assert [sweeps.search(request.target) is not None for request in place.server.requests[first:]] == [
        True,
        True,
    ]


def test_a_worker_leaves_a_project_that_had_no_work_for_a_day(place):
    place.token = place.server.create_token("worker", ["api"])
    idle = place.project("team/idle", {"gpu_jobs/manifest.yaml": manifest()})
    worker, supervisor = place.assembly(loop_interval=300.0).worker()
    thread, _ = in_background(worker)
    number = place.server.user("worker").id
    began = place.clock.time()

    def left() -> bool:
        until(lambda: place.clock.idle == 2)
        place.clock.advance(600)
        return number not in idle.members

    until(left)
    assert 24 * 3600 <= place.clock.time() - began <= 24 * 3600 + 1800
    supervisor.leave()
    until(lambda: not thread.is_alive())


@pytest.mark.parametrize(("offset_s", "is_fit"), [(7200, False), (-3 * 86400, False), (60, True)])
def test_a_machine_whose_clock_is_wrong_claims_nothing(place, offset_s, is_fit):
    place.project("team/mark")
    place.server.shift_clock(offset_s)
    code = handlers_with(place.folder / "code", asr_w2v2bert_training="return {}")
    status, output = place.process(code, GITLAB_TOKEN=place.token)
    assert status == (ExitCode.DONE if is_fit else ExitCode.UNFIT), output
    assert ("minutes" in output and "the server's" in output) is not is_fit
    assert bool([path for path in place.paths("team/mark") if "/job_" in path]) is is_fit


def test_a_model_that_the_server_would_refuse_is_not_trained_and_other_projects_go_on(place):
    for name in ("team/full", "team/free"):
        place.project(name)
    place.server.faults.answer(413, "team/full.git/info/lfs/objects/batch", times=None)
    code = handlers_with(place.folder / "code", asr_w2v2bert_training="return {}")
    handler = code / "handlers/asr/w2v2bert/training.py"
    handler.write_text('FULL_NEEDS = {"model_gb": 2.4}\n' + handler.read_text())
    _, output = place.process(code, GITLAB_TOKEN=place.token)
    assert place.response("team/free")["state"] == "completed", output
    assert not [path for path in place.paths("team/full") if "/job_" in path]
    assert output.count("could not be published") == 1 and "413" in output
    asked = place.server.requests_to("/info/lfs/objects/batch")
    assert len([request for request in asked if "team/full" in request.target]) == 1
