"""A job's log: timed, bounded, without secrets."""

import io
import logging

from codex_worker.git.credentials import Credentials
from codex_worker.supervisor import logs
from codex_worker.supervisor.logs import JobLog, RedactSecrets, bounded

TOKEN = "glpat-abcdefghijklmnop1234"


def log_in(tmp_path, redact=str) -> JobLog:
    return JobLog(tmp_path / "logs.txt", redact, lambda: 0.0)


def test_a_line_carries_its_time_and_source(tmp_path):
    log = log_in(tmp_path)
    log.header(job="a", attempt="1-0000abcd")
    log.read_from(io.BytesIO(b"one\n\n10%\r50%\r100%\nlast"), "job")
    log.close()
    assert log.content().decode().splitlines() == [
        "1970-01-01 00:00:00 worker: job: a",
        "1970-01-01 00:00:00 worker: attempt: 1-0000abcd",
        "1970-01-01 00:00:00 job: one",
        "1970-01-01 00:00:00 job: 100%",
        "1970-01-01 00:00:00 job: last",
    ]
    assert (tmp_path / "logs.txt").read_bytes() == log.content()


def test_the_middle_of_a_long_log_is_left_out(tmp_path):
    log = log_in(tmp_path)
    for number in range(20_000):
        log.line("job", f"line {number} " + "x" * 50)
    content = log.content().decode()
    assert len(content) < logs.HEAD_BYTES + logs.TAIL_BYTES + 200
    assert "line 0 " in content and "line 19999 " in content and "lines are left out here" in content
    assert len(bounded((tmp_path / "logs.txt").read_bytes())) < logs.HEAD_BYTES + logs.TAIL_BYTES + 200


def test_a_very_long_line_is_cut_after_its_secrets_are_gone(tmp_path):
    redact = Credentials(TOKEN, "https://gitlab.example").redact
    log = log_in(tmp_path, redact)
    log.line("job", "x" * (logs.MAX_LINE_LENGTH - 10) + TOKEN)
    log.line("job", "y" * 100_000)
    content = log.content().decode()
    assert "glpat" not in content and "96000 characters more" in content


def test_the_workers_own_lines_are_captured_with_their_tracebacks(tmp_path):
    log = log_in(tmp_path)
    with log.capturing():
        try:
            raise ValueError("what happened")
        except ValueError:
            logging.getLogger("somewhere").exception("It failed")
    logging.getLogger("somewhere").warning("not any more")
    content = log.content().decode()
    assert "worker: ERROR It failed" in content and "ValueError: what happened" in content
    assert "not any more" not in content


def test_the_console_shows_no_secret_in_arguments_or_tracebacks(caplog):
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(RedactSecrets(Credentials(TOKEN, "https://gitlab.example").redact))
    logger = logging.getLogger("console test")
    logger.addHandler(handler)
    try:
        raise ValueError(f"with {TOKEN}")
    except ValueError:
        logger.exception("sent %s to %s", TOKEN, "the server")
    finally:
        logger.removeHandler(handler)
    assert "sent [redacted] to the server" in stream.getvalue() and TOKEN not in stream.getvalue()
