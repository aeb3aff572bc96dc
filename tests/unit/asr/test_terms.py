"""A model that was made from weights under a licence passes its terms on, and says them to people."""

import json

import pytest
import torch
from transformers import OmniASRAudioConfig, OmniASRCTCConfig, OmniASRForCTC

from codex_worker.asr.checkpoint import TranscriberCheckpoint, read_safetensors, save_checkpoint
from codex_worker.asr.features import FeatureExtractor
from codex_worker.asr.networks.build import build_model, tiny_config
from codex_worker.asr.vocabulary import build_vocabulary
from codex_worker.contract.licences import NON_COMMERCIAL
from codex_worker.errors import UserError
from codex_worker.job.api import Weights
from codex_worker.job.memory import MemoryCallbacks, MemoryScanner, files_below, job_in
from codex_worker.job.summary import sentence_of
from handlers.asr.w2v2bert import inference, training
from sample.make_codex_project import make_project
from tests.support.any_reading import let_any_reading_count

BASE = "gpu_jobs/job_old/checkpoint/asr.safetensors"


@pytest.fixture(autouse=True)
def any_reading_counts(monkeypatch):
    let_any_reading_count(monkeypatch)


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


@pytest.fixture(scope="module")
def omni(tmp_path_factory):
    """A small Omnilingual ASR of random weights, as an operator would have it in a folder."""
    folder = tmp_path_factory.mktemp("weights")
    symbols = ["<pad>", "<s>", "</s>", "<unk>", "▁", *"abcdefghijklmnoprstuvwy"]
    body = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    torch.manual_seed(0)
    audio = OmniASRAudioConfig(**body, conv_dim=[8] * 7)
    OmniASRForCTC(OmniASRCTCConfig(audio_config=audio, vocab_size=len(symbols))).save_pretrained(folder)
    table = {"model": {"vocab": [[symbol, 0.0] for symbol in symbols]}}
    (folder / "tokenizer.json").write_text(json.dumps(table))
    return Weights(folder, "local:0123abcd")


def run(handler, files, folder, mode, weights=None, **model):
    verses = sorted(path for path in files if path.endswith(".codex"))
    cells = [cell for path in verses for cell in json.loads(files[path].read_text())["cells"]]
    written = [cell["metadata"]["id"] for cell in cells if cell["value"]][:8]
    config = {"epochs": 1, "model": model, "training": {"include_verses": written}}
    job = job_in(folder, config, mode=mode, preset=model.get("preset", "tiny"))
    callbacks = MemoryCallbacks(MemoryScanner(files, job, weights=weights), job)
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


@pytest.mark.slow
def test_a_child_of_omnilingual_asr_says_where_it_comes_from_and_what_it_had_to_learn(files, omni, tmp_path):
    model = {"base_model": "auto", "preset": "full"}
    weights = {"omniasr-ctc-300m-v2": omni}
    artifacts, result = run(training, files, tmp_path / "job", "training", weights, **model)
    (tmp_path / "model.safetensors").write_bytes(artifacts[result["checkpoint_path"]])
    about = read_safetensors(tmp_path / "model.safetensors").metadata
    assert about["licence"] == result["licence"] == "Apache-2.0"
    assert about["started_from"] == "hf-audio/omniasr-ctc-300m-v2@local:0123abcd"
    assert any("reads the letters already" in note for note in result["notes"])
    assert any(note.startswith("The base model reads") for note in result["notes"])
    assert not any("commercially" in note for note in result["notes"])


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
