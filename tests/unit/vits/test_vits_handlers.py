"""VITS jobs from a project to published recordings, with the callbacks' twin in memory."""

import csv
import io
from typing import Any

import pytest

from codex_worker.contract.licences import OWN
from codex_worker.contract.manifest import JobEntry
from codex_worker.contract.options import options_of
from codex_worker.errors import DataError, Preempted, UserError
from codex_worker.job.api import StopReason, Weights
from codex_worker.job.memory import MemoryCallbacks, MemoryScanner, job_in
from codex_worker.supervisor.handlers_found import choose_handler, find_handlers, handlers_root
from codex_worker.supervisor.needs import needs_of, weights_of
from codex_worker.vits.checkpoint import read_checkpoint
from codex_worker.vits.train import VITS_METRICS
from handlers.tts.vits import inference, training, training_and_inference
from sample.make_codex_project import make_project
from tests.support.mms_voice import SYMBOLS, mms_folder

pytestmark = pytest.mark.acceptance  # whole trainings or readings: too long for every change


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample") / "project"
    made = make_project(folder, with_sample_jobs=False)
    files = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name.startswith(("files/target/", ".project/attachments/pointers/")):
            files[name] = path
    contents = {f"lfs/{oid}": content for oid, content in made.large_files.items()}
    return made, {**files, **contents}


def job_for(project, folder, config: dict[str, Any] | None = None, **fields):
    made, files = project
    fields = {"job_type": "tts", "model_type": "vits", "commit": "c" * 40, **fields}
    job = job_in(folder, {"epochs": 2, "batch_size": 8, **(config or {})}, **fields)
    scanner = MemoryScanner(files, job)
    return job, MemoryCallbacks(scanner, job), made


def speaking(project, tmp_path, made, **model):
    config = {
        "model": {"mms_voice": "swh", **model},
        "inference": {"include_verses": made.text_only[:2], "audio_format": "wav"},
    }
    job, callbacks, _ = job_for(project, tmp_path, config, mode="inference")
    symbols = [*SYMBOLS, *sorted(set("abcdefghijklmnopqrstuvwxyz,.!?") - set(SYMBOLS))]
    folder = mms_folder(tmp_path / "weights/facebook/mms-tts-swh", symbols=symbols)
    callbacks.scanner.weights["mms-tts-swh"] = Weights(folder, "local:12")
    return job, callbacks


def entry_of(**model):
    return JobEntry.model_validate({"job_id": "1", "job_type": "tts", "model": {"type": "VITS", **model}})


@pytest.mark.parametrize("written", ["VITS", "vits", "mms-tts"])
def test_the_supervisor_finds_the_handlers_of_a_manifest_that_asks_for_vits(written):
    entry = entry_of(type=written)
    for mode in ("training", "inference", "training_and_inference"):
        module = choose_handler(find_handlers(handlers_root()), "tts", entry.model_type, mode)
        assert module == f"handlers.tts.vits.{mode}"
    assert weights_of(entry) == ()
    assert needs_of(handlers_root(), entry).official_weights is False


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("swh", "swh"),
        (" SWH ", "swh"),
        ("facebook/mms-tts-swh", "swh"),
        ("mms-tts-azj-script_latin", "azj-script_latin"),
        ("", None),
        (None, None),
    ],
)
def test_a_voice_of_mms_is_named_by_its_code(written, code):
    assert options_of(entry_of(mms_voice=written)).inference.mms_voice == code


@pytest.mark.parametrize("written", ["swahili", "../etc", 7, ["swh"], "swh/../../x", "facebook/other"])
def test_what_is_no_code_is_refused(written):
    with pytest.raises(UserError, match=r"model\.mms_voice: .* is not the code of an MMS voice"):
        options_of(entry_of(mms_voice=written))


def test_a_published_voice_speaks_without_any_training(project, tmp_path):
    made, _ = project
    job, callbacks = speaking(project, tmp_path, made)
    result = inference.run(job, callbacks)
    assert result["cells_written"] == 2
    assert any("CC BY-NC 4.0" in note and "commercially" in note for note in result["notes"])
    for cell in callbacks.scanner.cells:
        assert cell.patch.recording.sample_rate == 16_000
        assert "VITS" in cell.patch.recording.created_by
        assert cell.patch.recording.duration_s > 0.3


def test_a_voice_that_is_not_there_or_not_named_ends_with_a_sentence(project, tmp_path):
    made, files = project
    job, callbacks, _ = job_for(project, tmp_path, mode="inference")
    with pytest.raises(UserError, match="names no checkpoint"):
        inference.run(job, callbacks)
    path = "gpu_jobs/job_asr/checkpoint/x.safetensors"
    config = {"model": {"base_checkpoint": path}}
    job, callbacks, _ = job_for((made, {**files, path: b"not a voice"}), tmp_path, config, mode="inference")
    with pytest.raises(DataError, match=r"x\.safetensors is not a checkpoint"):
        inference.run(job, callbacks)


def some(made, count=10):
    return {"training": {"include_verses": sorted(made.recorded)[:count]}}


@pytest.fixture(scope="module")
def trained(project, tmp_path_factory):
    made, _ = project
    job, callbacks, _ = job_for(project, tmp_path_factory.mktemp("job"), some(made))
    return training.run(job, callbacks), callbacks, job


def test_a_training_job_publishes_a_voice_its_chart_and_its_samples(trained):
    result, callbacks, job = trained
    assert result["success"] and result["epochs_completed"] == 2
    file = job.folder / "again.safetensors"
    file.write_bytes(callbacks.scanner.artifacts[result["checkpoint_path"]])
    voice = read_checkpoint(file).voice
    assert (voice.base, voice.licence, voice.training_commit) == ("random weights", OWN, "c" * 40)
    rows = list(csv.DictReader(io.StringIO((job.folder / "training_metrics.csv").read_text())))
    assert tuple(rows[0]) == VITS_METRICS and [row["epoch"] for row in rows] == ["1", "2"]
    assert any("The checkpoint is the last one" in note for note in result["notes"])
    assert [path for path in callbacks.scanner.artifacts if "/report/training_data" in path]


def test_a_voice_of_the_project_speaks_what_is_missing(project, trained, tmp_path):
    result, before, _ = trained
    made, _ = project
    config = {
        "model": {"base_checkpoint": result["checkpoint_path"]},
        "inference": {"include_verses": made.text_only[:2]},
    }
    job, callbacks, _ = job_for(project, tmp_path, config, mode="inference")
    callbacks.scanner.artifacts.update(before.scanner.artifacts)
    spoken = inference.run(job, callbacks)
    assert spoken["cells_written"] + spoken["cells_failed"] == 2


def test_training_starts_from_a_published_voice_and_its_licence_travels(project, tmp_path):
    made, _ = project
    config = {**some(made, 6), "model": {"mms_voice": "swh"}, "epochs": 1, "batch_size": 4}
    job, callbacks, _ = job_for(project, tmp_path, config, preset="full")
    folder = mms_folder(tmp_path / "weights/facebook/mms-tts-swh")
    callbacks.scanner.weights["mms-tts-swh"] = Weights(folder, "local:12")
    result = training.run(job, callbacks)
    file = job.folder / "again.safetensors"
    file.write_bytes(callbacks.scanner.artifacts[result["checkpoint_path"]])
    voice = read_checkpoint(file).voice
    assert voice.base == "facebook/mms-tts-swh" and voice.official_revision.endswith("@local:12")
    assert voice.licence == result["licence"] == "CC-BY-NC-4.0"
    assert voice.frontend.symbols[: len(SYMBOLS)] == tuple(SYMBOLS)
    assert any("commercially" in note for note in result["notes"])


def test_a_job_for_commercial_use_refuses_a_published_voice(project, tmp_path):
    made, _ = project
    config = {**some(made, 6), "model": {"mms_voice": "swh", "commercial": True}}
    job, callbacks, _ = job_for(project, tmp_path, config, preset="full")
    folder = mms_folder(tmp_path / "weights/facebook/mms-tts-swh")
    callbacks.scanner.weights["mms-tts-swh"] = Weights(folder, "local:12")
    with pytest.raises(UserError, match=r"model\.commercial"):
        training.run(job, callbacks)


def test_training_goes_on_after_a_preemption_and_then_speaks(project, tmp_path):
    made, _ = project
    config = {**some(made, 8), "epochs": 50, "inference": {"include_verses": made.text_only[:1]}}
    job, callbacks, _ = job_for(project, tmp_path / "first", config, mode="training_and_inference")
    reported = callbacks.heartbeat

    def heartbeat(epochs_completed=None, message=None, stage=None):
        if stage == "training" and epochs_completed and epochs_completed >= 1:
            callbacks.stop(StopReason.PREEMPTED)
        reported(epochs_completed, message, stage)

    callbacks.heartbeat = heartbeat
    with pytest.raises(Preempted):
        training_and_inference.run(job, callbacks)
    again, second, _ = job_for(
        project, tmp_path / "second", {**config, "epochs": 2}, mode="training_and_inference"
    )
    second.scanner.resume = callbacks.scanner.resume
    result = training_and_inference.run(again, second)
    assert result["epochs_completed"] == 2
    assert result["cells_written"] + result["cells_failed"] == 1
