"""One process of a training that others go on with: `python -m tests.support.interrupted_training MODEL ...`.

Arguments: the model, the folder of its made-up recordings, the folder to train in, and before which update to
stop (-1: never). The folder to train in may hold a state from another machine, and nothing else of it.
"""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.support.spoken import Unwatched

MODELS = ("asr", "stabletts", "vits")


class StopsBefore(Unwatched):
    """Says stop before the update of this number, counted from this process's start."""

    def __init__(self, update: int) -> None:
        self.left = update

    def should_stop(self) -> bool:
        self.left -= 1
        return self.left == -1


def train(model: str, data: Path, folder: Path, stop_before: int) -> None:
    """Two batches to an update, averaged weights, and more than one epoch."""
    watcher = StopsBefore(stop_before)
    if model == "asr":
        from codex_worker.asr.train import train as train_transcriber
        from tests.support.any_reading import let_any_reading_count
        from tests.support.made_plans import plan_over_noise

        with pytest.MonkeyPatch.context() as patch:
            let_any_reading_count(patch)
            plan = plan_over_noise(data, manifest={"epochs": 3, "batch_size": 2})
            recipe = replace(plan.recipe, accumulation=2, averaging=0.9)
            train_transcriber(replace(plan, recipe=recipe), folder, watcher)
        return
    from codex_worker.training.loop import fit
    from tests.unit.stabletts import test_training_voice
    from tests.unit.vits import test_vits_training

    maker = test_training_voice if model == "stabletts" else test_vits_training
    task = maker.task(data, epochs=3, batch_size=1)
    fit(task, replace(task.recipe.training, accumulation=2, ema_decay=0.9), folder, watcher)


if __name__ == "__main__":
    torch.set_num_threads(1)
    train(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
