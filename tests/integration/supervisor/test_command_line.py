"""The worker as people start it: a process, a repository on disk, signals and exit codes."""

import os
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from codex_worker.cli.work import _own_name
from codex_worker.contract.exit_codes import ExitCode
from codex_worker.contract.ids import worker_folder
from tests.support.event_clock import until
from tests.support.jobs import ROOT, TORCH, handlers_with, manifest
from tests.support.processes import is_gone

TOKEN = "glpat-abcdefghijklmnop1234"
STARTED: list[subprocess.Popen[str]] = []


def git(*arguments: object) -> str:
    words = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *map(str, arguments)]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path):
    return bare_repository(tmp_path, manifest({"job_id": "one"}))


def bare_repository(tmp_path: Path, content: bytes) -> Path:
    work, bare = tmp_path / "clone", tmp_path / "project.git"
    (work / "gpu_jobs").mkdir(parents=True)
    (work / "gpu_jobs/manifest.yaml").write_bytes(content)
    git("init", "-q", "-b", "main", work)
    git("-C", work, "add", ".")
    git("-C", work, "commit", "-q", "-m", "a job")
    git("clone", "-q", "--bare", work, bare)
    return bare


def show(repository: Path, path: str) -> str:
    return git("-C", repository, "show", f"main:{path}")


def start(
    tmp_path: Path, *options: object, code: Path = ROOT, allow_cpu: bool = True, **variables: str
) -> subprocess.Popen[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "CODEX_WITHOUT_SPARE": "true",
        "HOME": str(tmp_path),
        "PYTHONPATH": f"{code}:{ROOT}",
        **variables,
    }
    words = [sys.executable, "-m", "worker_entry", "--work-dir", tmp_path / "work"]
    words += ["--settle-minutes", "0", *(["--allow-cpu"] if allow_cpu else []), *options]
    process = subprocess.Popen(
        [str(word) for word in words],
        env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    STARTED.append(process)
    return process


@pytest.fixture(autouse=True)
def no_worker_is_left_behind():
    yield
    while STARTED:
        process = STARTED.pop()
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def run(tmp_path: Path, *options: object, **more: Any) -> tuple[int, str]:
    process = start(tmp_path, *options, **more)
    output, _ = process.communicate(timeout=60)
    return process.returncode, output


def test_the_readmes_handler_of_ten_lines_is_found_by_its_place_and_runs(tmp_path):
    shown = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    code = handlers_with(tmp_path / "code")
    place = code / "handlers/tts/greeter/training.py"
    place.parent.mkdir(parents=True)
    place.write_text(shown[0])
    greeting = {"job_id": "one", "job_type": "tts", "model": {"type": "Greeter"}}
    repository = bare_repository(tmp_path, manifest(greeting))

    status, output = run(tmp_path, "--project", repository, "--worker-id", "me", code=code)

    assert status == ExitCode.DONE, output
    response = yaml.safe_load(show(repository, "gpu_jobs/job_one/response.yaml"))
    assert response["state"] == "completed" and response["worker_id"] == "me"
    assert show(repository, response["result"]["greeting"]) == "Hello, project!\n"


def test_a_model_that_no_handler_is_for_fails_with_what_there_is(tmp_path):
    repository = bare_repository(tmp_path, manifest({"job_id": "one", "model": {"type": "Bark"}}))
    status, _ = run(tmp_path, "--project", repository, code=handlers_with(tmp_path / "code"))
    response = yaml.safe_load(show(repository, "gpu_jobs/job_one/response.yaml"))
    assert status == ExitCode.DONE and response["state"] == "failed"
    assert "no handler for a asr job with the model bark" in response["error_message"]


def test_sigterm_saves_gives_the_job_back_and_exits(tmp_path, repository):
    body = """
    (folder / "reached").touch()
    while not callbacks.should_stop():
        pass
    (folder / "state.txt").write_text("saved")
    scanner.publish_artifact(folder / "state.txt", "report")
    callbacks.heartbeat()
    """
    code = handlers_with(tmp_path / "code", asr_w2v2bert_training=body)
    process = start(tmp_path, "--project", repository, code=code)
    until(lambda: list(tmp_path.glob("work/job_*/reached")))

    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)

    assert process.returncode == ExitCode.RELEASED, output
    assert "SIGTERM: saving" in output
    paths = git("-C", repository, "ls-tree", "-r", "--name-only", "main").split()
    end = next(path for path in paths if "/end-1-" in path)
    assert yaml.safe_load(show(repository, end))["state"] == "preempted"
    assert any(path.startswith("gpu_jobs/job_one/report/state-1-") for path in paths)


def test_a_second_signal_leaves_at_once_and_ends_the_child(tmp_path, repository):
    body = """
    import os, threading
    (folder / "pid").write_text(str(os.getpid()))
    (folder / "reached").touch()
    threading.Event().wait()
    """
    code = handlers_with(tmp_path / "code", asr_w2v2bert_training=body)
    process = start(tmp_path, "--project", repository, code=code)
    until(lambda: list(tmp_path.glob("work/job_*/reached")))
    pid = int(next(tmp_path.glob("work/job_*/pid")).read_text())

    process.send_signal(signal.SIGINT)
    until(lambda: "SIGINT: saving" in (process.stdout.readline() if process.stdout else ""))
    process.send_signal(signal.SIGINT)

    assert process.wait(timeout=20) == ExitCode.RELEASED
    until(lambda: is_gone(pid))


def test_a_child_does_not_outlive_a_killed_worker(tmp_path, repository):
    body = """
    import os, threading
    (folder / "pid").write_text(str(os.getpid()))
    (folder / "reached").touch()
    threading.Event().wait()
    """
    code = handlers_with(tmp_path / "code", asr_w2v2bert_training=body)
    process = start(tmp_path, "--project", repository, code=code)
    until(lambda: list(tmp_path.glob("work/job_*/reached")))
    pid = int(next(tmp_path.glob("work/job_*/pid")).read_text())

    process.kill()

    until(lambda: is_gone(pid))


def test_a_token_on_the_command_line_works_with_a_warning_and_is_never_shown(tmp_path, repository):
    code = handlers_with(tmp_path / "code", asr_w2v2bert_training=f"print({TOKEN!r}); return {{}}")
    status, output = run(tmp_path, "--project", repository, "--token", TOKEN, "--verbose", code=code)
    assert status == ExitCode.DONE
    assert "can be read by every user" in output and TOKEN not in output
    assert "[redacted]" in show(repository, "gpu_jobs/job_one/logs.txt")


def test_no_file_of_the_worker_holds_the_token(tmp_path, repository):
    code = handlers_with(
        tmp_path / "code", asr_w2v2bert_training="import os; return {'names': sorted(os.environ)}"
    )
    secrets = tmp_path / "secrets.env"
    secrets.write_text(f"GITLAB_TOKEN={TOKEN}\n")
    status, output = run(tmp_path, "--project", repository, "--env-file", secrets, code=code)
    assert status == ExitCode.DONE and TOKEN not in output
    response = yaml.safe_load(show(repository, "gpu_jobs/job_one/response.yaml"))
    assert "GITLAB_TOKEN" not in response["result"]["names"]
    for path in (tmp_path / "work").rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path


def test_other_users_of_the_machine_see_nothing_of_the_work_directory(tmp_path, repository):
    work = tmp_path / "work"
    work.mkdir()
    work.chmod(0o755)
    code = handlers_with(tmp_path / "code", asr_w2v2bert_training="return {}")
    status, output = run(tmp_path, "--project", repository, code=code)
    assert status == ExitCode.DONE, output
    assert work.stat().st_mode & 0o066 == 0
    notes = [path for path in (work / "notes").rglob("*") if path.is_file()]
    assert notes and not [path for path in notes if path.stat().st_mode & 0o077]


def test_the_hooks_of_a_repository_on_disk_do_not_run(tmp_path, repository):
    seen = tmp_path / "seen"
    for name in ("pre-receive", "update", "post-receive", "reference-transaction"):
        hook = repository / "hooks" / name
        hook.write_text(f"#!/bin/sh\nenv >> {seen}\n")
        hook.chmod(0o755)
    code = handlers_with(tmp_path / "code", asr_w2v2bert_training="return {}")
    status, _ = run(
        tmp_path, "--project", repository, code=code, GITLAB_TOKEN=TOKEN, GITLAB_URL="https://host.example"
    )
    assert status == ExitCode.DONE and not seen.exists()


def test_the_environment_sets_what_the_command_line_does_not(tmp_path, repository):
    body = "return {'told': [job.preset, job.save_every_s, job.publishes_when_preempted]}"
    code = handlers_with(tmp_path / "code", asr_w2v2bert_training=body)
    options = ["--project", repository, "--preset", "tiny", "--save-interval", "2"]
    variables = {"WORKER_ID": "from the environment", "CODEX_PUBLISH_ON_PREEMPTION": "yes"}
    run(tmp_path, *options, code=code, **variables)
    response = yaml.safe_load(show(repository, "gpu_jobs/job_one/response.yaml"))
    assert response["worker_id"] == "from the environment"
    assert response["result"]["told"] == ["tiny", 120.0, True], "as the child was told"


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        ([], ExitCode.USAGE, "--project"),
        (["--force-job", "nonsense"], ExitCode.USAGE, "PROJECT:JOB"),
        (["--keep-jobs", "-2"], ExitCode.USAGE, "from -1"),
        (["--max-job-hours", "0"], ExitCode.USAGE, "from 0.01"),
        (["--project", "https://me:secret@host/p.git"], ExitCode.USAGE, "holds a user name or a token"),
        (["--project", "ssh://me:secret@host/p.git"], ExitCode.USAGE, "'ssh://host/p.git' is no project"),
        (["--project", "me:secret@host/p.git"], ExitCode.USAGE, "'host/p.git' is no project"),
        (["--project", ""], ExitCode.USAGE, "--project is empty"),
        (["--project", "https://"], ExitCode.USAGE, "not the address of a project"),
        (["--project", "https:/host/team/p"], ExitCode.USAGE, "not the address of a project"),
        (["--project", "https://host:port/team/p"], ExitCode.USAGE, "not the address of a project"),
        (["--project", "https://[host/team/p"], ExitCode.USAGE, "is no project"),
        (["--force-job", "https://me:secret@host/p.git"], ExitCode.USAGE, "'https://host/p.git'"),
        (["--force-job", "https://host/p.git:../j1"], ExitCode.USAGE, "PROJECT:JOB"),
        (["--force-job", "https://host/p.git:a job"], ExitCode.USAGE, "names no job"),
        (["--project", "x", "--env-file", "missing.env"], ExitCode.USAGE, "missing.env"),
        (["--project", "does-not-exist.git"], ExitCode.USAGE, "There is no repository at"),
        (["--force-job", "/nowhere.git:j1"], ExitCode.USAGE, "There is no repository at /nowhere.git"),
        (["--force-job", "team/genesis:j1"], ExitCode.USAGE, "or an https:// address"),
        (["--loop-interval", "0", "--project", "x"], ExitCode.USAGE, "--loop-interval is '0': it must be"),
        (["--loop-interval", "nan", "--project", "x"], ExitCode.USAGE, "a number from 1"),
        (["--loop-interval", "-5", "--project", "x"], ExitCode.USAGE, "or -1"),
        (["--loop-interval", "-inf", "--project", "x"], ExitCode.USAGE, "--loop-interval is '-inf': it must"),
        (["--loop-interval", "-1e3", "--project", "x"], ExitCode.USAGE, "--loop-interval is '-1e3': it must"),
        (
            ["--state-dir", "volume", "--project", "x"],
            ExitCode.USAGE,
            "There is no folder volume (--state-dir)",
        ),
        (["--state-dir", "/proc", "--project", "x"], ExitCode.USAGE, "/proc (--state-dir) cannot be written"),
        (["--max-job-retries", "1.5", "--project", "x"], ExitCode.USAGE, "a whole number"),
    ],
)
def test_what_cannot_work_is_a_sentence_and_an_exit_code(tmp_path, options, status, words):
    code, output = run(tmp_path, *options)
    assert code == status and words in output
    assert "Traceback" not in output and "secret@" not in output


def test_the_idle_worker_imports_no_torch(tmp_path, repository):
    script = """
import sys, worker_entry
code = worker_entry.main(sys.argv[1:])
heavy = {"torch", "torchaudio", "transformers", "numpy", "av", "soundfile", "gitlab"} & set(sys.modules)
print("heavy:", sorted(heavy), "code:", int(code))
"""
    empty = bare_repository(tmp_path / "empty", manifest())
    done = subprocess.run(
        [sys.executable, "-c", script, "--project", str(empty), "--work-dir", str(tmp_path / "work")],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip().endswith("heavy: [] code: 0"), done.stdout + done.stderr


def test_help_imports_next_to_nothing():
    script = """
import sys, worker_entry
try:
    worker_entry.main(["--help"])
except SystemExit:
    pass
print(sorted({"pydantic", "yaml", "rich", "requests", "torch"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().endswith("[]")
    for option in ("--project", "--token", "--env-file", "--loop-interval", "--force-job", "exit codes"):
        assert option in done.stdout


def test_the_jobs_of_a_project_are_listed(tmp_path, repository):
    done = subprocess.run(
        [sys.executable, "-m", "codex_worker.cli", "jobs", repository, "--work-dir", tmp_path / "w"],
        cwd=ROOT, capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "120"},
    )  # fmt: skip
    assert "one" in done.stdout and "pending" in done.stdout


def test_what_people_write_is_no_markup_of_the_list(tmp_path):
    entries = (
        "[{job_id: one, job_type: asr, model: '[/b]'}, {job_id: two, job_type: asr, mode: ':smile:[red]'}]"
    )
    repository = bare_repository(tmp_path / "[", f"version: 1\njobs: {entries}\n".encode())
    for command in (["jobs", str(repository)], ["check", "--project", str(repository)]):
        done = subprocess.run(
            [sys.executable, "-m", "codex_worker.cli", *command, "--work-dir", tmp_path / "w"],
            cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "400"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "[/b]" in done.stdout and ":smile:[red]" in done.stdout


def test_what_cannot_be_read_is_said_once_with_the_projects_name(tmp_path):
    repository = bare_repository(tmp_path, b"version: 1\njobs: [\n")
    status, output = run(tmp_path, "--project", repository)
    assert status == ExitCode.DONE
    said = [line for line in output.splitlines() if "manifest.yaml is not readable YAML" in line]
    assert len(said) == 1
    assert "Project project:" in said[0] and "wait until it can be read again" in said[0]


def test_a_worker_without_a_name_has_the_same_one_each_time_in_its_folder(tmp_path):
    names = [_own_name(folder) for folder in (tmp_path, tmp_path, tmp_path / "other")]
    assert names[0] == names[1] != names[2]
    assert all(worker_folder(name) == name for name in names)


def claims(repository: Path) -> list[str]:
    return [
        path
        for path in git("-C", repository, "ls-tree", "-r", "--name-only", "main").split()
        if "job_" in path
    ]


@pytest.mark.parametrize(
    ("torch", "words"),
    [
        ("raise ImportError('libcudart.so.13: cannot open shared object file')", "libcudart.so.13"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "crashed with signal 11"),
        (TORCH.replace("self * other", "self.on_a_dead_gpu"), "cannot compute"),
        (TORCH.replace("float(self) - float(other)", "1e9"), "multiplies wrongly"),
    ],
)
def test_a_machine_that_cannot_compute_claims_nothing(tmp_path, repository, torch, words):
    code = handlers_with(tmp_path / "code", asr_w2v2bert_training="return {}")
    (code / "torch.py").write_text(torch)
    status, output = run(tmp_path, "--project", repository, "--preset", "tiny", code=code)
    assert status == ExitCode.UNFIT, output
    assert words in output and "No job is claimed." in output
    assert not claims(repository)


def test_outside_its_hours_a_worker_leaves_the_jobs_and_says_which_hours_those_are(tmp_path, repository):
    code = handlers_with(tmp_path / "code", asr_w2v2bert_training="return {}")
    hour = (datetime.now(UTC).hour + 12) % 24
    hours = ("--active-hours", f"{hour:02}:00-{hour:02}:59", "--timezone", "UTC")
    status, output = run(tmp_path, "--project", repository, *hours, code=code)
    assert status == ExitCode.RELEASED, output
    assert f"in these hours only: {hour:02}:00-{hour:02}:59 UTC" in output
    assert not claims(repository)


def test_a_full_job_is_not_begun_on_a_processor_unless_the_operator_allows_it(tmp_path):
    jobs = ({"job_id": "large"}, {"job_id": "small", "model": {"type": "w2v2bert", "preset": "tiny"}})
    repository = bare_repository(tmp_path, manifest(*jobs))
    code = handlers_with(tmp_path / "code", asr_w2v2bert_training="return {}")
    status, output = run(tmp_path, "--project", repository, code=code, allow_cpu=False)
    assert status == ExitCode.UNFIT, output
    assert "Job large of" in output and "--allow-cpu" in output
    assert output.count("is not begun here") == 1
    assert not [path for path in claims(repository) if "job_large" in path]
    assert "completed" in show(repository, "gpu_jobs/job_small/response.yaml")
    status, output = run(
        tmp_path, "--force-job", f"{repository}:large", code=code, allow_cpu=False, WORKER_ID="forced"
    )
    assert status == ExitCode.UNFIT and "Job large is not begun here" in output
    assert run(tmp_path, "--project", repository, code=code)[0] == ExitCode.DONE
    assert "completed" in show(repository, "gpu_jobs/job_large/response.yaml")
