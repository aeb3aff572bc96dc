"""A CTC network and its examples, as the shared loop trains them."""

import math
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from transformers import PreTrainedModel

from codex_worker.asr.augment import mask_features
from codex_worker.asr.checkpoint import TranscriberCheckpoint, save_checkpoint
from codex_worker.asr.confidence import LOW, LOW_CONFIDENCE, low_confidence
from codex_worker.asr.corpus import ctc_frames_needed
from codex_worker.asr.evaluate import ctc_loss, error_rates, read_examples
from codex_worker.asr.features import pad_batch
from codex_worker.asr.held_out_rate import HELD_OUT_RECORDINGS
from codex_worker.asr.networks.build import output_frames
from codex_worker.asr.networks.hearing import logits_of
from codex_worker.asr.plan import TrainingPlan
from codex_worker.asr.trainable import AdapterAndHead, Layers
from codex_worker.training.batches import batches_by_length
from codex_worker.training.machine import take_one_core
from codex_worker.training.memory import slices

# Recordings whose features did not fit into the cache are decoded anew: a GPU must not wait for that.
BATCHES_AHEAD = 4

Part = tuple[int, int, slice]
"""Epoch, place of the batch in it, and which of its recordings."""


class CtcTask:
    """A `TrainingTask`: a CTC network and its examples."""

    def __init__(self, model: PreTrainedModel, plan: TrainingPlan, *, row_multiple: int = 1) -> None:
        self.model = model
        self.row_multiple = row_multiple  # of the input rows of a batch
        self.vocabulary = plan.vocabulary
        self.sounds = plan.sounds
        self.data = plan.data
        self.recipe = plan.recipe
        self.metadata = plan.metadata
        self.trainable = AdapterAndHead() if plan.recipe.trains == "adapter" else plan.trainable
        self._has_words = plan.has_words
        self._labels = [self.vocabulary.encode(example.text) for example in self.data.train]
        self._reader = ThreadPoolExecutor(plan.readers, "features", initializer=take_one_core)
        self._ahead: dict[tuple[int, int], list[Future[np.ndarray]]] = {}
        self._low_confidence = LOW_CONFIDENCE
        self._epoch = 0
        self._epoch_batches: list[list[int]] = []
        for module in model.modules():
            if hasattr(module, "layerdrop"):
                module.layerdrop = 0.0  # an adapter's, without which there are other frames than masked
        if hasattr(model, "freeze_feature_encoder"):
            model.freeze_feature_encoder()
        if self.recipe.gradient_checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """What trains, with its rates and, of the body, when it begins."""
        recipe = self.recipe
        groups = self.trainable.groups(self.model, learning_rate, recipe.layer_decay)
        thaws_at = float(recipe.frozen_epochs * self.updates_per_epoch)
        for group in groups:
            part = group.pop("part", None)
            if part is Layers.NEW:
                group["lr"] *= recipe.head_factor
            elif part is Layers.BODY:
                group["lr"] = max(group["lr"], min(recipe.lowest_rate, learning_rate))
                group["begins"] = thaws_at
        return groups

    @property
    def updates_per_epoch(self) -> int:
        """In the first epoch; the others have about as many."""
        return math.ceil(len(self.batches(0)) / self.recipe.accumulation)

    def batches(self, epoch: int) -> Sequence[tuple[int, int]]:
        """`(epoch, place)` of each batch; decides on the way which parameters train in this epoch."""
        is_first_stage = epoch < self.recipe.frozen_epochs
        self.trainable.begin_epoch(self.model, is_first_stage=is_first_stage)
        self.model.config.layerdrop = 0.0 if is_first_stage else self.recipe.layer_drop
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

    def parts(self, batch: tuple[int, int], count: int) -> list[tuple[Part, float]]:
        """A batch in so many parts; the loss is a mean over recordings, so their number is a part's share."""
        epoch, place = batch
        size = len(self._epoch_batches[place])
        return [((epoch, place, part), (part.stop - part.start) / size) for part in slices(size, count)]

    def losses(self, batch: tuple[int, int] | Part) -> dict[str, Tensor]:
        """Mean CTC loss of one batch or a part of it; the next batches' features are read meanwhile."""
        inputs, mask = self.read_batch(batch)
        items = self._epoch_batches[batch[1]][self._part_of(batch)]
        logits = logits_of(self.model, inputs, mask)
        lengths = [output_frames(self.model, int(rows)) for rows in mask.sum(1)]
        return {
            "total": ctc_loss(logits, lengths, [self._labels[i] for i in items], self.vocabulary.blank_id)
        }

    def read_batch(self, batch: tuple[int, int] | Part) -> tuple[Tensor, Tensor]:
        """Inputs `[B, longest, ...]` of a batch and their mask; the next ones are being read from now on."""
        epoch, place = batch[:2]
        for near in range(place, min(place + 1 + BATCHES_AHEAD, len(self._epoch_batches))):
            self._read(epoch, near)
        part = self._part_of(batch)
        features = [rows.result() for rows in self._ahead[epoch, place][part]]
        if part.stop == len(self._epoch_batches[place]):
            del self._ahead[epoch, place]
        return pad_batch(features, self.row_multiple)

    def _part_of(self, batch: tuple[int, int] | Part) -> slice:
        return batch[2] if len(batch) == 3 else slice(0, len(self._epoch_batches[batch[1]]))

    def validate(self) -> dict[str, float]:
        """`val_total_loss`, `val_cer` and, where there are words, `val_wer` on the validation examples."""
        loss, predictions = read_examples(
            self.model, self.vocabulary, self.sounds, self.data.validation, self.recipe.batch_seconds
        )
        rates = error_rates(predictions, has_words=self._has_words)
        if self.data.held_out:
            self._low_confidence = low_confidence(predictions)
        return {"val_total_loss": loss, **{f"val_{name}": rate for name, rate in rates.items()}}

    def save(self, path: Path, metadata: dict[str, str]) -> None:
        """The deployable checkpoint."""
        about = {
            **self.metadata,
            **metadata,
            HELD_OUT_RECORDINGS: f"{self.data.held_out}",
            LOW: f"{self._low_confidence:.4f}",
        }
        self.model.config.layerdrop = 0.0  # of this training only, and not of whoever goes on from here
        save_checkpoint(
            path, TranscriberCheckpoint(self.model, self.vocabulary, self.sounds.frontend, metadata=about)
        )

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
        if output_frames(self.model, len(features)) < ctc_frames_needed(self._labels[item]):
            features = self.sounds.features(self.data.train[item])
        if epoch < self.recipe.frozen_epochs:
            return features
        seconds_per_row = self.sounds.frontend.input_seconds(len(features)) / len(features)
        return mask_features(features, augmentation, seconds_per_row, generator)
