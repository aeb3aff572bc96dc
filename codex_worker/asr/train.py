"""Training a transcriber: the task that the shared loop trains, and the run around it."""

import logging
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from codex_worker.asr.augment import mask_features
from codex_worker.asr.checkpoint import TranscriberCheckpoint, save_checkpoint
from codex_worker.asr.confidence import LOW_CONFIDENCE, low_confidence
from codex_worker.asr.corpus import Example, Sounds, Split
from codex_worker.asr.corrector import CorrectorReport, fit_corrector
from codex_worker.asr.evaluate import Prediction, ctc_loss, error_rates, read_examples
from codex_worker.asr.features import pad_batch
from codex_worker.asr.load import load_checkpoint
from codex_worker.asr.networks.build import output_frames
from codex_worker.asr.recipe import TranscriberRecipe
from codex_worker.asr.trainable import Trainable, WholeNetwork
from codex_worker.asr.vocabulary import Vocabulary
from codex_worker.errors import ModelError
from codex_worker.text.spacing import has_words
from codex_worker.training.batches import batches_by_length
from codex_worker.training.loop import RESUME, TrainingOutcome, TrainingSettings, fit
from codex_worker.training.machine import keep_cores, take_one_core
from codex_worker.training.resume import saved_settings
from codex_worker.training.task import TrainingObserver

logger = logging.getLogger(__name__)

METRICS_COLUMNS = ("epoch", "train_total_loss", "val_total_loss", "val_wer", "val_cer")
COLLAPSED_CER = 0.95
# In the first epochs each recording is decoded anew for each speed: a GPU must not wait for that.
BATCHES_AHEAD = 4
VALIDATE_TRAINING_EVERY = 5  # epochs, where nothing is held back
# CTC writes nothing but blanks at first; only after this many updates beyond the warm-up is that a collapse.
PATIENCE_UPDATES = 300


class Collapsed(ModelError):
    """The network writes nothing, or nothing that resembles the text, long after it should."""


@dataclass(frozen=True)
class TrainedModel:
    """What a run made."""

    checkpoint: Path
    outcome: TrainingOutcome
    metrics: Mapping[str, float]
    notes: tuple[str, ...]
    corrector: CorrectorReport | None = None
    no_corrector: str = ""  # why there is none although one was asked for


@dataclass(frozen=True)
class TrainingPlan:
    """Everything that a run needs besides a folder and somebody who watches."""

    make_model: Callable[[], PreTrainedModel]  # a fresh network each time; a restart needs another one
    vocabulary: Vocabulary
    sounds: Sounds
    data: Split
    recipe: TranscriberRecipe
    trainable: Trainable = field(default_factory=WholeNetwork)
    metadata: Mapping[str, str] = field(default_factory=dict)  # what the checkpoint shall say about itself
    with_corrector: bool = False
    readers: int = 2  # recordings read at a time while the network trains

    @cached_property
    def has_words(self) -> bool:
        """Whether spaces part the words of the texts, so that word errors can be counted."""
        return has_words([example.text for example in (*self.data.train, *self.data.validation)])


class CtcTask:
    """A `TrainingTask`: a CTC network and its examples."""

    def __init__(self, model: PreTrainedModel, plan: TrainingPlan) -> None:
        self.model = model
        self.vocabulary = plan.vocabulary
        self.sounds = plan.sounds
        self.data = plan.data
        self.recipe = plan.recipe
        self.metadata = plan.metadata
        self.trainable = plan.trainable
        self._has_words = plan.has_words
        self._labels = [self.vocabulary.encode(example.text) for example in self.data.train]
        self._reader = ThreadPoolExecutor(plan.readers, "features", initializer=take_one_core)
        self._ahead: dict[tuple[int, int], list[Future[np.ndarray]]] = {}
        self._low_confidence = LOW_CONFIDENCE
        self._epoch = 0
        self._epoch_batches: list[list[int]] = []
        if self.recipe.gradient_checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """What trains, with its rates."""
        return self.trainable.groups(self.model, learning_rate, self.recipe.layer_decay)

    def batches(self, epoch: int) -> Sequence[tuple[int, int]]:
        """`(epoch, place)` of each batch; decides on the way which parameters train in this epoch."""
        self.trainable.begin_epoch(self.model, is_first_stage=epoch < self.recipe.frozen_epochs)
        self._epoch = epoch
        lengths_s = [example.duration_s for example in self.data.train]
        if not self.recipe.sort_by_length:
            lengths_s = [max(lengths_s)] * len(lengths_s)  # all alike: the order is left to chance
        self._epoch_batches = batches_by_length(
            lengths_s,
            max_total=self.recipe.batch_seconds,
            max_items=self.recipe.batch_size,
            seed=self.recipe.seed * 100_003 + epoch,
            shuffle=True,
        )
        self._ahead.clear()
        return [(epoch, place) for place in range(len(self._epoch_batches))]

    def losses(self, batch: tuple[int, int]) -> dict[str, Tensor]:
        """Mean CTC loss of one batch; the next batches' features are read meanwhile."""
        epoch, place = batch
        for near in range(place, min(place + 1 + BATCHES_AHEAD, len(self._epoch_batches))):
            self._read(epoch, near)
        inputs, mask = pad_batch([rows.result() for rows in self._ahead.pop((epoch, place))])
        items = self._epoch_batches[place]
        logits = self._logits(inputs, mask)
        lengths = [output_frames(self.model, int(rows)) for rows in mask.sum(1)]
        return {
            "total": ctc_loss(logits, lengths, [self._labels[i] for i in items], self.vocabulary.blank_id)
        }

    def validate(self) -> dict[str, float]:
        """`val_total_loss`, `val_cer` and, where there are words, `val_wer` on the validation examples.

        Raises Collapsed.
        """
        loss, predictions = read_examples(
            self.model, self.vocabulary, self.sounds, self.data.validation, self.recipe.batch_seconds
        )
        rates = error_rates(predictions, has_words=self._has_words)
        if self.data.validation is not self.data.train:
            self._low_confidence = low_confidence(predictions)
        self._judge(rates["cer"], predictions)
        return {"val_total_loss": loss, **{f"val_{name}": rate for name, rate in rates.items()}}

    def save(self, path: Path, metadata: dict[str, str]) -> None:
        """The deployable checkpoint."""
        about = {**self.metadata, **metadata, "low_confidence": f"{self._low_confidence:.4f}"}
        save_checkpoint(
            path, TranscriberCheckpoint(self.model, self.vocabulary, self.sounds.frontend, metadata=about)
        )

    def _judge(self, cer: float, predictions: Sequence[Prediction]) -> None:
        """Raise Collapsed when nothing is learnt although the warm-up is long over."""
        recipe = self.recipe
        per_epoch = math.ceil(len(self._epoch_batches) / recipe.accumulation)
        total = per_epoch * recipe.epochs
        warmup = recipe.warmup_steps if recipe.warmup_steps is not None else recipe.warmup_share * total
        done = per_epoch * (self._epoch + 1)
        if cer < COLLAPSED_CER or done < min(warmup, total / 2) + max(PATIENCE_UPDATES, 0.3 * total):
            return
        empty = not any(prediction.hypothesis for prediction in predictions)
        what = "writes nothing at all" if empty else f"has a character error rate of {cer:.2f}"
        raise Collapsed(
            f"After {done} updates the transcriber {what}: it has collapsed. If this repeats, check that the "
            "recordings match their texts, or set a lower learning_rate."
        )

    def _logits(self, inputs: Tensor, mask: Tensor) -> Tensor:
        device = next(self.model.parameters()).device
        return self.model(
            inputs.to(device, non_blocking=True), attention_mask=mask.to(device, non_blocking=True)
        ).logits

    def _read(self, epoch: int, place: int) -> None:
        if (epoch, place) not in self._ahead:
            items = self._epoch_batches[place]
            self._ahead[epoch, place] = [self._reader.submit(self._features, epoch, item) for item in items]

    def _features(self, epoch: int, item: int) -> np.ndarray:
        """Input rows of one example, at its own speed and with its own masks for this epoch."""
        augmentation = self.recipe.augmentation
        generator = np.random.default_rng((self.recipe.seed, epoch, item))
        speed = float(generator.choice(augmentation.speeds))
        features = self.sounds.features(self.data.train[item], speed)
        if output_frames(self.model, len(features)) < len(self._labels[item]):
            features = self.sounds.features(self.data.train[item])
        seconds_per_row = self.sounds.frontend.input_seconds(len(features)) / len(features)
        return mask_features(features, augmentation, seconds_per_row, generator)


def train(
    plan: TrainingPlan, folder: Path, progress: TrainingObserver, *, device: str | None = None
) -> TrainedModel:
    """Train, restart once with safer settings after a collapse, and add a corrector where asked and useful.

    `folder` holds the resume file and checkpoints; a run that was interrupted goes on from there.

    Raises:
        ModelError: the second run collapsed or diverged as well.
    """
    safer_folder = folder / "safer"
    _sort_in_resume(folder, safer_folder, plan.recipe.safer())
    for reason in plan.recipe.reasons:
        logger.info("Recipe: %s", reason)
    if not safer_folder.exists():
        try:
            return _run(plan, folder, progress, device)
        except ModelError as error:
            logger.warning("%s Starting again, once, with safer settings.", error)
            progress.report(0.0, f"{error} Starting again with safer settings.")
            safer_folder.mkdir(parents=True)
    return _run(replace(plan, recipe=plan.recipe.safer()), safer_folder, progress, device)


def _sort_in_resume(folder: Path, safer_folder: Path, safer: TranscriberRecipe) -> None:
    """A resume file from another machine may be that of the safer restart, which then goes on there."""
    found = folder / RESUME
    settings = None if safer_folder.exists() else saved_settings(found)
    if settings is not None and (settings.get("seed"), settings.get("learning_rate")) == (
        safer.seed,
        safer.learning_rate,
    ):
        safer_folder.mkdir(parents=True)
        shutil.move(
            found, safer_folder / RESUME
        )  # a rename between folders is closed to jobs on older kernels


def _run(plan: TrainingPlan, folder: Path, progress: TrainingObserver, device: str | None) -> TrainedModel:
    recipe = plan.recipe
    torch.manual_seed(recipe.seed)
    task = CtcTask(plan.make_model(), plan)
    settings = TrainingSettings.of(
        recipe.options,
        epochs=recipe.epochs,
        learning_rate=recipe.learning_rate,
        best_metric="val_cer",
        prefer_later=True,  # few recordings give few different error rates, and more training reads better
        warmup_steps=recipe.warmup_steps,
        warmup_share=recipe.warmup_share,
        schedule="linear",
        accumulation=recipe.accumulation,
        precision=recipe.precision,
        # Readings of the training recordings themselves tell little, so they are made less often.
        validate_every_epochs=VALIDATE_TRAINING_EVERY if plan.data.validation is plan.data.train else 1,
        patience_epochs=recipe.patience_epochs,
        seed=recipe.seed,
        device=device,
    )
    with keep_cores():
        outcome = fit(task, settings, folder, progress)
    notes = [*recipe.reasons, *plan.data.notes, outcome.message]
    if not plan.has_words:
        notes.append("word errors are not counted: the texts have no spaces between words")
    metrics = {name: value for name, value in outcome.best_metrics.items() if name != "epoch"}
    trained = TrainedModel(outcome.checkpoint_path, outcome, metrics, tuple(notes))
    return trained if outcome.ended == "stopped" else _finish(trained, plan)


def _finish(trained: TrainedModel, plan: TrainingPlan) -> TrainedModel:
    """Test the best checkpoint on what was held back, and put a corrector into it where that helps."""
    data = plan.data
    if not data.test and not plan.with_corrector:
        return trained
    checkpoint = load_checkpoint(trained.checkpoint)
    metrics, notes = dict(trained.metrics), list(trained.notes)

    def read(examples: Sequence[Example]) -> tuple[Prediction, ...]:
        model, batch_seconds = checkpoint.model, plan.recipe.batch_seconds
        return read_examples(model, checkpoint.vocabulary, plan.sounds, examples, batch_seconds)[1]

    if data.test:
        rates = error_rates(read(data.test), has_words=plan.has_words)
        metrics |= {f"test_{name}": rate for name, rate in rates.items()}
    if not plan.with_corrector:
        return replace(trained, metrics=metrics)
    if data.validation is data.train:
        return _without_corrector(trained, metrics, notes, "no recordings were held back to learn it from")
    pairs = [(p.hypothesis, p.reference) for p in read(data.validation)]
    corrector, report = fit_corrector(pairs, [example.text for example in data.train])
    if report is None:
        why = f"{len(pairs)} held-out readings are too few to learn it from"
        return _without_corrector(trained, metrics, notes, why)
    notes.append(report.sentence)
    metrics |= {
        "val_cer_without_corrector": report.cer_before,
        "val_cer_with_corrector": report.cer_after,
    }
    if corrector is not None:
        save_checkpoint(trained.checkpoint, replace(checkpoint, corrector=corrector))
    why = "" if report.kept else "it would not have lowered the error rate"
    return replace(trained, metrics=metrics, notes=tuple(notes), corrector=report, no_corrector=why)


def _without_corrector(
    trained: TrainedModel, metrics: Mapping[str, float], notes: Sequence[str], why: str
) -> TrainedModel:
    return replace(trained, metrics=metrics, notes=(*notes, f"no corrector: {why}"), no_corrector=why)
