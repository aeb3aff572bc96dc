"""What is added to a trained transcriber: its test, and a corrector where that helps."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from codex_worker.asr.checkpoint import save_checkpoint
from codex_worker.asr.corpus import Example
from codex_worker.asr.corrector import fit_corrector
from codex_worker.asr.evaluate import Prediction, error_rates, read_examples
from codex_worker.asr.load import load_checkpoint
from codex_worker.asr.plan import TrainedModel, TrainingPlan


def finish(trained: TrainedModel, plan: TrainingPlan) -> TrainedModel:
    """Test the best checkpoint on what was held back, and put a corrector into it where that helps."""
    data = plan.data
    if not data.test and not plan.with_corrector:
        return trained
    checkpoint = load_checkpoint(trained.checkpoint)
    metrics, notes = dict(trained.metrics), list(trained.notes)

    def read(examples: Sequence[Example]) -> tuple[Prediction, ...]:
        model, batch_seconds = checkpoint.model, plan.recipe.batch_seconds
        return read_examples(model, checkpoint.vocabulary, plan.sounds, examples, batch_seconds)[1]

    if data.test:
        rates = error_rates(read(data.test), has_words=plan.has_words)
        metrics |= {f"test_{name}": rate for name, rate in rates.items()}
    if not plan.with_corrector:
        return replace(trained, metrics=metrics)
    if data.validation is data.train:
        return _without_corrector(trained, metrics, notes, "no recordings were held back to learn it from")
    pairs = [(p.hypothesis, p.reference) for p in read(data.validation)]
    corrector, report = fit_corrector(pairs, [example.text for example in data.train])
    if report is None:
        why = f"{len(pairs)} held-out readings are too few to learn it from"
        return _without_corrector(trained, metrics, notes, why)
    notes.append(report.sentence)
    metrics |= {
        "val_cer_without_corrector": report.cer_before,
        "val_cer_with_corrector": report.cer_after,
    }
    if corrector is not None:
        save_checkpoint(trained.checkpoint, replace(checkpoint, corrector=corrector))
    why = "" if report.kept else "it would not have lowered the error rate"
    return replace(trained, metrics=metrics, notes=tuple(notes), corrector=report, no_corrector=why)


def _without_corrector(
    trained: TrainedModel, metrics: Mapping[str, float], notes: Sequence[str], why: str
) -> TrainedModel:
    return replace(trained, metrics=metrics, notes=(*notes, f"no corrector: {why}"), no_corrector=why)
