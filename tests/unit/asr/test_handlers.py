"""The three handlers on the sample project, with callbacks in memory."""

import json

import numpy as np
import pytest
import torch

from codex_worker.asr import transcribe
from codex_worker.asr.align import fit_of
from codex_worker.asr.load import load_checkpoint
from codex_worker.asr.start import FromCheckpoint
from codex_worker.errors import DataError, JobCanceled, Preempted, UserError
from codex_worker.job.api import StopReason
from codex_worker.job.memory import MemoryCallbacks, MemoryScanner, files_below, job_in
from handlers.asr.w2v2bert import inference, training, training_and_inference
from handlers.steps import TrainingProgress
from sample.make_codex_project import make_project
from tests.support.any_reading import let_any_reading_count
from tests.support.noted import noted
from tests.support.present import present

pytestmark = pytest.mark.slow  # each job trains or reads the sample


@pytest.fixture(scope="module", autouse=True)
def any_reading_counts():
    with pytest.MonkeyPatch.context() as monkeypatch:
        let_any_reading_count(monkeypatch)
        yield


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample") / "project"
    return make_project(folder), files_below(folder)


@pytest.fixture(scope="module")
def trained(sample, tmp_path_factory):
    """One epoch over the whole sample: enough to have every file, far too little to read anything."""
    _, files = sample
    job = job_in(tmp_path_factory.mktemp("trained") / "job", {"epochs": 1}, mode="training")
    callbacks = MemoryCallbacks(MemoryScanner(files, job), job)
    return job, callbacks, training.run(job, callbacks)


def run(handler, files, folder, config, mode, **options):
    job = job_in(folder / "job", config, mode=mode)
    callbacks = MemoryCallbacks(MemoryScanner(files, job), job, **options)
    return callbacks, handler.run(job, callbacks)


def test_training_leaves_a_checkpoint_its_metrics_and_what_it_learnt_from(trained, sample, tmp_path):
    job, callbacks, result = trained
    assert result["success"]
    assert result["epochs_completed"] == 1
    artifacts = callbacks.scanner.artifacts
    (tmp_path / "model.safetensors").write_bytes(artifacts[result["checkpoint_path"]])
    checkpoint = load_checkpoint(tmp_path / "model.safetensors")
    assert checkpoint.metadata["data_commit"] == job.commit
    assert json.loads(checkpoint.metadata["text_recipe"])["lowercase"] is True
    assert 0.0 <= float(checkpoint.metadata["low_confidence"]) <= 1.0
    header = (job.folder / "training_metrics.csv").read_text().splitlines()[0]
    assert header == "epoch,train_total_loss,val_total_loss,val_wer,val_cer,run"
    assert any(note.startswith("60 recordings to learn from") for note in result["notes"])
    assert any(note.startswith("not written, as punctuation or digits: . (") for note in result["notes"])
    assert b"not_written" in artifacts[next(name for name in artifacts if "training_data" in name)]
    stages = [heartbeat.stage for heartbeat in callbacks.heartbeats]
    assert stages.index("download") < stages.index("preprocess") < stages.index("training")


def test_inference_writes_only_cells_without_text_and_never_an_empty_one(trained, sample, tmp_path):
    project, files = sample
    _, callbacks, result = trained
    path = result["checkpoint_path"]
    files = {**files, path: callbacks.scanner.artifacts[path]}
    callbacks, inferred = run(inference, files, tmp_path, {"model": {"base_checkpoint": path}}, "inference")
    written = {entry.patch.cell_id: entry.patch.text for entry in callbacks.scanner.cells}
    assert set(written) <= set(project.unheard)
    assert all(text.strip() for text in written.values())
    assert inferred["cells_written"] + inferred["cells_skipped"] == len(project.unheard)
    report = next(data for name, data in callbacks.scanner.artifacts.items() if "transcripts" in name)
    assert {row["cell"] for row in json.loads(report)} == set(project.unheard)
    assert callbacks.audio_s > 0.5 * len(project.unheard), "what was listened to counts for the operator"


def test_training_goes_on_from_a_checkpoint_of_the_project(trained, sample, tmp_path):
    _, files = sample
    _, callbacks, result = trained
    path = result["checkpoint_path"]
    files = {**files, path: callbacks.scanner.artifacts[path]}
    config = {"epochs": 1, "model": {"base_checkpoint": path}}
    callbacks, again = run(training, files, tmp_path, config, "training")
    (tmp_path / "model.safetensors").write_bytes(callbacks.scanner.artifacts[again["checkpoint_path"]])
    assert load_checkpoint(tmp_path / "model.safetensors").metadata["started_from"] == path


def test_a_check_up_with_the_base_model_leaves_it_as_it_was(trained, sample, tmp_path, monkeypatch):
    _, files = sample
    _, callbacks, result = trained
    path = result["checkpoint_path"]
    files = {**files, path: callbacks.scanner.artifacts[path]}
    job = job_in(tmp_path / "job", {"model": {"base_checkpoint": path}}, mode="training")
    start = training.start_of(job, MemoryCallbacks(MemoryScanner(files, job), job))
    monkeypatch.setattr(transcribe, "fastest_precision", lambda device: "bf16")
    assert isinstance(start, FromCheckpoint)
    before = {name: tensor.clone() for name, tensor in start.checkpoint.model.state_dict().items()}
    fit = fit_of(transcribe.Transcriber(present(start.listener())))
    fit(np.random.default_rng(0).standard_normal(16_000).astype(np.float32), "men")
    vocabulary = start.vocabulary(["men"])
    for model in (start.checkpoint.model, start.network(vocabulary)):
        for name, tensor in model.state_dict().items():
            assert tensor.dtype == torch.float32
            assert torch.equal(tensor, before[name])


def test_the_combined_job_does_both_and_fetches_nothing_twice(sample, tmp_path, monkeypatch):
    project, files = sample
    fetched, read = [], []
    fetch, read_files = MemoryScanner.fetch_recordings, MemoryScanner.read_files
    monkeypatch.setattr(
        MemoryScanner,
        "fetch_recordings",
        noted(fetch, lambda self, pointer_paths: fetched.extend(pointer_paths)),
    )
    monkeypatch.setattr(
        MemoryScanner, "read_files", noted(read_files, lambda self, paths: read.extend(paths))
    )
    _, result = run(training_and_inference, files, tmp_path, {"epochs": 1}, "training_and_inference")
    assert result["checkpoint_path"]
    assert result["metrics"]["val_cer"] > 0.5
    assert (result["cells_written"], result["cells_skipped"]) == (0, len(project.unheard))
    assert len(fetched) == len(set(fetched))
    assert len(read) == len(set(read))


def test_a_canceled_training_publishes_what_it_has_and_then_ends(sample, tmp_path):
    _, files = sample
    job = job_in(tmp_path / "job", {"epochs": 50}, mode="training")
    callbacks = MemoryCallbacks(MemoryScanner(files, job), job, stop_after_looks=6)
    with pytest.raises(JobCanceled):
        training.run(job, callbacks)
    assert any("checkpoint/asr_model" in path for path in callbacks.scanner.artifacts)
    assert callbacks.scanner.resume is None, "nobody goes on with it"


@pytest.mark.parametrize("asked", [False, True], ids=["", "asked for"])
def test_a_preempted_training_leaves_its_state_and_a_half_trained_model_only_where_asked(
    sample, tmp_path, asked
):
    _, files = sample
    job = job_in(tmp_path / "job", {"epochs": 50}, mode="training", publishes_when_preempted=asked)
    callbacks = MemoryCallbacks(
        MemoryScanner(files, job), job, stop_after_looks=6, reason=StopReason.PREEMPTED
    )
    with pytest.raises(Preempted):
        training.run(job, callbacks)
    assert callbacks.scanner.resume is not None
    assert any("/checkpoint/" in path for path in callbacks.scanner.artifacts) is asked


@pytest.mark.parametrize(("mode", "kept"), [("training", False), ("training_and_inference", True)])
def test_a_finished_training_is_kept_for_another_attempt_only_where_inference_follows(tmp_path, mode, kept):
    job = job_in(tmp_path / "job", mode=mode)
    progress = TrainingProgress(job, MemoryCallbacks(MemoryScanner({}, job), job), ["epoch"])
    assert progress.needs_resume(finished=True) is kept


def test_a_training_that_goes_on_counts_only_the_audio_of_this_attempt(tmp_path):
    job = job_in(tmp_path / "job", mode="training")
    callbacks = MemoryCallbacks(MemoryScanner({}, job), job)
    progress = TrainingProgress(job, callbacks, ["epoch"], epoch_audio_s=1000.0)
    for epochs in (20.5, 21.0, 23.5, 1.0, 1.5):  # the loop may begin anew
        progress.report(epochs, "a message")
    assert callbacks.audio_s == 3500.0


def test_a_list_that_leaves_no_cell_is_refused_with_what_to_do(sample, tmp_path):
    _, files = sample
    config = {"training": {"include_verses": ["REV 99:99"]}}
    with pytest.raises(UserError, match="include_verses"):
        run(training, files, tmp_path, config, "training")


def test_a_job_with_nothing_to_transcribe_says_so(sample, tmp_path):
    _, files = sample
    config = {
        "inference": {"include_verses": ["REV 99:99"]},
        "model": {"base_checkpoint": "gpu_jobs/job_old/model.pt"},
    }
    files = {**files, "gpu_jobs/job_old/model.pt": b"is not needed, and so not read"}
    _, result = run(inference, files, tmp_path, config, "inference")
    assert result["success"] and result["cells_written"] == 0
    assert any("nothing to transcribe" in note for note in result["notes"])


def test_a_checkpoint_that_is_none_is_refused(sample, tmp_path):
    _, files = sample
    files = {**files, "gpu_jobs/job_old/model.pt": b"no checkpoint at all"}
    config = {"model": {"base_checkpoint": "gpu_jobs/job_old/model.pt"}}
    with pytest.raises(DataError, match="damaged"):
        run(inference, files, tmp_path, config, "inference")


def test_a_project_without_notebooks_is_refused(tmp_path):
    with pytest.raises(UserError, match="no readable notebook"):
        run(training, {"readme.md": b""}, tmp_path, {}, "training")
