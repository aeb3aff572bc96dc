"""Two thousand made-up inputs, each of which ends in a result or in a sentence."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_worker.errors import DataError, WorkerError
from tests.hostile.fuzz import runner
from tests.hostile.fuzz.runner import Kind, check_sentence, fuzz

WORDS = [
    "version", "jobs", "job_id", "job_type", "model", "training", "timeout", "event", "result", "failed",
    "kind", "message", "id", "call", "notebook", "patch", "text", "read", "file", "blob", "number",
    "nonce", "state",
]  # fmt: skip
ROOT = Path(__file__).parents[3]


def test_no_made_up_input_ends_in_anything_but_a_result_or_a_sentence():
    """A process of its own, whose memory and time are its own; `make fuzz` reads a hundred times as many."""
    command = [sys.executable, "-m", "tests.hostile.fuzz", "--inputs", "2000", "--seed", "2026"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 unclean ends" in done.stdout


values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=30), st.sampled_from(WORDS)
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(WORDS), st.text(max_size=5)), inner, max_size=6),
    ),
    max_leaves=20,
)


@pytest.mark.parametrize(
    "name", ["manifest", "end", "attempt", "lease", "response", "ledger", "patch", "channel"]
)
def test_values_of_any_form_end_in_a_result_or_a_sentence(all_of_them, tmp_path_factory, name):
    kind, folder = all_of_them[name], tmp_path_factory.mktemp("values")

    @settings(max_examples=40, deadline=None, derandomize=True, database=None)
    @given(values)
    def read(value):
        try:
            kind.read(json.dumps(value).encode(), folder)
        except WorkerError as error:
            check_sentence(error)

    read()


@pytest.fixture(scope="module")
def all_of_them(tmp_path_factory):
    from tests.hostile.fuzz.kinds import all_kinds

    return {kind.name: kind for kind in all_kinds(tmp_path_factory.mktemp("good"))}


def refuse(words):
    raise DataError(words)


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (lambda data, _: {}[data], "KeyError"),
        (lambda data, _: refuse("no"), "no sentence"),
        (lambda data, _: refuse("Traceback (most recent call last): and so on"), "no sentence"),
    ],
    ids=["crash", "short", "traceback"],
)
def test_the_runner_sees_what_is_unclean_and_says_how_to_see_it_again(tmp_path, read, words):
    kind = Kind("made up", 1, lambda chance: chance.randbytes(3), read)
    said: list[str] = []
    tally = fuzz([kind], [7], 5, tmp_path, said.append)
    assert len(tally.unclean) == 1 and words in said[0] and "--seed 5 --only 7" in said[0]


def test_the_runner_sees_what_takes_too_much_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "_memory_bytes", iter([0, 600 << 20]).__next__)
    kind = Kind("made up", 1, lambda chance: b"", lambda data, _: None)
    assert "600 MB more memory" in fuzz([kind], [7], 5, tmp_path, print).unclean[0]


def test_the_runner_ends_what_takes_too_long_and_catches_everything(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "MOST_CPU_S", 0.05)

    def hang(data, _):
        while True:
            try:
                sum(range(1000))
            except Exception:  # as readers of strangers' bytes do
                continue

    kind = Kind("made up", 1, lambda chance: b"", hang)
    assert "more than 0.05 s" in fuzz([kind], [7], 5, tmp_path, print).unclean[0]


def test_the_same_seed_and_number_make_the_same_input(tmp_path):
    inputs: list[bytes] = []
    kind = Kind("made up", 1, lambda chance: chance.randbytes(9), lambda data, _: inputs.append(data))
    for numbers in (range(4), range(4), [2]):
        fuzz([kind], numbers, 5, tmp_path, print)
    assert inputs[:4] == inputs[4:8] and inputs[8] == inputs[2] != inputs[3]
