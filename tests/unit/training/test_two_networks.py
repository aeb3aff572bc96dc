"""Two networks that learn against each other: in turn, and after an interruption as if there was none."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from codex_worker.errors import ModelError
from codex_worker.training.loop import LAST, RESUME, fit
from codex_worker.training.task import TrainingSettings

from .tiny_task import Clock, TinyGame, TinyTask, Watcher

SETTINGS = TrainingSettings(epochs=4, learning_rate=0.05, ema_decay=0.9, accumulation=2, seed=3)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def run(folder, task, watcher=None, settings=SETTINGS):
    return fit(task, settings, folder, watcher or Watcher(), clock=Clock())


def assert_same_weights(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


@pytest.mark.parametrize("stop_before_update", [0, 1, 2, 3, 5, 8, 9])
@pytest.mark.parametrize("packing", ["even", "uneven"])
def test_an_interrupted_game_ends_exactly_like_an_uninterrupted_one(tmp_path, stop_before_update, packing):
    whole = TinyGame(packing=packing)
    expected = run(tmp_path / "whole", whole)
    run(tmp_path / "parts", TinyGame(packing=packing), Watcher(stop_before_update))
    torch.manual_seed(999)
    rest = TinyGame(seed=5, packing=packing)
    outcome = run(tmp_path / "parts", rest)
    assert_same_weights(rest.model.state_dict(), whole.model.state_dict())
    assert_same_weights(rest.opponent.model.state_dict(), whole.opponent.model.state_dict())
    assert_same_weights(load_file(tmp_path / "parts" / LAST), load_file(tmp_path / "whole" / LAST))
    assert outcome.rows == expected.rows


def test_both_networks_learn_and_both_losses_are_shown(tmp_path):
    task = TinyGame()
    began = [
        task.model.get_parameter("0.weight").clone(),
        task.opponent.model.get_parameter("0.weight").clone(),
    ]
    outcome = run(tmp_path, task, settings=replace(SETTINGS, epochs=40))
    assert not torch.equal(task.model.get_parameter("0.weight"), began[0])
    assert not torch.equal(task.opponent.model.get_parameter("0.weight"), began[1])
    assert {"train_opponent_loss", "train_fooled_loss", "train_total_loss"} <= set(outcome.rows[0])
    assert outcome.rows[-1]["val_total_loss"] < 0.5 * outcome.rows[0]["val_total_loss"]
    assert set(load_file(outcome.last_path)) == set(task.model.state_dict()), "nobody deploys the opponent"


def test_the_opponent_learns_from_its_own_loss_only(tmp_path, monkeypatch):
    """What the first network's loss leaves in its gradients is cleared before its next update."""
    task = TinyGame()
    seen = []
    loss = task.opponent.loss

    def watched(batch):
        seen.append(all(parameter.grad is None for parameter in task.opponent.model.parameters()))
        return loss(batch)

    monkeypatch.setattr(task.opponent, "loss", watched)
    run(tmp_path, task, settings=replace(SETTINGS, epochs=1, accumulation=1))
    assert seen and all(seen)


def test_an_opponent_without_finite_numbers_leaves_the_update_out_for_both(tmp_path):
    task = TinyGame()
    task.opponent.poisoned = True
    began = task.model.get_parameter("0.weight").clone()
    with pytest.raises(ModelError, match="training diverged"):
        run(tmp_path, task)
    assert torch.equal(task.model.get_parameter("0.weight"), began)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content.pop("opponent"),
        lambda content: content.update(opponent=None),
        lambda content: content["opponent"]["model"].popitem(),
        lambda content: content["opponent"].update(optimizer=3),
    ],
)
def test_a_state_without_a_whole_opponent_costs_progress_only(tmp_path, caplog, damage):
    run(tmp_path, TinyGame(), Watcher(5))
    content = torch.load(tmp_path / RESUME, weights_only=True)
    damage(content)
    torch.save(content, tmp_path / RESUME)
    task, fresh = TinyGame(), TinyGame()
    run(tmp_path, task)
    run(tmp_path / "fresh", fresh)
    assert "training starts from the beginning" in caplog.text
    assert_same_weights(task.model.state_dict(), fresh.model.state_dict())
    assert_same_weights(task.opponent.model.state_dict(), fresh.opponent.model.state_dict())


def test_the_state_of_a_single_network_is_resumed_as_ever(tmp_path):
    run(tmp_path, TinyTask(), Watcher(5))
    content = torch.load(tmp_path / RESUME, weights_only=True)
    del content["opponent"]  # as an earlier worker wrote it
    torch.save(content, tmp_path / RESUME)
    whole, rest = TinyTask(), TinyTask()
    run(tmp_path / "whole", whole)
    run(tmp_path, rest)
    assert_same_weights(rest.model.state_dict(), whole.model.state_dict())
