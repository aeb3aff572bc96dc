"""Two thousand made-up inputs, each of which ends in a result or in a sentence."""

import subprocess
import sys
from pathlib import Path

import pytest

from codex_worker.errors import DataError
from tests.hostile.fuzz import runner
from tests.hostile.fuzz.runner import Kind, fuzz

ROOT = Path(__file__).parents[3]


def test_no_made_up_input_ends_in_anything_but_a_result_or_a_sentence():
    """A process of its own, whose memory and time are its own; `make fuzz` reads a hundred times as many."""
    command = [sys.executable, "-m", "tests.hostile.fuzz", "--inputs", "2000", "--seed", "2026"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 unclean ends" in done.stdout


def refuse(words):
    raise DataError(words)


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (lambda data, _: {}[data], "KeyError"),
        (lambda data, _: refuse("no"), "no sentence"),
        (lambda data, _: refuse("A refusal with half a letter: \ud800"), "no sentence"),
        (lambda data, _: refuse("Traceback (most recent call last): and so on"), "no sentence"),
    ],
    ids=["crash", "short", "half a letter", "traceback"],
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
