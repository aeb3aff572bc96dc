"""Training in fp16: losses are scaled, too large a scale is no divergence, and it is resumed bit by bit."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from codex_worker.errors import ModelError
from codex_worker.training import loss_scale
from codex_worker.training.loop import RESUME, fit
from codex_worker.training.loss_scale import FIRST, LossScale
from codex_worker.training.task import TrainingSettings

from .tiny_task import TinyGame, TinyTask, Watcher

SETTINGS = TrainingSettings(epochs=4, learning_rate=0.05, ema_decay=0.9, seed=3, precision="fp16")
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def run(folder, task, settings=SETTINGS, watcher=None):
    return fit(task, settings, folder, watcher or Watcher())


class Steep(nn.Module):
    """Passes its input on, with a gradient that is so many times as large."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x.detach() + (x - x.detach()) * self.factor


class SteepTask(TinyTask):
    """A network in whose backward pass fp16 ends at a smaller scale than the first one."""

    def __init__(self, seed=1, factor=64.0):
        super().__init__(seed)
        self.model[1] = Steep(factor)


def weights(task):
    return torch.cat([parameter.detach().flatten() for parameter in task.model.parameters()])


def test_products_are_fp16_and_weights_fp32(tmp_path):
    task, kinds = TinyTask(), set()
    original = task.model[0].forward

    def forward(inputs):
        made = original(inputs)
        kinds.add(made.dtype)
        return made

    task.model[0].forward = forward
    run(tmp_path, task)
    assert kinds == {torch.float16}
    assert task.model[0].weight.dtype == torch.float32


@pytest.mark.parametrize("kind", [TinyTask, TinyGame])
def test_fp16_ends_near_fp32(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(loss_scale, "FIRST", 2.0**8)  # so that neither of them leaves an update out
    rough, exact = kind(), kind()
    for task in (rough, exact):
        task.model[1] = nn.Identity()  # no dropout: its draws differ with the size of numbers
        if isinstance(task, TinyGame):
            task.opponent.model[1] = nn.Identity()
    began = weights(exact).clone()
    outcome = run(tmp_path / "rough", rough)
    run(tmp_path / "exact", exact, replace(SETTINGS, precision="fp32"))
    assert outcome.skipped_steps == 0
    assert (weights(rough) - weights(exact)).norm() < 0.02 * (weights(exact) - began).norm()


def test_gradients_too_small_for_fp16_are_not_lost():
    small = torch.tensor([[2.0**-14]], requires_grad=True)
    weight = torch.tensor([[2.0**-12]], requires_grad=True)

    def gradient(factor):
        small.grad = None
        with torch.autocast("cpu", torch.float16):
            product = small @ weight
        (product.float().sum() * 2.0**-15 * factor).backward()
        return small.grad

    scale = LossScale(CPU)
    scaled = gradient(scale.factor)
    scale.take_from([scaled])
    assert gradient(1.0) == 0.0
    assert scaled == 2.0**-27


def test_too_large_a_scale_is_lowered_and_no_divergence(tmp_path, caplog):
    task = SteepTask()
    # Each update halves the scale: more of them in a row than a training bears that diverges.
    outcome = run(tmp_path, task, replace(SETTINGS, max_skipped_in_a_row=0))
    assert outcome.skipped_steps == 0 and "left out" not in outcome.message + caplog.text
    found = torch.load(tmp_path / RESUME, weights_only=True)["scale"]
    assert 1.0 < found["factor"] < FIRST


@pytest.mark.parametrize("factor", [float("inf"), float("nan")])
def test_gradients_that_no_scale_makes_finite_are_a_divergence(tmp_path, factor):
    with pytest.raises(ModelError, match="diverged"):
        run(tmp_path, SteepTask(factor=factor), replace(SETTINGS, epochs=20))


def test_a_loss_that_is_not_finite_is_counted_at_once(tmp_path):
    task = TinyTask()
    task.poisoned = {0}
    outcome = run(tmp_path, task, replace(SETTINGS, epochs=1))
    assert outcome.skipped_steps == 1


@pytest.mark.parametrize("stop_before_update", [1, 3, 5, 8, 17])
def test_an_interrupted_run_ends_with_the_same_bits_and_the_same_scale(
    tmp_path, stop_before_update, monkeypatch
):
    monkeypatch.setattr(loss_scale, "GROWS_AFTER", 4)
    whole = SteepTask()
    run(tmp_path / "whole", whole)
    run(tmp_path / "parts", SteepTask(), watcher=Watcher(stop_before_update))
    parts = SteepTask(seed=5)
    run(tmp_path / "parts", parts)
    assert torch.equal(weights(parts), weights(whole))
    files = [torch.load(tmp_path / name / RESUME, weights_only=True) for name in ("whole", "parts")]
    assert files[0]["scale"] == files[1]["scale"]


def test_a_run_goes_on_in_fp16_from_a_file_of_another_precision_and_back(tmp_path):
    others = replace(SETTINGS, precision="fp32"), replace(SETTINGS, precision="bf16")
    for settings, stop in ((others[0], 2), (SETTINGS, 3), (others[1], 3), (SETTINGS, None)):
        outcome = run(tmp_path, TinyTask(), settings, Watcher(stop))
    assert outcome.ended == "finished" and outcome.skipped_steps == 0


@pytest.mark.parametrize(
    "state",
    [
        {"factor": float("inf"), "good": 0.0},
        {"factor": float("nan"), "good": 0.0},
        {"factor": -4.0, "good": 0.0},
        {"factor": 0.0, "good": 0.0},
        {"factor": 3.0, "good": 0.0},
        {"factor": 2.0**60, "good": 0.0},
        {"factor": "65536", "good": 0.0},
        {"factor": 4.0, "good": -1.0},
        {"factor": 4.0, "good": float("nan")},
    ],
)
def test_a_strangers_scale_is_refused(state):
    with pytest.raises(ValueError, match="scale of its losses"):
        LossScale(CPU).restore(state)


def test_the_scale_grows_again_after_good_updates(monkeypatch):
    monkeypatch.setattr(loss_scale, "GROWS_AFTER", 3)
    scale, factors = LossScale(CPU), []
    for broken in (1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0):
        scale.move(torch.tensor(broken))
        factors.append(float(scale.factor) / FIRST)
    assert factors == [0.5, 0.5, 0.5, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 1.0]
