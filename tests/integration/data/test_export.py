"""Checkpoints leave for other programs, and say there what they said here."""

import json

import numpy as np
import pytest
import torch

from codex_worker.asr.checkpoint import TranscriberCheckpoint, save_checkpoint
from codex_worker.asr.networks.build import TINY_FRONTEND, build_model, tiny_config
from codex_worker.asr.vocabulary import build_vocabulary
from codex_worker.stabletts.checkpoint import VoiceDescription, read_checkpoint, write_checkpoint
from codex_worker.stabletts.configuration import TINY
from codex_worker.stabletts.frontend.choose import FrontendRequest, choose_frontend
from codex_worker.stabletts.train import begin_from_scratch
from tests.support.networks import small_conformer


def test_a_voice_becomes_a_state_dict_that_is_read_without_running_code(run, tmp_path):
    choice = choose_frontend(["some words"], FrontendRequest(name="compat"))
    network = begin_from_scratch(choice.frontend, tiny=True).network
    write_checkpoint(
        tmp_path / "voice.safetensors", network, VoiceDescription(network.settings, choice.frontend)
    )
    code, printed = run("export", "voice.safetensors", "out")
    assert code == 0, printed
    weights = torch.load(tmp_path / "out" / "voice.pt", weights_only=True)
    assert weights.keys() == network.state_dict().keys()
    assert all(torch.equal(weights[name], value) for name, value in network.state_dict().items())
    assert read_checkpoint(tmp_path / "out" / "voice.pt").settings.hidden_channels == TINY.hidden_channels
    content = json.loads((tmp_path / "out" / "voice.json").read_text(encoding="utf-8"))
    assert content["symbols"] == list(choice.frontend.symbols)
    assert content["mel"]["sample_rate"] == 44_100


def test_a_transcriber_becomes_a_folder_that_transformers_reads_the_same_way(run, tmp_path):
    from transformers import AutoFeatureExtractor, AutoModelForCTC, Wav2Vec2CTCTokenizer

    vocabulary = build_vocabulary(["kings carry fish", "women give stones"])
    model = build_model(small_conformer(vocabulary)).eval()
    save_checkpoint(
        tmp_path / "asr.safetensors",
        TranscriberCheckpoint(model, vocabulary, TINY_FRONTEND, metadata={"language": "x"}),
    )
    code, printed = run("export", "asr.safetensors", "out")
    assert code == 0, printed
    theirs = AutoModelForCTC.from_pretrained(tmp_path / "out").eval()
    samples = np.random.default_rng(0).standard_normal(16_000).astype(np.float32) * 0.1
    rows = torch.from_numpy(TINY_FRONTEND(samples))[None]
    with torch.no_grad():
        assert torch.allclose(theirs(rows).logits, model(rows).logits, atol=1e-5)
    extractor = AutoFeatureExtractor.from_pretrained(tmp_path / "out")
    heard = extractor(samples, sampling_rate=16_000, return_tensors="pt")["input_features"]
    assert heard.shape[-1] == rows.shape[-1]
    assert torch.allclose(heard[0, : rows.shape[1]], rows[0], atol=5e-2)
    tokenizer = Wav2Vec2CTCTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer("kings fish").input_ids == vocabulary.encode("kings fish")
    assert json.loads((tmp_path / "out" / "codex_worker.json").read_text())["language"] == "x"


def test_a_network_that_transformers_does_not_know_is_refused_with_what_can_be_exported(run, tmp_path):
    vocabulary = build_vocabulary(["kings carry fish"])
    model = build_model(tiny_config(vocabulary))
    save_checkpoint(tmp_path / "asr.safetensors", TranscriberCheckpoint(model, vocabulary, TINY_FRONTEND))
    code, printed = run("export", "asr.safetensors", "out")
    assert code != 0
    assert "preset tiny" in printed and "preset full" in printed
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"", b"no checkpoint", None])
def test_what_is_no_checkpoint_is_refused_with_a_sentence(run, tmp_path, content):
    if content is not None:
        (tmp_path / "it.safetensors").write_bytes(content)
    code, printed = run("export", "it.safetensors", "out")
    assert code != 0
    assert "no checkpoint of this worker" in printed


def test_a_folder_with_something_in_it_is_left_alone(run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    code, printed = run("export", "it.safetensors", "out")
    assert code != 0
    assert "not empty" in printed
