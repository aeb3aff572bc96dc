"""Voice jobs from a project to published recordings, with the callbacks' twin in memory."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from codex_worker.audio.decode import decode
from codex_worker.errors import DataError, JobCanceled, UserError
from codex_worker.job.api import StopReason, stop_error
from codex_worker.job.memory import MemoryCallbacks, MemoryScanner, job_in
from codex_worker.job.summary import sentence_of
from codex_worker.stabletts.checkpoint import read_checkpoint
from codex_worker.stabletts.configuration import TINY
from codex_worker.stabletts.network import StableTTS
from codex_worker.stabletts.train import METRICS
from handlers.tts.stabletts import inference, training, training_and_inference
from handlers.tts.stabletts.progress import name_of
from sample.make_codex_project import make_project
from tests.support.notebooks import notebook, written_cell
from tests.support.noted import noted
from tests.support.present import present

pytestmark = pytest.mark.slow  # each job trains or speaks the sample

FAST: dict[str, Any] = {"epochs": 2, "batch_size": 8, "inference": {"diffusion_steps": 2, "cfg_scale": 1.0}}


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


def job_for(project, folder, config=None, **fields):
    made, files = project
    fields = {"job_type": "tts", "model_type": "stabletts", "commit": "c" * 40, **fields}
    job = job_in(folder, {**FAST, **(config or {})}, **fields)
    scanner = MemoryScanner(files, job)
    return job, MemoryCallbacks(scanner, job), made


def some(made, count=12):
    """Few cells, so that a test takes seconds."""
    return {"training": {"include_verses": sorted(made.recorded)[:count]}}


@pytest.fixture(scope="module")
def trained(project, tmp_path_factory):
    made, _ = project
    job, callbacks, _ = job_for(project, tmp_path_factory.mktemp("job"), some(made))
    return training.run(job, callbacks), callbacks, job


def test_a_training_job_publishes_a_voice_that_can_be_used(trained):
    result, callbacks, job = trained
    assert result["success"] and result["epochs_completed"] == 2
    path = result["checkpoint_path"]
    assert path == "gpu_jobs/job_test-job/checkpoint/voice-1-0000abcd.safetensors"
    file = job.folder / "again.safetensors"
    file.write_bytes(callbacks.scanner.artifacts[path])
    voice = present(read_checkpoint(file).voice)
    assert voice.training_commit == "c" * 40
    assert voice.base == "random weights"
    assert voice.vocoder == "griffin_lim"


def test_a_job_says_by_what_its_checkpoint_was_chosen(trained):
    result, _, _ = trained
    assert [note for note in result["notes"] if "The checkpoint is" in note] == [
        "The checkpoint is the last one, after epoch 2, with averaged weights: without a transcriber "
        "(model.transcriber) nothing in a training tells which one sounds best. Listen to the samples in the "
        "job's folder before you use it."
    ]
    assert result["metrics"]["val_total_loss"] > 0


def test_the_chart_is_written_as_it_goes(trained):
    _, _, job = trained
    rows = list(csv.DictReader(io.StringIO((job.folder / "training_metrics.csv").read_text())))
    assert tuple(rows[0]) == METRICS
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert all(float(row["val_total_loss"]) > 0 for row in rows)


def test_fixed_verses_are_spoken_at_the_best_checkpoint(trained):
    _, callbacks, job = trained
    samples = [path for path in callbacks.scanner.artifacts if "/samples/" in path]
    assert samples
    # Both epochs were the best so far; of a short training, only the last is worth keeping.
    assert len({Path(path).name.split("-")[1] for path in samples}) == 1
    for path in samples:
        file = job.folder / Path(path).name
        file.write_bytes(callbacks.scanner.artifacts[path])
        assert decode(file, sample_rate=16_000).duration_s > 0.3


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("MRK 3:1", "MRK-3-1"),
        ("Kisah panjang – Größe & Güte dari ladang cell 3", "Kisah-panjang-cell-3"),
        ("c478361e-6869-af25-9706-82a2c53967ad", "c478361e"),
        ("ማርቆስ", "verse"),
        ("x" * 200, "x" * 24),
    ],
)
def test_a_sample_is_named_by_its_verse(label, name):
    assert name_of(label) == name


def test_what_was_decided_about_the_data_is_published(trained):
    _, callbacks, _ = trained
    (path,) = [path for path in callbacks.scanner.artifacts if "/report/training_data-" in path]
    report = json.loads(callbacks.scanner.artifacts[path])
    assert report["recordings"][0].startswith("12 recordings with ")
    assert report["text"][0].startswith("text frontend ")
    assert any("2 epochs" in line for line in report["recipe"])
    assert report["cells_not_used"]


def test_training_says_what_it_does(trained):
    _, callbacks, _ = trained
    stages = [beat.stage for beat in callbacks.heartbeats]
    assert [stage for at, stage in enumerate(stages) if stage not in stages[:at]] == [
        "download",
        "preprocess",
        "training",
    ]
    assert callbacks.heartbeats[-1].epochs_completed == 2


def test_a_speaking_job_records_the_cells_without_recording(project, trained, tmp_path):
    result, before, _ = trained
    job, callbacks, made = job_for(
        project, tmp_path, {"model": {"base_checkpoint": result["checkpoint_path"]}}, mode="inference"
    )
    callbacks.scanner.artifacts.update(before.scanner.artifacts)
    said = inference.run(job, callbacks)
    written = {one.patch.cell_id: one for one in callbacks.scanner.cells}
    assert set(written) == set(made.text_only)
    assert said["cells_written"] == len(made.text_only)
    for one in written.values():
        recording = one.patch.recording
        assert recording.extension == "webm" and recording.mime_type == "audio/webm"
        assert recording.pointer_path.startswith(".project/attachments/pointers/")
        heard = decode(one.recording, sample_rate=16_000)
        assert heard.duration_s == pytest.approx(recording.duration_s, abs=0.1)
        assert one.recording.stat().st_size == recording.size_bytes
    assert any(
        "voice reference: the recording of " in note and "by default" in note for note in said["notes"]
    )
    assert not list((job.folder / "speech").iterdir())


def test_train_and_speak_in_one_job_fetches_no_checkpoint(project, tmp_path, monkeypatch):
    made, _ = project
    config = {**some(made, 8), "epochs": 1, "audio_format": "mp3"}
    job, callbacks, _ = job_for(project, tmp_path, config, mode="training_and_inference")
    monkeypatch.setattr(
        callbacks.scanner, "fetch_checkpoint", lambda path: pytest.fail("it lies here already")
    )
    result = training_and_inference.run(job, callbacks)
    assert result["success"] and result["checkpoint_path"] in callbacks.scanner.artifacts
    assert result["cells_written"] == len(made.text_only)
    assert {one.patch.recording.extension for one in callbacks.scanner.cells} == {"mp3"}


def test_train_and_speak_in_one_job_fetches_no_recording_twice(project, tmp_path, monkeypatch):
    made, _ = project
    config = {**some(made, 8), "epochs": 1, **one_cell(made)}
    job, callbacks, _ = job_for(project, tmp_path, config, mode="training_and_inference")
    fetch, requests = callbacks.scanner.fetch_recordings, []
    monkeypatch.setattr(
        callbacks.scanner, "fetch_recordings", noted(fetch, lambda paths: requests.append(list(paths)))
    )
    training_and_inference.run(job, callbacks)
    found = [path for paths in requests for path in paths if path in fetch(paths).files]
    assert len(found) == len(set(found)) >= 8


def test_the_default_voice_reference_is_looked_for_in_one_go(project, trained, tmp_path, monkeypatch):
    job, callbacks, _ = speaking_job(project, trained, tmp_path, one_cell(project[0]))
    fetch, requests = callbacks.scanner.fetch_recordings, []
    monkeypatch.setattr(
        callbacks.scanner, "fetch_recordings", noted(fetch, lambda paths: requests.append(list(paths)))
    )
    inference.run(job, callbacks)
    assert len(requests) <= 2  # the second asks for early projects' recordings, which lie elsewhere


def speaking_job(project, trained, folder, config=None, **fields):
    result, before, _ = trained
    model = {"base_checkpoint": result["checkpoint_path"], **(config or {}).pop("model", {})}
    job, callbacks, made = job_for(
        project, folder, {"model": model, **(config or {})}, mode="inference", **fields
    )
    callbacks.scanner.artifacts.update(before.scanner.artifacts)
    return job, callbacks, made


def one_cell(made, **others):
    return {"inference": {**FAST["inference"], "include_verses": [made.text_only[0]], **others}}


def test_the_voice_reference_may_be_written_by_windows(project, trained, tmp_path):
    _, files = project
    pointer = next(path for path in files if path.startswith(".project/attachments/pointers/"))
    windows = "C:\\Users\\Maria\\project\\" + pointer.replace("pointers", "files").replace("/", "\\")
    config = {"voice_reference": windows, **one_cell(project[0])}
    job, callbacks, _ = speaking_job(project, trained, tmp_path, config)
    assert any(
        pointer in note and "as the manifest says" in note for note in inference.run(job, callbacks)["notes"]
    )


def test_a_voice_reference_that_is_gone_is_said_and_the_default_taken(project, trained, tmp_path):
    gone = ".project/attachments/pointers/MRK/audio-1-abcdefghi.webm"
    job, callbacks, _ = speaking_job(
        project, trained, tmp_path, {"voice_reference": gone, **one_cell(project[0])}
    )
    notes = inference.run(job, callbacks)["notes"]
    assert any(f"voice_reference {gone} cannot be used" in note for note in notes)
    assert any("by default" in note for note in notes)


def test_a_voice_reference_outside_of_the_project_ends_the_job(project, trained, tmp_path):
    job, callbacks, _ = speaking_job(project, trained, tmp_path, {"voice_reference": "../../etc/passwd.webm"})
    with pytest.raises(UserError, match="voice_reference names no recording of this project"):
        inference.run(job, callbacks)


def test_a_cell_that_a_person_changed_is_left_to_them(project, trained, tmp_path):
    job, callbacks, made = speaking_job(project, trained, tmp_path)
    theirs = made.text_only[0]
    callbacks.scanner.refuse = lambda result: "a person was here" if result.patch.cell_id == theirs else None
    result = inference.run(job, callbacks)
    assert result["cells_skipped"] == 1
    assert result["cells_written"] == len(made.text_only) - 1


def test_a_job_with_nothing_to_speak_says_so(project, trained, tmp_path):
    config = {"inference": {"include_verses": ["REV 99:1"]}}
    job, callbacks, _ = speaking_job(project, trained, tmp_path, config)
    result = inference.run(job, callbacks)
    assert result["success"] and result["cells_written"] == 0
    assert any("nothing to speak" in note for note in result["notes"])


def test_a_cell_of_signs_only_gets_no_recording_and_is_counted(project, trained, tmp_path):
    made, files = project
    signs = notebook(written_cell("REV 1:1", "…"), written_cell("REV 1:2", "· · ·"))
    wanted = {"include_verses": [made.text_only[0], "REV 1:1", "REV 1:2"]}
    config = {"inference": {**FAST["inference"], **wanted}}
    with_signs = made, {**files, "files/target/REV.codex": signs}
    job, callbacks, _ = speaking_job(with_signs, trained, tmp_path, config)
    result = inference.run(job, callbacks)
    assert [one.patch.cell_id for one in callbacks.scanner.cells] == [made.text_only[0]]
    assert "2 cells hold no letters: nothing to say (REV 1:1)" in sentence_of(result["summary"])


def test_a_state_dict_of_an_older_job_speaks(project, tmp_path):
    torch.manual_seed(0)
    folder = tmp_path / "older"
    folder.mkdir()
    torch.save(StableTTS(TINY).state_dict(), folder / "best_model.pt")
    path = "gpu_jobs/job_old/checkpoint/best_model.pt"
    made, files = project
    config = {"model": {"base_checkpoint": path, "use_uroman": False}, **one_cell(made)}
    job, callbacks, _ = job_for(
        (made, {**files, path: folder / "best_model.pt"}), tmp_path / "job", config, mode="inference"
    )
    result = inference.run(job, callbacks)
    assert any(
        "an older checkpoint: text frontend compat, without romanisation" in note for note in result["notes"]
    )
    assert result["cells_written"] == 1


def test_training_goes_on_from_a_project_checkpoint(project, trained, tmp_path):
    result, before, _ = trained
    made, _ = project
    base = {"model": {"base_checkpoint": result["checkpoint_path"]}, "epochs": 1}
    job, callbacks, _ = job_for(project, tmp_path, {**some(made, 8), **base})
    callbacks.scanner.artifacts.update(before.scanner.artifacts)
    again = training.run(job, callbacks)
    file = job.folder / "again.safetensors"
    file.write_bytes(callbacks.scanner.artifacts[again["checkpoint_path"]])
    assert present(read_checkpoint(file).voice).base == result["checkpoint_path"]


@pytest.mark.parametrize(
    ("reason", "asked"),
    [(StopReason.CANCELED, False), (StopReason.PREEMPTED, False), (StopReason.PREEMPTED, True)],
)
def test_a_training_that_is_stopped_leaves_a_model_or_what_the_next_attempt_needs(
    project, tmp_path, reason, asked
):
    made, _ = project
    job, callbacks, _ = job_for(project, tmp_path, {**some(made, 8), "epochs": 500})
    job = replace(job, publishes_when_preempted=asked)
    reported = callbacks.heartbeat

    def heartbeat(epochs_completed=None, message=None, stage=None):
        if stage == "training" and epochs_completed and epochs_completed >= 1:
            callbacks.stop(reason)
        reported(epochs_completed, message, stage)

    callbacks.heartbeat = heartbeat
    with pytest.raises(type(stop_error(reason))):
        training.run(job, callbacks)
    is_preempted = reason is StopReason.PREEMPTED
    published = any("/checkpoint/" in path for path in callbacks.scanner.artifacts)
    assert published is (asked or not is_preempted)
    assert (callbacks.scanner.resume is not None) is is_preempted


def test_a_cancelled_speaking_job_keeps_what_was_spoken(project, trained, tmp_path, monkeypatch):
    job, callbacks, _ = speaking_job(project, trained, tmp_path)
    original = inference._Work.take

    def take(work, answer):
        callbacks.stop()
        return original(work, answer)

    monkeypatch.setattr(inference._Work, "take", take)
    with pytest.raises(JobCanceled):
        inference.run(job, callbacks)
    assert callbacks.scanner.cells


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"epochs": "many"}, "epochs: 'many'"),
        ({"model": {"language": "chinese"}}, "model.language: chinese is not supported"),
        ({"model": {"use_uroman": "perhaps"}}, "model.use_uroman: 'perhaps'"),
        ({"training": {"include_verses": ["REV 99:1"]}}, "Record some verses that have text"),
        ({"training": {"include_verses": "MRK 1:1"}}, "must be a list"),
    ],
)
def test_a_manifest_that_cannot_be_meant_ends_with_a_sentence(project, tmp_path, config, message):
    job, callbacks, _ = job_for(project, tmp_path, config)
    with pytest.raises(UserError) as caught:
        training.run(job, callbacks)
    assert message in str(caught.value)


def test_other_repositories_of_weights_are_refused(project, tmp_path):
    made, _ = project
    config = {**some(made, 8), "model": {"pretrained_repo_id": "someone/else"}}
    job, callbacks, _ = job_for(project, tmp_path, config, preset="full")
    with pytest.raises(UserError, match=r"model\.pretrained_repo_id: 'someone/else'"):
        training.run(job, callbacks)


def test_a_transcriber_as_base_checkpoint_is_refused(project, tmp_path):
    made, files = project
    path = "gpu_jobs/job_asr/checkpoint/x.safetensors"
    config = {"model": {"base_checkpoint": path}}
    job, callbacks, _ = job_for((made, {**files, path: b"not a voice"}), tmp_path, config, mode="inference")
    with pytest.raises(DataError, match=r"x\.safetensors is not a checkpoint"):
        inference.run(job, callbacks)


def test_a_speaking_job_without_checkpoint_says_what_to_choose(project, tmp_path):
    job, callbacks, _ = job_for(project, tmp_path, mode="inference")
    with pytest.raises(UserError, match="names no checkpoint"):
        inference.run(job, callbacks)
