"""A model that was made from weights under a licence passes its terms on, and says them to people."""

import json

import pytest
import torch

from codex_worker.asr.checkpoint import TranscriberCheckpoint, read_safetensors, save_checkpoint
from codex_worker.asr.features import FeatureExtractor
from codex_worker.asr.networks.build import build_model, tiny_config
from codex_worker.asr.vocabulary import build_vocabulary
from codex_worker.contract.licences import NON_COMMERCIAL
from codex_worker.errors import UserError
from codex_worker.job.memory import MemoryCallbacks, MemoryScanner, files_below, job_in
from codex_worker.job.summary import sentence_of
from handlers.asr.w2v2bert import inference, training
from sample.make_codex_project import make_project

BASE = "gpu_jobs/job_old/checkpoint/asr.safetensors"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The sample, and a transcriber in it that began from Massively Multilingual Speech."""
    folder = tmp_path_factory.mktemp("sample")
    made = make_project(folder / "project")
    vocabulary = build_vocabulary(["god made all men"])
    torch.manual_seed(0)
    about = {"started_from": "facebook/mms-1b@99aa7c40"}
    checkpoint = TranscriberCheckpoint(
        build_model(tiny_config(vocabulary)), vocabulary, FeatureExtractor(), metadata=about
    )
    save_checkpoint(folder / "asr.safetensors", checkpoint)
    return {
        **{f"lfs/{oid}": data for oid, data in made.large_files.items()},
        **files_below(made.folder),
        BASE: folder / "asr.safetensors",
    }


def run(handler, files, folder, mode, **model):
    verses = sorted(path for path in files if path.endswith(".codex"))
    cells = [cell for path in verses for cell in json.loads(files[path].read_text())["cells"]]
    written = [cell["metadata"]["id"] for cell in cells if cell["value"]][:8]
    config = {"epochs": 1, "model": model, "training": {"include_verses": written}}
    job = job_in(folder, config, mode=mode)
    callbacks = MemoryCallbacks(MemoryScanner(files, job), job)
    return callbacks.scanner.artifacts, handler.run(job, callbacks)


@pytest.mark.slow
def test_a_childs_child_says_the_terms_in_its_checkpoint_its_result_and_its_report(files, tmp_path):
    path, files = BASE, dict(files)
    for generation in ("child", "grandchild"):
        artifacts, result = run(training, files, tmp_path / generation, "training", base_checkpoint=path)
        path = result["checkpoint_path"]
        files[path] = artifacts[path]
        (tmp_path / "model.safetensors").write_bytes(artifacts[path])
        assert read_safetensors(tmp_path / "model.safetensors").metadata["licence"] == NON_COMMERCIAL
        assert result["licence"] == NON_COMMERCIAL
        assert any("CC BY-NC 4.0" in note and "commercially" in note for note in result["notes"])
        assert "may not be used commercially" in sentence_of(result["summary"])
        report = json.loads(next(data for name, data in artifacts.items() if "training_data" in name))
        assert report["licence"] == NON_COMMERCIAL and "commercially" in report["terms"]


@pytest.mark.parametrize(("handler", "mode"), [(training, "training"), (inference, "inference")])
def test_a_job_for_commercial_use_refuses_a_model_whose_licence_forbids_it(files, tmp_path, handler, mode):
    with pytest.raises(UserError, match=r"model\.commercial.*CC BY-NC 4\.0.*Choose another"):
        run(handler, files, tmp_path / "job", mode, base_checkpoint=BASE, commercial=True)


def test_a_job_for_commercial_use_fetches_no_weights_that_forbid_it(files, tmp_path):
    model = {"base_model": "mms-1b", "commercial": "yes", "preset": "full"}
    job = job_in(tmp_path / "job", {"model": model}, preset="full")
    callbacks = MemoryCallbacks(MemoryScanner(files, job), job)
    with pytest.raises(UserError, match=r"facebook/mms-1b is under CC BY-NC 4\.0"):
        training.start_of(job, callbacks)


def test_weights_that_allow_it_are_begun_from(files, tmp_path):
    model = {"base_checkpoint": BASE, "commercial": False}
    job = job_in(tmp_path / "job", {"model": model})
    start = training.start_of(job, MemoryCallbacks(MemoryScanner(files, job), job))
    assert start.licence == NON_COMMERCIAL
