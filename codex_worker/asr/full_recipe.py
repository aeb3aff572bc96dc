"""How to fine-tune a network of full size: as published for so little data, and no shorter.

Sources: [w2v] wav2vec 2.0 (Baevski et al. 2020) and the settings in fairseq's
examples/wav2vec/config/finetuning (10 minutes, 1 hour, 10 hours); [omni] Omnilingual ASR (arXiv
2511.09690) and its recipe for fine-tuning CTC; [mms] MMS (Pratap et al. 2023) and "Fine-tuning MMS Adapter
Models" in Hugging Face's blog.
"""

import math
from dataclasses import dataclass, replace

from codex_worker.asr.recipe_settings import Augmentation, TranscriberRecipe
from codex_worker.asr.updates import seconds_an_update, updates_an_epoch
from codex_worker.contract.options import MANY_HOURS, TEST_SPLIT, held_back
from codex_worker.forecast.cost import MEASURED_ON, TrainingWork, cost_of
from codex_worker.training.machine import Machine

SMALL_DATA_H = (
    5.0  # below it the body rests at first, most is masked, and networks with adapters train only them
)
SHORT_H = 1.0  # below it batches are half as long: more updates from the same sound
FULL_PARAMETERS = 600_000_000  # of w2v-bert-2.0 with its adapter
# GPU memory from which such a network trains without gradient checkpointing, half as fast again: a batch of
# 160 s took 30 GB in bf16, and 11 GB with it. Activations take twice as much in fp32.
ROOMY_BYTES = 44 * 10**9
# Seconds of sound that such a network learns from in a second of two cores (docs/performance.md).
PROCESSOR_AUDIO_S_A_SECOND = 0.38

UPDATES = (
    4_000  # at least, however little data: [omni] takes 5,000, [w2v] 13,000 for 10 minutes and for an hour
)
EPOCHS = 10  # at least, however much
FROZEN_SHARE = 0.15
PATIENCE_UPDATES = 1_000  # at least
VALIDATE_UPDATES = 100  # between two validations, about


@dataclass(frozen=True)
class Base:
    """What is known of the network that a training starts from."""

    pretrained: bool
    reads: bool  # its head is trained, too
    has_adapters: bool  # in its layers
    parameters: int


def full_recipe(
    hours: float, base: Base, machine: Machine, trains: str | None
) -> tuple[TranscriberRecipe, dict[str, str]]:
    """All but the length, and the reason of each choice by the field that it decides.

    `trains` is what the job asks for; None where it leaves that to the recipe.
    """
    small = hours < SMALL_DATA_H
    update_s = 80.0 if hours < SHORT_H else 160.0
    batch_seconds, accumulation = (update_s, 1) if machine.device == "cuda" else (40.0, round(update_s / 40))
    memory, reasons = _memory(base, machine), {"hours": f"{hours:.2f} hours of recordings"}
    test_split = TEST_SPLIT if hours >= MANY_HOURS else 0.0
    reasons["test_split"] = (
        f"{100 * TEST_SPLIT:g} % kept for a test"
        if test_split
        else f"no test set: below {MANY_HOURS:g} hours all is needed to learn"
    )
    if memory:
        reasons["gradient_checkpointing"] = memory
    recipe = TranscriberRecipe(
        epochs=EPOCHS,
        learning_rate=5e-5 if base.pretrained else 3e-4,
        batch_size=64,
        batch_seconds=batch_seconds,
        accumulation=accumulation,
        warmup_steps=None,
        warmup_share=0.1,
        frozen_epochs=0,
        layer_decay=1.0,
        patience_epochs=None,
        val_split=held_back(hours),
        test_split=test_split,
        max_duration_s=30.0,
        gradient_checkpointing=bool(memory),
        precision=machine.precision,
        sort_by_length=True,
        augmentation=_augmentation(small, reasons),
    )
    if (trains or ("adapter" if base.has_adapters and small else "all")) == "adapter":
        return _adapters_only(recipe, reasons), reasons
    return _whole(recipe, base, small, reasons), reasons


def with_length(
    recipe: TranscriberRecipe,
    hours: float,
    recordings: int,
    parameters: int,
    machine: Machine,
    *,
    asked: frozenset[str],
) -> tuple[TranscriberRecipe, dict[str, str]]:
    """Epochs and what follows from them.

    Args:
        recipe: all else, with what the job asks for.
        asked: the fields that the job decides.
    """
    share = 1.0 - recipe.val_split - recipe.test_split
    hours, recordings = share * hours, math.ceil(share * recordings)
    per_epoch = updates_an_epoch(recipe, hours, recordings)
    update_s = seconds_an_update(recipe, hours, recordings)
    epochs = recipe.epochs if "epochs" in asked else max(EPOCHS, math.ceil(UPDATES / per_epoch))
    updates = epochs * per_epoch
    reasons = {
        "epochs": (
            f"{epochs} epochs at most, about {updates} updates of {update_s:.0f} s of sound: {UPDATES} "
            "however little there is (Omnilingual ASR: 5,000; wav2vec 2.0: 13,000 for 10 minutes or an hour)"
        ),
        "cost": _cost(TrainingWork(updates, update_s, parameters), machine),
    }
    frozen = recipe.frozen_epochs
    if frozen:
        frozen = min(max(1, round(FROZEN_SHARE * epochs)), epochs // 3)
        reasons["frozen_epochs"] = (
            f"the body is frozen for {frozen} epochs, about {frozen * per_epoch} updates, and has a warm-up "
            f"of its own then: below {SMALL_DATA_H:g} hours the new layers go first (wav2vec 2.0)"
        )
    patience = recipe.patience_epochs
    if "patience_epochs" not in asked:
        patience = max(5, math.ceil(max(PATIENCE_UPDATES, updates // 4) / per_epoch))
        if patience < epochs:
            reasons["patience_epochs"] = (
                f"early stopping after {patience} epochs, about {patience * per_epoch} updates, without a "
                "better reading"
            )
    every = max(1, min(round(VALIDATE_UPDATES / per_epoch), epochs // 10, patience or epochs))
    return (
        replace(
            recipe, epochs=epochs, frozen_epochs=frozen, patience_epochs=patience, validate_every_epochs=every
        ),
        reasons,
    )


def _whole(recipe: TranscriberRecipe, base: Base, small: bool, reasons: dict[str, str]) -> TranscriberRecipe:
    if not base.pretrained:
        reasons["learning_rate"] = f"learning rate {recipe.learning_rate:g} for random weights"
        return recipe
    recipe = replace(
        recipe,
        layer_decay=0.9 if small else 0.95,
        lowest_rate=1e-5,
        layer_drop=0.1 if small else 0.05,
        head_factor=1.0 if base.reads else 10.0,
        frozen_epochs=1 if small and not base.reads else 0,
    )
    reasons["learning_rate"] = f"learning rate {recipe.learning_rate:g}"
    reasons["layer_decay"] = (
        f"times {recipe.layer_decay:g} for each layer further down (Howard and Ruder 2018), never below "
        f"{recipe.lowest_rate:g}, with which Omnilingual ASR fine-tunes whole networks"
    )
    reasons["head_factor"] = (
        "one rate for head and body, and no frozen stage: this transcriber reads already"
        if base.reads
        else f"new layers learn at {recipe.head_factor:g} times the body's rate (heads alone: 1e-4 to 3e-4 "
        "in wav2vec 2.0; adapters: 1e-3 in MMS)"
    )
    reasons["layer_drop"] = (
        f"LayerDrop {recipe.layer_drop:g} once the body trains (Fan et al. 2020; wav2vec 2.0: 0.1)"
    )
    return recipe


def _adapters_only(recipe: TranscriberRecipe, reasons: dict[str, str]) -> TranscriberRecipe:
    reasons["trains"] = (
        "only the adapters and the head train, and the body stays as it is (MMS: the way for little data)"
    )
    reasons["learning_rate"] = "learning rate 0.001, as published for adapters (MMS)"
    return replace(recipe, trains="adapter", learning_rate=1e-3)


def _augmentation(small: bool, reasons: dict[str, str]) -> Augmentation:
    share = 0.4 if small else 0.15
    reasons["masks"] = (
        f"SpecAugment over {share:.0%} of the time in spans of 0.2 to 0.4 s, and over 2 mel bands, once the "
        "body trains: most with least data (wav2vec 2.0: mask_prob 0.65 to 0.75 up to 10 hours, 0.5 at 100, "
        "in spans of 0.2 s); speed ±5 %"
    )
    return Augmentation(
        speeds=(0.95, 1.0, 1.05),
        time_mask_share=share,
        shortest_time_mask_s=0.2,
        time_mask_s=0.4,
        band_masks=2,
        band_mask_bins=15,
    )


def _memory(base: Base, machine: Machine) -> str:
    """Why gradients are recomputed; empty where they are not.

    Main memory is large and time is short on a CPU, so only a GPU's memory is economised on.
    """
    roomy = ROOMY_BYTES * base.parameters / FULL_PARAMETERS * (2 if machine.precision == "fp32" else 1)
    if machine.memory_bytes is None or machine.memory_bytes >= roomy:
        return ""
    return "gradient checkpointing: the GPU's memory is too small to keep all activations"


def _cost(work: TrainingWork, machine: Machine) -> str:
    if machine.device == "cuda":
        _, most = cost_of(work, None).hours
        time = f"{most:.1f} hours" if most >= 1.5 else f"{max(1, round(60 * most))} minutes"
        return (
            f"about {time} of a GPU for all of them, estimated from what {MEASURED_ON} took for "
            f"{FULL_PARAMETERS // 10**6} million parameters (docs/performance.md); smaller GPUs take longer"
        )
    audio_s = work.updates * work.seconds_of_audio * work.parameters / FULL_PARAMETERS
    hours = audio_s / PROCESSOR_AUDIO_S_A_SECOND / 3600
    if hours < 24:
        return f"about {hours:.1f} hours on a processor, estimated from two cores (docs/performance.md)"
    return (
        f"about {hours / 24:.0f} days on a processor, estimated from two cores (docs/performance.md): that "
        "is not practical. Give this job to a worker with a GPU, or ask for `model.preset: tiny`"
    )
