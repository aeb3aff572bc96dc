"""The language's way: from a training's texts into the checkpoint, and from there into readings."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from codex_worker.asr import finish as finishing
from codex_worker.asr.checkpoint import TranscriberCheckpoint, save_checkpoint
from codex_worker.asr.corpus import Example, Split, TranscribedClip
from codex_worker.asr.decoding.decoder import Decoding, GreedyDecoder
from codex_worker.asr.decoding.language import MAX_LANGUAGE_BYTES, LanguageWeights, ProjectLanguage
from codex_worker.asr.export import export_hugging_face
from codex_worker.asr.load import load_checkpoint
from codex_worker.asr.networks.build import TINY_FRONTEND, build_model, tiny_config
from codex_worker.asr.plan import TrainedModel
from codex_worker.asr.transcribe import DecodingSettings, Transcriber
from codex_worker.asr.vocabulary import build_vocabulary
from codex_worker.errors import DataError
from codex_worker.training.task import TrainingOutcome
from tests.support.half_heard import half_heard, sentences
from tests.support.made_plans import plan_over_noise
from tests.support.networks import small_conformer
from tests.support.present import present

pytestmark = pytest.mark.acceptance  # whole trainings or readings: too long for every change

WORDS = ["naba", "kuto", "isimo", "rak", "tebola", "ama", "sokin", "lulu", "berit"]
VOCABULARY = build_vocabulary(WORDS)
LANGUAGE = ProjectLanguage.fit(sentences(WORDS, 80, 1), has_words=True, order=6).weighed(
    LanguageWeights(0.8, 0.3, 1.0)
)


def checkpoint_with(language, config=tiny_config):
    torch.manual_seed(0)
    return TranscriberCheckpoint(
        build_model(config(VOCABULARY)), VOCABULARY, TINY_FRONTEND, language=language
    )


def examples(texts):
    return tuple(Example(TranscribedClip(text, Path(text), text), text, text, 1.0) for text in texts)


SPOKEN = list(dict.fromkeys(sentences(WORDS, 90, 2, length=3)))
TRAIN, VALIDATION, TEST = SPOKEN[:20], SPOKEN[20:32], SPOKEN[32:40]


def finish(folder, **changes):
    """What finishing makes of a training whose network half hears every recording, and the plan."""
    heard = {text: half_heard(text, VOCABULARY, seed) for seed, text in enumerate(SPOKEN)}
    data = Split(examples(TRAIN), examples(VALIDATION), examples(TEST))
    texts = [*sentences(WORDS, 120, 1, length=3), *SPOKEN]  # held-out sentences in other cells as well
    plan = replace(plan_over_noise(folder), **{"data": data, "project_texts": texts, **changes})

    def heard_in(model, sounds, examples, batch_seconds):
        yield list(range(len(examples))), [heard[each.text] for each in examples]

    save_checkpoint(folder / "best.safetensors", checkpoint_with(None))
    outcome = TrainingOutcome.__new__(TrainingOutcome)
    trained = TrainedModel(folder / "best.safetensors", outcome, {"val_cer": 0.4}, (), plan.data.held_out)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finishing, "heard_in", heard_in)
        patch.setattr("codex_worker.asr.evaluate.heard_in", heard_in)
        patch.setattr("codex_worker.asr.corrector.MIN_PAIRS", 10)
        return finishing.finish(trained, plan), plan


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return finish(tmp_path_factory.mktemp("finished"), with_corrector=True)


def test_a_language_that_helps_travels_and_both_numbers_are_told(finished):
    trained, _ = finished
    metrics = trained.metrics
    assert metrics["val_cer_beam"] < metrics["val_cer_greedy"]
    assert metrics["val_cer"] == pytest.approx(metrics["val_cer_beam"])
    assert metrics["test_cer"] < metrics["test_cer_greedy"]
    assert any("the project's language" in note and "kept" in note for note in trained.notes)
    loaded = load_checkpoint(trained.checkpoint)
    assert present(loaded.language).weights.letters > 0
    assert json.loads(loaded.metadata["metrics"]) == metrics
    assert present(loaded.held_out_cer) == pytest.approx(metrics["test_cer"])


def test_no_text_of_a_held_out_recording_is_learnt_though_another_cell_has_it_too(finished):
    trained, plan = finished
    assert set(VALIDATION) < set(plan.project_texts)
    assert not set(plan.texts_apart) & {*VALIDATION, *TEST}
    assert set(plan.texts_apart) > set(TRAIN)
    counts = present(load_checkpoint(trained.checkpoint).language).letters.counts
    learnt = ProjectLanguage.fit(plan.texts_apart, has_words=True, order=8).letters.counts
    assert counts == learnt


def test_a_corrector_after_the_language_has_to_help_once_more(finished):
    metrics = finished[0].metrics
    assert metrics["val_cer_without_corrector"] == pytest.approx(metrics["val_cer_beam"])


@pytest.mark.parametrize("held_out", [0, 2])
def test_with_too_few_held_out_recordings_the_notes_say_that_the_language_was_not_tried(tmp_path, held_out):
    train = examples(TRAIN)
    trained, _ = finish(tmp_path, data=Split(train, examples(VALIDATION[:held_out]) or train))
    assert load_checkpoint(trained.checkpoint).language is None
    assert "val_cer_beam" not in trained.metrics
    assert any("too few to try it on" in note for note in trained.notes) is bool(held_out)


@pytest.mark.parametrize(
    ("language", "decoding", "is_greedy"),
    [
        (None, None, True),
        (LANGUAGE, None, False),
        (LANGUAGE, Decoding.GREEDY, True),
        (None, Decoding.BEAM, False),
    ],
)
def test_readings_are_found_as_the_job_asks_else_as_the_checkpoint_can(language, decoding, is_greedy):
    settings = DecodingSettings(decoding=decoding)
    transcriber = Transcriber(checkpoint_with(language), settings, device="cpu")
    assert isinstance(transcriber.decoder, GreedyDecoder) is is_greedy
    assert bool(transcriber.remarks) is (language is None and decoding is Decoding.BEAM)


@pytest.mark.parametrize(
    ("language", "decoding", "cer"),
    [
        (LANGUAGE, Decoding.GREEDY, 0.6),
        (LANGUAGE, None, 0.4),
        (None, Decoding.GREEDY, 0.4),
        (None, None, 0.4),
    ],
)
def test_a_transcriber_tells_the_error_rate_of_the_way_it_reads(language, decoding, cer):
    with_language = {"val_cer": 0.4, "val_cer_greedy": 0.6, "val_cer_beam": 0.4}
    metrics = json.dumps(with_language if language else {"val_cer": 0.4})
    checkpoint = replace(checkpoint_with(language), metadata={"metrics": metrics})
    assert Transcriber(checkpoint, DecodingSettings(decoding=decoding), "cpu").held_out.cer == cer


def test_a_transcriber_with_a_language_reads_what_the_network_only_half_heard(monkeypatch):
    transcriber = Transcriber(checkpoint_with(LANGUAGE), device="cpu")
    text = sentences(WORDS, 5, 7)[0]
    heard = half_heard(text, VOCABULARY, 3)
    monkeypatch.setattr(transcriber, "frame_log_probs", lambda features: [heard for _ in features])
    sound = torch.randn(16_000).numpy() * 0.1
    (transcript,) = transcriber.transcribe_samples([sound])
    assert transcript.text == text
    assert [word.text for word in transcript.words] == text.split()
    assert all(0.0 < word.confidence < 1.0 and word.start_s < word.end_s for word in transcript.words)


def test_a_language_is_exported_beside_the_network(tmp_path):
    save_checkpoint(tmp_path / "best.safetensors", checkpoint_with(LANGUAGE, small_conformer))
    files = export_hugging_face(tmp_path / "best.safetensors", tmp_path / "exported")
    written = next(path for path in files if path.name == "language.json").read_text(encoding="utf-8")
    assert ProjectLanguage.from_json(written).weights == LANGUAGE.weights


class Huge:
    def to_json(self):
        return " " * (MAX_LANGUAGE_BYTES + 1)


class Deep:
    def to_json(self):
        return "[" * 100_000


@pytest.mark.parametrize("made_up", [Huge(), Deep()], ids=["huge", "deep"])
def test_a_made_up_language_in_a_checkpoint_is_refused(tmp_path, made_up):
    save_checkpoint(tmp_path / "made-up.safetensors", checkpoint_with(made_up))
    with pytest.raises(DataError, match="train a new model"):
        load_checkpoint(tmp_path / "made-up.safetensors")
