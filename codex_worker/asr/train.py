"""Training a transcriber: a run, and a second one with safer settings after a collapse."""

import logging
import shutil
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import torch

from codex_worker.asr.ctc_task import CtcTask
from codex_worker.asr.finish import finish
from codex_worker.asr.learning import READS_CER, NotLearnt, not_learnt, require_differing_texts, unread_rate
from codex_worker.asr.networks.compiled import ROW_MULTIPLE, compiled_layers, gains
from codex_worker.asr.plan import TrainedModel, TrainingPlan
from codex_worker.asr.recipe_settings import TranscriberRecipe
from codex_worker.asr.watch import RunWatch
from codex_worker.errors import ModelError
from codex_worker.training.loop import RESUME, TrainingSettings, fit
from codex_worker.training.machine import keep_cores
from codex_worker.training.resume import saved_settings
from codex_worker.training.task import TrainingObserver

logger = logging.getLogger(__name__)

METRICS_COLUMNS = ("epoch", "train_total_loss", "val_total_loss", "val_wer", "val_cer", "run")
VALIDATE_TRAINING_EVERY = 5  # epochs, where nothing is held back


def train(
    plan: TrainingPlan, folder: Path, progress: TrainingObserver, *, device: str | None = None
) -> TrainedModel:
    """Train, restart once with safer settings after a collapse, and add a corrector where asked and useful.

    `folder` holds the resume file and checkpoints; a run that was interrupted goes on from there.

    Raises:
        UserError: all recordings say the same.
        ModelError: the run came to its end without learning to read (NotLearnt), or the second one collapsed
            or diverged as well.
    """
    require_differing_texts(plan.texts)
    safer_folder = folder / "safer"
    _sort_in_resume(folder, safer_folder, plan.recipe.safer())
    for reason in plan.recipe.reasons:
        logger.info("Recipe: %s", reason)
    if not safer_folder.exists():
        try:
            return _run(plan, folder, progress, device)
        except NotLearnt:
            raise  # slower and more carefully it would learn even less
        except ModelError as error:
            logger.warning("%s Starting again, once, with safer settings.", error)
            progress.report(0.0, f"{error} Starting again with safer settings.")
            safer_folder.mkdir(parents=True)
    return _run(replace(plan, recipe=plan.recipe.safer()), safer_folder, progress, device, number=2)


def _sort_in_resume(folder: Path, safer_folder: Path, safer: TranscriberRecipe) -> None:
    """A resume file from another machine may be that of the safer restart, which then goes on there."""
    found = folder / RESUME
    settings = None if safer_folder.exists() else saved_settings(found)
    if settings is not None and (settings.get("seed"), settings.get("learning_rate")) == (
        safer.seed,
        safer.learning_rate,
    ):
        safer_folder.mkdir(parents=True)
        shutil.move(
            found, safer_folder / RESUME
        )  # a rename between folders is closed to jobs on older kernels


def _run(
    plan: TrainingPlan, folder: Path, progress: TrainingObserver, device: str | None, number: int = 1
) -> TrainedModel:
    recipe = plan.recipe
    torch.manual_seed(recipe.seed)
    model = plan.make_model()
    where = torch.device(device) if device else next(model.parameters()).device
    is_compiled = recipe.precision == "bf16" and gains(model, where)
    task = CtcTask(model, plan, row_multiple=ROW_MULTIPLE if is_compiled else 1)
    limit = unread_rate(plan.texts)
    watch = RunWatch(progress, number, task.updates_per_epoch)
    settings = TrainingSettings.of(
        recipe.options,
        epochs=recipe.epochs,
        learning_rate=recipe.learning_rate,
        best_metric="val_cer",
        learnt_below=limit,
        early_below=min(limit, READS_CER),
        prefer_later=True,  # few recordings give few different error rates, and more training reads better
        warmup_steps=recipe.warmup_steps,
        warmup_share=recipe.warmup_share,
        schedule="linear",
        accumulation=recipe.accumulation,
        precision="bf16_weights" if is_compiled else recipe.precision,
        ema_decay=recipe.averaging,
        # Readings of the training recordings themselves tell little, so they are made less often.
        validate_every_epochs=max(
            recipe.validate_every_epochs, 1 if plan.data.held_out else VALIDATE_TRAINING_EVERY
        ),
        patience_epochs=recipe.patience_epochs,
        seed=recipe.seed,
        device=device,
    )
    with keep_cores(), compiled_layers(model) if is_compiled else nullcontext():
        outcome = fit(task, settings, folder, watch)
    if outcome.best_epoch is None and outcome.ended != "stopped":
        raise _not_learnt(plan, watch, limit)
    notes = [*recipe.reasons, *plan.data.notes, outcome.message]
    if not plan.has_words:
        notes.append("word errors are not counted: the texts have no spaces between words")
    metrics = {name: value for name, value in outcome.best_metrics.items() if name != "epoch"}
    trained = TrainedModel(outcome.checkpoint_path, outcome, metrics, tuple(notes), plan.data.held_out)
    return trained if outcome.ended == "stopped" else finish(trained, plan)


def _not_learnt(plan: TrainingPlan, watch: RunWatch, limit: float) -> NotLearnt:
    train = plan.data.train
    return not_learnt(
        watch.readings,
        limit=limit,
        held_out=plan.data.held_out,
        trained_on=len(train),
        minutes=sum(example.duration_s for example in train) / 60,
    )
