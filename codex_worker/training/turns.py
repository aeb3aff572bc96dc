"""An update's parts: the task's network takes its turn, and before it the opponent of a task that has one."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from codex_worker.training.averaging import WeightAverage
from codex_worker.training.masters import MasterWeights
from codex_worker.training.resume import Learner
from codex_worker.training.task import Opponent, TaskWithOpponent, TrainingSettings, TrainingTask


@dataclass(frozen=True)
class Taken:
    """What a turn gave, on the device: nobody has waited for it yet."""

    losses: dict[str, Tensor]  # 0-dim, summed over the batches
    left_out: Tensor  # 0-dim float32, 1 where the numbers were not finite and nothing was changed


@dataclass
class Turn:
    """One network's part of an update: what it minimises, and under which name that is among its losses."""

    learner: Learner
    losses: Callable[[Any], dict[str, Tensor]]
    minimised: str
    settings: TrainingSettings
    device: torch.device

    def __post_init__(self) -> None:
        self.full_rates = [group["lr"] for group in self.groups]

    @property
    def groups(self) -> list[dict[str, Any]]:
        """The optimizer's groups of parameters."""
        return self.learner.optimizer.param_groups

    def set_rates(self, factors: Sequence[float]) -> None:
        """Learning rates of the next update, as shares of each group's full one."""
        for group, full_rate, factor in zip(self.groups, self.full_rates, factors, strict=True):
            group["lr"] = full_rate * factor

    def take(self, batches: Sequence[Any], left_out: Tensor | None = None) -> Taken:
        """Update the network unless its numbers are not finite, or `left_out` says 1 already.

        Nothing here waits for the device. Raises what torch raises where memory runs out.
        """
        optimizer, masters = self.learner.optimizer, self.learner.masters
        optimizer.zero_grad(set_to_none=True)
        if masters is not None:
            masters.drop_gradients()
        sums: dict[str, Tensor] = {}
        for batch in batches:
            with autocast(self.device, self.settings):
                losses = self.losses(batch)
            (losses[self.minimised] / len(batches)).backward()
            if masters is not None:
                masters.collect()
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + value.detach().float()
        return Taken(sums, self.finish(sums, left_out))

    def finish(self, sums: dict[str, Tensor], left_out: Tensor | None) -> Tensor:
        """Clip the gradients and move the weights and their average; whether that was left out, 0 or 1."""
        parameters = [parameter for group in self.groups for parameter in group["params"]]
        norm = nn.utils.clip_grad_norm_(parameters, self.settings.clip_norm or math.inf)
        numbers = torch.stack([norm.to(self.device), *sums.values()])
        broken = (~numbers.isfinite().all()).float()
        left_out = broken if left_out is None else torch.maximum(broken, left_out)
        # The fused step looks at this before it touches anything (torch's own GradScaler sets it too).
        self.learner.optimizer.found_inf = left_out  # type: ignore[attr-defined]
        self.learner.optimizer.step()
        if self.learner.masters is not None:
            self.learner.masters.round()
        if self.learner.average is not None:
            self.learner.average.update(left_out)
        return left_out


def turns_of(task: TrainingTask, settings: TrainingSettings, device: torch.device) -> list[Turn]:
    """The turns of an update in their order; the last one is that of the task's own model."""
    learner = _learner(task.model, task.parameter_groups(settings.learning_rate), settings, device)
    if settings.ema_decay:
        learner = replace(learner, average=WeightAverage(learner.weights, settings.ema_decay))
    own = Turn(learner, task.losses, "total", settings, device)
    if isinstance(task, TaskWithOpponent):
        return [_turn_of(task.opponent, settings, device), own]
    return [own]


def autocast(device: torch.device, settings: TrainingSettings) -> torch.autocast:
    """The precision that a run computes in."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=settings.precision == "bf16")


def _turn_of(opponent: Opponent, settings: TrainingSettings, device: torch.device) -> Turn:
    model = opponent.model.to(device).train()
    learner = _learner(model, [{"params": list(model.parameters())}], settings, device)

    def losses(batch: Any) -> dict[str, Tensor]:
        return {"opponent": opponent.loss(batch)}

    return Turn(learner, losses, "opponent", settings, device)


def _learner(
    model: nn.Module, groups: list[dict[str, Any]], settings: TrainingSettings, device: torch.device
) -> Learner:
    """The network, and the optimizer of what learns in it."""
    masters = MasterWeights(model) if settings.precision == "bf16_weights" else None
    if masters is not None:
        groups = [{**group, "params": masters.of(group["params"])} for group in groups]
    return Learner(model, _optimizer(groups, settings), None, masters=masters)


def _optimizer(groups: list[dict[str, Any]], settings: TrainingSettings) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        groups,
        lr=settings.learning_rate,
        betas=settings.betas,
        weight_decay=settings.weight_decay,
        fused=True,
    )
