"""When fixed verses are spoken while a voice is trained, and when a checkpoint is written for that."""

import numpy as np
import pytest

from codex_worker.job.memory import MemoryCallbacks, MemoryScanner, job_in
from codex_worker.stabletts.verses import Spoken, Verse
from codex_worker.training.loop import fit
from codex_worker.training.task import TrainingOutcome, TrainingSettings
from handlers.tts.stabletts.progress import SAMPLES_EVERY_S, VoiceProgress
from tests.unit.training.tiny_task import TinyTask


class Clock:
    now_s = 0.0

    def __call__(self):
        return self.now_s


class Speaks:
    """Remembers with which checkpoints it spoke."""

    def __init__(self):
        self.files = []

    def speak_samples(self, checkpoint):
        assert checkpoint.exists()
        self.files.append(checkpoint.name)
        return [Spoken(Verse("v1", "GEN 1:1", "text"), np.zeros(4410, np.float32), 44_100)]


@pytest.fixture
def published():
    return []


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def progress(tmp_path, published, clock, monkeypatch):
    job = job_in(tmp_path)
    scanner = MemoryScanner({}, job)
    publish = scanner.publish_artifact

    def noted(file, folder):
        published.append(file.name)
        return publish(file, folder)

    monkeypatch.setattr(scanner, "publish_artifact", noted)
    return VoiceProgress(job, MemoryCallbacks(scanner, job), Speaks(), columns=("epoch",), clock=clock)


def outcome(folder, epochs, best=None):
    last = folder / "last.safetensors"
    last.touch()
    return TrainingOutcome("finished", epochs, None, {}, best, last, (), 0, "")


@pytest.mark.parametrize(
    ("epochs", "spoken"), [(0, []), (7, ["epoch-0007-1-GEN-1-1.webm"])], ids=["untrained", "trained"]
)
def test_the_delivered_voice_speaks_at_the_end(progress, tmp_path, published, epochs, spoken):
    progress.speak_at_end(outcome(tmp_path, epochs))
    assert published == spoken


def test_a_checkpoint_that_has_just_spoken_does_not_say_it_again(progress, tmp_path, published, clock):
    ended = outcome(tmp_path, 9)
    clock.now_s = SAMPLES_EVERY_S
    progress.saved_best(ended.last_path, {"epoch": 9.0})
    progress.speak_at_end(ended)
    assert published == ["epoch-0009-1-GEN-1-1.webm"]


def test_of_compared_checkpoints_the_best_one_speaks(progress, tmp_path, published):
    best = tmp_path / "best.safetensors"
    best.touch()
    progress.saved_best(best, {"epoch": 4.0})
    progress.speak_at_end(outcome(tmp_path, 9, best))
    assert progress._task.files == ["best.safetensors"] and published == ["epoch-0004-1-GEN-1-1.webm"]


def test_where_nothing_is_compared_checkpoints_are_written_only_to_be_heard(
    tmp_path, progress, published, clock, monkeypatch
):
    task, written = TinyTask(), []
    save = task.save

    def saving(path, metadata):
        written.append(metadata["epochs_completed"])
        save(path, metadata)

    def validate():
        clock.now_s += SAMPLES_EVERY_S / 2
        return {"val_total_loss": 1.0}

    monkeypatch.setattr(task, "save", saving)
    monkeypatch.setattr(task, "validate", validate)
    settings = TrainingSettings(epochs=5, learning_rate=0.01, best_metric=None)
    progress.speak_at_end(fit(task, settings, tmp_path / "run", progress, clock=clock))
    assert written == ["2", "4", "5"], "every ten minutes, and what is delivered"
    assert published == [f"epoch-000{epoch}-1-GEN-1-1.webm" for epoch in (2, 4, 5)]
