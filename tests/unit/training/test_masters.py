"""Networks that compute in bf16 and learn in fp32."""

import statistics
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from codex_worker.training.loop import BEST, LAST, RESUME, fit
from codex_worker.training.masters import MasterWeights
from codex_worker.training.task import TrainingSettings

from .tiny_task import Clock, TinyGame, TinyTask, Watcher

SETTINGS = TrainingSettings(
    epochs=4, learning_rate=0.05, ema_decay=0.9, accumulation=2, seed=3, precision="bf16_weights"
)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def run(folder, task, settings=SETTINGS, watcher=None):
    return fit(task, settings, folder, watcher or Watcher(), clock=Clock())


def assert_same_weights(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


@pytest.mark.parametrize("ema_decay", [None, 0.9])
@pytest.mark.parametrize("kind", [TinyTask, TinyGame])
@pytest.mark.parametrize("stop_before_update", [1, 5])
def test_an_interrupted_run_ends_exactly_like_an_uninterrupted_one(
    tmp_path, kind, stop_before_update, ema_decay
):
    settings = replace(SETTINGS, ema_decay=ema_decay)
    expected = run(tmp_path / "whole", kind(), settings)
    run(tmp_path / "parts", kind(), settings, Watcher(stop_before_update))
    torch.manual_seed(999)
    outcome = run(tmp_path / "parts", kind(seed=5), settings)
    assert outcome.rows == expected.rows
    for name in (BEST, LAST):
        assert_same_weights(load_file(tmp_path / "parts" / name), load_file(tmp_path / "whole" / name))


def test_the_network_computes_in_bf16_and_its_files_hold_fp32(tmp_path):
    task = TinyTask()
    kinds = set()
    task.model[3].register_forward_hook(lambda module, given, made: kinds.add(made.dtype))
    run(tmp_path, task)
    assert kinds == {torch.bfloat16}
    resumed = torch.load(tmp_path / RESUME, weights_only=True)
    for state in (load_file(tmp_path / LAST), resumed["model"], resumed["average"]["tensors"]):
        assert {value.dtype for value in state.values()} == {torch.float32}
        assert any(not torch.equal(value, value.bfloat16().float()) for value in state.values())
    for moments in resumed["optimizer"]["state"].values():
        assert moments["exp_avg"].dtype == torch.float32


def test_an_update_too_small_for_bf16_is_kept(tmp_path):
    settings = replace(SETTINGS, learning_rate=1e-6, ema_decay=None, weight_decay=0.0)
    moved = {}
    for precision in ("fp32", "bf16_weights"):
        task = TinyTask()
        began = {name: value.clone() for name, value in task.model.state_dict().items()}
        run(tmp_path / precision, task, replace(settings, precision=precision))
        last = load_file(tmp_path / precision / LAST)
        moved[precision] = torch.cat([(last[name] - began[name]).flatten() for name in began])
        rounded = torch.cat([(last[n].bfloat16() - began[n].bfloat16()).float().flatten() for n in began])
    assert rounded.abs().max() < 1e-2 and (rounded == 0).float().mean() > 0.9, "bf16 hardly shows it"
    assert (moved["bf16_weights"] != 0).all()
    torch.testing.assert_close(moved["bf16_weights"], moved["fp32"], atol=1e-6, rtol=0.1)


def test_a_run_follows_one_in_fp32_within_its_spread(tmp_path):
    def value(precision, seed):
        folder = tmp_path / f"{precision}{seed}"
        settings = replace(SETTINGS, epochs=8, precision=precision, seed=seed)
        return run(folder, TinyTask(), settings).rows[-1]["val_total_loss"]

    plain = [value("fp32", seed) for seed in range(4)]
    rounded = [value("bf16_weights", seed) for seed in range(4)]
    assert abs(statistics.mean(rounded) - statistics.mean(plain)) < statistics.stdev(plain)


def test_what_is_frozen_stays_as_it_is_to_the_last_bit(tmp_path):
    class Thawing(TinyTask):
        def batches(self, epoch):
            self.model[0].requires_grad_(epoch >= 2)
            return super().batches(epoch)

    task = Thawing()
    began = task.model.get_parameter("0.weight").detach().clone()
    watcher = Watcher(stop_before_update=6)  # two epochs
    run(tmp_path, task, replace(SETTINGS, ema_decay=None), watcher)
    assert torch.equal(load_file(tmp_path / LAST)["0.weight"], began)
    run(tmp_path, Thawing(), replace(SETTINGS, ema_decay=None))
    assert not torch.equal(load_file(tmp_path / LAST)["0.weight"], began)


def test_a_network_outside_of_all_groups_is_not_rounded_in_the_checkpoint(tmp_path):
    class OnlyTheHead(TinyTask):
        def parameter_groups(self, learning_rate):
            return [{"params": list(self.model[3].parameters())}]

    task = OnlyTheHead()
    began = task.model.get_parameter("0.weight").detach().clone()
    run(tmp_path, task, replace(SETTINGS, ema_decay=None))
    assert torch.equal(load_file(tmp_path / LAST)["0.weight"], began)


def test_gradients_of_several_batches_are_added_in_fp32():
    model = nn.Linear(1, 1, bias=False)
    masters = MasterWeights(model)
    for gradient in (1.0, 2.0**-9):  # their sum has no number in bf16
        model.weight.grad = torch.full((1, 1), gradient, dtype=torch.bfloat16)
        masters.collect()
    assert model.weight.grad is None
    added = masters.tensors["weight"].grad
    assert added is not None and added.item() == 1.0 + 2.0**-9


def test_what_a_broken_off_update_left_counts_for_nothing(tmp_path):
    class Littered(TinyTask):
        def batches(self, epoch):
            for parameter in self.model.parameters():
                parameter.grad = torch.ones_like(parameter)  # as an update leaves them that ran out of memory
            return super().batches(epoch)

    run(tmp_path / "littered", Littered())
    run(tmp_path / "clean", TinyTask())
    assert_same_weights(load_file(tmp_path / "littered" / LAST), load_file(tmp_path / "clean" / LAST))


@pytest.mark.parametrize(("first", "second"), [("fp32", "bf16_weights"), ("bf16_weights", "fp32")])
def test_a_run_may_go_on_in_other_numbers(tmp_path, first, second, caplog):
    run(tmp_path, TinyTask(), replace(SETTINGS, precision=first), Watcher(stop_before_update=5))
    kept = torch.load(tmp_path / RESUME, weights_only=True)["model"]
    run(tmp_path, TinyTask(seed=8), replace(SETTINGS, precision=second), Watcher(stop_before_update=0))
    assert_same_weights(torch.load(tmp_path / RESUME, weights_only=True)["model"], kept)
    assert f"precision {first} -> {second}" in caplog.text


def test_weights_that_two_layers_share_are_one_master():
    one, other = nn.Linear(2, 2), nn.Linear(2, 2)
    other.weight = one.weight
    model = nn.Sequential(one, other)
    masters = MasterWeights(model)
    first, second = masters.of([one.get_parameter("weight"), other.get_parameter("weight")])
    assert first is second
    with masters.in_full():
        assert model.state_dict()["1.weight"].dtype == torch.float32
