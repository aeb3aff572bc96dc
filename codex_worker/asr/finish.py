"""What is added to a trained transcriber: its test, and a corrector where that helps."""

import json
from collections.abc import Sequence
from dataclasses import replace

from codex_worker.asr.checkpoint import save_checkpoint
from codex_worker.asr.confidence import learnt_confidence
from codex_worker.asr.corpus import Example
from codex_worker.asr.corrector import Corrector, fit_corrector
from codex_worker.asr.evaluate import Prediction, error_rates, read_examples
from codex_worker.asr.held_out_rate import HELD_OUT_RECORDINGS
from codex_worker.asr.load import load_checkpoint
from codex_worker.asr.plan import TrainedModel, TrainingPlan

_NOTHING_HELD_BACK = "no recordings were held back to learn it from"


def finish(trained: TrainedModel, plan: TrainingPlan) -> TrainedModel:
    """Test the best checkpoint on what was held back, and put into it what is learnt from that.

    That is how sure its readings are, and a corrector where one was asked for and helps.
    """
    data = plan.data
    if not data.test and not data.held_out:
        return _without_corrector(trained, _NOTHING_HELD_BACK) if plan.with_corrector else trained
    checkpoint = load_checkpoint(trained.checkpoint)

    def read(examples: Sequence[Example]) -> tuple[Prediction, ...]:
        model, batch_seconds = checkpoint.model, plan.recipe.batch_seconds
        return read_examples(model, checkpoint.vocabulary, plan.sounds, examples, batch_seconds)[1]

    if data.test:
        rates = error_rates(read(data.test), has_words=plan.has_words)
        metrics = {**trained.metrics, **{f"test_{name}": rate for name, rate in rates.items()}}
        trained = replace(trained, metrics=metrics, held_out_recordings=len(data.test))
    readings = read(data.validation) if data.held_out else ()
    corrector = None
    if plan.with_corrector:
        trained, corrector = _corrected(trained, plan, readings)
    about = {
        **checkpoint.metadata,
        # Of the readings as they are without the corrector, which would know these ones by heart.
        **learnt_confidence(readings, data.people_texts),
        "metrics": json.dumps(dict(trained.metrics)),
        HELD_OUT_RECORDINGS: f"{trained.held_out_recordings}",
    }
    save_checkpoint(trained.checkpoint, replace(checkpoint, corrector=corrector, metadata=about))
    return trained


def _corrected(
    trained: TrainedModel, plan: TrainingPlan, readings: Sequence[Prediction]
) -> tuple[TrainedModel, Corrector | None]:
    """A corrector, None where it would not help, and what the training says of it."""
    if not readings:
        return _without_corrector(trained, _NOTHING_HELD_BACK), None
    pairs = [(p.hypothesis, p.reference) for p in readings]
    corrector, report = fit_corrector(pairs, plan.data.people_texts)
    if report is None:
        return _without_corrector(
            trained, f"{len(pairs)} held-out readings are too few to learn it from"
        ), None
    metrics = {
        **trained.metrics,
        "val_cer_without_corrector": report.cer_before,
        "val_cer_with_corrector": report.cer_after,
    }
    why = "" if report.kept else "it would not have lowered the error rate"
    notes = (*trained.notes, report.sentence)
    return replace(trained, metrics=metrics, notes=notes, corrector=report, no_corrector=why), corrector


def _without_corrector(trained: TrainedModel, why: str) -> TrainedModel:
    return replace(trained, notes=(*trained.notes, f"no corrector: {why}"), no_corrector=why)
