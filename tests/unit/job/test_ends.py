"""The table of causes is complete, and what it says stands nowhere else."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from codex_worker.contract.exit_codes import ExitCode
from codex_worker.contract.records import EndState
from codex_worker.errors import JobCanceled, JobTimeout, Kind, Preempted
from codex_worker.job.ends import ENDINGS, Cause, StopReason, exit_code, state_of
from handlers.base import stop_error

ROOT = Path(__file__).parents[3]
SOURCES = [path for folder in ("codex_worker", "handlers") for path in sorted((ROOT / folder).rglob("*.py"))]
FIGURES = {
    "hang_minutes": 30.0,
    "memory_gb": 16.0,
    "message": "{no figure}",
    "return_code": -11,
    "signal": 11,
    "signal_name": "SIGSEGV",
}


@cache
def literals() -> list[str]:
    """Every text in the source, with what is joined by the parser joined."""
    nodes = [node for path in SOURCES for node in ast.walk(ast.parse(path.read_text()))]
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def sentences_of(cause: Cause) -> list[str]:
    """The literal parts of a row's sentences: figures stand between them."""
    pieces = re.split(r"\{[^}]*\}|(?<=[.]) ", cause.ending.sentence)
    return [piece for piece in pieces if len(piece) > 12]


@pytest.mark.parametrize("cause", list(Cause))
def test_every_cause_has_a_whole_row(cause):
    ending = ENDINGS[cause]
    assert ending.publishes is (ending.state is not None)
    assert ending.state is not EndState.COMPLETED
    said = ending.said(**FIGURES)
    assert said[0].isupper() and said[-1] in ".}" and "{hang" not in said
    if ending.stop_reason is not None:
        assert ending.publishes, "who may save must be able to publish"
        assert ending.stop_reason.cause.ending.kind is ending.kind


@pytest.mark.parametrize("cause", list(Cause))
def test_each_sentence_stands_once_in_the_source(cause):
    found = literals()
    for sentence in sentences_of(cause):
        assert sum(text.count(sentence) for text in found) == 1, sentence


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        (StopReason.CANCELED, JobCanceled),
        (StopReason.PREEMPTED, Preempted),
        (StopReason.TIMEOUT, JobTimeout),
        (None, JobCanceled),
    ],
)
def test_a_handler_that_is_stopped_says_what_the_table_says(reason, error):
    raised = stop_error(reason)
    assert type(raised) is error
    assert str(raised) == Cause(reason or "canceled").ending.sentence


@pytest.mark.parametrize("kind", [None, *Kind])
def test_a_child_leaves_with_the_code_of_the_end_that_it_tells_of(kind):
    expected = {
        None: ExitCode.DONE,
        Kind.USER: ExitCode.BAD_DATA,
        Kind.DATA: ExitCode.BAD_DATA,
        Kind.CANCELED: ExitCode.CANCELED,
        Kind.PREEMPTED: ExitCode.RELEASED,
    }
    assert exit_code(state_of(kind), kind) is expected.get(kind, ExitCode.FAILED)


@pytest.mark.parametrize("state", list(EndState))
def test_every_end_has_an_exit_code(state):
    assert (exit_code(state, None) is ExitCode.DONE) is (state is EndState.COMPLETED)
