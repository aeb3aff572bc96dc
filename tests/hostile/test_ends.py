"""An end is written whatever log, metrics and messages hold, and whatever breaks on the way."""

import pytest

from codex_worker.contract.plain_text import plain_bytes
from codex_worker.errors import PushRefused
from codex_worker.supervisor.job_folder import has_unpublished
from tests.support.jobs import Stage

METRICS = "(folder / 'training_metrics.csv').write_bytes({!r})"


@pytest.mark.parametrize(
    "handler",
    [
        "print('\\ufeff before \\0 after \\x1b[2J \\x9b', flush=True)\n"
        "import sys; sys.stdout.buffer.write(b'\\xff\\xfe\\n\\0\\n'); sys.stdout.flush()",
        METRICS.format(b"epoch\n\0\n"),
        METRICS.format(b"\xef\xbb\xbfepoch\n\xff\n"),
        "file = open(folder / 'training_metrics.csv', 'wb'); file.truncate(6_000_000); file.close()",
        "callbacks.heartbeat(1, 'half \\ud800 \\0', 'stage \\ud800 \\0')",
    ],
)  # fmt: skip
def test_log_and_metrics_of_any_kind_do_not_hold_up_the_end(tmp_path, handler):
    stage = Stage(tmp_path, f"{handler}\nreturn {{'cells_written': 3}}")
    outcome = stage.run()
    assert outcome is not None and stage.response()["state"] == "completed"
    for path in ("logs.txt", "checkpoint/training_metrics.csv"):
        text = stage.server.files().get(f"gpu_jobs/job_one/{path}", b"").decode()
        assert "\0" not in text and "\x1b" not in text and not text.startswith("\ufeff")
    assert not has_unpublished(next(stage.work_dir.glob("job_*")))


@pytest.mark.parametrize(
    ("data", "limit", "plain"),
    [
        (b"a\nb\n", 10, b"a\nb\n"),
        (b"a\nbcd\n", 5, b"a\n"),
        (b"abcdef", 3, b"abc"),
        (b"a\r\nb", 10, b"a\r\nb"),
        (b"\xef\xbb\xbfa\0", 10, "a\ufffd".encode()),
        (b"\xff" * 4, 10, "\ufffd\ufffd\ufffd".encode()),
        (b"", 10, b""),
    ],
)
def test_a_text_file_is_made_such_as_can_be_committed(data, limit, plain):
    assert plain_bytes(data, limit) == plain


class Defect:
    """Breaks calls of the server, with an error that nobody foresaw, once the handler is done."""

    def __init__(self, stage: Stage, call: str, times: float) -> None:
        self.stage, self.call, self.left = stage, call, times
        stage.fault = self

    def __call__(self, call: str, when: str) -> None:
        is_done = any(self.stage.work_dir.glob("job_*/done"))
        if is_done and self.left and (call, when) == (self.call, "before"):
            self.left -= 1
            raise RuntimeError("nobody foresaw \ud800 this")


@pytest.mark.parametrize("call", ["push", "look"])
def test_a_defect_of_ours_after_the_child_ends_the_attempt_as_system(tmp_path, call):
    stage = Stage(tmp_path, "(folder / 'done').touch(); return {'cells_written': 3}")
    Defect(stage, call, 1)
    stage.run()
    response = stage.response()
    assert "RuntimeError: nobody foresaw \ufffd this" in response["status_message"]
    assert stage.queue("next").claim("one") is not None, "the job is tried again"


def test_what_is_told_while_results_wait_names_no_folder(tmp_path):
    stage = Stage(
        tmp_path, "(folder / 'm').write_text('x'); scanner.publish_artifact(folder / 'm', 'report')"
    )

    def refuse() -> None:
        raise PushRefused(f"No room in {stage.work_dir}/cache.")

    stage.on_publish = refuse
    stage.run()
    said = stage.response()["status_message"]
    assert "No room in (work folder)/cache" in said and str(tmp_path) not in stage.log()


def test_an_end_that_can_never_be_written_leaves_the_worker_alive(tmp_path):
    stage = Stage(tmp_path, "(folder / 'done').touch(); return {'cells_written': 3}")
    Defect(stage, "push", float("inf"))
    assert stage.run() is not None
    assert has_unpublished(next(stage.work_dir.glob("job_*")))


@pytest.mark.parametrize(
    ("handler", "said"),
    [
        ("raise ValueError(f'{folder}/recordings/a/b.wav is wrong')", "ValueError: a/b.wav is wrong"),
        ("from codex_worker import errors; raise errors.DataError(f'{folder}/x')", "(job folder)/x"),
        ("raise OSError(2, 'No such file', str(folder.parent / 'cache'))", "(work folder)/cache"),
        ("return {'notes': [str(folder), {'at': str(folder)}], 'success': True}", "Done."),
        ("callbacks._line.call('publish_artifact', file='x', folder='report')", "job folder"),
    ],
)  # fmt: skip
def test_no_path_of_the_machine_is_told_to_the_project(tmp_path, handler, said):
    stage = Stage(tmp_path, f"print(folder); callbacks.heartbeat(1, str(folder), 'x')\n{handler}")
    stage.run()
    assert said in stage.response()["status_message"]
    for path, data in stage.server.files().items():
        assert str(tmp_path).encode() not in data, path
    assert "job: (job folder)\n" in stage.log()
