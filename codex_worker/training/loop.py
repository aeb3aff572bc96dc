"""The training loop of both models. It reads top to bottom; what it trains comes in as a `TrainingTask`.

Every random draw of an update follows from the seed and the update's place, and so do its batch and its
learning rate. That is why a run that was interrupted anywhere ends with the same weights as one that was not.
"""

import json
import logging
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from codex_worker.errors import ModelError, ResourceError, UserError, clause
from codex_worker.training.halving import Halving
from codex_worker.training.loading import loaded_ahead
from codex_worker.training.resume import Learner, RunState, load_resume, save_resume, write_beside
from codex_worker.training.schedule import Schedule
from codex_worker.training.task import (
    SparingObserver,
    TrainingObserver,
    TrainingOutcome,
    TrainingSettings,
    TrainingTask,
)
from codex_worker.training.turns import Taken, Turn, autocast, turns_of
from codex_worker.training.unread import ReadUpdate, UnreadUpdates

logger = logging.getLogger(__name__)

BEST = "best.safetensors"
LAST = "last.safetensors"
RESUME = "resume.pt"


@dataclass
class _Run:
    """What the parts of the loop share."""

    task: TrainingTask
    settings: TrainingSettings
    folder: Path
    progress: TrainingObserver
    learner: Learner
    turns: Sequence[Turn]
    device: torch.device
    state: RunState
    warm_epochs: float  # from then on everything that trains does so at its full rate
    unread: UnreadUpdates = field(default_factory=UnreadUpdates)
    taken: list[Taken] = field(default_factory=list)  # of the present update, whose other turns are to come

    def __post_init__(self) -> None:
        self.halving = Halving(self.task, self.state, self.device, self._tell)

    def is_learnt(self, epoch: int, value: float) -> bool:
        """Whether a validation is of a model that has learnt anything; see `learnt_below`."""
        settings = self.settings
        limit = settings.learnt_below if epoch >= self.warm_epochs else settings.early_below
        return limit is None or value < limit

    @property
    def patient_from(self) -> float:
        """The epoch from which a better value is waited for."""
        return 0.0 if self.settings.learnt_below is None else self.warm_epochs

    def _tell(self, sentence: str) -> None:
        self.progress.report(self.epochs, sentence)

    def read_numbers(self) -> None:
        """Bring the state up to date with all updates so far."""
        for update in self.unread.read():
            _count(self, update)

    def save_resume(self) -> None:
        """Write the resume file. It only helps a later run, so a disk that does not take it stops nobody."""
        self.read_numbers()
        state, best = self.state, self.folder / BEST if self.state.best_epoch is not None else None
        try:
            save_resume(self.folder / RESUME, state, asdict(self.settings), self.learner, best)
        except (ResourceError, OSError, RuntimeError) as error:  # torch's writer raises the last of these
            logger.warning("Where the training stands could not be saved: %s. It goes on.", clause(error))
            return
        self.progress.saved_resume(self.folder / RESUME, self.epochs)

    @property
    def epochs(self) -> float:
        """How far the run is, with the part of the present epoch that is done."""
        return self.state.epoch + (self.state.step / self.state.steps_in_epoch if self.state.step else 0.0)


def fit(
    task: TrainingTask,
    settings: TrainingSettings,
    folder: Path,
    progress: TrainingObserver,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> TrainingOutcome:
    """Train until all epochs are done, nothing gets better any more, or `progress` says stop.

    Goes on from `folder/resume.pt` where there is one (it holds the best checkpoint so far as well), and
    writes `best.safetensors`, `last.safetensors` and, from time to time, `resume.pt`.

    Args:
        clock: seconds of a clock that never goes back; decides when to save and to report.

    Raises:
        UserError: there is nothing to train on.
        ModelError: losses or gradients stayed infinite, or the task saw the model collapse.
        ResourceError: memory ran out, or the disk while a checkpoint was written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model = task.model.to(settings.device) if settings.device else task.model
    device = next(model.parameters()).device
    turns = turns_of(task, settings, device)
    learner = replace(turns[-1].learner, opponent=turns[0].learner if len(turns) > 1 else None)
    steps_per_epoch = math.ceil(len(task.batches(0)) / settings.accumulation)
    schedules = [
        [_schedule(settings, steps_per_epoch, group.get("begins", 0.0)) for group in turn.groups]
        for turn in turns
    ]

    state = load_resume(folder / RESUME, asdict(settings), learner, folder / BEST) or RunState()
    warm_epochs = max(schedule.warm_from for own in schedules for schedule in own) / steps_per_epoch
    warm_epochs = min(warm_epochs, settings.epochs)
    run = _Run(task, settings, folder, progress, learner, turns, device, state, warm_epochs)
    _check_best(run)
    for row in state.rows:
        progress.metrics(row)

    began_at = saved_at = reported_at = clock()
    updates_here = 0  # since this start, by which the time left is judged
    stopped = False
    while state.epoch < settings.epochs and not state.stopped_early and not stopped:
        batches = task.batches(state.epoch)
        groups = [
            batches[at : at + settings.accumulation] for at in range(0, len(batches), settings.accumulation)
        ]
        _enter_epoch(state, len(groups))
        model.train()
        while state.step < len(groups) and not stopped:
            cut = [run.halving.parts(group) for group in groups]
            loading = loaded_ahead(
                task, [[part for part, _ in parts] for parts in cut], settings.seed, state.epoch, state.step
            )
            with loading as arriving:
                while state.step < len(groups):
                    if not run.taken and progress.should_stop():  # not in the middle of an update
                        stopped = True
                        break
                    # Batches may be packed differently in each epoch; the schedule follows the share done.
                    place = (state.epoch + state.step / len(groups)) * steps_per_epoch
                    for turn, own in zip(turns, schedules, strict=True):
                        turn.set_rates([schedule.factor(place) for schedule in own])
                    _seed_everything(settings.seed, state.epoch, state.step)
                    sizes = [size for _, size in cut[state.step]]
                    if not _update(run, groups[state.step], next(arriving), sizes):
                        break  # the rest of the epoch comes in smaller parts
                    state.step += 1
                    updates_here += 1
                    now = clock()
                    if run.unread.is_full:
                        run.read_numbers()
                    if now - reported_at >= settings.report_every_s:
                        run.read_numbers()
                        epochs_done = state.epoch + state.step / len(groups)
                        left_s = (
                            (now - began_at) / updates_here * (settings.epochs - epochs_done) * len(groups)
                        )
                        progress.report(epochs_done, _describe(state, settings, left_s))
                        reported_at = now
                    if now - saved_at >= progress.save_every_s:
                        run.save_resume()
                        saved_at = clock()
        run.read_numbers()
        if stopped:
            break

        state.epoch += 1
        row = {"epoch": float(state.epoch), **_mean_losses(state)}
        if state.epoch % settings.validate_every_epochs == 0 or state.epoch == settings.epochs:
            row |= _validate(run)
            _keep_best(run, row)
            waited = state.epoch - max(state.best_epoch or 0, run.patient_from)
            if (
                settings.patience_epochs is not None
                and state.best_epoch
                and waited >= settings.patience_epochs
            ):
                state.stopped_early = state.epoch < settings.epochs
        state.rows.append(row)
        progress.metrics(row)
        progress.report(float(state.epoch), _describe_epoch(row, settings))
        reported_at = clock()
        state.step = 0

    if progress.needs_resume(finished=not stopped):
        run.save_resume()
    _save_checkpoint(run, LAST)
    return _outcome(run)


def _check_best(run: _Run) -> None:
    """Forgets the best checkpoint of a resume file where there is none, or only an untrained model."""
    state, path = run.state, run.folder / BEST
    if state.best_epoch is None or state.best_value is None:
        return
    if run.settings.best_metric is None:  # an earlier attempt may have compared
        state.best_metrics = {}
    elif not path.exists():
        logger.warning("%s is missing; the next validation counts as the best", path)
    elif not run.is_learnt(state.best_epoch, state.best_value):
        logger.warning("The best checkpoint so far is that of an untrained model; training goes on")
        state.stopped_early = False
    else:
        return
    state.best_epoch, state.best_value = None, None


def _schedule(settings: TrainingSettings, steps_per_epoch: int, begins: float) -> Schedule:
    if steps_per_epoch == 0:
        raise UserError("there is nothing to train on: no batch could be made from the project's recordings")
    total = steps_per_epoch * settings.epochs
    warmup = settings.warmup_steps
    if warmup is None:
        warmup = round(settings.warmup_share * total)
    begins = min(begins, total)
    most = math.floor(total - begins) // 2
    if warmup > most:
        logger.warning("A warm-up of %d updates is too long for %d in all; using %d", warmup, total, most)
        warmup = most
    return Schedule(settings.schedule, total, warmup, begins)


def _enter_epoch(state: RunState, steps: int) -> None:
    """Begin an epoch, or go on within one if it still has the batches it had when it was left."""
    if steps == 0:
        raise UserError(f"epoch {state.epoch + 1} has no batches: no recording is left to train on")
    if state.step > 0 and state.steps_in_epoch != steps:
        logger.warning("Epoch %d has other batches than before; it starts anew", state.epoch + 1)
        state.step = 0
    if state.step == 0:
        state.steps_in_epoch = steps
        state.loss_sums = {}
        state.batches_counted = 0


def _update(run: _Run, batches: Sequence[Any], loaded: Sequence[Any], sizes: Sequence[float]) -> bool:
    """One update of the weights from one or more batches; left out where its numbers are not finite.

    False where memory ran out, and what is not done of it is to be done with smaller parts.
    """
    state, taken = run.state, run.taken
    for turn in run.turns[len(taken) :]:
        found = run.halving.take(turn, loaded, taken[-1].left_out if taken else None, sizes, batches)
        if found is None:
            return False
        taken.append(found)
    run.unread.add(state.epoch + 1, state.step + 1, len(batches), taken)
    taken.clear()
    return True


def _count(run: _Run, update: ReadUpdate) -> None:
    state = run.state
    if update.left_out:
        if update.diverged:  # not where the losses of fp16 were only made too large: the next are smaller
            _count_skipped(run, update)
        return
    state.skipped_in_a_row = 0
    state.batches_counted += update.batches
    for name, number in update.losses.items():
        state.loss_sums[name] = state.loss_sums.get(name, 0.0) + number


def _count_skipped(run: _Run, update: ReadUpdate) -> None:
    state = run.state
    state.skipped_steps += 1
    state.skipped_in_a_row += 1
    place = f"epoch {update.epoch}, update {update.update}"
    logger.warning("The loss or its gradient is not finite at %s; the update is left out", place)
    if state.skipped_in_a_row > run.settings.max_skipped_in_a_row:
        raise ModelError(
            f"training diverged at {place}: {state.skipped_in_a_row} updates in a row gave no finite "
            f"numbers. Try a learning rate below {run.settings.learning_rate:g}, and look in the data report "
            "for recordings that do not match their text."
        )


def _mean_losses(state: RunState) -> dict[str, float]:
    """Means over the epoch's batches, named as the chart's columns: `train_total_loss` and its parts."""
    return {f"train_{name}_loss": value / state.batches_counted for name, value in state.loss_sums.items()}


@torch.no_grad()
def _validate(run: _Run) -> dict[str, float]:
    _seed_everything(run.settings.seed)  # the same draws each time, or the curve would show its noise
    run.task.model.eval()
    with run.learner.averaged(), autocast(run.device, run.settings):
        return {name: float(value) for name, value in run.task.validate().items()}


def _keep_best(run: _Run, row: dict[str, float]) -> None:
    """Write the checkpoint if this validation is better than all before; where none is compared, if asked."""
    state, metric = run.state, run.settings.best_metric
    if metric is None:
        if isinstance(run.progress, SparingObserver) and not run.progress.wants_latest():
            return
        _save_checkpoint(run, LAST, row)
        run.progress.saved_best(run.folder / LAST, dict(row))
        return
    value = row.get(metric)
    if value is None:
        if any(name.startswith("val_") for name in row):
            raise ValueError(f"the task's validation gives no {metric!r}, only {sorted(row)}")
        return
    if not math.isfinite(value) or not run.is_learnt(state.epoch, value):
        return
    if state.best_value is not None:
        equal = value == state.best_value and run.settings.prefer_later
        if not equal and value >= state.best_value:
            return
    state.best_epoch, state.best_value, state.best_metrics = state.epoch, value, dict(row)
    _save_checkpoint(run, BEST, row)
    run.progress.saved_best(run.folder / BEST, dict(row))


def _save_checkpoint(run: _Run, name: str, metrics: dict[str, float] | None = None) -> None:
    if metrics is None:
        metrics = run.state.rows[-1] if run.state.rows else {}
    metadata = {"epochs_completed": f"{run.state.epoch}", "metrics": json.dumps(metrics)}
    with run.learner.averaged(), run.learner.in_full():
        write_beside(run.folder / name, lambda partial: run.task.save(partial, metadata))


def _outcome(run: _Run) -> TrainingOutcome:
    settings, state, folder = run.settings, run.state, run.folder
    best = ""
    if state.best_epoch is not None:
        best = f"; best {settings.best_metric} {state.best_value:.4f} after epoch {state.best_epoch}"
    ended: Literal["finished", "early", "stopped"]
    if state.stopped_early:
        ended = "early"
        message = (
            f"Stopped early after {state.epoch} of {settings.epochs} epochs, because {settings.best_metric} "
            f"had not improved for {settings.patience_epochs} epochs{best}"
        )
    elif state.epoch < settings.epochs:
        ended = "stopped"
        message = (
            f"Told to stop after {state.epoch} of {settings.epochs} epochs and {state.step} updates{best}"
        )
    else:
        ended = "finished"
        message = f"Trained all {settings.epochs} epochs{best}"
    if state.skipped_steps:
        message += f"; {state.skipped_steps} updates left out because their numbers were not finite"
    if run.halving.remark:
        message += f"; {run.halving.remark}"
    logger.info(message)
    return TrainingOutcome(
        ended=ended,
        epochs_completed=state.epoch,
        best_epoch=state.best_epoch,
        best_metrics=state.best_metrics,
        best_path=folder / BEST if state.best_epoch is not None else None,
        last_path=folder / LAST,
        rows=tuple(state.rows),
        skipped_steps=state.skipped_steps,
        message=message,
    )


def _describe(state: RunState, settings: TrainingSettings, left_s: float) -> str:
    loss = _mean_losses(state).get("train_total_loss")
    shown = f", loss {loss:.4f}" if loss is not None else ""
    left = f"about {left_s / 60:.0f} min left" if left_s >= 90 else "about a minute left"
    place = f"Epoch {state.epoch + 1} of {settings.epochs}, update {state.step} of {state.steps_in_epoch}"
    return f"{place}{shown}, {left}"


def _describe_epoch(row: dict[str, float], settings: TrainingSettings) -> str:
    shown = ", ".join(f"{name} {value:.4f}" for name, value in row.items() if name != "epoch")
    return f"Epoch {row['epoch']:.0f} of {settings.epochs} done: {shown}"


def _seed_everything(*place: int) -> None:
    """Make all later random draws depend on `place` alone (seed, epoch, update)."""
    seed = int(np.random.SeedSequence(place).generate_state(1)[0])
    random.seed(seed)
    np.random.seed(seed)  # SpecAugment of transformers draws from here
    torch.manual_seed(seed)
