"""Updates whose numbers are not finite: left out on the device, counted when the numbers are read."""

import copy
from dataclasses import replace

import pytest
import torch

from codex_worker.errors import ModelError
from codex_worker.training.loop import fit
from codex_worker.training.task import TrainingSettings
from codex_worker.training.turns import turns_of
from codex_worker.training.unread import READ_EVERY, UnreadUpdates

from .tiny_task import Clock, TinyGame, TinyTask, Watcher

SETTINGS = TrainingSettings(epochs=1, learning_rate=0.05, ema_decay=0.9, seed=3)
CPU = torch.device("cpu")


def everything(turns):
    """All that an update may change: weights, moments, steps and averages of all networks."""
    kept = []
    for turn in turns:
        learner = turn.learner
        average = learner.average
        held = None if average is None else (average.tensors, average.updates)
        kept.append((learner.model.state_dict(), learner.optimizer.state_dict()["state"], held))
    return copy.deepcopy(kept)


def same(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    return one == other


@pytest.mark.parametrize("accumulated", [1, 2, 3])
@pytest.mark.parametrize("bad", ["loss", "gradient", "told"])
def test_an_update_without_finite_numbers_changes_nothing_at_all(bad, accumulated):
    task = TinyTask()
    (turn,) = turns_of(task, SETTINGS, CPU)
    good = [[0, 1], [2, 3], [4, 5]][:accumulated]
    turn.take(good)
    before = everything([turn])
    told = None
    if bad == "loss":
        task.poisoned = {good[-1][0]}
    elif bad == "gradient":
        task.model.get_parameter("3.weight").register_hook(lambda gradient: gradient * float("inf"))
    else:
        told = torch.ones(())
    assert turn.take(good, told).left_out.item() == 1.0
    assert same(everything([turn]), before)


@pytest.mark.parametrize("broken", ["opponent", "own"])
def test_one_networks_broken_numbers_leave_the_average_and_what_follows_as_they_are(broken):
    task = TinyGame()
    turns = turns_of(task, SETTINGS, CPU)
    for turn in turns:
        turn.take([[0, 1]])
    before = everything(turns)
    if broken == "opponent":
        task.opponent.poisoned = True
    else:
        task.poisoned = {0}
    first = turns[0].take([[0, 1]])
    second = turns[1].take([[0, 1]], first.left_out)
    after = everything(turns)
    assert second.left_out.item() == 1.0
    assert same(after[1], before[1])
    assert same(after[0], before[0]) is (broken == "opponent"), "an opponent learns before the other's turn"


@pytest.mark.parametrize("updates", [1, READ_EVERY - 1, READ_EVERY, 3 * READ_EVERY + 4])
def test_numbers_are_read_in_order_and_each_once(updates):
    (turn,) = turns_of(TinyTask(), SETTINGS, CPU)
    unread, looks, read = UnreadUpdates(), 0, []
    for update in range(updates):
        unread.add(1, update, 1, [turn.take([[update % 12]])])
        if unread.is_full:
            looks += 1
            read += unread.read()
    read += unread.read()
    assert [each.update for each in read] == list(range(updates))
    assert unread.read() == []
    assert looks == updates // READ_EVERY


@pytest.mark.parametrize(
    ("limit", "first_bad", "place"),
    [
        (4, 0, "epoch 1, update 5"),
        (10, 0, "epoch 1, update 11"),
        (14, 3, "epoch 1, update 18"),
        (9, 9, "epoch 1, update 19"),
        (12, 17, "epoch 2, update 6"),
    ],
)
def test_divergence_is_told_at_the_update_where_it_was_one_too_many(
    tmp_path, monkeypatch, limit, first_bad, place
):
    task = TinyTask()
    losses, calls = task.losses, []

    def turning_bad(batch):
        calls.append(batch)
        found = losses(batch)
        return {**found, "total": found["total"] * float("nan")} if len(calls) > first_bad else found

    monkeypatch.setattr(task, "losses", turning_bad)
    monkeypatch.setattr(task, "batches", lambda epoch: [[index % 12] for index in range(24)])
    with pytest.raises(ModelError, match=f"diverged at {place}: {limit + 1} updates in a row"):
        fit(task, replace(SETTINGS, epochs=3, max_skipped_in_a_row=limit), tmp_path, Watcher(), clock=Clock())
    assert len(calls) < first_bad + limit + 1 + READ_EVERY
