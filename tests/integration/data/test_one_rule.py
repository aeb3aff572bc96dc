"""What the page lists as used is what both models learn from, and what is wrong is not transcribed."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch

import codex_worker.asr  # noqa: F401  before torchaudio
from codex_worker.asr.checkpoint import TranscriberCheckpoint, save_checkpoint
from codex_worker.asr.networks.build import TINY_FRONTEND, build_model, tiny_config
from codex_worker.asr.vocabulary import build_vocabulary
from codex_worker.codex.choose import Selection
from codex_worker.data.faults import Fault
from codex_worker.data.project import Project
from codex_worker.data.recordings import cells_for_training
from handlers.asr.w2v2bert import inference
from handlers.asr.w2v2bert import training as transcriber_training
from handlers.tts.stabletts import training as voice_training
from tests.support.planted import RATE, PlantedProject, ReadPage, page_of, prepared

pytestmark = pytest.mark.slow  # two jobs listen to the sample

RNG = np.random.default_rng(7)
T = np.arange(3 * RATE) / RATE
JOBS = {
    "transcriber": (transcriber_training, {"job_type": "asr", "model_type": "w2v2bert"}),
    "voice": (voice_training, {"job_type": "tts", "model_type": "stabletts"}),
}


def overdriven(sound):
    return np.clip(16 * sound / np.abs(sound).max(), -1, 1)


# What is done to the sound of a cell, the kind of file, and what each model's page must say of it.
SOUNDS = {
    "silence": (lambda sound: np.zeros(2 * RATE), "wav", Fault.SILENT),
    "noise of one bit": (lambda sound: RNG.integers(-1, 2, 2 * RATE) / 32767, "wav", Fault.SILENT),
    "noise at -80 dB": (lambda sound: 1e-4 * RNG.standard_normal(2 * RATE), "webm", Fault.SILENT),
    "overdriven wav": (overdriven, "wav", Fault.OVERDRIVEN),
    "overdriven webm": (overdriven, "webm", Fault.OVERDRIVEN),
    "tone": (lambda sound: 0.3 * np.sin(2 * np.pi * 440 * T), "webm", Fault.NOT_SPEECH),
    "white noise": (lambda sound: 0.1 * RNG.standard_normal(T.size), "wav", Fault.NOT_SPEECH),
    "too short": (lambda sound: sound[RATE // 4 : RATE // 2], "wav", Fault.TOO_SHORT),
    "too long": (lambda sound: np.tile(sound, 1 + 45 * RATE // sound.size), "wav", Fault.TOO_LONG),
    "good, with 5 s of silence before it": (lambda sound: np.append(np.zeros(5 * RATE), sound), "wav", None),
    "good, quiet": (lambda sound: 0.01 * sound, "wav", None),
    "good, with an offset": (lambda sound: 0.3 + 0.5 * sound, "wav", None),
    "good, one side of a stereo file": (lambda sound: np.stack([sound, 0 * sound]), "wav", None),
}
TEXTS = {
    "a text for three recordings": ("Kings carry fish and people find stones. " * 6, Fault.TOO_SHORT),
    "a text without letters": ("...!", Fault.NO_LETTERS),
}
TRANSCRIBERS_ONLY = {"too long"}  # a voice learns from long recordings


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """The project, and which fault each of its cells has."""
    project = PlantedProject.in_folder(tmp_path_factory.mktemp("planted"))
    cells = project.ordinary(project.sample.recorded)
    faults = {}
    for name, (spoil, kind, fault) in SOUNDS.items():
        cell = next(cells)
        project.replace(cell, spoil(project.voice(cell)), kind)
        faults[cell] = (name, fault)
    for name, (text, fault) in TEXTS.items():
        cell = next(cells)
        project.write_text(cell, text)
        faults[cell] = (name, fault)
    cut_off, missing = next(cells), next(cells)
    project.note_length(cut_off, 60.0)
    project.lose(missing)
    return project, {**faults, cut_off: ("cut off", Fault.CUT_OFF), missing: ("missing", Fault.MISSING)}


@dataclass(frozen=True)
class Seen:
    """What came of a job up to its training, by the labels of cells."""

    model: str
    used: list[str]
    page: ReadPage
    labels: dict[str, str]  # cell id -> label


@pytest.fixture(scope="module", params=JOBS)
def seen(request, planted):
    project, _ = planted
    handler, fields = JOBS[request.param]
    job, callbacks = project.job("training", **fields)
    with pytest.MonkeyPatch.context() as patch:
        ready = prepared(handler, job, callbacks, patch)
    chosen = Project(callbacks.scanner).choose_from(cells_for_training, Selection()).chosen
    names = {entry.key: entry.label for entry in chosen}
    keys = (
        [example.utterance.key for example in ready.examples]
        if request.param == "transcriber"
        else [utterance.id for utterance in ready.utterances]
    )
    ids = {entry.cell.id: entry.label for entry in chosen}
    return Seen(request.param, sorted(names[key] for key in keys), page_of(callbacks), ids)


def test_a_model_learns_from_exactly_what_its_page_lists_as_used(seen):
    assert seen.used == seen.page.used
    assert len(seen.used) > 40


def test_each_fault_is_left_out_for_its_reason_and_real_speech_is_not(seen, planted):
    _, faults = planted
    expected = {
        name: None if seen.model == "voice" and name in TRANSCRIBERS_ONLY else fault
        for name, fault in faults.values()
    }
    found = {}
    for cell, (name, _) in faults.items():
        label = seen.labels[cell]
        is_used = label in seen.page.used
        assert is_used is (label not in seen.page.reasons), name
        (found[name],) = seen.page.faults_of(label) or [None]
    assert found == expected


@pytest.fixture(scope="module")
def transcribed(tmp_path_factory):
    """An inference job over faulty recordings by a transcriber that writes something for any sound."""
    project = PlantedProject.in_folder(tmp_path_factory.mktemp("unheard"))
    vocabulary = build_vocabulary(["god made all"])
    torch.manual_seed(0)
    model = build_model(tiny_config(vocabulary))
    with torch.no_grad():
        model.lm_head.bias[vocabulary.encode("g")] = 5.0
    checkpoint = TranscriberCheckpoint(model, vocabulary, TINY_FRONTEND, metadata={"low_confidence": "0.0"})
    save_checkpoint(project.folder / "model.safetensors", checkpoint)
    cells = project.ordinary(project.sample.unheard)
    named = {}
    for name, (spoil, kind, fault) in SOUNDS.items():
        if fault in {Fault.TOO_SHORT, Fault.TOO_LONG}:  # too short for its text, and too long to be learnt
            continue
        named[name] = next(cells)
        project.replace(named[name], spoil(project.voice(named[name])), kind)
    named |= {"cut off": next(cells), "missing": next(cells)}
    project.note_length(named["cut off"], 60.0)
    project.lose(named["missing"])
    job, callbacks = project.job("inference")
    return project, named, callbacks, inference.infer(job, callbacks, project.folder / "model.safetensors")


READ = {name for name, (_, _, fault) in SOUNDS.items() if fault in {None, Fault.OVERDRIVEN}}


def test_a_recording_that_cannot_be_read_leaves_its_cell_empty_is_counted_and_said(transcribed):
    project, named, callbacks, inferred = transcribed
    written = {entry.patch.cell_id for entry in callbacks.scanner.cells}
    unread = {cell for name, cell in named.items() if name not in READ}
    assert not written & unread
    assert set(inferred.cells_failed) == unread
    assert inferred.cells_written == len(written) == len(project.sample.unheard) - len(unread)
    assert "60.0 s" in inferred.cells_failed[named["cut off"]]
    assert "silent" in inferred.cells_failed[named["silence"]]
    assert "no speech" in inferred.cells_failed[named["tone"]]


def test_an_overdriven_recording_is_read_with_a_remark_and_a_good_one_without(transcribed):
    _, named, callbacks, _ = transcribed
    (report,) = [
        json.loads(content) for path, content in callbacks.scanner.artifacts.items() if "transcripts" in path
    ]
    rows = {row["cell"]: row for row in report}
    for name in READ & set(named):
        row = rows[named[name]]
        assert row["text"] and row["error"] is None, name
        assert any("overdriven" in note for note in row["notes"]) is name.startswith("overdriven"), name
