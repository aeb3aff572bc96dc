"""Each model, interrupted at random and gone on with in other processes, ends as if nothing had happened."""

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load

from tests.support.interrupted_training import MODELS
from tests.support.jobs import ROOT

pytestmark = pytest.mark.acceptance

RESUME = "resume.pt"


def train(model: str, data: Path, folder: Path, stop_before: int = -1) -> None:
    words = [sys.executable, "-m", "tests.support.interrupted_training", model, data, folder, stop_before]
    subprocess.run([str(word) for word in words], cwd=ROOT, check=True, capture_output=True, timeout=600)


def contents(folder: Path) -> dict:
    """All that a run comes to, as its last state tells it."""
    found = torch.load(folder / RESUME, weights_only=True)
    for learner in filter(None, (found, found["opponent"])):
        for group in learner["optimizer"]["param_groups"]:
            del group["lr"]  # set anew before each update, from the schedule
    best = found.pop("best")
    found["best"] = None if best is None else load(best.numpy().tobytes())
    return found


def differences(one, other, place: str = "") -> list[str]:
    if isinstance(one, torch.Tensor):
        return [] if torch.equal(one, other) else [place]
    if isinstance(one, dict):
        if one.keys() != other.keys():
            return [place]
        return [found for key in one for found in differences(one[key], other[key], f"{place}/{key}")]
    if isinstance(one, list | tuple):
        if len(one) != len(other):
            return [place]
        pairs = enumerate(zip(one, other, strict=True))
        return [found for number, pair in pairs for found in differences(*pair, f"{place}/{number}")]
    return [] if one == other else [f"{place}: {one} and {other}"]


@pytest.mark.parametrize("model", MODELS)
def test_a_training_that_is_interrupted_at_random_ends_as_one_that_was_not(tmp_path, model):
    whole = tmp_path / "whole"
    train(model, tmp_path / "data", whole)
    expected = contents(whole)
    updates = expected["state"]["epoch"] * expected["state"]["steps_in_epoch"]
    assert updates >= 6 and expected["average"] is not None
    chance = random.Random(f"interruptions of {model}")
    first = chance.randrange(1, updates - 1)
    stops = (first, chance.randrange(1, updates - first), -1)
    for number, stop_before in enumerate(stops):
        here = tmp_path / f"machine-{number}"
        here.mkdir()
        if number:
            shutil.copy(tmp_path / f"machine-{number - 1}" / RESUME, here / RESUME)  # nothing else travels
        train(model, tmp_path / "data", here, stop_before=stop_before)
    assert differences(contents(here), expected) == [], f"stopped before updates {stops}"
