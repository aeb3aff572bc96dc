"""Batches are read ahead in a thread: in their order, with their own chance, and never left behind."""

import threading

import pytest
import torch

from codex_worker.errors import DataError
from codex_worker.training.loading import AHEAD, loaded_ahead
from codex_worker.training.loop import fit
from codex_worker.training.task import TrainingSettings

from .test_replayed_turns import LoadingTiny
from .tiny_task import Clock, TinyTask, Watcher


class Library:
    """Loads anything, and remembers what was asked for and by which thread."""

    def __init__(self, fails_at=None):
        self.asked, self.threads, self.fails_at = [], set(), fails_at
        self.began = threading.Semaphore(0)

    def load(self, batch, generator):
        self.asked.append(batch)
        self.threads.add(threading.current_thread())
        self.began.release()
        if batch == self.fails_at:
            raise DataError(f"recording {batch} is broken")
        return batch, torch.rand((), generator=generator).item()

    def losses_of(self, batch):
        raise AssertionError("nobody computes here")


GROUPS = [[f"{update}.{number}" for number in range(1 + update % 2)] for update in range(9)]


@pytest.mark.parametrize("begin", [0, 1, 5, 8, 9])
def test_batches_come_in_their_order_from_any_place_on(begin):
    whole, rest = Library(), Library()
    with loaded_ahead(whole, GROUPS, 1, 2, 0) as arriving:
        expected = list(arriving)
    with loaded_ahead(rest, GROUPS, 1, 2, begin) as arriving:
        found = list(arriving)
    assert [[name for name, _ in group] for group in expected] == GROUPS
    assert found == expected[begin:], "the chance follows from the place"
    draws = [draw for group in expected for _, draw in group]
    assert len(set(draws)) == len(draws)


@pytest.mark.parametrize(("seed", "epoch"), [(1, 3), (2, 2)])
def test_another_seed_or_epoch_has_another_chance(seed, epoch):
    def draws(seed, epoch):
        with loaded_ahead(Library(), GROUPS, seed, epoch, 0) as arriving:
            return {draw for group in arriving for _, draw in group}

    assert not draws(1, 2) & draws(seed, epoch)


def test_reading_runs_ahead_but_not_far():
    library = Library()
    with loaded_ahead(library, [[number] for number in range(9)], 0, 0, 0) as arriving:
        for _ in range(AHEAD):
            assert library.began.acquire(timeout=60), "read before anybody asked"
        next(arriving)
        assert library.began.acquire(timeout=60)
        assert library.asked == list(range(AHEAD + 1))
        assert threading.current_thread() not in library.threads


@pytest.mark.parametrize("taken", [0, 1, 4])
def test_no_thread_and_no_reading_is_left_behind_by_a_run_that_stops(taken):
    library = Library()
    with loaded_ahead(library, GROUPS, 0, 0, 0) as arriving:
        for _ in range(taken):
            next(arriving)
    assert all(not thread.is_alive() for thread in library.threads)
    assert len(library.asked) <= sum(map(len, GROUPS[: taken + AHEAD]))


def test_what_a_load_raises_is_raised_where_its_batch_is_needed():
    library = Library(fails_at="4.0")
    with loaded_ahead(library, GROUPS, 0, 0, 0) as arriving:
        assert [len(next(arriving)) for _ in range(4)] == [1, 2, 1, 2]
        with pytest.raises(DataError, match=r"recording 4\.0 is broken"):
            next(arriving)
    assert all(not thread.is_alive() for thread in library.threads)


def test_a_broken_recording_ends_the_training_with_its_own_error(tmp_path, monkeypatch):
    task = LoadingTiny()

    def broken(batch, generator):
        raise DataError("a recording lost its end")

    monkeypatch.setattr(task, "load", broken)
    threads = set(threading.enumerate())
    with pytest.raises(DataError, match="lost its end"):
        fit(task, TrainingSettings(epochs=1, learning_rate=0.1), tmp_path, Watcher(), clock=Clock())
    assert set(threading.enumerate()) <= threads


def test_a_task_that_loads_nothing_has_its_batches_as_they_are():
    threads = threading.active_count()
    with loaded_ahead(TinyTask(), [[[1]], [[2]], [[3]]], 0, 0, 1) as arriving:
        assert threading.active_count() == threads
        assert list(arriving) == [[[2]], [[3]]]
