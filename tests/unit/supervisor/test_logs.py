"""A job's log: timed, bounded, without secrets."""

import base64
import io
import logging

import pytest

from codex_worker.git.credentials import Credentials
from codex_worker.supervisor import logs
from codex_worker.supervisor.logs import JobLog, RedactSecrets, bounded
from codex_worker.supervisor.output_lines import lines_of

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


def shown(tmp_path, output: bytes) -> str:
    """What the log shows of a process's output, without times and sources."""
    log = log_in(tmp_path, Credentials(TOKEN, "https://gitlab.example").redact)
    log.read_from(io.BytesIO(output), "job")
    log.close()
    assert (tmp_path / "logs.txt").read_bytes() == log.content()
    return "".join(line.partition(" job: ")[2] for line in log.content().decode().splitlines(keepends=True))


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("a\0b", "a\ufffdb"),
        ("\x1b[31mred\x1b[0m\x07", "\ufffd[31mred\ufffd[0m\ufffd"),
        ("a\tb\ufeff", "a\tb\ufeff"),
        ("c1 \x85 \x9b del \x7f", "c1 \ufffd \ufffd del \ufffd"),
        ("half \ud800 a pair", "half \ufffd a pair"),
        ("two\nlines", "two\ufffdlines"),
    ],
)
def test_what_no_file_should_hold_is_replaced(tmp_path, text, plain):
    log = log_in(tmp_path)
    log.line("job", text)
    assert log.content().decode() == f"1970-01-01 00:00:00 job: {plain}\n"


@pytest.mark.parametrize("place", [65_500, 65_510, 65_520, 65_530, 65_536, 131_060, 3_990, 200_000])
@pytest.mark.parametrize("filling", [b"x", b" ", TOKEN.encode(), b"\xc3\xa4"])
def test_a_secret_across_two_reads_is_not_shown_in_halves(tmp_path, place, filling):
    before = (filling * (place // len(filling))).rjust(place)
    text = shown(tmp_path, before + TOKEN.encode() + b"y" * 200_000 + b"\nnext\n")
    assert "glpat-abc" not in text and "mnop1234" not in text
    assert text.endswith("next\n") and "characters more)" in text


@pytest.mark.parametrize("cut", range(1, len(TOKEN), 4))
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"  \n   ", b"\n\n"])
def test_a_secret_that_is_cut_by_a_line_end_is_not_shown(tmp_path, cut, end):
    token = TOKEN.encode()
    text = shown(tmp_path, b"before\nthe token: " + token[:cut] + end + token[cut:] + b" it was\nafter\n")
    assert text == "before\n[redacted]\n[redacted]\nafter\n"


@pytest.mark.parametrize("width", [14, 30, 76])
def test_a_secret_in_wrapped_base64_is_not_shown(tmp_path, width):
    encoded = base64.b64encode(b"oauth2:" + TOKEN.encode())
    wrapped = b"\n".join(encoded[at : at + width] for at in range(0, len(encoded), width))
    text = shown(tmp_path, b"before\n" + wrapped + b"\nafter\n")
    assert not any(encoded[at : at + 8].decode() in text for at in range(0, len(encoded) - 8))
    assert text.startswith("before\n") and text.endswith("after\n")


def test_lines_of_another_source_between_the_halves_of_a_secret_stay(tmp_path):
    log = log_in(tmp_path, Credentials(TOKEN, "https://gitlab.example").redact)
    log.line("job", TOKEN[:10])
    log.line("worker", "between")
    log.line("job", TOKEN[10:])
    log.line("job", "after")
    log.close()
    kept = [line[20:] for line in log.content().decode().splitlines()]
    assert kept == ["job: [redacted]", "worker: between", "job: [redacted]", "job: after"]
    assert (tmp_path / "logs.txt").read_bytes() == log.content()


@pytest.mark.parametrize(
    ("output", "lines"),
    [
        (b"10%\r" * 40_000 + b"100%\n", ["100%"]),
        (b"10%\r" * 40_000, ["10%"]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"x" * 65_535 + b"\r\nb", ["x" * 65_535, "b"]),
        (b"x" * 70_000 + b"\rdone\n", ["done"]),
        (b"x" * 70_000 + b"\n", ["x" * 65_536]),
        (b"\n \n\r\n", []),
        (b"", []),
        (b"\xff\xfe", ["\ufffd\ufffd"]),
    ],
)
def test_output_is_cut_into_lines_whatever_it_is(output, lines):
    assert [line.text for line in lines_of(io.BytesIO(output))] == lines


def test_a_log_without_a_file_still_tells_in_memory(tmp_path):
    log = JobLog(tmp_path / "missing" / "logs.txt", str, lambda: 0.0)
    log.line("job", "one")
    log.close()
    assert log.content().endswith(b"job: one\n")
