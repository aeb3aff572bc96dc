"""Updates by recorded work on fixed tensors move the weights as plain updates do."""

from collections import namedtuple
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from codex_worker.training import turns
from codex_worker.training.loop import LAST, fit
from codex_worker.training.task import TrainingSettings
from codex_worker.training.turns import ReplayedTurn, turns_of
from tests.support.present import present
from tests.support.recorded import DoneAgain

from .test_left_out_updates import everything, same
from .tiny_task import Clock, TinyTask, Watcher

SETTINGS = TrainingSettings(epochs=3, learning_rate=0.05, ema_decay=0.9, accumulation=2, seed=3)
CPU = torch.device("cpu")

Loaded = namedtuple("Loaded", ["inputs", "targets", "noise"])


class LoadingTiny(TinyTask):
    """Loads its batches: what they are disturbed by is drawn while loading."""

    repeats = False

    def load(self, batch, generator):
        noise = torch.randn(len(batch), 2, generator=generator) * 0.1
        poison = float("nan") if self.poisoned.intersection(batch) else 0.0
        return Loaded(self.inputs[batch], self.targets[batch] + poison, noise)

    def losses_of(self, batch):
        error = self.model(batch.inputs) + batch.noise - batch.targets
        return {"total": error.square().mean(), "worst": error.detach().abs().max()}


class RepeatingTiny(LoadingTiny):
    repeats = True


@pytest.fixture
def recorder(monkeypatch):
    made = DoneAgain()
    monkeypatch.setattr(turns, "CudaGraphs", lambda: made)
    return made


def both_turns(settings=SETTINGS):
    plain, repeating = LoadingTiny(), RepeatingTiny()
    return (plain, *turns_of(plain, settings, CPU)), (repeating, *turns_of(repeating, settings, CPU))


def take(task, turn, batches, told=None):
    torch.manual_seed(5)  # for the dropout
    return turn.take([task.load(batch, torch.Generator().manual_seed(1)) for batch in batches], told)


def assert_near(one, other):
    for name, value in one.items():
        assert torch.allclose(value, other[name], atol=1e-6), name


@pytest.mark.parametrize("accumulated", [1, 2, 3])
@pytest.mark.parametrize("clip_norm", [None, 0.1])
def test_replayed_updates_are_the_plain_ones(recorder, accumulated, clip_norm):
    """Three shapes of batches, in any order, with other rates at each update."""
    settings = replace(SETTINGS, clip_norm=clip_norm)
    (plain, turn), (repeating, replayed) = both_turns(settings)
    assert isinstance(replayed, ReplayedTurn) and not isinstance(turn, ReplayedTurn)
    for update in range(7):
        batches = [[update, update + 1, 0][: 1 + (update + number) % 3] for number in range(accumulated)]
        for each in (turn, replayed):
            each.set_rates([0.5, 1.0 / (update + 1)])
        expected, found = take(plain, turn, batches), take(repeating, replayed, batches)
        assert list(expected.losses) == list(found.losses)
        for name, value in expected.losses.items():
            assert found.losses[name].item() == pytest.approx(value.item(), rel=1e-5)
        assert found.left_out.item() == 0.0
    assert_near(plain.model.state_dict(), repeating.model.state_dict())
    averages = present(turn.learner.average), present(replayed.learner.average)
    assert_near(averages[0].tensors, averages[1].tensors)
    assert averages[1].updates == 7
    assert recorder.recorded == 3 + 1, "each shape once, and the end of an update"


def test_replayed_updates_in_fp16_scale_their_losses_as_plain_ones_do(recorder):
    """The first scale is too large for these losses: it halves, update by update, in both."""
    settings = replace(SETTINGS, precision="fp16")
    (plain, turn), (repeating, replayed) = both_turns(settings)
    for task in (plain, repeating):
        task.targets = task.targets * 1000
    left_out = []
    for update in range(12):
        expected, found = (
            take(task, each, [[update]]) for task, each in ((plain, turn), (repeating, replayed))
        )
        assert found.left_out.item() == expected.left_out.item()
        assert found.diverged.item() == expected.diverged.item() == 0.0
        left_out.append(found.left_out.item())
    assert left_out[0] == 1.0 and left_out[-1] == 0.0
    assert present(turn.learner.scale).state() == present(replayed.learner.scale).state()
    assert_near(plain.model.state_dict(), repeating.model.state_dict())


def test_replayed_parts_of_batches_are_the_plain_ones(recorder):
    (plain, turn), (repeating, replayed) = both_turns()
    for batches, sizes in (([[0, 1, 2], [3]], [0.75, 0.25]), ([[4, 5, 6], [7], [8]], [0.75, 0.25, 1.0])):
        found = []
        for task, each in ((plain, turn), (repeating, replayed)):
            torch.manual_seed(5)
            loaded = [task.load(batch, torch.Generator().manual_seed(1)) for batch in batches]
            found.append(each.take(loaded, None, sizes).losses["total"].item())
        assert found[0] == pytest.approx(found[1], rel=1e-4)
    assert_near(plain.model.state_dict(), repeating.model.state_dict())


def test_recording_itself_changes_nothing(recorder):
    _, (repeating, replayed) = both_turns()
    before = {name: value.clone() for name, value in repeating.model.state_dict().items()}
    take(repeating, replayed, [[0, 1]], told=torch.ones(()))
    assert recorder.recorded == 2
    assert all(torch.equal(value, before[name]) for name, value in repeating.model.state_dict().items())
    assert present(replayed.learner.average).updates == 0
    states = replayed.learner.optimizer.state.values()
    assert states and all(state["step"].item() == 0 for state in states)


@pytest.mark.parametrize("bad", ["numbers", "told"])
def test_a_replayed_update_without_finite_numbers_changes_nothing(recorder, bad):
    _, (repeating, replayed) = both_turns()
    take(repeating, replayed, [[0, 1]])
    before = everything([replayed])
    repeating.poisoned = {0} if bad == "numbers" else set()
    taken = take(repeating, replayed, [[2, 3], [0, 1]], told=torch.ones(()) if bad == "told" else None)
    assert taken.left_out.item() == 1.0
    assert same(everything([replayed]), before)
    repeating.poisoned = set()
    assert take(repeating, replayed, [[2, 3]]).left_out.item() == 0.0, "nothing of it stays in the gradients"
    assert all(torch.isfinite(value).all() for value in repeating.model.state_dict().values())


@pytest.mark.parametrize("kind", [LoadingTiny, RepeatingTiny])
@pytest.mark.parametrize("stop_before_update", [1, 4, 5])
def test_an_interrupted_run_of_loaded_batches_ends_like_a_whole_one(
    tmp_path, recorder, kind, stop_before_update
):
    whole, first, rest = kind(), kind(), kind(seed=5)
    expected = fit(whole, SETTINGS, tmp_path / "whole", Watcher(), clock=Clock())
    fit(first, SETTINGS, tmp_path / "parts", Watcher(stop_before_update), clock=Clock())
    torch.manual_seed(99)
    outcome = fit(rest, SETTINGS, tmp_path / "parts", Watcher(), clock=Clock())
    assert outcome.rows == expected.rows
    for name, value in whole.model.state_dict().items():
        assert torch.equal(rest.model.state_dict()[name], value), name
    averaged = [load_file(tmp_path / part / LAST) for part in ("whole", "parts")]
    assert all(torch.equal(value, averaged[1][name]) for name, value in averaged[0].items())


def test_masters_of_half_precision_are_never_replayed(recorder):
    (turn,) = turns_of(RepeatingTiny(), replace(SETTINGS, precision="bf16_weights"), CPU)
    assert not isinstance(turn, ReplayedTurn)


class Refuses(DoneAgain):
    """Fails after some recordings, having done half of the work, as a driver may."""

    def __init__(self, recordings):
        super().__init__()
        self.recordings = recordings

    def __call__(self, work):
        if self.recorded < self.recordings:
            return super().__call__(work)
        chance = torch.get_rng_state()
        work()
        torch.set_rng_state(chance)
        raise RuntimeError("operation not permitted when stream is capturing\nmore lines")


@pytest.mark.parametrize("recordings", [0, 1, 2, 3])
def test_where_recording_fails_the_updates_are_plain_ones_from_then_on(monkeypatch, caplog, recordings):
    monkeypatch.setattr(turns, "CudaGraphs", lambda: Refuses(recordings))
    (plain, turn), (repeating, replayed) = both_turns()
    for update in range(6):
        batches = [[update, 0][: 1 + update % 2], [1]]
        for each in (turn, replayed):
            each.set_rates([0.5, 1.0 / (update + 1)])
        expected, found = take(plain, turn, batches), take(repeating, replayed, batches)
        assert found.losses["total"].item() == pytest.approx(expected.losses["total"].item(), rel=1e-5)
    assert_near(plain.model.state_dict(), repeating.model.state_dict())
    assert present(replayed.learner.average).updates == 6
    assert caplog.text.count("Updates are not recorded here") == (recordings < 3)


def test_running_out_of_memory_while_recording_is_told_as_such(monkeypatch):
    def too_large(work):
        raise torch.OutOfMemoryError("tried to allocate 80 GiB")

    monkeypatch.setattr(turns, "CudaGraphs", lambda: too_large)
    _, (repeating, replayed) = both_turns()
    with pytest.raises(torch.OutOfMemoryError):
        take(repeating, replayed, [[0]])
