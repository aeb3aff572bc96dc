"""An update's parts: the task's network takes its turn, and before it the opponent of a task that has one."""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from codex_worker.errors import clause, is_out_of_memory
from codex_worker.training.averaging import WeightAverage
from codex_worker.training.graphs import CudaGraphs, Recorder
from codex_worker.training.loss_scale import LossScale
from codex_worker.training.masters import MasterWeights
from codex_worker.training.resume import Learner
from codex_worker.training.task import (
    LoadingTask,
    Opponent,
    RepeatingTask,
    TaskWithOpponent,
    TrainingSettings,
    TrainingTask,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Taken:
    """What a turn gave, on the device: nobody has waited for it yet."""

    losses: dict[str, Tensor]  # 0-dim, summed over the batches
    left_out: Tensor  # 0-dim float32, 1 where the numbers were not finite and nothing was changed
    diverged: Tensor  # 0-dim float32, 1 where no smaller scale of the losses (fp16) would have helped


@dataclass
class Turn:
    """One network's part of an update: what it minimises, and under which name that is among its losses."""

    learner: Learner
    losses: Callable[[Any], dict[str, Tensor]]
    minimised: str
    settings: TrainingSettings
    device: torch.device

    def __post_init__(self) -> None:
        self.full_rates = [float(group["lr"]) for group in self.groups]

    @property
    def groups(self) -> list[dict[str, Any]]:
        """The optimizer's groups of parameters."""
        return self.learner.optimizer.param_groups

    def set_rates(self, factors: Sequence[float]) -> None:
        """Learning rates of the next update, as shares of each group's full one."""
        for group, full_rate, factor in zip(self.groups, self.full_rates, factors, strict=True):
            group["lr"] = full_rate * factor

    def take(
        self, batches: Sequence[Any], left_out: Tensor | None = None, sizes: Sequence[float] | None = None
    ) -> Taken:
        """Update the network unless its numbers are not finite, or `left_out` says 1 already.

        `sizes` are those of parts of batches, against the whole ones; all are whole without it.
        Nothing here waits for the device. Raises what torch raises where memory runs out.
        """
        self.forget()
        sizes = sizes or [1.0] * len(batches)
        sums: dict[str, Tensor] = {}
        for batch, size in zip(batches, sizes, strict=True):
            for name, value in self.backward(batch, size / sum(sizes)).items():
                sums[name] = sums.get(name, 0.0) + size * value
        return Taken(sums, *self.finish(sums, left_out))

    def forget(self) -> None:
        """Give up the gradients of the last update, or of one that was broken off."""
        self.learner.optimizer.zero_grad(set_to_none=True)
        if self.learner.masters is not None:
            self.learner.masters.drop_gradients()

    def backward(self, batch: Any, share: float | Tensor) -> dict[str, Tensor]:
        """Add a batch's share to the gradients, and return its losses."""
        with autocast(self.device, self.settings):
            losses = self.losses(batch)
        loss, scale = losses[self.minimised] * share, self.learner.scale
        (loss if scale is None else loss * scale.factor).backward()
        if self.learner.masters is not None:
            self.learner.masters.collect()
        return {name: value.detach().float() for name, value in losses.items()}

    def finish(self, sums: dict[str, Tensor], told: Tensor | None) -> tuple[Tensor, Tensor]:
        """Clip the gradients and move the weights and their average; `left_out` and `diverged` of `Taken`."""
        parameters = [parameter for group in self.groups for parameter in group["params"]]
        scale = self.learner.scale
        if scale is not None:
            scale.take_from([each.grad for each in parameters if each.grad is not None])
        norm = nn.utils.clip_grad_norm_(parameters, self.settings.clip_norm or math.inf).to(self.device)
        losses = torch.stack(list(sums.values()))
        broken = (~(losses.isfinite().all() & norm.isfinite())).float()
        diverged, left_out = broken, broken if told is None else torch.maximum(broken, told)
        if scale is not None:
            diverged = broken * ~scale.overflowed(losses, norm)
            scale.move(broken, told)
        # The fused step looks at this before it touches anything (torch's own GradScaler sets it too).
        self.learner.optimizer.found_inf = left_out  # type: ignore[attr-defined]
        self.learner.optimizer.step()
        if self.learner.masters is not None:
            self.learner.masters.round()
        if self.learner.average is not None:
            self.learner.average.update(left_out)
        return left_out, diverged


@dataclass
class ReplayedTurn(Turn):
    """A turn whose work is recorded, once for each shape of batches, and replayed.

    All that recorded work reads or writes keeps its place: batches are copied to where the first of their
    shape lies, gradients are cleared instead of dropped, rates are tensors. Batches are tuples of tensors.
    Where recording fails, updates are plain ones from then on.
    """

    record: Recorder

    def __post_init__(self) -> None:
        super().__post_init__()
        self._rates = [torch.tensor(rate, device=self.device) for rate in self.full_rates]
        self._size, self._share = (torch.ones((), device=self.device) for _ in range(2))  # of one batch
        self._told, self._left_out, self._diverged = (torch.zeros((), device=self.device) for _ in range(3))
        self._names: list[str] = []
        self._sums = torch.zeros(0, device=self.device)  # of the losses, in the order of their names
        self._gradients: list[Tensor] = []
        self._passes: dict[Any, tuple[Sequence[Tensor], Callable[[], None]]] = {}
        self._finish: Callable[[], None] | None = None
        self._gives_up = False  # where recording failed

    def set_rates(self, factors: Sequence[float]) -> None:
        """See `Turn.set_rates`."""
        rates = zip(self.groups, self._rates, self.full_rates, factors, strict=True)
        for group, rate, full_rate, factor in rates:
            group["lr"] = rate.fill_(full_rate * factor)

    def forget(self) -> None:
        """Give up what was recorded for each shape as well: it holds the memory that its work needs."""
        self._passes.clear()
        if self._gradients:
            torch._foreach_zero_(self._gradients)

    def take(
        self, batches: Sequence[Any], left_out: Tensor | None = None, sizes: Sequence[float] | None = None
    ) -> Taken:
        """See `Turn.take`."""
        if self._gives_up:
            return super().take(batches, left_out, sizes)
        sizes = sizes or [1.0] * len(batches)
        try:
            passes = [self._pass_of(batch) for batch in batches]  # all are recorded before one counts
            finish = self._finish = self._finish or self._recorded_end()
        except RuntimeError as error:  # a driver or an operation that allows no recording
            if is_out_of_memory(error):
                raise
            logger.warning("Updates are not recorded here, and take longer: %s", clause(error))
            self._gives_up = True
            return super().take(batches, left_out, sizes)
        self._sums.zero_()
        self._told.copy_(torch.zeros_like(self._told) if left_out is None else left_out)
        for batch, size, (place, replay) in zip(batches, sizes, passes, strict=True):
            self._size.fill_(size)
            self._share.fill_(size / sum(sizes))
            for mine, new in zip(place, batch, strict=True):
                mine.copy_(new, non_blocking=True)
            replay()
        finish()
        return Taken(dict(zip(self._names, self._sums.unbind(), strict=True)), self._left_out, self._diverged)

    def _pass_of(self, batch: Any) -> tuple[Sequence[Tensor], Callable[[], None]]:
        """Where batches of this shape are put, and what goes forward and backward with what lies there."""
        shape = tuple((tuple(each.shape), each.dtype) for each in batch)
        if shape not in self._passes:
            if not self._gradients:
                self._gradients = [_cleared_gradient(each) for each in self._learning()]
            place = type(batch)(*(each.to(self.device, copy=True) for each in batch))
            self._passes[shape] = place, self.record(lambda: self._pass(place))
            torch._foreach_zero_(self._gradients)
        return self._passes[shape]

    def _recorded_end(self) -> Callable[[], None]:
        self._told.fill_(1.0)  # recording moves no weight
        return self.record(self._move)

    def _pass(self, batch: Any) -> None:
        losses = self.backward(batch, self._share)
        if not self._names:
            self._names = list(losses)
            self._sums = torch.zeros(len(losses), device=self.device)
        self._sums += self._size * torch.stack(list(losses.values()))

    def _move(self) -> None:
        sums = dict(zip(self._names, self._sums.unbind(), strict=True))
        for mine, new in zip((self._left_out, self._diverged), self.finish(sums, self._told), strict=True):
            mine.copy_(new)
        torch._foreach_zero_(self._gradients)

    def _learning(self) -> list[Tensor]:
        return [each for group in self.groups for each in group["params"] if each.requires_grad]


def _cleared_gradient(parameter: Tensor) -> Tensor:
    """The parameter's gradient, of zeros: where all backward passes add up, and which nobody replaces."""
    parameter.grad = torch.zeros_like(parameter)
    return parameter.grad


def turns_of(task: TrainingTask, settings: TrainingSettings, device: torch.device) -> list[Turn]:
    """The turns of an update in their order; the last one is that of the task's own model."""
    repeats = isinstance(task, RepeatingTask) and task.repeats and settings.precision != "bf16_weights"
    groups = task.parameter_groups(settings.learning_rate)
    learner = _learner(task.model, groups, settings, device, recorded=repeats)
    if settings.ema_decay:
        learner = replace(learner, average=WeightAverage(learner.weights, settings.ema_decay))
    losses = task.losses_of if isinstance(task, LoadingTask) else task.losses
    if repeats:
        own: Turn = ReplayedTurn(learner, losses, "total", settings, device, CudaGraphs())
    else:
        own = Turn(learner, losses, "total", settings, device)
    if isinstance(task, TaskWithOpponent):
        return [_turn_of(task.opponent, settings, device), own]
    return [own]


def autocast(device: torch.device, settings: TrainingSettings) -> torch.autocast:
    """The precision that a run computes in."""
    dtype = torch.float16 if settings.precision == "fp16" else torch.bfloat16
    return torch.autocast(device.type, dtype=dtype, enabled=settings.precision in {"bf16", "fp16"})


def _turn_of(opponent: Opponent, settings: TrainingSettings, device: torch.device) -> Turn:
    model = opponent.model.to(device).train()
    learner = _learner(model, [{"params": list(model.parameters())}], settings, device)

    def losses(batch: Any) -> dict[str, Tensor]:
        return {"opponent": opponent.loss(batch)}

    return Turn(learner, losses, "opponent", settings, device)


def _learner(
    model: nn.Module,
    groups: list[dict[str, Any]],
    settings: TrainingSettings,
    device: torch.device,
    *,
    recorded: bool = False,
) -> Learner:
    """The network, and the optimizer of what learns in it."""
    masters = MasterWeights(model) if settings.precision == "bf16_weights" else None
    if masters is not None:
        groups = [{**group, "params": masters.of(group["params"])} for group in groups]
    scale = LossScale(device) if settings.precision == "fp16" else None
    return Learner(model, _optimizer(groups, settings, recorded), None, masters=masters, scale=scale)


def _optimizer(
    groups: list[dict[str, Any]], settings: TrainingSettings, recorded: bool
) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        groups,
        lr=settings.learning_rate,
        betas=settings.betas,
        weight_decay=settings.weight_decay,
        fused=True,
        capturable=recorded,
    )
