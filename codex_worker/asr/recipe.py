"""How to train: from hours of data, preset and the job's options to settings, each with its reason."""

import math
from dataclasses import fields, replace
from typing import Any, Literal

from codex_worker.asr.full_recipe import FULL_PARAMETERS, Base, full_recipe, with_length
from codex_worker.asr.recipe_settings import Augmentation, TranscriberRecipe
from codex_worker.contract.keys import keys_of
from codex_worker.contract.options import TrainingOptions, held_back
from codex_worker.training.machine import Machine

Preset = Literal["full", "tiny"]


def choose_recipe(
    hours: float,
    recordings: int,
    *,
    preset: Preset = "full",
    pretrained: bool = True,
    reads: bool = False,
    has_adapters: bool = False,
    parameters: int = FULL_PARAMETERS,
    machine: Machine | None = None,
    options: TrainingOptions | None = None,
) -> TranscriberRecipe:
    """Settings for this much data; what the job asks for comes first, each choice carries its reason.

    Args:
        hours: hours of usable recordings.
        recordings: how many there are.
        pretrained: whether the body starts from trained weights.
        reads: whether the head is trained, too: a transcriber goes on learning.
        has_adapters: whether the network has adapters in its layers, as MMS has them.
        parameters: how many the network has; with the machine's memory they decide what is kept in it.
        machine: what it trains on; decides precision, batches and gradient checkpointing.
        options: what the job asks for.
    """
    options, machine = options or TrainingOptions(), machine or Machine()
    if preset == "tiny":
        recipe, reasons = _tiny(hours, recordings)
    else:
        base = Base(pretrained=pretrained, reads=reads, has_adapters=has_adapters, parameters=parameters)
        recipe, reasons = full_recipe(hours, base, machine, options.trainable)
    changes = _asked(options)
    for name, key in keys_of(TrainingOptions):
        field = _FIELDS.get(name, name)
        if name in options.model_fields_set and field in changes:
            value = getattr(options, name)
            said = value if isinstance(value, str) else f"{value:g}"
            reasons[field] = f"{field} {said}: the manifest's {key.place}"
    recipe = replace(recipe, **changes, options=options)
    if preset == "full":
        recipe, more = with_length(recipe, hours, recordings, parameters, machine, asked=frozenset(changes))
        reasons |= {field: reason for field, reason in more.items() if field not in changes}
    return replace(recipe, reasons=tuple(reasons.values()))


# Options that a recipe knows by another name; the others of a recipe's fields have the same.
_FIELDS = {
    "gradient_accumulation_steps": "accumulation",
    "max_duration_seconds": "max_duration_s",
    "early_stopping_patience": "patience_epochs",
    "trainable": "trains",
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


def _tiny(hours: float, recordings: int) -> tuple[TranscriberRecipe, dict[str, str]]:
    """A network of a million parameters from nothing, in some minutes of a processor.

    Measured on 18 minutes of English and of Russian (`python -m bench.real_speech`) and on the sample.
    """
    per_epoch = max(1, math.ceil(recordings / _TINY_BATCH))
    passes = min(_TINY_PASSES, _TINY_HEARD_S / max(1.0, hours * 3600))
    updates = max(_TINY_UPDATES, round(passes * per_epoch))
    epochs = math.ceil(updates / per_epoch)
    share = held_back(hours)
    recipe = TranscriberRecipe(
        epochs=epochs,
        learning_rate=1e-3,
        batch_size=_TINY_BATCH,
        batch_seconds=160.0,
        accumulation=1,
        warmup_steps=100,
        warmup_share=0.1,
        frozen_epochs=0,
        layer_decay=1.0,
        patience_epochs=None,
        val_split=share,
        test_split=0.0,
        max_duration_s=40.0,
        gradient_checkpointing=False,
        precision="fp32",
        sort_by_length=True,
        averaging=0.995,
        augmentation=Augmentation(speeds=(0.9, 0.95, 1.0, 1.06, 1.12)),
    )
    return recipe, {
        "preset": (
            "preset tiny: a small network from random weights, convolutions and an LSTM, which learns more "
            "of so little speech than attention does"
        ),
        "epochs": (
            f"{epochs} epochs, {epochs * per_epoch} updates: {_TINY_PASSES} times through all recordings, up "
            f"to {_TINY_HEARD_S / 3600:g} hours of listening and at least {_TINY_UPDATES} updates, for the "
            "ten minutes it has"
        ),
        "batch_size": f"batches of {_TINY_BATCH} of like length: no work for padding",
        "masks": (
            "no SpecAugment: so small a network learns less with it in this time; averaged weights instead"
        ),
        "val_split": (
            f"{100 * share:g} % held back: by them is judged what is written into cells, how sure a "
            "reading has to be and how much the project's language counts"
        ),
        "patience_epochs": "no early stopping: the error rate of a few recordings jumps from epoch to epoch",
    }


_TINY_BATCH = 8
_TINY_PASSES = 55
_TINY_HEARD_S = 54_000.0
_TINY_UPDATES = 1_200
