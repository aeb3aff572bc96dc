"""What is added to a trained transcriber: its language and a corrector where they help, and its test."""

import json
from collections.abc import Sequence
from dataclasses import replace

from codex_worker.asr.checkpoint import TranscriberCheckpoint, save_checkpoint
from codex_worker.asr.confidence import learnt_confidence
from codex_worker.asr.corpus import Example
from codex_worker.asr.corrector import Corrector, fit_corrector
from codex_worker.asr.decoding.decoder import BeamDecoder, GreedyDecoder, ReadingWay, decoder_for
from codex_worker.asr.decoding.fit import HeldOutRecording, fit_language, judges
from codex_worker.asr.decoding.frames import heard_frames
from codex_worker.asr.decoding.language import ProjectLanguage
from codex_worker.asr.evaluate import Prediction, error_rates, heard_in, read_examples
from codex_worker.asr.held_out_rate import HELD_OUT_RECORDINGS
from codex_worker.asr.load import load_checkpoint
from codex_worker.asr.plan import TrainedModel, TrainingPlan

Pairs = list[tuple[str, str]]  # what was read in a held-out recording, and what is said there

_NOTHING_HELD_BACK = "no recordings were held back to learn it from"


def finish(trained: TrainedModel, plan: TrainingPlan) -> TrainedModel:
    """Test the best checkpoint on what was held back, and put into it what is learnt from that.

    That is the project's language where it helps, how sure its readings are, and a corrector where one was
    asked for and helps.
    """
    data = plan.data
    if not data.test and not data.held_out:
        return _without_corrector(trained, _NOTHING_HELD_BACK) if plan.with_corrector else trained
    checkpoint = load_checkpoint(trained.checkpoint)
    trained, language, cross_fitted = _with_language(trained, plan, checkpoint)
    if data.test:
        trained = _tested(trained, plan, checkpoint, language)
    decoder = decoder_for(checkpoint.vocabulary, language, None)
    readings = _read(checkpoint, plan, data.validation, decoder) if data.held_out else ()
    corrector = None
    if plan.with_corrector:
        pairs = cross_fitted or [(each.hypothesis, each.reference) for each in readings]
        trained, corrector = _corrected(trained, plan, pairs)
    about = {
        **checkpoint.metadata,
        # Of the readings as they are without the corrector, which would know these ones by heart.
        **learnt_confidence(readings, data.people_texts),
        "metrics": json.dumps(dict(trained.metrics)),
        HELD_OUT_RECORDINGS: f"{trained.held_out_recordings}",
    }
    save_checkpoint(
        trained.checkpoint, replace(checkpoint, corrector=corrector, language=language, metadata=about)
    )
    return trained


def _with_language(
    trained: TrainedModel, plan: TrainingPlan, checkpoint: TranscriberCheckpoint
) -> tuple[TrainedModel, ProjectLanguage | None, Pairs]:
    """The language and how the held-out recordings are read with it; None where it would not help."""
    if not plan.data.held_out:
        return trained, None, []
    recordings = _listen(checkpoint, plan, judges(plan.data.validation))
    language, report = fit_language(
        recordings, plan.texts_apart, checkpoint.vocabulary, has_words=plan.has_words
    )
    if report is None:
        why = (
            f"without the project's language: {len(recordings)} held-out recordings are too few to try it on"
        )
        if not plan.texts_apart:
            why = "without the project's language: all its texts are those of held-out recordings"
        return replace(trained, notes=(*trained.notes, why)), None, []
    metrics = {**trained.metrics, "val_cer_greedy": report.cer_greedy, "val_cer_beam": report.cer_beam}
    trained = replace(trained, metrics=metrics, notes=(*trained.notes, report.sentence))
    if language is None:
        return trained, None, []
    as_read = [
        Prediction("", reading, recording.reference)
        for reading, recording in zip(report.readings, recordings, strict=True)
    ]
    # From here on its error rates are of how it reads in the end.
    rates = {f"val_{name}": rate for name, rate in error_rates(as_read, has_words=plan.has_words).items()}
    pairs = [(prediction.hypothesis, prediction.reference) for prediction in as_read]
    return replace(trained, metrics=metrics | rates), language, pairs


def _listen(
    checkpoint: TranscriberCheckpoint, plan: TrainingPlan, examples: Sequence[Example]
) -> list[HeldOutRecording]:
    """What the network hears in examples."""
    vocabulary, heard = checkpoint.vocabulary, dict[int, HeldOutRecording]()
    batches = heard_in(checkpoint.model, plan.sounds, examples, plan.recipe.batch_seconds)
    for batch, log_probs in batches:
        frames, paths = heard_frames(log_probs, vocabulary.blank_id), GreedyDecoder().paths(log_probs)
        for place, each, path in zip(batch, frames, paths, strict=True):
            greedy = vocabulary.decode(token.symbol_id for token in vocabulary.collapse(path.symbols))
            heard[place] = HeldOutRecording(each, examples[place].reference, greedy)
    return [heard[place] for place in range(len(examples))]


def _read(
    checkpoint: TranscriberCheckpoint, plan: TrainingPlan, examples: Sequence[Example], decoder: ReadingWay
) -> tuple[Prediction, ...]:
    model, vocabulary, seconds = checkpoint.model, checkpoint.vocabulary, plan.recipe.batch_seconds
    return read_examples(model, vocabulary, plan.sounds, examples, seconds, decoder)[1]


def _tested(
    trained: TrainedModel,
    plan: TrainingPlan,
    checkpoint: TranscriberCheckpoint,
    language: ProjectLanguage | None,
) -> TrainedModel:
    """With the error rates on the test recordings: as it will read, and greedily."""
    test = plan.data.test
    greedy = error_rates(_read(checkpoint, plan, test, GreedyDecoder()), has_words=plan.has_words)
    metrics = dict(trained.metrics)
    rates = greedy
    if language is not None:
        decoder = BeamDecoder(checkpoint.vocabulary, language)
        rates = error_rates(_read(checkpoint, plan, test, decoder), has_words=plan.has_words)
        metrics["test_cer_greedy"] = greedy["cer"]
    metrics |= {f"test_{name}": rate for name, rate in rates.items()}
    return replace(trained, metrics=metrics, held_out_recordings=len(test))


def _corrected(
    trained: TrainedModel, plan: TrainingPlan, pairs: Pairs
) -> tuple[TrainedModel, Corrector | None]:
    """A corrector, None where it would not help, and what the training says of it."""
    if not pairs:
        return _without_corrector(trained, _NOTHING_HELD_BACK), None
    corrector, report = fit_corrector(pairs, plan.texts_apart)
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
