"""The resume file: where a run stands, written so that it can be read without trusting it."""

import errno
import logging
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from codex_worker.errors import ResourceError
from codex_worker.training.averaging import WeightAverage
from codex_worker.training.loss_scale import LossScale
from codex_worker.training.masters import MasterWeights
from codex_worker.training.memory import MOST_HALVINGS

logger = logging.getLogger(__name__)

FORMAT = 1


@dataclass
class RunState:
    """Where a run stands. Everything else (batches, learning rates, random draws) follows from it."""

    epoch: int = 0  # whole epochs done
    step: int = 0  # updates done in the present epoch
    steps_in_epoch: int = 0  # how many updates the present epoch has in all
    loss_sums: dict[str, float] = field(default_factory=dict)  # of the present epoch, over its batches
    batches_counted: int = 0
    skipped_steps: int = 0
    skipped_in_a_row: int = 0
    best_epoch: int | None = None
    best_value: float | None = None
    best_metrics: dict[str, float] = field(default_factory=dict)
    rows: list[dict[str, float]] = field(default_factory=list)
    stopped_early: bool = False
    halvings: int = 0  # how often memory ran out; batches are cut into 2 to the power of it


@dataclass(frozen=True)
class Learner:
    """What changes with every update: the weights, the optimizer's moments and the weights' average.

    `opponent` is the second network of a task that has one.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    average: WeightAverage | None
    opponent: "Learner | None" = None
    masters: MasterWeights | None = None  # what the optimizer and the average work on, where there are any
    scale: LossScale | None = None  # of a training in fp16

    @property
    def weights(self) -> dict[str, Tensor]:
        """What is learnt, by name, in the numbers that it is kept in."""
        return dict(self.model.named_parameters() if self.masters is None else self.masters.tensors)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Let the model hold its averaged weights for a while, where there are any."""
        try:
            with self.average.in_place() if self.average is not None else nullcontext():
                self._round()
                yield
        finally:
            self._round()

    def in_full(self) -> AbstractContextManager[None]:
        """Let the model hold its weights in the numbers that they are kept in, for a while."""
        return nullcontext() if self.masters is None else self.masters.in_full()

    def state(self) -> dict[str, Tensor]:
        """The model's state, in full."""
        with self.in_full():
            state: dict[str, Tensor] = self.model.state_dict()
        return state

    def restore(self, state: dict[str, Tensor]) -> None:
        """Bring the model to a state that was given in full."""
        with self.in_full():
            self.model.load_state_dict(state)

    def _round(self) -> None:
        if self.masters is not None:
            self.masters.round()


def save_resume(
    path: Path, state: RunState, settings: dict[str, Any], learner: Learner, best: Path | None = None
) -> None:
    """Write tensors and plain values only, beside the old file first, so that a crash leaves one whole.

    `best` is the best checkpoint so far: it travels within the file, because another machine may go on.

    Raises:
        ResourceError: the disk is full.
    """
    content = {
        "format": FORMAT,
        "state": asdict(state),
        "settings": settings,
        **_held(learner),
        "opponent": None if learner.opponent is None else _held(learner.opponent),
        "best": None if best is None else torch.from_numpy(np.fromfile(best, dtype=np.uint8)),
    }
    write_beside(path, lambda partial: torch.save(content, partial))


def load_resume(
    path: Path, settings: dict[str, Any], learner: Learner, best: Path | None = None
) -> RunState | None:
    """Bring the learner to where the file left it; None when there is nothing to go on from.

    The best checkpoint that came within the file is written to `best`, unless one lies there.

    A file that is damaged or belongs to another model costs the saved progress, not the job: it is
    logged and the run begins anew with the weights that the model holds.
    """
    if not path.exists():
        return None
    learners = [learner] if learner.opponent is None else [learner, learner.opponent]
    began = [{name: value.to("cpu", copy=True) for name, value in each.state().items()} for each in learners]
    try:
        content = _content(path)
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']} is not {FORMAT}")
        state = _state(content["state"])
        old_settings = dict(content["settings"])
        _restore(learner, content)
        if learner.opponent is not None:
            _restore(learner.opponent, content["opponent"])
        best_bytes = content.get("best")
        if best is not None and best_bytes is not None and not best.exists():
            write_beside(best, lambda partial: best_bytes.numpy().tofile(partial))
    except Exception as error:  # damaged bytes lead torch's reader into any error; the log names it
        logger.warning("%s cannot be used (%s); training starts from the beginning", path, error)
        for each, weights in zip(learners, began, strict=True):
            each.restore(weights)
            each.optimizer.state.clear()
        return None
    changed = [
        f"{name} {old} -> {settings.get(name)}"
        for name, old in old_settings.items()
        if settings.get(name) != old
    ]
    if changed:
        logger.warning("Going on with other settings than before: %s", ", ".join(changed))
    return state


def _held(learner: Learner) -> dict[str, Any]:
    """What the file keeps of one network."""
    average = learner.average
    return {
        "model": learner.state(),
        "optimizer": learner.optimizer.state_dict(),
        "scale": None if learner.scale is None else learner.scale.state(),
        "average": None if average is None else {"tensors": average.tensors, "updates": average.updates},
    }


def _restore(learner: Learner, content: dict[str, Any]) -> None:
    """Bring one network to where the file left it, with the settings of the present run."""
    optimizer, average = learner.optimizer, learner.average
    learner.restore(content["model"])
    own_options = [
        {name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups
    ]
    optimizer.load_state_dict(content["optimizer"])
    for group, options in zip(optimizer.param_groups, own_options, strict=True):
        group.update(options)
    if learner.scale is not None and content.get("scale") is not None:
        learner.scale.restore(content["scale"])
    if average is not None and content["average"] is not None:
        average.restore(content["average"]["tensors"], content["average"]["updates"])
    elif average is not None:
        average.restore(learner.weights, 0)


def saved_settings(path: Path) -> dict[str, Any] | None:
    """The settings of the run that wrote a resume file; None where there is no readable one."""
    try:
        settings: dict[str, Any] = dict(_content(path, mmap=True)["settings"])
    except FileNotFoundError:
        return None
    except Exception as error:  # damaged bytes lead torch's reader into any error; the log names it
        logger.warning("%s cannot be read (%s)", path, error)
        return None
    return settings


def _state(found: dict[str, Any]) -> RunState:
    """The state that a file holds. Raises TypeError or ValueError where it is none."""
    state = RunState(**found)
    counts = (state.epoch, state.step, state.steps_in_epoch, state.batches_counted, state.skipped_steps,
              state.skipped_in_a_row, state.halvings,
              0 if state.best_epoch is None else state.best_epoch)  # fmt: skip
    tables = (state.loss_sums, state.best_metrics, *state.rows)
    if state.halvings not in range(MOST_HALVINGS + 1):
        raise ValueError("its batches are cut too often")
    numbers = [value for table in tables for value in table.values()]
    if not all(type(count) is int and count >= 0 for count in counts):
        raise ValueError("its counts are no counts")
    if not all(type(number) in {int, float} for number in (*numbers, state.best_value or 0.0)):
        raise ValueError("its figures are no numbers")
    if not all(isinstance(name, str) for table in tables for name in table):
        raise ValueError("its figures have no names")
    if type(state.stopped_early) is not bool:
        raise ValueError("nobody can tell whether it was stopped early")
    return state


def _content(path: Path, *, mmap: bool = False) -> dict[str, Any]:
    """What a file of tensors and plain values holds. Raises for code in it, and for what is packed."""
    with zipfile.ZipFile(path) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise ValueError("it is packed, as this worker writes none")
    content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    return content


def write_beside(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a file beside `path`, then put it in place in one move.

    Raises:
        ResourceError: the disk is full.
    """
    partial = path.with_name(f"partial-{path.name}")
    try:
        write(partial)
        partial.replace(path)
    except Exception as error:
        # safetensors and torch report a full disk as errors of their own, without its number.
        full = getattr(error, "errno", None) in {errno.ENOSPC, errno.EDQUOT} or any(
            words in str(error) for words in ("No space left", "PytorchStreamWriter")
        )
        if full:
            raise ResourceError(f"{path} could not be written: {error}. Free some disk space.") from error
        raise
    finally:
        partial.unlink(missing_ok=True)
