"""Where memory runs out, a training goes on with smaller batches that make the same updates."""

import gc
import weakref
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from codex_worker.errors import Kind, ResourceError, is_out_of_memory
from codex_worker.job.failures import describe
from codex_worker.training import turns
from codex_worker.training.loop import RESUME, fit
from codex_worker.training.memory import in_halves, parts_of, slices
from codex_worker.training.task import TrainingSettings
from tests.support.recorded import DoneAgain

from .test_replayed_turns import RepeatingTiny
from .tiny_task import TinyGame, TinyTask, Watcher

SETTINGS = TrainingSettings(epochs=3, learning_rate=0.05, ema_decay=0.9, accumulation=2, seed=3)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def told_by_torch():
    """What torch's own allocator on a processor raises."""
    try:
        torch.empty(2**55, dtype=torch.uint8)
    except RuntimeError as error:
        return error
    raise AssertionError("so much memory?")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (told_by_torch(), True),
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), True),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported later"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("CUDA out of memory"), False),
        (OSError(12, "No room for the memory of it"), False),
    ],
)
def test_memory_that_ran_out_is_known_however_it_is_said(error, expected):
    assert is_out_of_memory(error) is expected
    assert (describe(error)[0] is Kind.RESOURCE) is expected


class Roomless:
    """Lets a task run out of memory above so many rows, and counts how often it did."""

    def __init__(self, task, most, error=torch.OutOfMemoryError):
        self.failures, self.most, self.error = 0, most, error
        for network in [task.model, *([task.opponent.model] if isinstance(task, TinyGame) else [])]:
            network.register_forward_pre_hook(self)

    def __call__(self, module, inputs):
        if len(inputs[0]) > self.most and torch.is_grad_enabled():
            self.failures += 1
            raise self.error("CUDA out of memory. Tried to allocate 80 GiB.")


def undropped(kind, batch_size, seed=1):
    """A task in which nothing depends on chance, so that parts can be compared with the whole."""
    task = kind(seed=seed, batch_size=batch_size)
    task.model[1] = nn.Identity()
    if isinstance(task, TinyGame):
        task.opponent.model[1] = nn.Identity()
    return task


def run(folder, task, settings=SETTINGS, watcher=None):
    return fit(task, settings, folder, watcher or Watcher())


def weights(task):
    models = [task.model, *([task.opponent.model] if isinstance(task, TinyGame) else [])]
    return torch.cat([each.detach().flatten() for model in models for each in model.parameters()])


OUT, BARE, PLAIN = torch.OutOfMemoryError, MemoryError, lambda said: told_by_torch()


@pytest.mark.parametrize(
    ("kind", "error", "batch_size", "most", "halvings"),
    [
        (TinyTask, OUT, 4, 3, 1),
        (TinyTask, BARE, 4, 2, 1),
        (TinyTask, PLAIN, 4, 1, 2),
        (TinyTask, OUT, 5, 2, 2),
        (TinyTask, OUT, 3, 2, 1),
        (TinyGame, OUT, 4, 2, 1),
        (TinyGame, PLAIN, 5, 2, 2),
    ],
)
def test_the_updates_are_the_same_with_less_memory(tmp_path, kind, error, batch_size, most, halvings):
    whole, parts, watcher = undropped(kind, batch_size), undropped(kind, batch_size), Watcher()
    roomy = run(tmp_path / "whole", whole)
    room = Roomless(parts, most, error)
    small = run(tmp_path / "parts", parts, watcher=watcher)
    assert room.failures == halvings
    assert (weights(parts) - weights(whole)).norm() < 1e-4 * weights(whole).norm()
    for ours, theirs in zip(small.rows, roomy.rows, strict=True):
        mean = {
            name: value for name, value in theirs.items() if "worst" not in name
        }  # the largest is no mean
        assert {name: ours[name] for name in mean} == pytest.approx(mean, rel=1e-4)
    said = [message for _, message in watcher.reports if "ran out of memory" in message]
    assert len(said) == halvings and f"batches in {2**halvings} parts" in said[-1]
    assert f"batches in {2**halvings} parts" in small.message and "memory" not in roomy.message


def test_the_same_recordings_make_an_update(tmp_path):
    whole, parts = undropped(TinyTask, 4), undropped(TinyTask, 4)
    Roomless(parts, 2)
    run(tmp_path / "whole", whole, replace(SETTINGS, epochs=1))
    run(tmp_path / "parts", parts, replace(SETTINGS, epochs=1))
    # The first part of the first batch ran out of memory, and is seen again.
    assert [row for batch in whole.seen for row in batch] == [row for part in parts.seen[1:] for row in part]
    assert {len(part) for part in parts.seen[1:]} == {2}


@pytest.mark.parametrize(("batch_size", "failures"), [(8, 3), (2, 2), (1, 1)])
def test_two_halvings_or_single_recordings_are_the_end(tmp_path, batch_size, failures):
    task = undropped(TinyTask, batch_size)
    room = Roomless(task, 0)
    with pytest.raises(ResourceError, match=r"ran out of memory in epoch 1.*Use a smaller batch size"):
        run(tmp_path, task)
    assert room.failures == failures


def test_a_batch_that_nobody_can_cut_is_the_end_at_once(tmp_path):
    class Sealed(TinyTask):
        def batches(self, epoch):
            return [tuple(batch) for batch in super().batches(epoch)]

        def losses(self, batch):
            return super().losses(list(batch))

    task = Sealed(batch_size=4)
    room = Roomless(task, 2)
    with pytest.raises(ResourceError, match="ran out of memory"):
        run(tmp_path, task)
    assert room.failures == 1


def test_memory_that_runs_out_in_the_second_networks_turn_repeats_no_turn_of_the_first(tmp_path):
    whole, parts = undropped(TinyGame, 4), undropped(TinyGame, 4)
    failures: list[int] = []

    def full(module, inputs):
        if len(inputs[0]) > 2 and inputs[0].requires_grad:  # of what the first network has made
            failures.append(1)
            raise torch.OutOfMemoryError("CUDA out of memory")

    run(tmp_path / "whole", whole)
    parts.opponent.model.register_forward_pre_hook(full)
    watcher = Watcher()
    run(tmp_path / "parts", parts, watcher=watcher)
    assert len(failures) == 1
    assert (weights(parts) - weights(whole)).norm() < 1e-4 * weights(whole).norm()


class Replayed(RepeatingTiny):
    """Its work is recorded for each shape, and its loading draws nothing."""

    def __init__(self, most):
        super().__init__(batch_size=4)
        self.model[1] = nn.Identity()
        self.most = most

    def load(self, batch, generator):
        return super().load(batch, generator)._replace(noise=torch.zeros(len(batch), 2))

    def losses_of(self, batch):
        if len(batch.inputs) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().losses_of(batch)


def test_recorded_work_is_recorded_anew_for_smaller_shapes(tmp_path, monkeypatch):
    monkeypatch.setattr(turns, "CudaGraphs", DoneAgain)
    whole, parts = Replayed(4), Replayed(1)
    run(tmp_path / "whole", whole)
    outcome = run(tmp_path / "parts", parts)
    assert "batches in 4 parts" in outcome.message
    assert (weights(parts) - weights(whole)).norm() < 1e-4 * weights(whole).norm()


def test_another_error_is_nobodys_reason_to_halve(tmp_path):
    task = undropped(TinyTask, 4)
    room = Roomless(task, 2, RuntimeError)
    room.error = lambda said: RuntimeError("an illegal memory access was encountered")
    with pytest.raises(RuntimeError, match="illegal"):
        run(tmp_path, task)
    assert room.failures == 1


@pytest.mark.parametrize("stop_before_update", [1, 2, 4])
@pytest.mark.parametrize("kind", [TinyTask, TinyGame])
def test_an_interrupted_run_ends_with_the_same_bits(tmp_path, stop_before_update, kind):
    whole = kind(batch_size=4)
    Roomless(whole, 2)
    run(tmp_path / "whole", whole)
    first, second = kind(batch_size=4), kind(batch_size=4, seed=5)
    Roomless(first, 2)
    run(tmp_path / "parts", first, watcher=Watcher(stop_before_update))
    room = Roomless(second, 2)
    outcome = run(tmp_path / "parts", second)
    assert room.failures == 0, "it begins with the parts that the first one found"
    assert torch.equal(weights(second), weights(whole))
    assert "batches in 2 parts" in outcome.message


@pytest.mark.parametrize("halvings", [-1, 3, 10**9, 1.0, "2", None])
def test_a_strangers_file_cuts_no_batch_into_dust(tmp_path, halvings):
    run(tmp_path, TinyTask(), watcher=Watcher(2))
    content = torch.load(tmp_path / RESUME, weights_only=True)
    content["state"]["halvings"] = halvings
    torch.save(content, tmp_path / RESUME)
    task = TinyTask()
    run(tmp_path, task)
    assert len(task.seen) == 18, "it began anew"


def test_a_file_of_a_run_before_there_were_halvings_is_gone_on_from(tmp_path):
    run(tmp_path, TinyTask(), watcher=Watcher(2))
    content = torch.load(tmp_path / RESUME, weights_only=True)
    del content["state"]["halvings"]
    torch.save(content, tmp_path / RESUME)
    task = TinyTask()
    run(tmp_path, task)
    assert len(task.seen) == 18 - 4


def test_memory_that_runs_out_as_the_optimizer_begins_moves_no_weight_twice(tmp_path):
    """Its moments are made at its first step."""
    whole, parts = undropped(TinyTask, 4), undropped(TinyTask, 4)
    failures: list[int] = []

    def full(optimizer, *_):
        if not failures:
            failures.append(1)
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3 GiB.")

    run(tmp_path / "whole", whole)
    hook = register_optimizer_step_pre_hook(full)
    try:
        run(tmp_path / "parts", parts)
    finally:
        hook.remove()
    assert failures and (weights(parts) - weights(whole)).norm() < 1e-4 * weights(whole).norm()


@pytest.mark.parametrize(
    ("size", "count", "expected"),
    [
        (8, 1, [8]),
        (8, 2, [4, 4]),
        (8, 4, [2, 2, 2, 2]),
        (5, 2, [2, 3]),
        (7, 4, [1, 2, 2, 2]),
        (3, 4, [1, 1, 1]),
        (1, 2, [1]),
    ],
)
def test_a_batch_is_cut_into_parts_of_like_size_that_hold_all_of_it(size, count, expected):
    found = slices(size, count)
    assert [part.stop - part.start for part in found] == expected
    assert [place for part in found for place in range(part.start, part.stop)] == list(range(size))
    batch = list(range(size))
    parts = parts_of(object(), batch, count)
    assert [item for part, _ in parts for item in part] == batch
    assert sum(share for _, share in parts) == pytest.approx(1.0)
    assert all(share == pytest.approx(len(part) / size) for part, share in parts)


@pytest.mark.parametrize("most", [1, 2, 3, 5, 8])
def test_what_is_computed_in_halves_comes_in_order_and_once(most):
    def squares(items):
        if len(items) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [item * item for item in items]

    assert in_halves(list(range(8)), squares) == [item * item for item in range(8)]


def test_a_single_item_that_does_not_fit_is_an_error():
    def nothing(items):
        raise MemoryError

    with pytest.raises(MemoryError):
        in_halves([1, 2, 3], nothing)


def test_what_filled_the_memory_is_gone_before_the_halves_are_tried():
    class Large:
        pass

    held = []

    def fills(items):
        if len(items) > 2:
            large = Large()
            held.append(weakref.ref(large))
            raise torch.OutOfMemoryError(f"CUDA out of memory beside {large}")
        assert all(each() is None for each in held)
        return list(items)

    gc.disable()  # nothing but the error itself may hold it
    try:
        assert in_halves([1, 2, 3, 4], fills) == [1, 2, 3, 4]
    finally:
        gc.enable()
    assert len(held) == 1


def test_what_filled_the_memory_is_gone_before_the_training_goes_on(tmp_path):
    held = []

    class Filling(TinyTask):
        def losses(self, batch):
            large = torch.zeros(1)
            if len(batch) > 2:
                held.append(weakref.ref(large))
                raise torch.OutOfMemoryError("CUDA out of memory")
            assert all(each() is None for each in held)
            return super().losses(batch)

    run(tmp_path, Filling(batch_size=4))
    assert len(held) == 1
