"""Training of a VITS voice with a network and judges that are small enough to train for real."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import VitsModel

from codex_worker.contract.options import TrainingOptions
from codex_worker.errors import DataError
from codex_worker.stabletts.dataset import Dataset, EncodedUtterance
from codex_worker.stabletts.recipe import plan
from codex_worker.stabletts.speak import SpeakingSettings
from codex_worker.stabletts.symbols import intersperse
from codex_worker.stabletts.train import CHOICE
from codex_worker.stabletts.verses import Spoken, Verse
from codex_worker.training.loop import fit
from codex_worker.training.machine import Machine
from codex_worker.vits.checkpoint import VitsDescription, read_checkpoint
from codex_worker.vits.configuration import mel_settings, new_config
from codex_worker.vits.discriminators import Discriminators, feature_distance, fooling, telling_apart
from codex_worker.vits.recipe import VITS
from codex_worker.vits.speak import VitsSpeaker
from codex_worker.vits.text import MmsFrontend
from codex_worker.vits.train import VITS_METRICS, VitsTraining, framed_samples

pytestmark = pytest.mark.acceptance  # whole trainings or readings: too long for every change

FRONTEND = MmsFrontend.learn(["mama na baba"])
HOP = 256


class Watcher:
    save_every_s = 600.0

    def __init__(self, stop_after=None):
        self.rows, self.looks, self.stop_after = [], 0, stop_after

    def should_stop(self):
        self.looks += 1
        return self.stop_after is not None and self.looks > self.stop_after

    def report(self, epochs_completed, message):
        pass

    def metrics(self, row):
        self.rows.append(row)

    def saved_best(self, path, metrics):
        pass

    def needs_resume(self, *, finished):
        return True

    def saved_resume(self, path, epochs):
        pass


def dataset(folder, count):
    """Sound in which each letter is a tone of its own, so that there is something to learn."""
    rng = np.random.default_rng(0)
    settings = framed_samples(mel_settings(new_config(len(FRONTEND.symbols), tiny=True)))
    utterances, kept, at = [], [], 0
    for number in range(count):
        text = " ".join(rng.choice(["mama", "na", "baba"], 2))
        ids = intersperse(FRONTEND.encode(text).ids)
        frames = 3 * len(ids)
        pitches = np.repeat([100 + 60 * letter for letter in ids], 3 * HOP)
        kept.append(0.3 * np.sin(2 * np.pi * np.cumsum(pitches) / 16_000))
        utterances.append(EncodedUtterance(f"v{number:03}", f"GEN 1:{number}", text, tuple(ids), at, frames))
        at += frames
    folder.mkdir(parents=True, exist_ok=True)
    np.concatenate(kept).astype(np.float16).tofile(folder / "mels.f16")
    return Dataset(tuple(utterances), folder / "mels.f16", settings, (), ())


def task(folder, count=6, judge=None, **options):
    data = dataset(folder, count)
    request = TrainingOptions(**{"epochs": 2, "batch_size": 2, "val_split": 0.3, **options})
    frames = [each.frames for each in data.utterances]
    judged_by = CHOICE if judge else None
    recipe = plan(request, frames, start="scratch", tiny=True, judged_by=judged_by, method=VITS)
    torch.manual_seed(0)
    network = VitsModel(new_config(len(FRONTEND.symbols), tiny=True))
    return VitsTraining(network, data, recipe, VitsDescription(network.config, FRONTEND), judge=judge)


def test_thirty_updates_bring_the_sound_nearer_to_the_recordings(tmp_path):
    work = task(tmp_path, epochs=15, learning_rate=2e-3, warmup_steps=0)
    watcher = Watcher()
    outcome = fit(work, work.recipe.training, tmp_path / "run", watcher)
    assert set(watcher.rows[0]) == set(VITS_METRICS)
    assert all(math.isfinite(value) for row in watcher.rows for value in row.values())
    assert outcome.skipped_steps == 0
    first, last = watcher.rows[0], watcher.rows[-1]
    assert last["train_mel_loss"] < 0.8 * first["train_mel_loss"]
    assert last["val_mel_loss"] < 0.9 * first["val_mel_loss"]
    assert last["train_dur_loss"] < first["train_dur_loss"]


def test_an_interrupted_training_ends_as_one_that_was_not(tmp_path):
    whole = task(tmp_path / "a")
    fit(whole, whole.recipe.training, tmp_path / "a/run", Watcher())
    half = task(tmp_path / "b")
    assert fit(half, half.recipe.training, tmp_path / "b/run", Watcher(stop_after=3)).ended == "stopped"
    torch.manual_seed(99)
    rest = task(tmp_path / "b")
    assert fit(rest, rest.recipe.training, tmp_path / "b/run", Watcher()).ended == "finished"
    for ours, theirs in ((rest.model, whole.model), (rest.opponent.model, whole.opponent.model)):
        for name, value in theirs.state_dict().items():
            assert torch.equal(ours.state_dict()[name], value), name


def test_a_trained_voice_is_saved_and_speaks_and_holds_no_judges(tmp_path):
    work = task(tmp_path, epochs=1)
    outcome = fit(work, work.recipe.training, tmp_path / "run", Watcher())
    assert outcome.best_path is None, "without a judge nothing tells which one is best"
    read = read_checkpoint(outcome.checkpoint_path)
    assert set(read.weights) == set(work.model.state_dict())
    assert read.voice.metrics["val_total_loss"] > 0
    (spoken,) = VitsSpeaker(read.network(), read.voice).speak([Verse("1", "1", "mama")], SpeakingSettings())
    assert isinstance(spoken, Spoken)
    assert len(work.speak_samples(outcome.checkpoint_path)) == len(work.fixed_verses()) == 2


def test_a_judge_that_listens_decides_which_checkpoint_is_best(tmp_path):
    rates = iter([0.2, 0.5])
    work = task(tmp_path, judge=lambda samples, sample_rate, texts: next(rates))
    watcher = Watcher()
    outcome = fit(work, work.recipe.training, tmp_path / "run", watcher)
    assert outcome.best_epoch == 1
    assert [row["val_cer"] for row in watcher.rows] == [0.2, 0.5]


def test_a_recording_is_heard_alike_alone_and_beside_longer_ones(tmp_path):
    work = task(tmp_path)
    ordered = sorted(work.training, key=lambda one: one.frames)
    short, long = ordered[0], ordered[-1]
    assert short.frames < long.frames
    alone, together = work.collate([short]), work.collate([short, long])
    assert torch.equal(alone.spectrogram[0], together.spectrogram[0, :, : short.frames])
    assert torch.equal(alone.samples[0], together.samples[0, : alone.samples.shape[1]])
    assert not together.spectrogram[0, :, short.frames :].any()


def test_a_recording_shorter_than_its_text_never_reaches_the_network(tmp_path):
    work = task(tmp_path)
    work.training[0] = replace(work.training[0], ids=(1,) * 300)
    with pytest.raises(DataError, match="shorter than its text"):
        work.losses([0])


def test_judges_learn_to_tell_a_tone_from_noise():
    torch.manual_seed(0)
    judges = Discriminators(tiny=True)
    optimizer = torch.optim.AdamW(judges.parameters(), 2e-3)
    tone = torch.sin(torch.arange(2048) / 5).expand(2, 1, -1)
    losses = []
    for _ in range(15):
        optimizer.zero_grad()
        loss = telling_apart(judges(tone), judges(torch.randn(2, 1, 2048)))
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.6 * losses[0]
    with torch.no_grad():
        real, made = judges(tone), judges(torch.randn(2, 1, 2048))
    assert float(fooling(made)) > float(fooling(real))
    assert float(feature_distance(real, made)) > float(feature_distance(real, real)) == 0.0


def test_the_judges_are_as_large_as_published():
    """Forty-seven million weights, of five judges by period and one by scale."""
    with torch.device("meta"):
        judges = Discriminators()
    assert len(judges.judges) == 6
    assert sum(parameter.numel() for parameter in judges.parameters()) == pytest.approx(46.7e6, rel=0.01)


@pytest.mark.parametrize(("start", "rate"), [("official", 2e-5), ("checkpoint", 2e-5), ("scratch", 2e-4)])
def test_the_recipe_is_that_of_the_literature(start, rate):
    hour = [360] * 620
    machine = Machine("cuda", 80 * 2**30, True)
    recipe = plan(TrainingOptions(), hour, start=start, machine=machine, method=VITS)
    assert recipe.training.precision == "fp32"
    assert recipe.training.learning_rate == rate
    assert recipe.training.betas == (0.8, 0.99)
    assert recipe.batch_items == 16
    per_epoch = -(-(len(hour) - recipe.validated) // 16)
    updates = recipe.training.epochs * per_epoch
    assert updates == pytest.approx(4_000 if start != "scratch" else 80_000, rel=0.1)


def test_a_voice_trains_and_is_validated_with_little_memory(tmp_path, monkeypatch):
    work, failures, original = task(tmp_path, epochs=1), [], VitsTraining.collate

    def collate(self, utterances):
        if len(utterances) > 1:
            failures.append(len(utterances))
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return original(self, utterances)

    monkeypatch.setattr(VitsTraining, "collate", collate)
    watcher = Watcher()
    outcome = fit(work, work.recipe.training, tmp_path / "run", watcher)
    assert failures[0] == 2 and "batches in 2 parts" in outcome.message
    assert outcome.skipped_steps == 0 and np.isfinite(list(watcher.rows[0].values())).all()
