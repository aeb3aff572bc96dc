"""An update's parts: the task's network takes its turn, and before it the opponent of a task that has one."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from codex_worker.training.averaging import WeightAverage
from codex_worker.training.resume import Learner
from codex_worker.training.task import Opponent, TaskWithOpponent, TrainingSettings, TrainingTask


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

    def take(self, batches: Sequence[Any]) -> dict[str, float] | None:
        """Update the network; its losses summed over the batches, None where they were not finite.

        Raises what torch raises where memory runs out.
        """
        optimizer = self.learner.optimizer
        optimizer.zero_grad(set_to_none=True)
        sums: dict[str, Tensor] = {}
        for batch in batches:
            with autocast(self.device, self.settings):
                losses = self.losses(batch)
            (losses[self.minimised] / len(batches)).backward()
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + value.detach().float()
        parameters = [parameter for group in self.groups for parameter in group["params"]]
        norm = nn.utils.clip_grad_norm_(parameters, self.settings.clip_norm or math.inf)
        # The only place where the processor waits for the accelerator.
        numbers = torch.stack([norm.to(self.device), *sums.values()]).tolist()
        if not all(math.isfinite(number) for number in numbers):
            return None
        optimizer.step()
        return dict(zip(sums, numbers[1:], strict=True))


def turns_of(task: TrainingTask, settings: TrainingSettings, device: torch.device) -> list[Turn]:
    """The turns of an update in their order; the last one is that of the task's own model."""
    average = WeightAverage(task.model, settings.ema_decay) if settings.ema_decay else None
    optimizer = _optimizer(task.parameter_groups(settings.learning_rate), settings, device)
    own = Turn(Learner(task.model, optimizer, average), task.losses, "total", settings, device)
    if isinstance(task, TaskWithOpponent):
        return [_turn_of(task.opponent, settings, device), own]
    return [own]


def autocast(device: torch.device, settings: TrainingSettings) -> torch.autocast:
    """The precision that a run computes in."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=settings.precision == "bf16")


def _turn_of(opponent: Opponent, settings: TrainingSettings, device: torch.device) -> Turn:
    model = opponent.model.to(device).train()
    optimizer = _optimizer([{"params": list(model.parameters())}], settings, device)

    def losses(batch: Any) -> dict[str, Tensor]:
        return {"opponent": opponent.loss(batch)}

    return Turn(Learner(model, optimizer, None), losses, "opponent", settings, device)


def _optimizer(
    groups: list[dict[str, Any]], settings: TrainingSettings, device: torch.device
) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        groups,
        lr=settings.learning_rate,
        betas=settings.betas,
        weight_decay=settings.weight_decay,
        fused=device.type in {"cuda", "cpu"},
    )
