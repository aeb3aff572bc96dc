"""The worker's log for programs: one JSON object a line, whatever is said, without secrets."""

import io
import json
import logging
import sys
import threading

import pytest

from codex_worker.cli.log_setup import start_logging
from codex_worker.git.credentials import Credentials
from codex_worker.settings import Settings
from codex_worker.supervisor.figures import AttemptInHand, Figures
from codex_worker.supervisor.json_lines import JsonLines
from codex_worker.supervisor.logs import CHILD_LOGGER, SECRET_LINES, JobLog

TOKEN = "glpat-abcdefghijklmnop1234"
ATTEMPT = AttemptInHand("one", "1-0000abcd", "team/genesis", "asr", "training")
NONE = {"project": None, "job": None, "attempt": None}
ITS = {"project": "team/genesis", "job": "one", "attempt": "1-0000abcd"}


@pytest.fixture
def figures():
    return Figures()


@pytest.fixture
def said(monkeypatch, figures):
    """Everything that is logged as a worker with `--log-format json` does, read line by line."""
    root, before = logging.getLogger(), logging.getLogger().handlers[:]
    level, child_level = root.level, CHILD_LOGGER.level
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    settings = Settings(worker_id="tester", log_format="json")
    start_logging(settings, Credentials(TOKEN, "https://gitlab.example"), figures)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logging.captureWarnings(False)
    root.handlers[:] = before
    root.setLevel(level)
    CHILD_LOGGER.setLevel(child_level)


def in_thread(name: str, message: str) -> None:
    thread = threading.Thread(target=lambda: logging.getLogger("codex_worker.x").info(message), name=name)
    thread.start()
    thread.join()


def test_a_line_has_its_time_and_names_and_no_job_where_there_is_none(figures):
    record = logging.LogRecord("codex_worker.x", logging.INFO, "x.py", 1, "%s of %d", ("one", 2), None)
    record.created = 1_767_225_600.25
    assert json.loads(JsonLines("tester", figures, str).format(record)) == {
        "time": "2026-01-01T00:00:00.250Z",
        "level": "INFO",
        "logger": "codex_worker.x",
        "message": "one of 2",
        "worker": "tester",
        **NONE,
    }


def test_each_line_of_an_attempt_names_it_whatever_thread_says_it_and_no_other_line_does(said, figures):
    logging.getLogger("worker").info("before")
    with figures.holding(ATTEMPT):
        for name in ("MainThread", "beat", "look", "report", "answers", "resume", "lfs_0", "Thread-7"):
            in_thread(name, name)
        for name in ("watch", "look-3", "keeper", "spare"):
            in_thread(name, f"other: {name}")
    logging.getLogger("worker").info("after")
    lines = said()
    assert len(lines) == 14
    for line in lines:
        is_others = line["message"].startswith(("before", "other", "after"))
        assert {key: line[key] for key in ITS} == (NONE if is_others else ITS), line


@pytest.mark.parametrize(
    "text",
    ["two\nlines\r\n and \u2028 more", '"quotes" and \\', "\x1b[31mred\x00", "ʼн𐎀 بِسْمِ", "\ud800 half", ""],
    ids=["line ends", "quotes", "controls", "scripts", "half a character", "nothing"],
)
def test_a_line_stays_a_line_whatever_is_said(said, text):
    logging.getLogger("worker").warning("%s", text)
    assert [line["message"] for line in said()] == [text]


def test_a_traceback_is_a_field_and_holds_no_secret(said):
    try:
        raise ValueError(f"refused: {TOKEN}")
    except ValueError:
        logging.getLogger("worker").exception("It failed with %s", TOKEN)
    (line,) = said()
    assert "test_json_lines.py" in line["traceback"] and "ValueError" in line["traceback"]
    assert TOKEN not in json.dumps(line) and "It failed with" in line["message"]


def test_a_secret_in_a_name_is_taken_out_as_well(said, figures):
    with figures.holding(AttemptInHand("one", "1-0000abcd", f"https://me:{TOKEN}@host/p", "asr", "training")):
        logging.getLogger("worker").info("a line")
    assert TOKEN not in json.dumps(said())


def test_what_nobody_catches_is_a_line_with_its_traceback(said):
    thread = threading.Thread(target=lambda: int("nothing"), name="report")
    thread.start()
    thread.join()
    try:
        raise IndexError("lost")
    except IndexError as error:
        sys.excepthook(IndexError, error, error.__traceback__)
    thread_line, program_line = said()
    assert "ValueError" in thread_line["traceback"] and "report" in thread_line["message"]
    assert "IndexError" in program_line["traceback"] and program_line["level"] == "CRITICAL"


def test_what_a_jobs_process_prints_is_there_once_in_order_with_the_time_it_was_said(said, figures, tmp_path):
    moments = iter(range(100, 200))
    log = JobLog(tmp_path / "logs.txt", str, lambda: next(moments))
    with figures.holding(ATTEMPT), log.capturing():
        log.read_from(io.BytesIO(b"one\ntwo\nthree\nfour\nfive\n"), "job")
        assert len(said()) == 5 - (SECRET_LINES - 1), "a later line may still hold a secret with these"
        log.line("worker", "The attempt ended.")
        log.close()
    lines = said()
    assert [line["message"] for line in lines] == ["one", "two", "three", "four", "five"]
    assert [line["time"][14:19] for line in lines] == ["01:40", "01:41", "01:42", "01:43", "01:44"]
    assert all(line["job"] == "one" and line["logger"] == "job" for line in lines)
    assert log.content().count(b"three") == 1, "the job's own log has it once"


@pytest.mark.parametrize("parts", [1, 2, 3, 4])
@pytest.mark.parametrize("worker_lines", [0, 30])
def test_a_secret_that_a_process_prints_in_several_lines_is_shown_in_none(
    said, tmp_path, parts, worker_lines
):
    log = JobLog(tmp_path / "logs.txt", Credentials(TOKEN, "https://gitlab.example").redact, lambda: 0.0)
    size = -(-len(TOKEN) // parts)
    pieces = [TOKEN[start : start + size] for start in range(0, len(TOKEN), size)]
    log.line("job", "before")
    for piece in pieces:
        log.line("job", piece)
        for number in range(worker_lines if parts == 1 else worker_lines // 10):
            log.line("worker", f"line {number}")
    log.line("job", "after")
    log.close()
    messages = [line["message"] for line in said()]
    assert messages[0] == "before" and messages[-1] == "after" and len(messages) == len(pieces) + 2
    assert not any(piece in message for piece in pieces for message in messages)


def test_text_has_no_lines_of_a_jobs_process(monkeypatch, tmp_path, capsys):
    level = logging.getLogger().level
    before = logging.getLogger().handlers[:]
    start_logging(Settings(worker_id="tester"), Credentials(TOKEN, "https://gitlab.example"), Figures())
    log = JobLog(tmp_path / "logs.txt", str, lambda: 0.0)
    log.line("job", "what it printed")
    log.close()
    logging.getLogger("worker").info("the worker's own")
    logging.getLogger().handlers[:] = before
    logging.getLogger().setLevel(level)
    shown = capsys.readouterr().err
    assert "the worker's own" in shown and "printed" not in shown
