import json
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from codex_worker.asr.checkpoint import TranscriberCheckpoint, save_checkpoint
from codex_worker.asr.corrector import Corrector, EditModel, LetterModel
from codex_worker.asr.load import load_checkpoint
from codex_worker.asr.networks.build import TINY_FRONTEND, build_model, tiny_config
from codex_worker.asr.vocabulary import build_vocabulary
from codex_worker.errors import DataError, UserError
from tests.support.present import present


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    vocabulary = build_vocabulary(["god made all é"])
    corrector = Corrector(EditModel.fit([("gob", "god")]), LetterModel.fit(["god made"]), 0.3)
    model = build_model(tiny_config(vocabulary))
    path = tmp_path_factory.mktemp("checkpoint") / "best.safetensors"
    checkpoint = TranscriberCheckpoint(
        model, vocabulary, TINY_FRONTEND, corrector, {"language": "tpi", "commit": "abc"}
    )
    save_checkpoint(path, checkpoint)
    return path, checkpoint


def rewritten(path, target, change):
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(metadata, tensors)
    save_file(tensors, target, metadata=metadata)
    return target


def test_one_file_holds_everything_that_is_needed(saved):
    path, original = saved
    loaded = load_checkpoint(path)
    assert loaded.vocabulary == original.vocabulary
    assert loaded.frontend == original.frontend
    assert loaded.metadata["language"] == "tpi"
    assert present(loaded.corrector).correct("gob") == original.corrector.correct("gob")
    features = torch.randn(2, 30, 320)
    with torch.no_grad():
        expected = original.model.eval()(features).logits
        torch.testing.assert_close(loaded.model(features).logits, expected)


def test_the_blank_of_ctc_is_the_padding_and_infinite_losses_are_zeroed(saved):
    config = load_checkpoint(saved[0]).model.config
    assert config.pad_token_id == 0
    assert config.ctc_zero_infinity is True
    assert config.ctc_loss_reduction == "mean"


@pytest.mark.parametrize("keep", [0, 5, 100, 5000])
def test_a_truncated_checkpoint_is_named_as_damaged(saved, tmp_path, keep):
    path = tmp_path / "cut.safetensors"
    path.write_bytes(saved[0].read_bytes()[:keep])
    with pytest.raises(DataError, match=r"cut\.safetensors is damaged"):
        load_checkpoint(path)


def test_a_checkpoint_of_another_kind_is_refused_with_what_to_choose(saved, tmp_path):
    path = rewritten(saved[0], tmp_path / "voice.safetensors", lambda m, t: m.update(format="other"))
    with pytest.raises(DataError, match="no transcriber"):
        load_checkpoint(path)


def test_an_architecture_that_is_not_allowed_is_refused(saved, tmp_path):
    path = rewritten(
        saved[0], tmp_path / "x", lambda m, t: m.update(config=json.dumps({"model_type": "gpt2"}))
    )
    with pytest.raises(UserError, match="gpt2"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "wav2vec2-bert", "hidden_size": 10**9},
        {"model_type": "wav2vec2-bert", "num_hidden_layers": "many"},
        {"model_type": "wav2vec2-bert", "hidden_size": 7, "num_attention_heads": 0},
        {"model_type": "wav2vec2-bert", "vocab_size": 3},
    ],
)
def test_a_made_up_configuration_is_refused_without_building_it(saved, tmp_path, config):
    path = rewritten(saved[0], tmp_path / "x", lambda m, t: m.update(config=json.dumps(config)))
    with pytest.raises(DataError):
        load_checkpoint(path)


def test_a_missing_tensor_is_noticed(saved, tmp_path):
    path = rewritten(saved[0], tmp_path / "x", lambda m, t: t.pop("lm_head.weight"))
    with pytest.raises(DataError, match="do not fit"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "text", [b"no json", b"{}", b'{"edits": [], "letters": {}, "weight": 0, "bonus": 0}']
)
def test_a_damaged_corrector_is_named(saved, tmp_path, text):
    tensor = torch.frombuffer(bytearray(text), dtype=torch.uint8)
    path = rewritten(saved[0], tmp_path / "x", lambda m, t: t.update({"corrector.json": tensor}))
    with pytest.raises(DataError, match="corrector"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("metadata", "rate"),
    [
        ({"metrics": '{"val_cer": 0.12, "val_wer": 0.3}'}, 0.12),
        ({"metrics": '{"val_cer": "0.5"}'}, 0.5),
        ({"metrics": '{"val_wer": 0.3}'}, None),
        ({"metrics": '{"val_cer": NaN}'}, None),
        ({"metrics": '{"val_cer": null}'}, None),
        ({"metrics": "[]"}, None),
        ({"metrics": "no json"}, None),
        ({}, None),
    ],
)
def test_a_checkpoint_tells_its_error_rate_on_what_it_did_not_learn_or_nothing(saved, metadata, rate):
    _, checkpoint = saved
    assert replace(checkpoint, metadata=metadata).held_out_cer == rate
