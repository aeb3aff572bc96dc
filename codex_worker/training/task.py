"""What the loop is given and what it gives back: the task, its settings, its audience and the outcome."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from torch import Generator, Tensor, nn

from codex_worker.errors import UserError

if TYPE_CHECKING:  # whoever trains with the loop alone needs no manifest, nor what reads it
    from codex_worker.contract.options import TrainingOptions


TrainingPrecision = Literal["bf16", "bf16_weights", "fp16", "fp32"]
"""How a run multiplies: in fp32; in bf16 by autocast, or in fp16 with losses that are scaled
(`training.loss_scale`); or with weights that are bf16 themselves, rounded from fp32 ones that learn
(`training.masters`)."""


class TrainingTask(Protocol):
    """What is trained, and on what. The loop asks nothing else of a model."""

    @property
    def model(self) -> nn.Module:
        """The module whose state is saved and resumed; the loop moves it to the device."""

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """Groups for AdamW, each with `params` and, where it differs, `lr` and `weight_decay`.

        A group that begins to train later, with a warm-up of its own, has `begins`: after how many updates.
        """

    def batches(self, epoch: int) -> Sequence[Any]:
        """All batches of one epoch (counted from 0), the same whenever asked for the same epoch.

        Asked for epoch 0 to count the updates, then at the start of every epoch and of the present one
        after a resume; so this is also the place to decide which parameters train in that epoch.
        """

    def losses(self, batch: Any) -> dict[str, Tensor]:
        """Scalars of one batch: `total`, which is minimised, and parts to be shown beside it.

        The inputs come to the model in its own numbers, which `bf16_weights` makes bf16; losses are fp32.
        """

    def validate(self) -> dict[str, float]:
        """Metrics under the names that the chart has (`val_total_loss`, `val_cer`); empty without data.

        The model is in evaluation mode, without gradients, and holds the averaged weights if there are any.
        """

    def save(self, path: Path, metadata: dict[str, str]) -> None:
        """Write the deployable checkpoint, with `metadata` added to its own."""


@runtime_checkable
class LoadingTask(Protocol):
    """A `TrainingTask` whose batches are read ahead of their updates."""

    def load(self, batch: Any, generator: Generator | None) -> Any:
        """Read one of `batches`, in another thread; the chance in that comes from the generator."""

    def losses_of(self, batch: Any) -> dict[str, Tensor]:
        """What `losses` gives, of a batch that was loaded."""


@runtime_checkable
class RepeatingTask(LoadingTask, Protocol):
    """A `LoadingTask` whose work may be recorded.

    Where `repeats`, loaded batches are tuples of tensors in at most `graphs.MOST_SHAPES` shapes, and
    `losses_of` does nothing but work on the device, the same for all batches of a shape.
    """

    @property
    def repeats(self) -> bool:
        """Whether that is so here."""


class Opponent(Protocol):
    """A second network that learns against the first: it tells what that makes from what is real."""

    @property
    def model(self) -> nn.Module:
        """The module whose state is resumed beside the first one's; no checkpoint holds it."""

    def loss(self, batch: Any) -> Tensor:
        """What it minimises on a batch; the first network stays as it is."""


@runtime_checkable
class TaskWithOpponent(Protocol):
    """A `TrainingTask` of two networks: in each update the opponent learns first, then the task's model."""

    @property
    def opponent(self) -> Opponent:
        """The other network."""


class TrainingObserver(Protocol):
    """Who watches a run. Called in the loop's own thread, between two updates."""

    def should_stop(self) -> bool:
        """Whether to save and leave now; asked before every update."""

    def report(self, epochs_completed: float, message: str) -> None:
        """A sentence for a person, at the end of an epoch and every few seconds within one."""

    def metrics(self, row: dict[str, float]) -> None:
        """One row of the chart. After a resume the earlier rows come again, each once."""

    def saved_best(self, path: Path, metrics: dict[str, float]) -> None:
        """A checkpoint better than all before was written to `path`, or the latest where none is compared."""

    @property
    def save_every_s(self) -> float:
        """How often the resume file is written while the run goes on, in seconds."""

    def needs_resume(self, *, finished: bool) -> bool:
        """Whether the file is worth writing as a run ends; `finished`: by itself, nobody told it to."""

    def saved_resume(self, path: Path, epochs: float) -> None:
        """The resume file was written anew, so many epochs into the run."""


@runtime_checkable
class SparingObserver(Protocol):
    """A `TrainingObserver` who tells when the latest checkpoint is of use, where a run compares none.

    Writing a checkpoint takes longer than some updates.
    """

    def wants_latest(self) -> bool:
        """Whether to write the checkpoint of this validation, and tell it by `saved_best`."""


@dataclass(frozen=True)
class TrainingSettings:
    """How long and how fast to train, and what to keep."""

    epochs: int
    learning_rate: float
    best_metric: str | None = "val_total_loss"  # smaller is better; None: the last weights are the result
    # From this value of `best_metric` on a model counts as untrained: it is never the best one, and patience
    # waits for no better one yet. `early_below` is the same until all that trains is warmed up, when a better
    # value may be luck. None: every validation counts.
    learnt_below: float | None = None
    early_below: float | None = None
    prefer_later: bool = False  # of checkpoints with equal values; the first one otherwise
    warmup_steps: int | None = None  # None: a share of all updates
    warmup_share: float = 0.1
    schedule: Literal["linear", "cosine"] = "cosine"
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.01
    clip_norm: float | None = 1.0
    accumulation: int = 1  # batches to an update
    precision: TrainingPrecision = "fp32"
    ema_decay: float | None = None
    validate_every_epochs: int = 1
    patience_epochs: int | None = None  # epochs without a better value than the best; None: never stop early
    report_every_s: float = 10.0
    max_skipped_in_a_row: int = 10
    seed: int = 0
    device: str | None = None  # None: where the model is

    @classmethod
    def of(cls, options: "TrainingOptions", **decided: Any) -> "TrainingSettings":
        """The settings that a recipe decided, and every option that has the name of another setting."""
        names = {field.name for field in fields(cls)} - decided.keys()
        asked = {name: getattr(options, name) for name in type(options).model_fields if name in names}
        return cls(**decided, **{name: value for name, value in asked.items() if value is not None})

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.accumulation < 1 or self.validate_every_epochs < 1:
            raise UserError("epochs, gradient accumulation and epochs between validations must be at least 1")
        if not self.learning_rate > 0:
            raise UserError(f"a learning rate of {self.learning_rate} cannot train; use something like 1e-4")


@dataclass(frozen=True)
class TrainingOutcome:
    """What a run did and left behind."""

    ended: Literal["finished", "early", "stopped"]  # all epochs, patience ran out, told to stop
    epochs_completed: int
    best_epoch: int | None  # counted from 1
    best_metrics: dict[str, float]
    best_path: Path | None  # None where there was nothing to validate on
    last_path: Path
    rows: tuple[dict[str, float], ...]
    skipped_steps: int
    message: str

    @property
    def checkpoint_path(self) -> Path:
        """The checkpoint to use: the best one, or the last where nothing could be compared."""
        return self.best_path or self.last_path

    @property
    def checkpoint_metrics(self) -> dict[str, float]:
        """The row of that checkpoint: the best one's, or the last."""
        return self.best_metrics or (self.rows[-1] if self.rows else {})
