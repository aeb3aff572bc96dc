"""A voice's updates on a GPU: `python -m bench.gpu_voice [--seconds 110]`

Milliseconds an update of the published size at three shapes: as plain torch, with the alignment by a kernel,
and replayed as CUDA graphs; a processor's milliseconds to collate a batch; and the training loop itself on
recordings of random numbers, with the share of the seconds between its first and last update in which the
card computes (by NVML). Parts that would begin too late are left out by name, one that fails costs no other.
Without a GPU, or with `--tiny`, the tiny network shows that the benchmark runs. One JSON object on the last
line.
"""

import functools
import itertools
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from bench.gpu_report import Report, run
from codex_worker.contract.options import TrainingOptions
from codex_worker.stabletts import alignment
from codex_worker.stabletts.checkpoint import VoiceDescription
from codex_worker.stabletts.configuration import FULL, TINY, MelSettings, ModelSettings
from codex_worker.stabletts.dataset import Batch, Dataset, EncodedUtterance
from codex_worker.stabletts.frontend.characters import CharactersFrontend
from codex_worker.stabletts.network import StableTTS
from codex_worker.stabletts.recipe import plan
from codex_worker.stabletts.train import VoiceTraining, begin_from_scratch
from codex_worker.training.loop import fit
from codex_worker.training.machine import this_machine
from codex_worker.training.parameters import groups_by_decay
from codex_worker.training.task import TrainingSettings
from codex_worker.training.turns import Turn, turns_of

SHAPES = [(32, 400, 161), (64, 400, 161), (64, 800, 321)]  # recordings, frames, symbols
TINY_SHAPES = [(2, 64, 20)]
COLLATED = SHAPES[1]
LOOP_S = 30.0
LOOK_EVERY_S = 0.1


class SameBatch:
    """A task whose every batch is the same random one; rows are up to a twelfth shorter than the longest."""

    def __init__(self, shape: tuple[int, int, int], settings: ModelSettings, device: str, repeats: bool):
        rows, frames, symbols = shape
        rng = np.random.default_rng(0)
        shorter = rng.uniform(11 / 12, 1, rows - 1)
        lengths = [
            [size, *(int(size * share) for share in shorter)] for size in (symbols, frames, frames // 4)
        ]
        torch.manual_seed(0)
        self.model = StableTTS(settings).to(device)
        self.repeats = repeats
        self.batch = Batch(
            torch.randint(1, settings.n_vocab, (rows, symbols)),
            torch.tensor(lengths[0]),
            (torch.randn(rows, frames, settings.mel_channels) * 2 - 5).half(),
            torch.tensor(lengths[1]),
            (torch.randn(rows, frames // 4, settings.mel_channels) * 2 - 5).half(),
            torch.tensor(lengths[2]),
        )
        if device == "cuda":
            self.batch = Batch(*(each.pin_memory() for each in self.batch))

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """As for a voice."""
        return groups_by_decay(self.model)

    def batches(self, epoch: int) -> Sequence[Any]:
        """Nobody asks."""
        raise NotImplementedError

    def load(self, batch: Any, generator: torch.Generator | None) -> Batch:
        """Nothing is read."""
        return self.batch

    def losses_of(self, batch: Batch) -> dict[str, Tensor]:
        """As for a voice."""
        batch = batch.to(self.model.fake_speaker.device)
        return self.model.losses(
            batch.ids,
            batch.id_lengths,
            batch.mel,
            batch.mel_lengths,
            batch.reference,
            batch.reference_lengths,
        )

    def losses(self, batch: Any) -> dict[str, Tensor]:
        """As for a voice."""
        return self.losses_of(self.batch)

    def validate(self) -> dict[str, float]:
        """Nobody asks."""
        raise NotImplementedError

    def save(self, path: Path, metadata: dict[str, str]) -> None:
        """Nobody asks."""
        raise NotImplementedError


def update_ms(shape: tuple[int, int, int], settings: ModelSettings, device: str, way: str) -> float:
    """Milliseconds of an update among many, its numbers read every ten as the loop does."""
    task = SameBatch(shape, settings, device, repeats=way == "graph")
    machine = this_machine() if device == "cuda" else None
    training = TrainingSettings(
        epochs=1,
        learning_rate=1e-6,
        clip_norm=5.0,
        ema_decay=0.999,
        precision="bf16" if machine and machine.has_bf16 else "fp32",
    )
    (turn,) = turns_of(task, training, torch.device(device))
    turn.set_rates([1.0, 1.0])
    unkerneled = mock.patch.object(alignment, "proven_kernel", lambda device: None)
    with unkerneled if way == "plain" else nullcontext():
        _some_updates(turn, task, 2)
        once = _some_updates(turn, task, 1)
        count = max(1, min(50, int((2.0 if settings is FULL else 0.1) / once)))
        return round(_some_updates(turn, task, count) / count * 1e3, 2)


def _some_updates(turn: Turn, task: SameBatch, count: int) -> float:
    begin = time.perf_counter()
    for number in range(count):
        taken = turn.take([task.load(None, None)])
        if number % 10 == 9 or number == count - 1:
            torch.stack([taken.left_out, *taken.losses.values()]).tolist()
    return time.perf_counter() - begin


def collate_ms(folder: Path, shape: tuple[int, int, int]) -> dict[str, float]:
    """Milliseconds of a processor to collate a batch, and how many times as many the earlier way takes."""
    rows, frames, symbols = shape
    data = random_recordings(folder, [(frames, symbols)] * rows)
    mine: list[float] = []
    before: list[float] = []
    for _ in range(7):
        for times, work in ((mine, data.collate), (before, lambda each: _collate_as_before(data, each))):
            begin = time.process_time()
            work(data.utterances)
            times.append((time.process_time() - begin) * 1e3)
    ratio = statistics.median(old / new for old, new in zip(before, mine, strict=True))
    return {"ms": round(statistics.median(mine), 2), "times_as_many_before": round(ratio, 2)}


def _collate_as_before(data: Dataset, utterances: Sequence[EncodedUtterance]) -> tuple[Tensor, Tensor]:
    """Frames as float32 [M, T] of each recording, copied across into [B, M, T], as it was done once."""
    longest, wide = max(each.frames for each in utterances), max(len(each.ids) for each in utterances)
    ids = torch.zeros(len(utterances), wide, dtype=torch.int64)
    mel = torch.zeros(len(utterances), data.mel.n_mels, longest)
    reference = torch.zeros(len(utterances), data.mel.n_mels, longest // 3)
    for row, each in enumerate(utterances):
        frames = data.mel_of(each)
        ids[row, : len(each.ids)] = torch.tensor(each.ids)
        mel[row, :, : each.frames] = frames
        reference[row, :, : each.frames // 5] = frames[:, : each.frames // 5]
    return mel, reference


def random_recordings(folder: Path, sizes: Sequence[tuple[int, int]]) -> Dataset:
    """A dataset of so many frames and symbols each."""
    rng = np.random.default_rng(0)
    path = folder / "mels.f16"
    utterances, at = [], 0
    with path.open("wb") as file:
        for number, (frames, symbols) in enumerate(sizes):
            (rng.standard_normal((frames, 128), np.float32) * 2 - 5).astype(np.float16).tofile(file)
            ids = tuple(int(each) for each in rng.integers(1, 60, symbols))
            name = f"v{number:05}"
            utterances.append(EncodedUtterance(name, name, "mama na baba", ids, at, frames))
            at += frames
    return Dataset(tuple(utterances), path, MelSettings(), (), ())


class _Audience:
    """Watches a run for some seconds, then says stop."""

    save_every_s = 600.0

    def __init__(self, seconds: float, first_updates: int) -> None:
        self._seconds, self._first = seconds, first_updates
        self.updates = -1  # asked before each
        self.began = self.ended = 0.0

    def should_stop(self) -> bool:
        """After the time, counted from when the first updates are done."""
        self.updates += 1
        self.ended = time.monotonic()
        if self.updates <= self._first:
            self.began = self.ended
        return self.ended - self.began >= self._seconds

    def report(self, epochs_completed: float, message: str) -> None:
        """Nobody reads it."""

    def metrics(self, row: dict[str, float]) -> None:
        """Nobody reads it."""

    def saved_best(self, path: Path, metrics: dict[str, float]) -> None:
        """Nobody listens."""

    def needs_resume(self, *, finished: bool) -> bool:
        """Nobody goes on."""
        return False

    def saved_resume(self, path: Path, epochs: float) -> None:
        """Nobody goes on."""


def loop(folder: Path, *, tiny: bool, device: str, seconds: float) -> dict[str, float | None]:
    """The training loop on random recordings of 2 to 9 seconds, with validations and all it writes."""
    rng = np.random.default_rng(1)
    lengths = rng.integers(40, 90, 8) if tiny else rng.integers(170, 780, 400)
    data = random_recordings(folder, [(int(each), int(each * 0.4)) for each in lengths])
    frontend = CharactersFrontend.learn(["mama na baba"])
    beginning = begin_from_scratch(frontend, tiny=tiny)
    machine = this_machine() if device == "cuda" else None
    frames = [int(each) for each in lengths]
    recipe = plan(TrainingOptions(), frames, start="scratch", tiny=tiny, machine=machine)
    voice = VoiceDescription(beginning.network.settings, frontend)
    audience = _Audience(seconds, first_updates=1)
    with _looks_at_the_card(device) as looks:
        fit(VoiceTraining(beginning, data, recipe, voice), recipe.training, folder / "run", audience)
    whole = audience.ended - audience.began
    during = [share for at, share in looks if audience.began <= at <= audience.ended]
    return {
        "updates": audience.updates,
        "seconds": round(whole, 1),
        "ms_an_update": round(whole / max(1, audience.updates - 1) * 1e3, 2),
        "card_computes_share": round(statistics.mean(during) / 100, 3) if during else None,
    }


@contextmanager
def _looks_at_the_card(device: str) -> Iterator[list[tuple[float, float]]]:
    """(time, per cent of the moment before in which a kernel ran) as NVML counts it, during the block."""
    looks: list[tuple[float, float]] = []
    if device != "cuda":
        yield looks
        return
    import pynvml

    pynvml.nvmlInit()
    card = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(0).uuid}")
    over = threading.Event()

    def look() -> None:
        while not over.wait(LOOK_EVERY_S):
            looks.append((time.monotonic(), float(pynvml.nvmlDeviceGetUtilizationRates(card).gpu)))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield looks
    finally:
        over.set()
        thread.join()
        pynvml.nvmlShutdown()


def measure(seconds: float, *, tiny: bool, device: str) -> Report:
    """All parts, within so many seconds."""
    report = Report(time.monotonic() + seconds)
    shapes, settings = (TINY_SHAPES, TINY) if tiny else (SHAPES, FULL)
    ways = ["plain", "kernel", "graph"] if device == "cuda" else ["plain"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def updates(*some: tuple[int, int, int]) -> None:
            for shape, way in itertools.product(some, ways):
                name = f"update ms {shape[0]}x{shape[1]} {way}"
                report.part(name, functools.partial(update_ms, shape, settings, device, way))

        updates(*shapes[:2])
        rows, frames, _ = COLLATED
        report.part(f"collate {rows}x{frames}", lambda: collate_ms(folder, COLLATED))
        loop_s = 1.0 if tiny else min(LOOP_S, report.left_s / 2)
        report.part("loop", lambda: loop(folder, tiny=tiny, device=device, seconds=loop_s))
        updates(*shapes[2:])
    return report


def main() -> None:
    """As the command line asks."""
    run(
        "gpu_voice",
        "Updates of a voice on a GPU, and in the training loop.",
        lambda seconds, tiny, device: measure(seconds, tiny=tiny, device=device),
    )


if __name__ == "__main__":
    main()
