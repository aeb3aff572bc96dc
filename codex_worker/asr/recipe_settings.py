"""What a recipe for a transcriber decides."""

from dataclasses import dataclass, field, replace
from typing import Literal

from codex_worker.contract.options import TrainingOptions
from codex_worker.training.task import TrainingPrecision

Trains = Literal["all", "adapter"]  # the whole network, or only its adapters and its head


@dataclass(frozen=True)
class Augmentation:
    """Changes to a recording each time it is used (SpecAugment: Park et al. 2019; speed: Ko et al. 2015)."""

    speeds: tuple[float, ...] = (1.0,)
    time_mask_share: float = 0.0  # of the frames, at most
    time_mask_s: float = 0.2  # the longest mask
    shortest_time_mask_s: float = 0.0
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
    precision: TrainingPrecision
    sort_by_length: bool  # recordings of like length share a batch
    augmentation: Augmentation
    averaging: float | None = None  # decay of the averaged weights, which are the ones that are kept
    seed: int = 0
    trains: Trains = "all"
    head_factor: float = 1.0  # the rate of new layers (head and adapter) against that of the body
    lowest_rate: float = 0.0  # of any layer of the body
    layer_drop: float = 0.0  # chance of a layer of the body to be left out of an update, once the body trains
    validate_every_epochs: int = 1
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
            gradient_checkpointing=self.gradient_checkpointing or self.precision != "fp32",
            augmentation=replace(self.augmentation, time_mask_share=0.0, band_masks=0),
            layer_drop=0.0,
            seed=self.seed + 1,
            reasons=(
                *self.reasons,
                f"after a collapse: learning rate {self.learning_rate / 3:g}, warm-up 20 %, fp32, no masks",
            ),
        )
