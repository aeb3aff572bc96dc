"""How to train: from hours of data, preset and the job's options to settings, each with its reason."""

import math
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from codex_worker.contract.keys import keys_of
from codex_worker.contract.options import (
    MANY_HOURS,
    SMALL_VAL_SPLIT,
    TEST_SPLIT,
    VAL_SPLIT,
    TrainingOptions,
)
from codex_worker.training.machine import Machine

Preset = Literal["full", "tiny"]

# Hours below which the pre-trained body stays frozen at first: random new layers would otherwise shake it up.
SMALL_DATA_H = 5.0
FULL_PARAMETERS = 600_000_000  # of w2v-bert-2.0 with its adapter
# GPU memory from which such a network trains without gradient checkpointing, half as fast again: a batch of
# 160 s took 30 GB in bf16, and 11 GB with it. Activations take twice as much in fp32.
ROOMY_BYTES = 44 * 10**9


@dataclass(frozen=True)
class Augmentation:
    """Changes to a recording each time it is used (SpecAugment: Park et al. 2019; speed: Ko et al. 2015)."""

    speeds: tuple[float, ...] = (1.0,)
    time_mask_share: float = 0.0  # of the frames, at most
    time_mask_s: float = 0.2  # the longest mask
    band_masks: int = 0
    band_mask_bins: int = 0  # the widest mask, of 80 mel bins


@dataclass(frozen=True)
class TranscriberRecipe:
    """Everything that decides a training run, apart from its data."""

    epochs: int
    learning_rate: float
    batch_size: int  # recordings in a batch, at most
    batch_seconds: float  # padded seconds in a batch, at most
    accumulation: int
    warmup_steps: int | None
    warmup_share: float
    frozen_epochs: int  # adapter and head only
    layer_decay: float  # learning rate of a layer against the one above it
    patience_epochs: int | None
    val_split: float
    test_split: float
    max_duration_s: float
    gradient_checkpointing: bool
    precision: Literal["bf16", "fp32"]
    sort_by_length: bool  # recordings of like length share a batch
    augmentation: Augmentation
    averaging: float | None = None  # decay of the averaged weights, which are the ones that are kept
    seed: int = 0
    options: TrainingOptions = field(default_factory=TrainingOptions)  # what the job asks for
    reasons: tuple[str, ...] = field(default=(), compare=False)

    def safer(self) -> "TranscriberRecipe":
        """The recipe to start again with after a collapse: slower, longer warm-up, nothing masked, fp32."""
        return replace(
            self,
            learning_rate=self.learning_rate / 3,
            warmup_steps=None,
            warmup_share=0.2,
            precision="fp32",
            gradient_checkpointing=self.gradient_checkpointing or self.precision == "bf16",
            augmentation=replace(self.augmentation, time_mask_share=0.0, band_masks=0),
            seed=self.seed + 1,
            reasons=(
                *self.reasons,
                f"after a collapse: learning rate {self.learning_rate / 3:g}, warm-up 20 %, fp32, no masks",
            ),
        )


def choose_recipe(
    hours: float,
    recordings: int,
    *,
    preset: Preset = "full",
    pretrained: bool = True,
    parameters: int = FULL_PARAMETERS,
    machine: Machine | None = None,
    options: TrainingOptions | None = None,
) -> TranscriberRecipe:
    """Settings for this much data; what the job asks for comes first, each choice carries its reason.

    Args:
        hours: hours of usable recordings.
        recordings: how many there are.
        pretrained: whether the body starts from trained weights.
        parameters: how many the network has; with the machine's memory they decide what is kept in it.
        machine: what it trains on; decides precision, batches and gradient checkpointing.
        options: what the job asks for.
    """
    options = options or TrainingOptions()
    recipe = (
        _tiny(hours, recordings)
        if preset == "tiny"
        else _full(hours, pretrained, parameters, machine or Machine())
    )
    reasons = list(recipe.reasons)
    changes = _asked(options)
    for name, key in keys_of(TrainingOptions):
        if name in options.model_fields_set and _FIELDS.get(name, name) in changes:
            value = getattr(options, name)
            reasons.append(f"{_FIELDS.get(name, name)} {value:g}: the manifest's {key.place}")
    if "epochs" in changes:
        changes["frozen_epochs"] = min(recipe.frozen_epochs, changes["epochs"] // 3)
    recipe = replace(recipe, **changes, options=options)
    if "epochs" in changes and recipe.patience_epochs is not None:
        reasons.append(f"early stopping after {recipe.patience_epochs} epochs without a better reading")
    return replace(recipe, reasons=tuple(reasons))


# Options that a recipe knows by another name; the others of a recipe's fields have the same.
_FIELDS = {
    "gradient_accumulation_steps": "accumulation",
    "max_duration_seconds": "max_duration_s",
    "early_stopping_patience": "patience_epochs",
}


def _asked(options: TrainingOptions) -> dict[str, Any]:
    """The recipe's fields that the job decides."""
    known = {each.name for each in fields(TranscriberRecipe)}
    changes: dict[str, Any] = {}
    for name in options.model_fields_set:
        value = getattr(options, name)
        if value is not None and _FIELDS.get(name, name) in known:
            changes[_FIELDS.get(name, name)] = value
    if changes.get("patience_epochs") == 0:
        changes["patience_epochs"] = None
    return changes


def _tiny(hours: float, recordings: int) -> TranscriberRecipe:
    """A network of 0.8 million parameters from nothing, in some minutes of a processor.

    Measured on 18 minutes of English and of Russian (`python -m bench.real_speech`) and on the sample.
    """
    per_epoch = max(1, math.ceil(recordings / _TINY_BATCH))
    passes = min(_TINY_PASSES, _TINY_HEARD_S / max(1.0, hours * 3600))
    updates = max(_TINY_UPDATES, round(passes * per_epoch))
    epochs = math.ceil(updates / per_epoch)
    return TranscriberRecipe(
        epochs=epochs,
        learning_rate=1.5e-3,
        batch_size=_TINY_BATCH,
        batch_seconds=160.0,
        accumulation=1,
        warmup_steps=100,
        warmup_share=0.1,
        frozen_epochs=0,
        layer_decay=1.0,
        patience_epochs=None,
        val_split=SMALL_VAL_SPLIT,
        test_split=0.0,
        max_duration_s=40.0,
        gradient_checkpointing=False,
        precision="fp32",
        sort_by_length=True,
        averaging=0.998,
        augmentation=Augmentation(
            speeds=(0.9, 0.95, 1.0, 1.06, 1.12), time_mask_share=0.15, band_masks=2, band_mask_bins=15
        ),
        reasons=(
            f"preset tiny: a small network from random weights, {epochs} epochs, {epochs * per_epoch} "
            f"updates: {_TINY_PASSES} times through all recordings, up to {_TINY_HEARD_S / 3600:g} hours of "
            f"listening and at least {_TINY_UPDATES} updates, for the ten minutes it has",
            f"batches of {_TINY_BATCH} of like length: more updates for the same work",
            "SpecAugment over 15 % of the time, 2 mel bands, and averaged weights: of so little speech "
            "a small network, too, learns single recordings by heart",
            f"{100 * SMALL_VAL_SPLIT:g} % held back to measure on: of so few recordings each one is missed",
            "no early stopping: the error rate of a few recordings jumps from epoch to epoch",
        ),
    )


_TINY_BATCH = 4
_TINY_PASSES = 45
_TINY_HEARD_S = 45_000.0
_TINY_UPDATES = 2_000


def _full(hours: float, pretrained: bool, parameters: int, machine: Machine) -> TranscriberRecipe:
    reasons = [f"{hours:.2f} hours of recordings"]
    batch_seconds, accumulation = (160.0, 1) if machine.device == "cuda" else (40.0, 4)
    updates_per_epoch = max(1.0, hours * 3600 / (batch_seconds * accumulation))
    epochs = min(60, max(10, math.ceil(_FULL_UPDATES / updates_per_epoch)))
    reasons.append(
        f"{epochs} epochs: {epochs * updates_per_epoch:.0f} updates of {batch_seconds * accumulation:.0f} s"
    )
    small = hours < SMALL_DATA_H
    frozen = max(1, round(0.15 * epochs)) if small and pretrained else 0
    if frozen:
        reasons.append(
            f"the body is frozen for {frozen} epochs: below {SMALL_DATA_H:g} hours the new layers go first"
        )
    decay = (0.9 if small else 0.95) if pretrained else 1.0
    learning_rate = 5e-5 if pretrained else 3e-4
    reasons.append(f"learning rate {learning_rate:g}, times {decay:g} for each layer further down")
    time_masks, band_masks = (0.05, 1) if small else (0.1, 2)
    reasons.append(f"SpecAugment over {time_masks:.0%} of the time, {band_masks} mel bands; speed ±5 %")
    test_split = TEST_SPLIT if hours >= MANY_HOURS else 0.0
    reasons.append(
        f"{100 * TEST_SPLIT:g} % kept for a test"
        if test_split
        else f"no test set: below {MANY_HOURS:g} hours all is needed to learn"
    )
    # Main memory is large and time is short on a CPU, so only a GPU's memory is economised on.
    memory = machine.memory_bytes
    roomy = ROOMY_BYTES * parameters / FULL_PARAMETERS * (1 if machine.has_bf16 else 2)
    checkpointing = memory is not None and memory < roomy
    if checkpointing:
        reasons.append("gradient checkpointing: the GPU's memory is too small to keep all activations")
    return TranscriberRecipe(
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=64,
        batch_seconds=batch_seconds,
        accumulation=accumulation,
        warmup_steps=None,
        warmup_share=0.1,
        frozen_epochs=frozen,
        layer_decay=decay,
        patience_epochs=max(5, epochs // 4),
        val_split=VAL_SPLIT if hours < MANY_HOURS else SMALL_VAL_SPLIT,
        test_split=test_split,
        max_duration_s=30.0,
        gradient_checkpointing=checkpointing,
        precision="bf16" if machine.has_bf16 else "fp32",
        sort_by_length=True,
        augmentation=Augmentation(
            speeds=(0.95, 1.0, 1.05), time_mask_share=time_masks, band_masks=band_masks, band_mask_bins=15
        ),
        reasons=tuple(reasons),
    )


_FULL_UPDATES = 3000
