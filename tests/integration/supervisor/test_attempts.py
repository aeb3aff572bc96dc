"""An attempt with a real child process: how it ends, whatever happens to it."""

import base64
import os
import re
import signal
import threading
from pathlib import Path

import pytest

from codex_worker.contract.state import State
from codex_worker.errors import (
    AccessDenied,
    ProjectGone,
    PushRefused,
    Refused,
    ResourceError,
    ServerUnreachable,
)
from codex_worker.supervisor.attempt import Secrets
from codex_worker.supervisor.job_folder import has_unpublished
from codex_worker.supervisor.republish import offer_again
from gitlab_jobs import Outcome
from tests.support.event_clock import until
from tests.support.jobs import WAITING_THREADS, Stage

WAIT_FOR_EVER = "import threading; threading.Event().wait()"
SHOW_PID = "import os; (folder / 'pid').write_text(str(os.getpid())); (folder / 'reached').touch()"
UNTIL_ASKED = """
(folder / "reached").touch()
while not callbacks.should_stop():
    pass
(folder / "model.csv").write_text("half a model")
path = scanner.publish_artifact(folder / "model.csv", "checkpoint")
callbacks.heartbeat(epochs_completed=1.5)
"""


def lines(*parts: str) -> str:
    return "\n".join(part.strip() for part in parts)


def test_a_job_that_works_is_completed(tmp_path):
    stage = Stage(
        tmp_path,
        """
        callbacks.heartbeat(epochs_completed=2, message="halfway", stage="training")
        print("a line of the handler")
        (folder / "model.csv").write_text("a model")
        path = scanner.publish_artifact(folder / "model.csv", "checkpoint")
        return {"success": True, "epochs_completed": 3, "checkpoint_path": path, "metrics": {"cer": 0.5}}
        """,
    )

    outcome = stage.run()

    assert outcome is not None and outcome.state == "completed"
    response = stage.response()
    assert response["state"] == "completed" and response["epochs_completed"] == 3
    assert stage.server.files()[response["result"]["checkpoint_path"]] == b"a model"
    assert response["result"]["metrics"] == {"cer": 0.5}
    assert "job: a line of the handler" in stage.log()
    assert "worker: attempt: 1-" in stage.log()


def test_a_child_killed_while_it_downloads_fails_for_want_of_memory(tmp_path):
    stage = Stage(tmp_path, lines(SHOW_PID, 'scanner.read_files(["a.codex"])', WAIT_FOR_EVER))
    stage.contents = {"a.codex": b"{}"}
    assert_killed(stage)


def test_a_child_killed_while_it_trains_fails_for_want_of_memory(tmp_path):
    stage = Stage(tmp_path, lines('callbacks.heartbeat(3.5, "epoch 4", "training")', SHOW_PID, WAIT_FOR_EVER))
    assert assert_killed(stage).epochs_completed == 3


def test_a_child_killed_while_it_publishes_leaves_what_was_published(tmp_path):
    stage = Stage(
        tmp_path,
        lines(
            "(folder / 'model.csv').write_text('x')",
            "import os; (folder / 'pid').write_text(str(os.getpid()))",
            "scanner.publish_artifact(folder / 'model.csv', 'checkpoint')",
        ),
    )
    publishing, killed = threading.Event(), threading.Event()

    def on_publish() -> None:
        (next(stage.work_dir.glob("job_*")) / "reached").touch()
        publishing.set()
        assert killed.wait(30)

    stage.on_publish = on_publish
    stage.start()
    kill_child(stage)
    killed.set()
    outcome = stage.finish()
    assert publishing.is_set() and outcome is not None and outcome.kind == "resource"
    assert outcome.result["checkpoint_path"] in stage.server.files()


def test_a_child_killed_after_its_last_word_has_finished(tmp_path):
    stage = Stage(
        tmp_path,
        lines(
            "callbacks._line.tell('result', result={'cells_written': 7})",
            SHOW_PID,
            WAIT_FOR_EVER,
        ),
    )
    stage.start()
    kill_child(stage)
    outcome = stage.finish()
    assert outcome is not None and outcome.state == "completed"
    assert stage.response()["result"] == {"cells_written": 7}


def test_a_child_that_crashes_says_so_by_the_signals_name(tmp_path):
    outcome = Stage(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)").run()
    assert outcome is not None and outcome.kind == "system"
    assert "signal 11 (SIGSEGV)" in outcome.message


def test_a_child_that_hangs_is_ended_after_half_an_hour(tmp_path):
    stage = Stage(tmp_path, lines("(folder / 'reached').touch()", WAIT_FOR_EVER))
    stage.start()
    stage.reached("reached")
    stage.pass_time(29 * 60)
    stage.pass_time(1)
    assert not stage.ended()
    stage.pass_time(60)
    stage.await_end()
    assert stage.outcome is not None and stage.outcome.kind == "system"
    assert "no sign of life for 30 minutes" in stage.response()["status_message"]


@pytest.mark.parametrize(
    ("handler", "kind", "words"),
    [
        ("raise ValueError('the shape is wrong')", "system", r"ValueError: the shape .* \(training.py, line"),
        ("from codex_worker import errors; raise errors.DataError('It is empty.')", "data", "It is empty"),
        ("from codex_worker import errors; raise errors.ModelError('It diverged.')", "model", "It diverged"),
        ("raise MemoryError", "resource", "ran out of memory"),
        ("import errno; raise OSError(errno.ENOSPC, 'no space')", "resource", "disk is full"),
        ("import a_package_that_is_missing", "system", r"a_package_that_is_missing.*codex-worker\[ml\]"),
        ("raise SystemExit(3)", "system", r"by itself \(exit code 3\)"),
        ("import os; os._exit(3)", "system", r"without a result \(exit code 3\)"),
        ("return None", "system", "returned no result"),
        ("return 'done'", "system", "returned a str"),
        ("return {'success': False, 'error_message': 'Too few recordings.'}", "data", "Too few recordings"),
        ("callbacks.mark_failed('Too few recordings.')", "data", "Too few recordings"),
        ("from codex_worker import errors; raise errors.JobCanceled('Enough')", "system", "itself: Enough"),
    ],
)  # fmt: skip
def test_every_way_of_failing_has_a_kind_and_a_sentence(tmp_path, handler, kind, words):
    outcome = Stage(tmp_path, handler).run()
    assert outcome is not None and outcome.state == "failed" and outcome.kind == kind
    assert re.search(words, outcome.message), outcome.message


def test_a_handler_that_cannot_be_imported_fails_the_attempt(tmp_path):
    stage = Stage(tmp_path)
    path = stage.settings.handlers_root / "handlers/asr/w2v2bert/training.py"
    path.write_text("def run(job, callbacks:\n")
    outcome = stage.run()
    assert outcome is not None and outcome.kind == "system" and "SyntaxError" in outcome.message


def test_a_job_without_a_handler_names_those_that_there_are(tmp_path):
    outcome = Stage(tmp_path, mode="inference").run()
    assert outcome is not None and outcome.kind == "user"
    assert "no handler for a asr job" in outcome.message and "asr w2v2bert training" in outcome.message


def test_a_canceled_job_publishes_what_it_has_and_ends_as_canceled(tmp_path):
    stage = Stage(tmp_path, UNTIL_ASKED)
    stage.start()
    stage.reached("reached")
    stage.edit_manifest({"job_id": "one", "canceled": True})
    stage.pass_time(30)
    stage.await_end()
    response = stage.response()
    assert response["state"] == "canceled" and response["epochs_completed"] == 1
    path = response["result"]["checkpoint_path"]
    assert stage.server.files()[path] == b"half a model"
    assert response["status_message"] == response["termination_reason"]
    assert response["status_message"].endswith(f"Saved: the model {path}.")


def test_a_handler_that_does_not_stop_is_killed_when_its_time_to_save_is_over(tmp_path):
    stage = Stage(tmp_path, lines("(folder / 'reached').touch()", WAIT_FOR_EVER))
    stage.start()
    stage.reached("reached")
    stage.edit_manifest({"job_id": "one", "canceled": True})
    stage.tick(stage.ended, step_s=60)
    assert stage.response()["state"] == "canceled"


def test_a_completion_that_comes_before_the_end_of_a_cancellation_counts(tmp_path):
    stage = Stage(
        tmp_path,
        lines(
            "(folder / 'reached').touch()",
            "while not callbacks.should_stop(): pass",
            "return {'cells_written': 1}",
        ),
    )
    stage.start()
    stage.reached("reached")
    stage.edit_manifest({"job_id": "one", "canceled": True})
    stage.pass_time(30)
    stage.await_end()
    assert stage.response()["state"] == "completed"


def test_a_job_whose_folder_is_deleted_ends_without_a_trace(tmp_path):
    stage = Stage(tmp_path, lines("(folder / 'reached').touch()", WAIT_FOR_EVER))
    stage.start()
    stage.reached("reached")
    stage.change(dict.fromkeys([p for p in stage.server.files() if p.startswith("gpu_jobs/job_one/")]))
    stage.pass_time(30)
    stage.await_end()
    assert stage.outcome is None
    assert not any(path.startswith("gpu_jobs/job_one/") for path in stage.server.files())


def test_a_job_that_another_worker_took_ends_at_once_and_publishes_nothing(tmp_path):
    stage = Stage(tmp_path, UNTIL_ASKED)
    stage.start()
    stage.reached("reached")
    other = stage.queue("other").claim("one", force=True)
    assert other is not None
    stage.pass_time(30)
    stage.await_end()
    assert stage.outcome is None
    assert stage.response()["worker_id"] == "other"
    assert stage.projects[0].published == []
    assert [view.state for view in stage.queue().survey()] == [State.RUNNING]


def test_a_manifests_timeout_ends_a_job_for_good(tmp_path):
    stage = Stage(tmp_path, UNTIL_ASKED, timeout=0.5)
    stage.set_limits(hang_s=1e9)
    stage.start()
    stage.reached("reached")
    stage.pass_time(29 * 60)
    stage.pass_time(1)
    assert not stage.ended()
    stage.pass_time(60)
    stage.await_end()
    assert stage.response()["state"] == "failed" and "time is used up" in stage.response()["error_message"]


def test_the_operators_limit_counts_as_well(tmp_path):
    stage = Stage(tmp_path, UNTIL_ASKED, timeout=5)
    stage.set_limits(max_job_s=60)
    stage.start()
    stage.reached("reached")
    stage.pass_time(60)
    stage.await_end()
    assert stage.outcome is not None and stage.outcome.kind == "timeout"


def test_a_worker_that_leaves_saves_and_gives_the_job_back(tmp_path):
    stage = Stage(tmp_path, UNTIL_ASKED)
    stage.start()
    stage.reached("reached")
    stage.supervisor.leave()
    stage.pass_time(1)
    stage.await_end()
    assert stage.outcome is not None and stage.outcome.state == "preempted"
    (path,) = stage.projects[0].published
    waiting = stage.response()["status_message"]
    assert waiting.startswith("Waiting for the next worker (") and f"Saved: the model {path}." in waiting
    assert stage.queue("next").claim("one") is not None


def test_a_job_that_takes_too_much_memory_is_ended_before_the_machine_is(tmp_path):
    stage = Stage(
        tmp_path, lines("block = b'x' * 300_000_000", "(folder / 'reached').touch()", WAIT_FOR_EVER)
    )
    stage.set_limits(memory_bytes=250_000_000)
    stage.start()
    stage.reached("reached")
    stage.pass_time(5)
    stage.await_end()
    assert stage.outcome is not None and stage.outcome.kind == "resource"
    assert "more memory than this machine has (0.2 GB)" in stage.outcome.message


def test_what_a_handler_started_ends_with_it(tmp_path):
    stage = Stage(
        tmp_path,
        """
        import subprocess
        process = subprocess.Popen(["sleep", "1000"])
        (folder / "sleeper").write_text(str(process.pid))
        return {}
        """,
    )
    stage.run()
    sleeper = int(stage.reached("sleeper").read_text())
    until(lambda: not is_running(sleeper))


def test_nonsense_on_the_channel_ends_the_attempt(tmp_path):
    stage = Stage(tmp_path, lines("callbacks._line.tell('hello')", WAIT_FOR_EVER))
    stage.start()
    stage.await_end()
    assert stage.outcome is not None and stage.outcome.kind == "system"
    assert "no handler sends" in stage.outcome.message


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../../secret", "link", "loop/secret", ".worker/attempt.json", "."]
)
def test_a_path_that_leads_out_of_the_job_folder_is_refused(tmp_path, path):
    (tmp_path / "secret").write_text("not yours")
    stage = Stage(
        tmp_path,
        lines(
            f"(folder / 'link').symlink_to({str(tmp_path / 'secret')!r})",
            f"(folder / 'loop').symlink_to({str(tmp_path)!r})",
            f"callbacks._line.call('publish_artifact', file={path!r}, folder='checkpoint')",
        ),
    )
    outcome = stage.run()
    assert outcome is not None and outcome.kind == "system" and "inside its job folder" in outcome.message
    assert stage.projects[0].published == []


def test_a_link_of_the_handlers_does_not_lead_the_worker_elsewhere(tmp_path):
    stage = Stage(
        tmp_path,
        lines(f"(folder / 'files').symlink_to({str(tmp_path)!r})", "scanner.read_files(['a.codex'])"),
    )
    stage.contents = {"a.codex": b"{}"}
    outcome = stage.run()
    assert outcome is not None and "outside the job folder" in outcome.message
    assert not (tmp_path / "a.codex").exists()


def test_the_child_knows_no_secret(tmp_path):
    token = "glpat-abcdefghijklmnop1234"
    stage = Stage(
        tmp_path,
        """
        import os, pathlib
        seen = str(dict(os.environ)) + pathlib.Path("/proc/self/cmdline").read_text()
        knows = "abcdefghijklmnop" in seen
        return {"home": os.environ["HOME"], "variables": sorted(os.environ), "knows": knows}
        """,
    )
    stage.secrets = Secrets(redact=lambda text: text.replace(token, "[redacted]"))
    stage.environment = {
        "PATH": "/usr/bin:/bin", "GITLAB_TOKEN": token, "VAST_API_KEY": "k", "LC_ALL": token, "HOME": "/root",
        "HF_HOME": str(tmp_path / "hf"),
    }  # fmt: skip
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf/token").write_text("hf_secret")
    stage.run()
    result = stage.response()["result"]
    assert result["knows"] is False and result["home"] == "(job folder)/home"
    assert not {"GITLAB_TOKEN", "VAST_API_KEY", "LC_ALL", "HF_HOME"} & set(result["variables"])


def test_a_secret_that_is_printed_reaches_no_log(tmp_path):
    from codex_worker.git.credentials import Credentials

    token = "glpat-abcdefghijklmnop1234"
    encoded = base64.b64encode(f"oauth2:{token}".encode()).decode()
    stage = Stage(tmp_path, f"print('token', {token!r}, {encoded!r}); return {{}}")
    stage.secrets = Secrets(redact=Credentials(token, "https://gitlab.example").redact)
    stage.run()
    kept = next(stage.work_dir.glob("job_*/logs.txt")).read_text()
    for text in (stage.log(), kept):
        assert "token [redacted]" in text and token not in text and encoded not in text


def test_a_result_names_only_what_is_in_the_project(tmp_path):
    stage = Stage(
        tmp_path, "return {'checkpoint_path': 'gpu_jobs/job_one/checkpoint/never.pt', 'x': float('nan')}"
    )
    stage.run()
    assert stage.response()["result"] == {"x": None}


def test_a_token_that_comes_back_publishes_everything(tmp_path):
    stage = Stage(
        tmp_path,
        "(folder / 'm').write_text('x'); scanner.publish_artifact(folder / 'm', 'report'); return {}",
    )
    state = {"refused": 0, "read again": 0}

    def on_publish() -> None:
        if state["read again"] < 3:
            state["refused"] += 1
            raise AccessDenied("The token has expired.")

    def refresh() -> None:
        state["read again"] += 1

    stage.on_publish = on_publish
    stage.secrets = Secrets(refresh=refresh)
    stage.set_limits(hang_s=1e9)
    stage.start()
    stage.tick(stage.ended, step_s=5, waiting=WAITING_THREADS + 1)
    assert stage.outcome is not None and stage.outcome.state == "completed"
    assert state == {"refused": 3, "read again": 3}


class Closed:
    """A project that takes no results, or nothing at all, for as long as it is closed."""

    def __init__(self, stage: Stage, error: Exception, *, pushes: bool) -> None:
        self.error, self.pushes = error, pushes
        self.is_closed = True
        self.stage = stage
        stage.on_publish, stage.fault = self.refuse, self.refuse_push

    def refuse(self) -> None:
        if self.is_closed:
            raise self.error

    def refuse_push(self, call: str, when: str) -> None:
        # The claim is taken: it comes before the project is opened.
        if call == "push" and when == "before" and self.pushes and self.is_closed and self.stage.projects:
            raise self.error

    def offered(self) -> int:
        stage = self.stage
        return offer_again(stage.work_dir, lambda _: stage.queue(), stage._open_project, stage.clock)


PUBLISH_AND_GO_ON = """
(folder / "m").write_text("x")
path = scanner.publish_artifact(folder / "m", "report")
open(folder / "computed", "a").write("once ")
return {"report": path}
"""


@pytest.mark.parametrize(
    "error",
    [
        Refused("The server answered 507 (no room left)."),
        PushRefused("The server refused the push: read-only for maintenance."),
        AccessDenied("The token has expired."),
        ServerUnreachable("No answer."),
        ProjectGone("There is no such project."),
        ResourceError("The disk is full."),
        OSError(28, "No space left on device"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("pushes", [False, True])
def test_a_result_that_is_not_taken_is_kept_and_published_later_and_never_made_twice(
    tmp_path, error, pushes, caplog
):
    stage = Stage(tmp_path, PUBLISH_AND_GO_ON)
    closed = Closed(stage, error, pushes=pushes)
    stage.start()
    stage.tick(stage.ended, step_s=5, waiting=WAITING_THREADS + 1)
    folder = next(stage.work_dir.glob("job_*"))
    assert stage.outcome is not None and stage.outcome.state == "completed"
    assert has_unpublished(folder) and caplog.text.count(f"Not published now: {error}") == 1
    if not pushes:
        said = stage.response()
        assert said["state"] == "running" and "kept on worker tester" in said["status_message"]
        assert str(error) in said["status_message"]
        assert "report" not in said.get("result", {})

    assert closed.offered() == 0
    assert stage.queue("next").claim("one") is None, "the job is still ours"
    closed.is_closed = False
    assert closed.offered() == 2
    assert not has_unpublished(folder)
    response = stage.response()
    assert response["state"] == "completed"
    assert stage.server.files()[response["result"]["report"]] == b"x"
    assert (folder / "computed").read_text() == "once "


def test_a_refused_file_does_not_stop_the_others_of_the_same_job(tmp_path):
    stage = Stage(
        tmp_path,
        """
        for name in ("large", "small"):
            (folder / name).write_text(name)
        paths = [scanner.publish_artifact(folder / name, "report") for name in ("large", "small")]
        return {"large": paths[0], "small": paths[1]}
        """,
    )
    offers: list[str] = []
    taken: set[int] = set()

    def refuse_the_first() -> None:
        offers.append("one")
        if len(offers) not in taken | {2}:
            raise Refused("The server answered 413.")

    stage.on_publish = refuse_the_first
    stage.run()
    there = [path for path in stage.server.files() if "/report/" in path]
    assert len(there) == 1 and "/small-1-" in there[0]
    taken.add(3)
    assert offer_again(stage.work_dir, lambda _: stage.queue(), stage._open_project, stage.clock) == 2
    result = stage.response()["result"]
    assert [stage.server.files()[result[name]] for name in ("large", "small")] == [b"large", b"small"]


def test_a_kept_file_that_comes_to_lie_elsewhere_is_named_where_it_lies(tmp_path):
    stage = Stage(tmp_path, PUBLISH_AND_GO_ON)
    closed = Closed(stage, Refused("No."), pushes=False)
    stage.run()
    closed.is_closed = False
    stage.name_of = lambda name: f"another-{name}"
    assert closed.offered() == 2
    assert "/another-m-1-" in stage.response()["result"]["report"]


def test_a_gpu_waits_a_short_while_for_a_server_and_then_no_more_in_the_same_job(tmp_path):
    stage = Stage(
        tmp_path,
        """
        for name in "abcdefgh":
            (folder / name).write_text(name)
            scanner.publish_artifact(folder / name, "report")
        return {}
        """,
    )
    Closed(stage, ServerUnreachable("No answer."), pushes=True)
    began_s = stage.clock.time()
    stage.start()
    stage.tick(stage.ended, step_s=5, waiting=WAITING_THREADS + 1)
    assert stage.clock.time() - began_s < 600


def assert_killed(stage: Stage) -> Outcome:
    stage.start()
    kill_child(stage)
    outcome = stage.finish()
    assert outcome is not None and outcome.state == "failed" and outcome.kind == "resource"
    assert (
        "killed by signal 9 (SIGKILL), probably because memory ran out" in stage.response()["status_message"]
    )
    assert stage.queue("next").claim("one") is not None
    return outcome


def kill_child(stage: Stage) -> None:
    stage.reached("reached")
    os.kill(int(stage.reached("pid").read_text()), signal.SIGKILL)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        ({"training": {"epochs": 1}}, "training.epochs"),
        ({"batch_size": "many"}, "batch_size: 'many'"),
        ({"timeout": "3 hours"}, "timeout: '3 hours'"),
        ({"epochs": float("nan")}, "epochs: '.nan'"),
    ],
)
def test_an_entry_that_cannot_be_meant_fails_without_a_child_and_says_why(tmp_path, entry, named):
    stage = Stage(tmp_path, "(folder / 'reached').touch()", **entry)
    outcome = stage.run()
    assert outcome is not None and (outcome.state, outcome.kind) == ("failed", "user")
    assert named in stage.response()["error_message"]
    assert not list(stage.work_dir.glob("job_*/reached"))
    assert stage.projects == [], "nothing is fetched for it"


def test_keys_without_effect_are_named_in_the_log_and_the_result(tmp_path):
    stage = Stage(tmp_path, "return {'notes': ['from the handler']}", colour="blue", audio_format="wav")
    stage.run()
    notes = stage.response()["result"]["notes"]
    assert notes[-1] == "from the handler"
    for key in ("colour", "audio_format"):
        assert any(key in note for note in notes[:-1])
        assert re.search(rf"worker: {key} .*no effect", stage.log())


@pytest.mark.parametrize(
    "edit", [{"timeout": "3 hours"}, {"epochs": "many"}, {"mode": "dance"}, {"model": "W2V2BERT"}]
)
def test_a_job_that_runs_does_not_end_because_its_entry_is_spoilt(tmp_path, edit):
    stage = Stage(tmp_path, UNTIL_ASKED)
    stage.start()
    stage.reached("reached")
    stage.edit_manifest({"job_id": "one", **edit})
    for _ in range(15):
        stage.pass_time(60)
    assert not stage.ended()
    stage.edit_manifest({"job_id": "one", "canceled": True})
    stage.tick(stage.ended, 30)
    assert stage.response()["state"] == "canceled"
