"""Training of a voice, with a network small enough to train for real."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open

from codex_worker.contract.options import TrainingOptions
from codex_worker.errors import DataError
from codex_worker.stabletts.checkpoint import VoiceDescription, read_checkpoint, write_checkpoint
from codex_worker.stabletts.configuration import TINY
from codex_worker.stabletts.dataset import Dataset, EncodedUtterance
from codex_worker.stabletts.frontend.characters import CharactersFrontend
from codex_worker.stabletts.frontend.compat import CompatFrontend
from codex_worker.stabletts.network import StableTTS
from codex_worker.stabletts.padding import Padding
from codex_worker.stabletts.recipe import plan
from codex_worker.stabletts.speak import Speaker
from codex_worker.stabletts.symbols import intersperse
from codex_worker.stabletts.train import (
    CHOICE,
    METRICS,
    VoiceTraining,
    begin_from,
    begin_from_scratch,
)
from codex_worker.training import turns
from codex_worker.training.loop import fit
from codex_worker.training.memory import parts_of
from tests.support.present import present
from tests.support.recorded import DoneAgain

pytestmark = pytest.mark.slow  # most of them train

FRONTEND = CharactersFrontend.learn(["mama na baba wanaenda sokoni leo asubuhi"])
WORDS = ["mama", "na", "baba", "wanaenda", "sokoni", "leo", "asubuhi"]


class Watcher:
    save_every_s = 600.0

    def __init__(self, stop_after=None):
        self.rows, self.looks, self.stop_after, self.best = [], 0, stop_after, []

    def should_stop(self):
        self.looks += 1
        return self.stop_after is not None and self.looks > self.stop_after

    def report(self, epochs_completed, message):
        pass

    def metrics(self, row):
        self.rows.append(row)

    def saved_best(self, path, metrics):
        self.best.append(metrics["epoch"])

    def needs_resume(self, *, finished):
        return True

    def saved_resume(self, path, epochs):
        pass


def dataset(folder, lengths, letters_per_frame=0.05):
    """Mels in which each letter has a spectrum of its own, so that there is something to learn."""
    rng = np.random.default_rng(0)
    spectra = rng.normal(-4, 2, (len(FRONTEND.symbols), 128))
    utterances, rows, at = [], [], 0
    for number, frames in enumerate(lengths):
        text = " ".join(rng.choice(WORDS, 200))[: max(1, int(frames * letters_per_frame))].strip() or "m"
        ids = intersperse(FRONTEND.encode(text).ids)
        spoken = np.repeat(ids[1::2], int(np.ceil(frames / len(ids[1::2]))))[:frames]
        rows.append(spectra[spoken] + rng.normal(0, 0.2, (frames, 128)))
        utterances.append(EncodedUtterance(f"v{number:03}", f"GEN 1:{number}", text, tuple(ids), at, frames))
        at += frames
    folder.mkdir(parents=True, exist_ok=True)
    np.concatenate(rows).astype(np.float16).tofile(folder / "mels.f16")
    return Dataset(tuple(utterances), folder / "mels.f16", VoiceDescription(TINY, FRONTEND).mel, (), ())


def task(folder, lengths=(60, 70, 80, 90, 100, 60, 75, 85), epochs=3, judge=None, **keys):
    data = dataset(folder, lengths)
    request = TrainingOptions(**{"epochs": epochs, "batch_size": 3, "val_split": 0.25, **keys})
    recipe = plan(
        request,
        [each.frames for each in data.utterances],
        start="scratch",
        tiny=True,
        judged_by=CHOICE if judge else None,
    )
    beginning = begin_from_scratch(FRONTEND, tiny=True)
    voice = VoiceDescription(
        beginning.network.settings, FRONTEND, vocoder="griffin_lim", training_commit="c" * 40
    )
    return VoiceTraining(beginning, data, recipe, voice, judge=judge)


def test_training_teaches_what_is_in_the_recordings(tmp_path):
    work = task(tmp_path, epochs=10, learning_rate=5e-3, warmup_steps=5)
    watcher = Watcher()
    outcome = fit(work, work.recipe.training, tmp_path / "run", watcher)
    first, last = watcher.rows[0], watcher.rows[-1]
    assert last["val_total_loss"] < 0.5 * first["val_total_loss"]
    assert outcome.ended == "finished"


def test_the_chart_has_the_columns_that_the_plugin_plots(tmp_path):
    work = task(tmp_path, epochs=1)
    watcher = Watcher()
    fit(work, work.recipe.training, tmp_path / "run", watcher)
    assert set(watcher.rows[0]) == set(METRICS)
    row = watcher.rows[0]
    for part in ("train", "val"):
        parts = sum(row[f"{part}_{name}_loss"] for name in ("diff", "dur", "prior"))
        assert row[f"{part}_total_loss"] == pytest.approx(parts, rel=1e-4)


def test_validation_gives_the_same_numbers_for_the_same_weights(tmp_path):
    work = task(tmp_path)
    work.model.eval()
    with torch.no_grad():
        torch.manual_seed(1)
        first = work.validate()
        torch.manual_seed(2)
        torch.rand(100)
        assert work.validate() == first


def test_an_interrupted_training_ends_as_one_that_was_not(tmp_path):
    whole = task(tmp_path / "a")
    fit(whole, whole.recipe.training, tmp_path / "a/run", Watcher())
    half = task(tmp_path / "b")
    outcome = fit(half, half.recipe.training, tmp_path / "b/run", Watcher(stop_after=3))
    assert outcome.ended == "stopped"
    rest = task(tmp_path / "b")
    outcome = fit(rest, rest.recipe.training, tmp_path / "b/run", Watcher())
    assert outcome.ended == "finished"
    for name, value in whole.model.state_dict().items():
        assert torch.equal(rest.model.state_dict()[name], value), name


def test_every_training_utterance_is_in_every_epoch_and_none_of_the_validation(tmp_path):
    work = task(tmp_path)
    for epoch in range(3):
        seen = sorted(index for batch in work.batches(epoch) for index in batch)
        assert seen == list(range(len(work.training)))
    assert work.batches(0) != work.batches(1)
    assert work.batches(1) == work.batches(1)
    assert len(work.validation) == 2


def test_a_checkpoint_has_all_that_is_needed_to_go_on(tmp_path):
    work = task(tmp_path, epochs=1)
    outcome = fit(work, work.recipe.training, tmp_path / "run", Watcher())
    voice = present(read_checkpoint(outcome.checkpoint_path).voice)
    assert voice.training_commit == "c" * 40
    assert voice.frontend == FRONTEND
    assert voice.metrics["val_total_loss"] > 0
    with safe_open(outcome.checkpoint_path, "pt") as file:
        assert file.metadata()["epochs_completed"] == "1"


def test_a_judge_that_listens_decides_which_checkpoint_is_best(tmp_path):
    heard = []
    rates = iter([0.5, 0.2, 0.9])

    def judge(samples, sample_rate, texts):
        heard.append((len(samples), sample_rate, list(texts)))
        assert all(one.ndim == 1 and np.isfinite(one).all() for one in samples)
        return next(rates)

    work = task(tmp_path, epochs=3, judge=judge)
    watcher = Watcher()
    outcome = fit(work, work.recipe.training, tmp_path / "run", watcher)
    assert [row["val_cer"] for row in watcher.rows] == [0.5, 0.2, 0.9]
    assert outcome.best_epoch == 2
    assert heard[0] == heard[1] == heard[2]
    assert heard[0][2] == [each.text for each in work.validation]


def test_without_a_judge_the_last_averaged_weights_are_delivered_whatever_the_losses_say(
    tmp_path, monkeypatch
):
    work = task(tmp_path, epochs=4, early_stopping_patience=1)
    losses = iter([1.0, 2.0, 3.0, 4.0])
    averaged = []

    def validate():
        averaged.append({name: value.clone() for name, value in work.model.state_dict().items()})
        return {"val_total_loss": next(losses)}

    monkeypatch.setattr(work, "validate", validate)
    watcher = Watcher()
    outcome = fit(work, work.recipe.training, tmp_path / "run", watcher)
    assert (outcome.ended, outcome.epochs_completed, outcome.best_path) == ("finished", 4, None)
    assert outcome.checkpoint_metrics["val_total_loss"] == 4.0
    assert watcher.best == [1, 2, 3, 4], "each may be listened to"
    delivered = read_checkpoint(outcome.checkpoint_path)
    for name, value in delivered.weights.items():
        assert torch.equal(value, averaged[-1][name]), name


def test_training_on_from_a_voice_keeps_its_root_and_grows_its_alphabet(tmp_path):
    first = begin_from_scratch(FRONTEND, tiny=True)
    path = tmp_path / "voice.safetensors"
    write_checkpoint(
        path, first.network, VoiceDescription(first.network.settings, FRONTEND, official_revision="hub@1")
    )
    grown = CharactersFrontend.learn(["rita"], base=FRONTEND)
    second = begin_from(read_checkpoint(path), grown, base="gpu_jobs/job_a/checkpoint/x.safetensors")
    assert second.official_revision == "hub@1"
    assert second.network.settings.n_vocab == 402
    assert second.notes == ("1 new symbols start from known ones that sound like them: r (ɹ)",)
    old, new = (each.network.encoder.emb.weight for each in (first, second))
    assert torch.equal(old, new[:401])


def test_official_weights_serve_any_frontend(tmp_path):
    torch.manual_seed(0)
    official = StableTTS(TINY)
    torch.save(official.state_dict(), tmp_path / "checkpoint_0.pt")
    read = read_checkpoint(tmp_path / "checkpoint_0.pt")
    same = begin_from(read, CompatFrontend(), base="official", official_revision="hub@2")
    assert same.official_revision == "hub@2" and same.notes == ()
    own = begin_from(read, CharactersFrontend.learn(["ц"]), base="official", official_revision="hub@2")
    assert torch.equal(own.network.encoder.emb.weight[:401], official.encoder.emb.weight)


def test_random_weights_follow_from_the_seed():
    first, second, other = (begin_from_scratch(FRONTEND, tiny=True, seed=seed).network for seed in (3, 3, 4))
    weights = [each.encoder.emb.weight for each in (first, second, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_training_without_validation_keeps_the_last_checkpoint(tmp_path):
    work = task(tmp_path, epochs=1, val_split=0)
    outcome = fit(work, work.recipe.training, tmp_path / "run", Watcher())
    assert outcome.best_path is None
    assert read_checkpoint(outcome.checkpoint_path).voice is not None
    assert len(work.fixed_verses()) == 5


def test_a_recording_shorter_than_its_text_never_reaches_the_network(tmp_path):
    work = task(tmp_path)
    bad = replace(work.training[0], ids=tuple(range(1, 300)))
    work.training[0] = bad
    with pytest.raises(DataError, match="shorter than its text"):
        work.losses([0])


def test_the_metadata_has_the_chart_of_its_epoch(tmp_path):
    work = task(tmp_path, epochs=2)
    outcome = fit(work, work.recipe.training, tmp_path / "run", Watcher())
    with safe_open(outcome.last_path, "pt") as file:
        assert json.loads(file.metadata()["metrics"])["epoch"] == 2


def test_a_checkpoint_holds_the_sound_of_a_recording_as_its_own_network_hears_it(tmp_path):
    trained = task(tmp_path)
    trained.model.train()
    trained.save(tmp_path / "voice.safetensors", {})
    assert trained.model.training
    loaded = read_checkpoint(tmp_path / "voice.safetensors")
    mel = trained.dataset.mel_of(trained.reference())[None]
    heard = loaded.network().speaker(mel, torch.tensor([mel.shape[2]]))
    spoken_in = Speaker(loaded.network(), present(loaded.voice), None).listen(None)
    torch.testing.assert_close(spoken_in, heard)
    assert not torch.equal(spoken_in, loaded.network().fake_speaker)


def test_a_replayed_training_learns_and_goes_on_after_an_interruption_as_if_there_was_none(
    tmp_path, monkeypatch
):
    """As on a GPU, but that recorded work is done anew and that the lengths could be seen."""
    monkeypatch.setattr(VoiceTraining, "repeats", True)
    monkeypatch.setattr(turns, "CudaGraphs", DoneAgain)
    monkeypatch.setattr(
        Padding,
        "of",
        lambda lengths, size, device, dtype=torch.float32: Padding.on_device(lengths, size, dtype),
    )
    keys = {"epochs": 4, "learning_rate": 5e-3, "warmup_steps": 2}
    whole, first, rest = (task(tmp_path / name, **keys) for name in ("a", "b", "b"))
    watcher = Watcher()
    fit(whole, whole.recipe.training, tmp_path / "a/run", watcher)
    fit(first, first.recipe.training, tmp_path / "b/run", Watcher(stop_after=3))
    fit(rest, rest.recipe.training, tmp_path / "b/run", Watcher())
    assert watcher.rows[-1]["train_total_loss"] < 0.9 * watcher.rows[0]["train_total_loss"]
    for name, value in whole.model.state_dict().items():
        assert torch.equal(rest.model.state_dict()[name], value), name


def short_of_memory(work, most):
    """The voice, which runs out of memory with more than so many recordings at once; how often it did."""
    failures, original = [], work.model.losses

    def losses(ids, *others):
        if len(ids) > most:
            failures.append(len(ids))
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return original(ids, *others)

    work.model.losses = losses
    return failures


def test_a_voice_trains_and_is_validated_with_little_memory(tmp_path):
    work = task(tmp_path, epochs=1)
    failures, watcher = short_of_memory(work, 1), Watcher()
    outcome = fit(work, work.recipe.training, tmp_path / "run", watcher)
    assert len(failures) >= 2 and outcome.ended == "finished"
    assert "batches in 4 parts" in outcome.message
    assert outcome.skipped_steps == 0 and np.isfinite(list(watcher.rows[0].values())).all()


@pytest.mark.parametrize(("count", "rows"), [(1, 3), (2, 2), (4, 1)])
def test_parts_of_a_batch_have_a_smaller_shape_where_shapes_are_fixed(tmp_path, monkeypatch, count, rows):
    monkeypatch.setattr(VoiceTraining, "repeats", True)
    monkeypatch.setattr(VoiceTraining, "device", torch.device("cpu"))
    work = task(tmp_path)
    for batch in work.batches(0):
        for part, _ in parts_of(work, batch, count):
            assert len(work.load(part, torch.Generator().manual_seed(0)).ids) == rows
