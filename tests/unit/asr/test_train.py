import csv
import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from codex_worker.asr import ctc_task, finish, learning
from codex_worker.asr import train as training
from codex_worker.asr.corpus import Sounds, Split, prepare, split
from codex_worker.asr.ctc_task import CtcTask
from codex_worker.asr.evaluate import Prediction, ctc_loss, error_rates
from codex_worker.asr.features import FeatureCache
from codex_worker.asr.load import load_checkpoint
from codex_worker.asr.networks.build import TINY_FRONTEND, build_model, tiny_config
from codex_worker.asr.plan import TrainingPlan
from codex_worker.asr.recipe import Augmentation, choose_recipe
from codex_worker.asr.transcribe import Transcriber
from codex_worker.asr.vocabulary import build_vocabulary
from codex_worker.contract.options import TrainingOptions
from codex_worker.errors import ModelError
from tests.support.any_reading import let_any_reading_count
from tests.support.made_plans import Remembers, plan_over_noise
from tests.support.networks import full_config
from tests.support.noted import noted
from tests.support.present import present
from tests.support.spoken import Unwatched, error_rate_on, sample_utterances

pytestmark = pytest.mark.slow  # most of them train


@pytest.fixture
def any_reading_counts(monkeypatch):
    let_any_reading_count(monkeypatch)


def test_a_handful_of_recordings_is_read_back_without_an_error(tmp_path):
    heard = sample_utterances("train")[:4]
    sounds = Sounds(TINY_FRONTEND, FeatureCache(tmp_path / "features", 10**8))
    corpus = prepare(heard, normalise=str, sounds=sounds, frames=lambda rows: rows, max_duration_s=40.0)
    vocabulary = build_vocabulary(example.text for example in corpus.examples)
    config = tiny_config(vocabulary)
    config.update({"hidden_dropout": 0.0})
    manifest: dict[str, Any] = {"epochs": 200, "learning_rate": 5e-3, "warmup_steps": 15}
    recipe = choose_recipe(corpus.hours, len(heard), preset="tiny", options=TrainingOptions(**manifest))
    recipe = replace(recipe, augmentation=Augmentation())
    data = split(corpus, val_split=0.0, test_split=0.0)
    plan = TrainingPlan(lambda: build_model(config), vocabulary, sounds, data, recipe)
    trained = training.train(plan, tmp_path / "run", Unwatched())
    assert error_rate_on(trained.checkpoint, heard) == 0.0


def test_the_rows_of_the_metrics_file_have_the_columns_that_the_plugin_draws(tmp_path, any_reading_counts):
    from codex_worker.training.metrics import MetricsTable

    progress = Remembers()
    training.train(plan_over_noise(tmp_path), tmp_path / "run", progress)
    table = MetricsTable(training.METRICS_COLUMNS)
    for row in progress.rows:
        table.add(row)
    rows = list(csv.DictReader(io.StringIO(table.render().decode())))
    assert list(rows[0]) == ["epoch", "train_total_loss", "val_total_loss", "val_wer", "val_cer", "run"]
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert all(float(value) >= 0 for row in rows for value in row.values())


def test_a_script_without_spaces_has_character_errors_and_no_word_errors(tmp_path, any_reading_counts):
    progress = Remembers()
    plan = plan_over_noise(tmp_path, texts=("พระเจ้าทรงสร้าง", "ทุกคนเห็น พระองค์", "พระเจ้าเห็น"))
    trained = training.train(plan, tmp_path / "run", progress)
    assert "val_cer" in trained.metrics
    assert not any("wer" in name for row in (trained.metrics, *progress.rows) for name in row)
    assert any("word errors are not counted" in note for note in trained.notes)


@pytest.mark.parametrize(
    ("references", "said", "names"),
    [
        (["in the house", "he"], None, {"cer", "wer"}),
        (["太初有道道与神同在", "神"], None, {"cer"}),
        (["in the house"], False, {"cer"}),
        (["神"], True, {"cer", "wer"}),  # one verse of a project that parts its words
    ],
)
def test_words_are_counted_where_the_texts_have_them(references, said, names):
    predictions = [Prediction("one", text, text) for text in references]
    assert error_rates(predictions, has_words=said) == dict.fromkeys(names, 0.0)


def rates_that_collapse(monkeypatch, learning_rate_from):
    """Readings as a network has them that learns to read and loses it, at this learning rate and above."""
    seen: list[int] = []

    def validate(self):
        seen.append(1)
        if self.recipe.learning_rate < learning_rate_from:
            return {"val_cer": 0.3, "val_total_loss": 0.5}
        return {"val_cer": 0.4 if len(seen) == 1 else 1.0, "val_total_loss": 0.7 if len(seen) == 1 else 3.0}

    monkeypatch.setattr(CtcTask, "validate", validate)
    monkeypatch.setattr(learning, "BAD_UPDATES", 4)


def test_a_collapse_restarts_once_with_safer_settings(tmp_path, monkeypatch):
    rates_that_collapse(monkeypatch, learning_rate_from=1e-3)
    progress = Remembers()
    trained = training.train(plan_over_noise(tmp_path, manifest={"epochs": 6}), tmp_path / "run", progress)
    assert any("safer settings" in message for message in progress.messages)
    assert any("after a collapse" in note for note in trained.notes)
    assert trained.checkpoint.parent.name == "safer"
    assert [(row["run"], row["epoch"]) for row in progress.rows] == [
        *((1, epoch) for epoch in (1, 2, 3, 4)),  # the one that was judged a collapse among them
        *((2, epoch) for epoch in (1, 2, 3, 4, 5, 6)),
    ]


def test_a_second_collapse_ends_the_job_with_advice(tmp_path, monkeypatch):
    rates_that_collapse(monkeypatch, learning_rate_from=0.0)
    plan = plan_over_noise(tmp_path, manifest={"epochs": 20})
    seen = iter([0.4, 1.0, 1.0, 1.0, 0.4, 1.0, 1.0, 1.0])
    monkeypatch.setattr(CtcTask, "validate", lambda self: {"val_cer": next(seen), "val_total_loss": 1.0})
    with pytest.raises(ModelError, match=r"collapsed after .* and was 0\.40.*lower learning_rate"):
        training.train(plan, tmp_path / "run", Unwatched())
    assert not list(seen)


def test_numbers_that_are_not_finite_restart_training_too(tmp_path, monkeypatch, any_reading_counts):
    broken: list[int] = []

    def losses(self, batch):
        loss = real(self, batch)["total"]
        if self.recipe.learning_rate == plan.recipe.learning_rate:
            broken.append(1)
            loss = loss * float("nan")
        return {"total": loss}

    real = CtcTask.losses
    monkeypatch.setattr(CtcTask, "losses", losses)
    plan = plan_over_noise(tmp_path, manifest={"epochs": 6})
    trained = training.train(plan, tmp_path / "run", Unwatched())
    assert broken
    assert trained.checkpoint.parent.name == "safer"


def small_full_config(vocabulary):
    config = full_config(vocabulary, layers=3)
    config.update(
        {"hidden_size": 32, "output_hidden_size": 32, "intermediate_size": 32, "num_attention_heads": 2}
    )
    return config


def test_the_body_is_frozen_first_and_trains_later(tmp_path):
    plan = plan_over_noise(tmp_path, make_config=small_full_config)
    plan = replace(plan, recipe=replace(plan.recipe, frozen_epochs=1))
    task = CtcTask(plan.make_model(), plan)

    def trains():
        return {name.split(".")[1] for name, p in task.model.named_parameters() if p.requires_grad}

    task.batches(0)
    assert trains() == {"adapter", "weight", "bias"}
    task.batches(1)
    assert trains() == {"adapter", "weight", "bias", "encoder", "feature_projection"} | trains()
    assert all(p.requires_grad for p in task.model.parameters())


def test_each_layer_learns_more_slowly_than_the_one_above(tmp_path):
    plan = plan_over_noise(tmp_path, make_config=small_full_config)
    task = CtcTask(plan.make_model(), replace(plan, recipe=replace(plan.recipe, layer_decay=0.5)))
    rate_of = {id(p): group["lr"] for group in task.parameter_groups(1.0) for p in group["params"]}
    model = task.model
    assert rate_of[id(model.lm_head.weight)] == 1.0
    rates = [rate_of[id(layer.ffn1.output_dense.weight)] for layer in model.wav2vec2_bert.encoder.layers]
    assert rates == [0.125, 0.25, 0.5]
    assert rate_of[id(model.wav2vec2_bert.feature_projection.projection.weight)] == 0.0625
    assert len(rate_of) == len(list(model.parameters()))


def test_the_batches_of_an_epoch_are_the_same_each_time_and_drop_nothing(tmp_path):
    plan = plan_over_noise(tmp_path)
    task, again = CtcTask(plan.make_model(), plan), CtcTask(plan.make_model(), plan)
    task.batches(3)
    again.batches(3)
    assert task._epoch_batches == again._epoch_batches
    assert sorted(i for batch in task._epoch_batches for i in batch) == list(range(len(plan.data.train)))
    again.batches(4)
    assert task._epoch_batches != again._epoch_batches


def test_a_text_that_does_not_fit_its_frames_costs_nothing_and_breaks_nothing():
    logits = torch.zeros(2, 4, 5, requires_grad=True)
    loss = ctc_loss(logits, [4, 4], [[1, 2], [1, 2, 3, 4, 1, 2]], blank_id=0)
    loss.backward()
    assert torch.isfinite(loss)
    gradient = present(logits.grad)
    assert torch.isfinite(gradient).all()
    assert (gradient[1] == 0).all()


def test_a_stopped_run_leaves_a_checkpoint_and_goes_on_from_where_it_was(tmp_path, any_reading_counts):
    class StopsAfter(Unwatched):
        looks = 3

        def should_stop(self):
            self.looks -= 1
            return self.looks < 0

    stopped = training.train(plan_over_noise(tmp_path), tmp_path / "run", StopsAfter())
    assert stopped.outcome.ended == "stopped"
    assert load_checkpoint(stopped.checkpoint).vocabulary == plan_over_noise(tmp_path).vocabulary
    resumed = training.train(plan_over_noise(tmp_path), tmp_path / "run", Unwatched())
    straight = training.train(plan_over_noise(tmp_path), tmp_path / "other", Unwatched())
    assert resumed.outcome.ended == "finished"
    for name, tensor in load_checkpoint(straight.checkpoint).model.state_dict().items():
        torch.testing.assert_close(load_checkpoint(resumed.checkpoint).model.state_dict()[name], tensor)


class StopsInEpoch(Unwatched):
    """Ends a run after this many epochs, as a machine that is taken away."""

    def __init__(self, epochs):
        self.epochs, self.done = epochs, 0.0

    def report(self, epochs_completed, message):
        self.done = epochs_completed

    def should_stop(self):
        return self.done >= self.epochs


def move_to_another_machine(folder, other):
    """Only the resume file travels, to the place where a job puts what it fetched."""
    other.mkdir()
    (other / "resume.pt").write_bytes((folder / "resume.pt").read_bytes())
    return other


def test_another_machine_keeps_the_best_checkpoint_although_nothing_after_it_is_better(tmp_path, monkeypatch):
    rates = iter([0.4, 0.6, 0.7, 0.8])
    monkeypatch.setattr(CtcTask, "validate", lambda self: {"val_cer": next(rates), "val_total_loss": 1.0})
    plan = plan_over_noise(tmp_path, manifest={"epochs": 4})
    stopped = training.train(plan, tmp_path / "here", StopsInEpoch(2))
    best = load_checkpoint(stopped.checkpoint).model.state_dict()
    other = move_to_another_machine(tmp_path / "here", tmp_path / "there")
    ended = training.train(plan, other, Unwatched())
    assert (ended.outcome.best_epoch, ended.metrics["val_cer"]) == (1, 0.4)
    for name, tensor in load_checkpoint(ended.checkpoint).model.state_dict().items():
        assert torch.equal(tensor, best[name])


def test_a_safer_restart_goes_on_as_such_on_another_machine(tmp_path, monkeypatch):
    rates_that_collapse(monkeypatch, learning_rate_from=1e-3)
    plan = plan_over_noise(tmp_path, manifest={"epochs": 5})

    class StopsWhenSafer(Unwatched):
        safer, done = False, 0.0

        def report(self, epochs_completed, message):
            self.safer = self.safer or "safer settings" in message
            self.done = epochs_completed

        def should_stop(self):
            return self.safer and self.done >= 1

    stopped = training.train(plan, tmp_path / "here", StopsWhenSafer())
    assert stopped.outcome.ended == "stopped"
    other = move_to_another_machine(tmp_path / "here" / "safer", tmp_path / "there")
    progress = Remembers()
    ended = training.train(plan, other, progress)
    assert ended.outcome.ended == "finished"
    assert ended.checkpoint.parent == other / "safer"
    assert not any("Starting again" in message for message in progress.messages)
    assert [(row["run"], row["epoch"]) for row in progress.rows] == [(2, epoch) for epoch in range(1, 6)]


def test_a_corrector_is_never_learnt_from_recordings_that_were_trained_on(tmp_path, any_reading_counts):
    plan = replace(plan_over_noise(tmp_path), with_corrector=True)
    plan = replace(plan, data=Split(plan.data.train, plan.data.train))
    trained = training.train(plan, tmp_path / "run", Unwatched())
    assert trained.corrector is None
    assert any("no corrector" in note for note in trained.notes)


def test_a_corrector_that_helps_travels_with_the_checkpoint_and_both_numbers_are_told(
    tmp_path, monkeypatch, any_reading_counts
):
    plan = plan_over_noise(tmp_path)
    spoken = [f"{'ab'[i % 2]}d {'cdef'[i % 4]}d {'xyz'[i % 3]}{i}" for i in range(40)]
    heard = [text.replace("d", "t") for text in spoken]
    pairs = tuple(Prediction(str(i), h, s) for i, (h, s) in enumerate(zip(heard, spoken, strict=True)))
    for module in (ctc_task, finish):
        monkeypatch.setattr(module, "read_examples", lambda *args: (1.0, pairs))
    trained = training.train(replace(plan, with_corrector=True), tmp_path / "run", Unwatched())
    assert present(trained.corrector).kept
    assert trained.metrics["val_cer_with_corrector"] < trained.metrics["val_cer_without_corrector"]
    assert present(load_checkpoint(trained.checkpoint).corrector).correct("at ct x1").count("d") >= 1


def test_the_settings_of_the_loop_are_those_of_the_recipe(tmp_path, monkeypatch, any_reading_counts):
    seen = []
    monkeypatch.setattr(training, "fit", noted(training.fit, lambda _, settings, *__: seen.append(settings)))
    plan = plan_over_noise(
        tmp_path, manifest={"epochs": 1, "gradient_accumulation_steps": 2, "warmup_steps": 1}
    )
    training.train(plan, tmp_path / "run", Unwatched())
    assert (seen[0].epochs, seen[0].accumulation, seen[0].warmup_steps) == (1, 2, 1)
    assert seen[0].best_metric == "val_cer"


@pytest.mark.parametrize(
    ("parts", "recordings"),
    [
        (lambda data: data, 2),
        (lambda data: Split(data.train, data.train), 0),
        (lambda data: Split(data.train[3:], data.validation, data.train[:3]), 3),
    ],
    ids=["two held back", "nothing held back", "three for a test"],
)
@pytest.mark.parametrize("with_corrector", [False, True])
def test_a_checkpoint_knows_its_rate_on_what_was_held_back_and_no_other(
    tmp_path, parts, recordings, with_corrector, any_reading_counts
):
    plan = plan_over_noise(tmp_path, manifest={"epochs": 1})
    plan = replace(plan, data=parts(plan.data), with_corrector=with_corrector)
    trained = training.train(plan, tmp_path / "run", Unwatched())
    known = load_checkpoint(trained.checkpoint).held_out
    assert known == trained.held_out
    assert known.recordings == recordings
    assert (known.cer is None) == (recordings == 0)


def test_a_checkpoint_learns_from_held_out_readings_how_many_letters_are_right(tmp_path, any_reading_counts):
    plan = plan_over_noise(tmp_path, count=30, manifest={"epochs": 1})
    examples = (*plan.data.train, *plan.data.validation)
    plan = replace(plan, data=Split(examples[:8], examples[8:]))
    checkpoint = load_checkpoint(training.train(plan, tmp_path / "run", Unwatched()).checkpoint)
    transcriber = Transcriber(checkpoint, device="cpu")
    assert transcriber.confidence.estimate is not None
    noise = np.random.default_rng(0).standard_normal(16_000).astype(np.float32) / 10
    (heard,) = transcriber.transcribe_samples([noise])
    assert 0.0 <= heard.confidence <= 1.0
