"""A voice's updates on a GPU: the kernel and the replayed graphs do what the plain code does."""

import copy

import pytest
import torch

from bench.gpu_voice import SameBatch
from codex_worker.stabletts import alignment
from codex_worker.stabletts.alignment import durations, durations_by_symbol
from codex_worker.stabletts.configuration import TINY
from codex_worker.stabletts.padding import Padding
from codex_worker.training.task import TrainingSettings
from codex_worker.training.turns import ReplayedTurn, turns_of

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")

CUDA = torch.device("cuda")
SETTINGS = TrainingSettings(epochs=1, learning_rate=1e-3, clip_norm=1.0, ema_decay=0.9)
SHAPES = [(3, 64, 20), (4, 128, 32), (2, 192, 64)]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(
    ("n_symbols", "n_frames"), [([1], [1]), ([5, 1, 9], [5, 7, 30]), ([321, 160], [800, 401])]
)
def test_the_kernel_finds_the_durations_of_the_plain_code(n_symbols, n_frames, ties):
    assert alignment.proven_kernel(CUDA) is not None, "torch for CUDA brings triton, which needs a C compiler"
    generator = torch.Generator().manual_seed(max(n_frames))
    shape = (len(n_symbols), max(n_symbols), max(n_frames))
    scores = torch.randn(shape, generator=generator) * 30 - 200
    if ties:
        scores = (scores / 30).round()
    plain = durations_by_symbol(
        scores,
        Padding.of(n_symbols, shape[1], torch.device("cpu")),
        Padding.of(n_frames, shape[2], torch.device("cpu")),
    )
    there = (torch.tensor(n_symbols, device=CUDA), torch.tensor(n_frames, device=CUDA))
    paddings = Padding.of(there[0], shape[1], CUDA), Padding.of(there[1], shape[2], CUDA)
    assert torch.equal(durations(scores.cuda(), *paddings).cpu(), plain)


def without_dropout(task):
    task.model.eval()  # a graph draws from other places of the same stream of numbers
    return task


def updated(tasks, turn, updates):
    """The losses of some updates, on batches of several shapes by turns."""
    found = []
    for update in range(updates):
        torch.manual_seed(update)
        turn.set_rates([1.0 / (update + 1)] * 2)
        taken = turn.take([tasks[update % len(tasks)].load(None, None)])
        found.append([taken.left_out.item(), *(value.item() for value in taken.losses.values())])
    return found


def test_replayed_updates_are_the_plain_ones():
    batches = [SameBatch(shape, TINY, "cuda", repeats=True) for shape in SHAPES]
    plain, replayed = (
        without_dropout(SameBatch(SHAPES[0], TINY, "cuda", repeats=each)) for each in (False, True)
    )
    (turn,), (graph,) = turns_of(plain, SETTINGS, CUDA), turns_of(replayed, SETTINGS, CUDA)
    assert isinstance(graph, ReplayedTurn) and not isinstance(turn, ReplayedTurn)
    expected, found = updated(batches, turn, 8), updated(batches, graph, 8)
    torch.testing.assert_close(torch.tensor(found), torch.tensor(expected), rtol=1e-3, atol=1e-4)
    for name, value in plain.model.state_dict().items():
        torch.testing.assert_close(replayed.model.state_dict()[name], value, rtol=1e-2, atol=2e-4, msg=name)


def test_the_chance_in_a_replayed_update_follows_from_the_seed():
    """With dropout; the shape is recorded at the first of them, and its chance is that of any later one."""
    task = SameBatch(SHAPES[1], TINY, "cuda", repeats=True)
    (turn,) = turns_of(task, SETTINGS, CUDA)
    turn.set_rates([0.0, 0.0])  # the weights stay, so that only chance makes a difference
    losses = []
    for seed in (1, 2, 1):
        torch.manual_seed(seed)
        losses.append(turn.take([task.load(None, None)]).losses["total"].item())
    assert losses[0] == pytest.approx(losses[2], rel=1e-5)
    assert abs(losses[0] - losses[1]) > 1e-4 * abs(losses[0])


def test_a_replayed_update_without_finite_numbers_changes_nothing():
    task = without_dropout(SameBatch(SHAPES[0], TINY, "cuda", repeats=True))
    (turn,) = turns_of(task, SETTINGS, CUDA)
    turn.set_rates([1.0, 1.0])
    turn.take([task.batch])
    before = copy.deepcopy(task.model.state_dict())
    average = turn.learner.average
    assert average is not None
    kept, updates = copy.deepcopy(average.tensors), average.updates
    broken = task.batch._replace(stored_mel=torch.full_like(task.batch.stored_mel, float("inf")))
    assert turn.take([broken]).left_out.item() == 1.0
    for was, now in ((before, task.model.state_dict()), (kept, average.tensors)):
        assert all(torch.equal(value, now[name]) for name, value in was.items())
    assert average.updates == updates
    assert turn.take([task.batch]).left_out.item() == 0.0, "nothing of it stays in the gradients"
