"""A run that is interrupted anywhere, by a request or by a kill, ends as one that was left alone."""

import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, load_file

from codex_worker.training.loop import LAST, RESUME, fit
from codex_worker.training.task import TrainingSettings

from .tiny_task import Clock, TinyGame, TinyTask, Watcher

PLAIN = TrainingSettings(epochs=2, learning_rate=0.05, accumulation=1, seed=3)


class Killed(BaseException):
    """The process is gone: nothing of it runs any more."""


class KilledWatcher(Watcher):
    """Saves after every few updates, by a clock that moves a second with each, and dies before one."""

    def __init__(self, before_update: int, save_every_s: float) -> None:
        super().__init__()
        self.before_update, self.save_every_s = before_update, save_every_s

    def should_stop(self):
        self.asked += 1
        if self.asked > self.before_update:
            raise Killed
        return False


def contents(folder: Path) -> dict:
    """All that a run comes to: weights, moments, averages, schedule, counts, the curve, its checkpoints."""
    found = torch.load(folder / RESUME, weights_only=True)
    assert isinstance(found, dict)
    for learner in filter(None, (found, found["opponent"])):
        for group in learner["optimizer"]["param_groups"]:
            del group["lr"]  # set anew before each update, from the schedule
    best = found.pop("best")
    found["best"] = None if best is None else load(best.numpy().tobytes())
    found["last"] = load_file(folder / LAST)
    return found


def assert_equal(one, other, place="") -> None:
    assert type(one) is type(other), place
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), place
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), place
        for key in one:
            assert_equal(one[key], other[key], f"{place}/{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), place
        for number, (left, right) in enumerate(zip(one, other, strict=True)):
            assert_equal(left, right, f"{place}/{number}")
    else:
        assert one == other, place


def run(folder: Path, run_settings: TrainingSettings, make_task, watcher: Watcher) -> str:
    torch.manual_seed(random.randrange(2**31))  # another process has drawn other numbers
    try:
        return fit(make_task(seed=2), run_settings, folder, watcher, clock=Clock(tick_s=1.0)).ended
    except Killed:
        return "killed"


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("make_task", [TinyTask, TinyGame])
def test_wherever_it_is_interrupted_all_that_it_comes_to_is_the_same(tmp_path, make_task, seed):
    chance = random.Random(f"{make_task.__name__} {seed}")
    chosen = replace(
        PLAIN,
        accumulation=chance.randint(1, 4),
        ema_decay=chance.choice([None, 0.9]),
        best_metric=chance.choice([None, "val_total_loss"]),
        precision=chance.choice(["fp32", "bf16"]),
    )
    packing = chance.choice(["even", "uneven"])
    interruptions = [
        (chance.randint(0, 8), chance.choice(["stop", "kill"]), chance.randint(1, 5))
        for _ in range(chance.randint(1, 4))
    ]
    torch.set_num_threads(1)
    folder = tmp_path

    def made(seed):
        return make_task(seed=seed, packing=packing)

    run(folder / "whole", chosen, lambda seed: made(1), Watcher())
    here = folder / "machine-0"
    # The first weights are a network's own; every later process has others until it has read the state.
    for number, (updates, how, save_every_s) in enumerate(interruptions):
        watcher = Watcher(updates) if how == "stop" else KilledWatcher(updates, save_every_s)
        is_first = not (here / RESUME).exists()
        run(here, chosen, lambda seed, is_first=is_first: made(1 if is_first else seed), watcher)
        there = folder / f"machine-{number + 1}"
        there.mkdir()
        if (here / RESUME).exists():  # nothing else travels
            shutil.copy(here / RESUME, there / RESUME)
        here = there
    is_first = not (here / RESUME).exists()
    ended = run(here, chosen, lambda seed: made(1 if is_first else seed), Watcher())
    assert ended == "finished"
    assert_equal(contents(here), contents(folder / "whole"))
