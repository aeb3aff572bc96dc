"""Transcriber trainings that also learn from what a machine read or spoke, from a project to the verdict."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from codex_worker.asr.checkpoint import TranscriberCheckpoint, save_checkpoint
from codex_worker.asr.corpus import Corpus, Example, Sounds, Split, TranscribedClip, prepare
from codex_worker.asr.features import FeatureCache
from codex_worker.asr.held_out_rate import MOST_WRONG
from codex_worker.asr.load import load_checkpoint
from codex_worker.asr.networks.build import build_model, frontend_of, tiny_config
from codex_worker.asr.start import FromCheckpoint
from codex_worker.asr.taught import TeachingVerdict, held_out_cer, undone
from codex_worker.asr.utterances import utterance_of
from codex_worker.asr.vocabulary import build_vocabulary
from codex_worker.codex.notebook import Notebook
from codex_worker.data.project import ChosenCell, Project
from codex_worker.data.recordings import RecordedCell
from codex_worker.errors import JobCanceled, ModelError, UserError
from codex_worker.job.memory import MemoryCallbacks, MemoryScanner, files_below, job_in
from codex_worker.job.summary import Summary, sentence_of
from codex_worker.stabletts.checkpoint import VoiceDescription, write_checkpoint
from codex_worker.stabletts.configuration import TINY
from codex_worker.stabletts.frontend.choose import FrontendRequest, choose_frontend
from codex_worker.stabletts.network import StableTTS
from codex_worker.text.normalise import TextRecipe
from codex_worker.training.task import TrainingOutcome
from handlers.asr.w2v2bert import training
from handlers.asr.w2v2bert.made_examples import Lesson, read_recordings
from handlers.asr.w2v2bert.teaching import teaching_of
from sample.make_codex_project import make_project
from tests.support.any_reading import let_any_reading_count
from tests.support.notebooks import PATH, notebook, recorded_cell, value_edit
from tests.support.noted import noted
from tests.support.present import present
from tests.support.spoken import sample_utterances

pytestmark = pytest.mark.acceptance  # whole trainings or readings: too long for every change

BASE = "gpu_jobs/job_old/checkpoint/asr_model.safetensors"
VOICE = "gpu_jobs/job_voice/checkpoint/voice.safetensors"


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample") / "project"
    return make_project(folder), files_below(folder)


@pytest.fixture(autouse=True)
def any_reading_counts(monkeypatch):
    let_any_reading_count(monkeypatch)


@pytest.fixture(scope="module")
def voice(tmp_path_factory):
    """A voice that has learnt nothing yet; it can be heard."""
    frontend = choose_frontend([one.text for one in sample_utterances("train")], FrontendRequest()).frontend
    settings = replace(TINY, n_vocab=len(frontend.symbols))
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("voice") / "voice.safetensors"
    about = VoiceDescription(settings, frontend, vocoder="griffin_lim")
    write_checkpoint(path, StableTTS(settings), about)
    return path


def reader(letter="a", **about):
    """A transcriber that hears one letter in everything, and is sure of it."""
    vocabulary = build_vocabulary([one.text.lower() for one in sample_utterances("train")])
    torch.manual_seed(0)
    model = build_model(tiny_config(vocabulary)).eval()
    with torch.no_grad():
        model.lm_head.weight.zero_()
        model.lm_head.bias[vocabulary.blank_id if letter == "" else vocabulary.encode(letter)[0]] = 9.0
    return TranscriberCheckpoint(model, vocabulary, frontend_of(model.config), metadata=about)


def run(sample, folder, verses, more=None, **asked):
    """A training of one epoch, too slow to change what the network reads."""
    save_checkpoint(folder / "base.safetensors", reader(job_id="the-base-job"))
    files = {**sample[1], BASE: folder / "base.safetensors", **(more or {})}
    config = {
        "epochs": 1,
        "learning_rate": 1e-8,
        "val_split": 0.2,
        "model": {"base_checkpoint": BASE},
        "training": {"include_verses": verses, **asked},
    }
    job = job_in(folder / "job", config, mode="training")
    callbacks = MemoryCallbacks(MemoryScanner(files, job), job)
    return callbacks.scanner, dict(training.run(job, callbacks))


def report_of(scanner):
    content = next(data for path, data in scanner.artifacts.items() if "training_data" in path)
    return json.loads(content)


def checkpoint_of(scanner, result, folder):
    (folder / "made.safetensors").write_bytes(scanner.artifacts[result["checkpoint_path"]])
    return load_checkpoint(folder / "made.safetensors")


@pytest.mark.slow
def test_made_examples_are_only_trained_on_and_undone_where_they_do_not_help(
    sample, voice, tmp_path, monkeypatch
):
    project, _ = sample
    plans = []
    monkeypatch.setattr("handlers.asr.w2v2bert.teaching.MOST_WRONG", 1.0)  # who always writes "a" may teach
    monkeypatch.setattr(
        training, "train_model", noted(training.train_model, lambda plan, *_, **__: plans.append(plan))
    )
    recorded, silent = sorted(project.recorded)[:10], sorted(project.unheard)[:3]
    verses = [*recorded, *silent, "RUT 1:7", "RUT 2:7", "RUT 3:7"]
    scanner, result = run(sample, tmp_path, verses, {VOICE: voice}, self_training=True, synthetic=VOICE)

    (plan,) = plans
    made = [example for example in plan.data.train if example.utterance.is_made]
    assert sorted(example.text for example in made if example.text != "a") == [
        "rain fell in the night",
        "the field is wide",
    ]
    assert sum(example.text == "a" for example in made) == 2  # of three alike
    assert not any(example.utterance.is_made for example in (*plan.data.validation, *plan.data.test))
    assert plan.data.held_out > 0

    metrics = result["metrics"]
    assert metrics["val_cer_before"] == metrics["val_cer_after"] == metrics["val_cer"] > MOST_WRONG
    assert (metrics["readings_used"], metrics["synthetic_verses"]) == (2, 2)
    assert 0 < metrics["readings_minutes"] < 1 and 0 < metrics["synthetic_minutes"] < 1
    wrong = f"{100 * metrics['val_cer']:.1f}"
    assert f"is undone ({wrong} of 100 letters wrong before, {wrong} after" in sentence_of(result["summary"])

    listed = report_of(scanner)["made_by_machine"]
    assert [row["text"] for row in listed["readings"]["used"]] == ["a", "a"]
    assert list(listed["readings"]["left_out"].values()) == ["2 with the same text are learnt from already"]
    assert [row["reference"] for row in listed["synthetic"]["used"]] == ["RUT 1:7", "RUT 2:7"]
    assert listed["synthetic"]["left_out"] == {"RUT 3:7": "its chapter is held out to measure on"}
    assert scanner.cells == []

    delivered = checkpoint_of(scanner, result, tmp_path)
    assert delivered.metadata["job_id"] == "the-base-job"
    assert "is undone" in delivered.metadata["undone"]
    for name, tensor in reader().model.state_dict().items():
        assert torch.equal(delivered.model.state_dict()[name], tensor)


def fails(*_, **__):
    raise ModelError("It has not learnt to read.")


@pytest.mark.slow
@pytest.mark.parametrize(("bound", "is_failure"), [(1.0, False), (MOST_WRONG, True)])
def test_where_a_taught_training_fails_a_base_that_reads_is_delivered_and_no_other(
    sample, voice, tmp_path, monkeypatch, bound, is_failure
):
    monkeypatch.setattr("handlers.asr.w2v2bert.teaching.MOST_WRONG", bound)
    monkeypatch.setattr(training, "train_model", fails)
    verses = [*sorted(sample[0].recorded)[:10], "RUT 1:7"]
    if is_failure:
        with pytest.raises(ModelError, match="has not learnt to read"):
            run(sample, tmp_path, verses, {VOICE: voice}, synthetic=VOICE)
        return
    scanner, result = run(sample, tmp_path, verses, {VOICE: voice}, synthetic=VOICE)
    assert "is undone (It has not learnt to read" in sentence_of(result["summary"])
    assert result["metrics"]["val_cer"] == result["metrics"]["val_cer_before"]
    assert checkpoint_of(scanner, result, tmp_path).metadata["job_id"] == "the-base-job"


@pytest.mark.slow
def test_a_base_that_reads_poorly_does_not_teach_and_training_goes_on_without(sample, tmp_path):
    project, _ = sample
    verses = [*sorted(project.recorded)[:10], *sorted(project.unheard)[:3]]
    scanner, result = run(sample, tmp_path, verses, self_training=True)
    said = sentence_of(result["summary"])
    assert "what a machine made was not learnt from (the base checkpoint reads 9" in said
    assert "val_cer_before" not in result["metrics"]
    assert checkpoint_of(scanner, result, tmp_path).metadata["started_from"] == BASE


@pytest.mark.slow
def test_without_texts_to_speak_training_goes_on_and_says_so(sample, voice, tmp_path):
    project, _ = sample
    verses = sorted(project.recorded)[:10]
    scanner, result = run(sample, tmp_path, verses, {VOICE: voice}, synthetic=VOICE)
    assert "no text without a recording" in sentence_of(result["summary"])
    assert checkpoint_of(scanner, result, tmp_path).metadata["started_from"] == BASE


@pytest.mark.parametrize("asked", [{"self_training": True}, {"synthetic": VOICE}])
def test_without_a_transcriber_that_reads_already_a_job_is_refused_with_what_to_do(tmp_path, asked):
    job = job_in(tmp_path / "job", {"training": asked}, mode="training")
    with pytest.raises(UserError, match=r"needs a transcriber that reads already.*model\.base_checkpoint"):
        training.run(job, MemoryCallbacks(MemoryScanner({}, job), job))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "There is no checkpoint at"),
        (b"no voice at all", "has to name a StableTTS voice"),
        ("a transcriber", "has to name a StableTTS voice"),
    ],
)
def test_a_voice_that_is_none_is_refused_before_anything_is_read(tmp_path, content, says):
    if content == "a transcriber":
        save_checkpoint(tmp_path / "t.safetensors", reader())
        content = tmp_path / "t.safetensors"
    files = {} if content is None else {VOICE: content}
    config = {"model": {"base_checkpoint": BASE}, "training": {"synthetic": VOICE}}
    job = job_in(tmp_path / "job", config, mode="training")
    with pytest.raises(UserError, match=says):
        training.run(job, MemoryCallbacks(MemoryScanner(files, job), job))


def held_out_by(*validation):
    """A split of one example to train on and these to measure on; their recordings."""
    cells = Notebook.parse(
        notebook(
            recorded_cell("MRK 1:1", "a person's", edits=(value_edit("a person's", 1),)),
            recorded_cell("MRK 1:2", "a machine's", edits=(value_edit("a machine's", 1, author="ASR m.pt"),)),
        ),
        PATH,
    )
    recorded = [RecordedCell(ChosenCell(cells, one), Path("x.wav")) for one in cells.cells]
    examples = [Example(utterance_of(one), one.text, "sound", 1.0) for one in recorded]
    train = (Example(TranscribedClip("other", Path("y.wav"), "text"), "text", "sound", 1.0),)
    return Split(train, tuple(examples[i] for i in validation) or train), recorded


@pytest.mark.parametrize("validation", [(), (1,)], ids=["nothing held out", "only a machine's held out"])
def test_nothing_is_made_where_no_recording_of_a_person_could_judge_it(tmp_path, validation):
    data, recorded = held_out_by(*validation)
    job = job_in(tmp_path / "job", {"model": {"base_checkpoint": BASE}, "training": {"self_training": True}})
    callbacks = MemoryCallbacks(MemoryScanner({"files/target/MRK.codex": notebook()}, job), job)
    teaching = present(teaching_of(job, callbacks))
    taught = teaching.added_to(
        data,
        Corpus(data.train),
        project=Project(callbacks.scanner),
        recordings=recorded,
        start=FromCheckpoint(reader(), BASE),
        sounds=Sounds(reader().frontend, FeatureCache(tmp_path / "features", 10**6)),
        text_recipe=TextRecipe(),
        longest_s=30.0,
    )
    assert taught is data
    assert "no recording of a person is held out" in sentence_of(Summary(facts=tuple(teaching.facts)))


@pytest.mark.slow
def test_a_job_that_is_canceled_while_its_base_reads_ends_there(sample, tmp_path):
    project, files = sample
    asked = {"include_verses": sorted(project.unheard)[:3], "self_training": True}
    job = job_in(tmp_path / "job", {"model": {"base_checkpoint": BASE}, "training": asked})
    callbacks = MemoryCallbacks(MemoryScanner(files, job), job, stop_after_looks=1)
    lesson = Lesson(Split((), ()), 30.0, reader().vocabulary.letters, str)
    with pytest.raises(JobCanceled):
        read_recordings(job, callbacks, Project(callbacks.scanner), reader(), lesson)
    assert callbacks.heartbeats[-1].message == "Read 0 recordings to learn from"


@pytest.fixture
def examples(tmp_path):
    sounds = Sounds(reader().frontend, FeatureCache(tmp_path / "features", 10**8))
    corpus = prepare(
        sample_utterances("train")[:4],
        normalise=TextRecipe().apply,
        sounds=sounds,
        frames=lambda rows: rows,
        max_duration_s=30.0,
        workers=1,
    )
    return sounds, corpus.examples


def test_a_transcriber_that_reads_more_letters_right_has_the_lower_rate(examples):
    sounds, held_out = examples
    writes_nothing = held_out_cer(reader(""), sounds, held_out)
    assert writes_nothing == 1.0
    assert held_out_cer(reader("e"), sounds, held_out) < writes_nothing


@pytest.mark.parametrize(
    ("before", "after", "helped"), [(0.3, 0.2, True), (0.3, 0.3, False), (0.3, 0.4, False)]
)
def test_what_was_made_stays_only_where_fewer_letters_are_wrong(before, after, helped):
    verdict = TeachingVerdict(before, after, 12)
    assert verdict.helped is helped
    assert f"{100 * before:.1f} of 100 letters wrong before, {100 * after:.1f} after" in verdict.sentence
    assert ("undone" in verdict.sentence) is not helped


def test_what_is_undone_has_the_rates_of_the_base_and_no_corrector(tmp_path):
    outcome = TrainingOutcome("finished", 3, 3, {}, None, tmp_path / "last", (), 0, "")
    base = undone(
        reader(language="tok"),
        tmp_path / "x.safetensors",
        cer=0.3,
        recordings=12,
        why="Why.",
        outcome=outcome,
    )
    assert (dict(base.metrics), base.held_out_recordings, base.no_corrector) == ({"val_cer": 0.3}, 12, "")
    assert load_checkpoint(base.checkpoint).metadata["language"] == "tok"
