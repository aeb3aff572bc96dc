"""How to train a voice on this much data: defaults that scale, what the manifest says instead, and why."""

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from codex_worker.contract.options import MOST_VALIDATED, VAL_SPLIT, TrainingOptions
from codex_worker.errors import UserError
from codex_worker.stabletts.configuration import MelSettings
from codex_worker.training.batches import batches_by_length
from codex_worker.training.loop import TrainingSettings
from codex_worker.training.machine import Machine
from codex_worker.training.task import TrainingPrecision

Start = Literal["official", "checkpoint", "scratch"]

# Fine-tuning peaks after some thousand updates and overfits after some ten thousands (IMS-Toucan's
# experience); more data bears more updates.
UPDATES_AT_LEAST, UPDATES_PER_HOUR, UPDATES_AT_MOST = 4_000, 1_500, 40_000
SCRATCH_FACTOR = 4  # from random weights everything takes longer
LEARNING_RATES: dict[Start, float] = {"official": 1e-4, "checkpoint": 5e-5, "scratch": 2e-4}
STARTS: dict[Start, str] = {
    "official": "the official weights",
    "checkpoint": "an earlier voice",
    "scratch": "random weights",
}
# The tiny network learns to be understood in some hundred updates (bench/tts_learns.py: 540 of them), or not
# at all. One of 4,000 frames took half a second of one core here: all are some five minutes.
TINY_UPDATES = 600
TINY_BATCH_SIZE, TINY_BATCH_FRAMES = 8, 4_000
BATCH_SIZE = 32
UPDATES_PER_EPOCH = 8  # a smaller batch is taken where an epoch would have fewer
# An update of the full network takes 0.45 MB a frame in float32 (measured with 8 x 400 frames on a
# processor); about half of the memory is left for the alignment of long texts and for what else is on the
# device.
FRAMES_PER_GIB = 1_200
FRAMES_WITHOUT_ACCELERATOR = 4_000
WARMUP_STEPS = 200
PADDING = 1.25  # batches of like length carry little of it
UPDATES_PER_VALIDATION = 100  # at least, of the full network: on a GPU that is a few seconds
WITHOUT_A_JUDGE = (
    "the last checkpoint is delivered, with averaged weights, and training does not end early: no "
    "transcriber listens, and a voice's validation losses do not tell how it sounds (the authors in "
    "Matcha-TTS #18 and #25, Glow-TTS #55 and IMS-Toucan #195); they are shown only"
)


@dataclass(frozen=True)
class Method:
    """What a kind of voice is trained with where a manifest does not say; the defaults are StableTTS's."""

    learning_rates: Mapping[Start, float] = field(default_factory=lambda: LEARNING_RATES)
    tiny_learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    clip_norm: float | None = 5.0
    updates_at_least: int = UPDATES_AT_LEAST
    updates_per_hour: int = UPDATES_PER_HOUR
    updates_at_most: int = UPDATES_AT_MOST
    scratch_factor: int = SCRATCH_FACTOR
    batch_size: int = BATCH_SIZE
    tiny_updates: int = TINY_UPDATES
    precision: TrainingPrecision | None = None  # None: by the machine
    frames_per_second: float = MelSettings().frames_per_second
    reasons: tuple[str, ...] = ()


STABLETTS = Method()


@dataclass(frozen=True)
class VoiceRecipe:
    """Everything that training needs to know besides the data, and a line for each decision."""

    training: TrainingSettings
    batch_items: int
    batch_frames: int
    validated: int  # utterances held out
    reasons: tuple[str, ...]

    def batches(self, frames: Sequence[int], epoch: int | None = None) -> list[list[int]]:
        """Places of utterances of so many frames, those of like length together; mixed anew in each epoch."""
        seed = None if epoch is None else zlib.crc32(f"{self.training.seed}:{epoch}".encode())
        return batches_by_length(
            frames,
            max_total=self.batch_frames,
            max_items=self.batch_items,
            seed=seed,
            shuffle=epoch is not None,
        )


def plan(
    options: TrainingOptions,
    frames: Sequence[int],
    *,
    start: Start,
    tiny: bool = False,
    machine: Machine | None = None,
    judged_by: str | None = None,
    method: Method = STABLETTS,
) -> VoiceRecipe:
    """Decide how to train on utterances of these mel frames; raises UserError when they are too few.

    `judged_by` names the metric of a judge who listens at each validation; None where nobody does.
    """
    machine = machine or Machine()
    reasons: list[str] = []
    hours = sum(frames) / method.frames_per_second / 3600
    validated = _validated(options, len(frames), reasons)
    training = len(frames) - validated
    if training < 1:
        raise UserError(
            f"{len(frames)} usable recordings are too few to train on. Record more verses (50 or more give a "
            "first impression, a few hours a voice), or select more of them for training."
        )
    typical = sum(frames) / len(frames)
    batch_items, accumulation = _batch(options, method, training, typical if tiny else None, reasons)
    batch_frames, accumulation = _fit_memory(batch_items, typical, accumulation, machine, tiny, reasons)
    per_epoch = max(1, math.ceil(training * typical / batch_frames), math.ceil(training / batch_items))
    per_epoch = math.ceil(per_epoch / accumulation)
    epochs = _epochs(options, method, hours, per_epoch, start, tiny, reasons)
    updates = epochs * per_epoch
    learning_rate = options.learning_rate or (
        method.tiny_learning_rate if tiny else method.learning_rates[start]
    )
    said = (
        "as the manifest says" if options.learning_rate else f"the default for training from {STARTS[start]}"
    )
    reasons.append(f"learning rate {learning_rate:g}: {said}")
    best_metric = judged_by if validated else None
    patience = _patience(options, epochs, best_metric, reasons)
    settings = TrainingSettings.of(
        options,
        epochs=epochs,
        learning_rate=learning_rate,
        best_metric=best_metric,
        warmup_steps=options.warmup_steps
        if options.warmup_steps is not None
        else min(WARMUP_STEPS, updates // 10),
        schedule="cosine",
        betas=method.betas,
        clip_norm=1.0 if tiny and method.clip_norm else method.clip_norm,
        accumulation=accumulation,
        precision=method.precision or machine.precision,
        ema_decay=ema_decay(updates),
        validate_every_epochs=_validate_every(epochs, per_epoch, patience, tiny),
        patience_epochs=patience,
        device=machine.device,
    )
    reasons.append(
        f"averaged weights (decay {settings.ema_decay:g}), {settings.precision}, "
        f"{settings.warmup_steps} warm-up updates of about {updates}"
    )
    if best_metric:
        reasons.append("the best checkpoint is the one that a transcriber of the project understands best")
    elif validated:
        reasons.append(WITHOUT_A_JUDGE)
    reasons += method.reasons
    return VoiceRecipe(settings, batch_items, batch_frames, validated, tuple(reasons))


def ema_decay(updates: int) -> float:
    """Average over about the last twentieth of the updates, between 0.9 and 0.9995."""
    return min(0.9995, max(0.9, 1 - 20 / max(updates, 1)))


def _validated(options: TrainingOptions, utterances: int, reasons: list[str]) -> int:
    if options.val_split == 0:
        reasons.append("no validation, as the manifest says: the last checkpoint is the one to use")
        return 0
    share = VAL_SPLIT if options.val_split is None else options.val_split
    wanted = (
        min(MOST_VALIDATED, round(share * utterances))
        if options.val_split is None
        else round(share * utterances)
    )
    count = min(max(1, wanted), utterances // 2)
    said = "the default" if options.val_split is None else "as the manifest says"
    reasons.append(f"{count} of {utterances} recordings are held out for validation ({share:.0%}, {said})")
    return count


def _batch(
    options: TrainingOptions, method: Method, training: int, tiny_frames: float | None, reasons: list[str]
) -> tuple[int, int]:
    """Recordings of a batch, batches of an update; `tiny_frames`: of a recording, for the tiny network."""
    if options.batch_size:
        reasons.append(f"batches of {options.batch_size} recordings, as the manifest says")
        return options.batch_size, options.gradient_accumulation_steps or 1
    usual = method.batch_size
    if tiny_frames is not None:
        usual = max(1, min(TINY_BATCH_SIZE, int(TINY_BATCH_FRAMES / (PADDING * tiny_frames))))
    size = max(1, min(usual, training // UPDATES_PER_EPOCH))
    why = (
        "the default"
        if size == usual
        else f"so that {training} recordings give at least {UPDATES_PER_EPOCH} updates an epoch"
    )
    reasons.append(f"batches of {size} recordings: {why}")
    return size, options.gradient_accumulation_steps or 1


def _fit_memory(
    items: int, typical: float, accumulation: int, machine: Machine, tiny: bool, reasons: list[str]
) -> tuple[int, int]:
    """Frames of a padded batch, and into how many parts an update has to be taken for that."""
    wanted = max(1, round(items * typical * PADDING))
    limit = FRAMES_WITHOUT_ACCELERATOR * (4 if tiny else 1)
    if machine.memory_bytes is not None:
        limit = round(machine.memory_bytes / 2**30 * FRAMES_PER_GIB * (4 if tiny else 1))
    if wanted <= limit:
        return wanted, accumulation
    parts = math.ceil(wanted / limit)
    reasons.append(f"{parts} batches to an update, because {wanted} mel frames do not fit the memory at once")
    return math.ceil(wanted / parts), accumulation * parts


def _epochs(
    options: TrainingOptions,
    method: Method,
    hours: float,
    per_epoch: int,
    start: Start,
    tiny: bool,
    reasons: list[str],
) -> int:
    if options.epochs:
        reasons.append(f"{options.epochs} epochs of about {per_epoch} updates, as the manifest says")
        return options.epochs
    if tiny:
        epochs = max(1, round(method.tiny_updates / per_epoch))
        reasons.append(
            f"{epochs} epochs of about {per_epoch} updates: {method.tiny_updates} updates are what the tiny "
            "network is for, minutes on a processor"
        )
        return epochs
    updates = min(method.updates_at_most, method.updates_at_least + method.updates_per_hour * hours)
    if start == "scratch":
        updates *= method.scratch_factor
    epochs = max(1, round(updates / per_epoch))
    reasons.append(
        f"{epochs} epochs of about {per_epoch} updates: {updates:.0f} updates for {hours:.1f} hours of speech"
    )
    return epochs


def _validate_every(epochs: int, per_epoch: int, patience: int | None, tiny: bool) -> int:
    """Epochs from one validation to the next; a run has ten of them, and patience sees five, where it can."""
    every = max(1, epochs // 100)
    if tiny:
        return every
    seldom = min(epochs // 10, epochs if patience is None else patience // 5)
    return max(every, min(UPDATES_PER_VALIDATION // per_epoch, seldom))


def _patience(
    options: TrainingOptions, epochs: int, best_metric: str | None, reasons: list[str]
) -> int | None:
    if not best_metric:
        if options.early_stopping_patience:
            reasons.append(
                "early_stopping_patience has no effect: without a transcriber that listens to held-out "
                "verses (model.transcriber) nothing tells whether a voice gets better"
            )
        return None
    if options.early_stopping_patience == 0:
        return None
    patience = options.early_stopping_patience or max(20, epochs // 3)
    if patience >= epochs:
        return None
    said = "as the manifest says" if options.early_stopping_patience else "the default"
    reasons.append(f"stops early after {patience} epochs without a better checkpoint ({said})")
    return patience
