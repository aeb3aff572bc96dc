"""A network of a few dozen weights with dropout, whose whole life fits into a test."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn


def made_by(model, inputs):
    """What a network makes of inputs that come in its own numbers."""
    return model(inputs.to(next(model.parameters()).dtype))


class TinyTask:
    """Learns a fixed linear map from 12 examples, with dropout so that random draws matter."""

    def __init__(self, seed=1, batch_size=2, packing="even"):
        torch.manual_seed(seed)
        self.model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.Tanh(), nn.Linear(8, 2))
        generator = torch.Generator().manual_seed(7)
        self.inputs = torch.randn(12, 4, generator=generator)
        self.targets = self.inputs @ torch.randn(4, 2, generator=generator)
        self.batch_size = batch_size
        self.packing = packing
        self.poisoned = set()
        self.seen = []
        self.validations = []

    def parameter_groups(self, learning_rate):
        return self.groups_of(learning_rate)

    def groups_of(self, learning_rate):
        return [
            {"params": list(self.model[0].parameters()), "lr": learning_rate / 2},
            {"params": list(self.model[3].parameters()), "lr": learning_rate, "weight_decay": 0.0},
        ]

    def batches(self, epoch):
        order = torch.randperm(12, generator=torch.Generator().manual_seed(100 + epoch)).tolist()
        size = self.batch_size + (epoch % 2 if self.packing == "uneven" else 0)
        return [order[at : at + size] for at in range(0, 12, size)]

    def losses(self, batch):
        self.seen.append(tuple(batch))
        error = made_by(self.model, self.inputs[batch]) - self.targets[batch]
        total = error.float().square().mean()
        if self.poisoned.intersection(batch):
            total = total * float("nan")
        return {"total": total, "worst": error.detach().float().abs().max()}

    def validate(self):
        if self.validations:
            return {"val_total_loss": self.validations.pop(0)}
        error = made_by(self.model, self.inputs) - self.targets
        return {"val_total_loss": float(error.float().square().mean())}

    def save(self, path: Path, metadata):
        tensors = {name: value.contiguous() for name, value in self.model.state_dict().items()}
        save_file(tensors, path, metadata={**metadata, "config": json.dumps({"size": 8})})


class TinyGame(TinyTask):
    """The same map learnt against a second network, which tells what was made from what is right."""

    def __init__(self, seed=1, **others):
        super().__init__(seed, **others)
        self.opponent = TinyOpponent(self)

    def losses(self, batch):
        found = super().losses(batch)
        fooled = (1 - made_by(self.opponent.model, made_by(self.model, self.inputs[batch]))).square().mean()
        return {**found, "total": found["total"] + 0.1 * fooled, "fooled": fooled.detach()}


class TinyOpponent:
    def __init__(self, game):
        self.model = nn.Sequential(nn.Linear(2, 4), nn.Dropout(0.2), nn.Tanh(), nn.Linear(4, 1))
        self.task = game
        self.poisoned = False

    def loss(self, batch):
        with torch.no_grad():
            made = made_by(self.task.model, self.task.inputs[batch])
        real = (1 - made_by(self.model, self.task.targets[batch])).square().mean()
        loss = real + made_by(self.model, made).square().mean()
        return loss * float("nan") if self.poisoned else loss


class Watcher:
    """Records what the loop tells, and says stop before a chosen update."""

    save_every_s = 600.0

    def __init__(self, stop_before_update=None):
        self.stop_before_update = stop_before_update
        self.asked = 0
        self.rows = []
        self.reports = []
        self.best = []
        self.resumes = []

    def should_stop(self):
        self.asked += 1
        return self.stop_before_update is not None and self.asked > self.stop_before_update

    def report(self, epochs_completed, message):
        self.reports.append((epochs_completed, message))

    def metrics(self, row):
        self.rows.append(row)

    def saved_best(self, path, metrics):
        self.best.append((path, metrics))

    def needs_resume(self, *, finished):
        return True

    def saved_resume(self, path, epochs):
        self.resumes.append(path)


class Clock:
    """A clock that moves on by a fixed time whenever it is looked at."""

    def __init__(self, tick_s=0.0):
        self.now_s = 0.0
        self.tick_s = tick_s

    def __call__(self):
        self.now_s += self.tick_s
        return self.now_s
