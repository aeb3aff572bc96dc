import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from codex_worker.asr.features import log_mel
from codex_worker.asr.networks.build import (
    build_model,
    config_from,
    frame_seconds,
    frontend_of,
    grow_head,
    output_frames,
    read_pretrained,
    tiny_config,
)
from codex_worker.asr.vocabulary import Vocabulary, build_vocabulary
from codex_worker.errors import DataError, UserError
from tests.support.networks import full_config, small_conformer

VOCABULARY = build_vocabulary(["god made all"])
SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "output_hidden_size": 32,
    "conv_depthwise_kernel_size": 3,
}


def pretrained_folder(folder, model_class="Wav2Vec2BertModel", **changes):
    """A folder as the hub has it: a body without a head, under the bare model's names."""
    import transformers

    folder.mkdir()
    config = transformers.Wav2Vec2BertConfig(**SMALL)
    model = getattr(transformers, model_class)(config)
    model.save_pretrained(folder)
    fields = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(fields))
    return model


def test_the_tiny_preset_has_about_a_million_parameters():
    assert sum(p.numel() for p in build_model(tiny_config(VOCABULARY)).parameters()) < 1_100_000


def test_official_weights_get_an_adapter_and_a_head_for_the_letters(tmp_path):
    body = pretrained_folder(tmp_path / "weights")
    model = read_pretrained(tmp_path / "weights", VOCABULARY)
    assert model.lm_head.out_features == len(VOCABULARY)
    assert model.wav2vec2_bert.adapter is not None
    assert model.config.pad_token_id == VOCABULARY.blank_id
    assert model.config.ctc_zero_infinity is True
    assert model.config.ctc_loss_reduction == "mean"
    torch.testing.assert_close(
        model.wav2vec2_bert.encoder.layers[0].ffn1.output_dense.weight,
        body.encoder.layers[0].ffn1.output_dense.weight,
    )


def test_a_model_that_is_no_allowed_architecture_is_refused_with_what_to_choose(tmp_path):
    pretrained_folder(tmp_path / "weights", model_type="whisper")
    with pytest.raises(UserError, match=r"whisper.*Wav2Vec2-BERT"):
        read_pretrained(tmp_path / "weights", VOCABULARY)


def test_weights_that_are_no_safetensors_are_refused(tmp_path):
    pretrained_folder(tmp_path / "weights")
    weights = tmp_path / "weights" / "model.safetensors"
    weights.rename(weights.with_name("pytorch_model.bin"))
    with pytest.raises(UserError, match="safetensors"):
        read_pretrained(tmp_path / "weights", VOCABULARY)


def test_damaged_weights_are_named(tmp_path):
    pretrained_folder(tmp_path / "weights")
    (tmp_path / "weights" / "model.safetensors").write_bytes(b"12345678 no tensors")
    with pytest.raises(DataError, match="cannot be read"):
        read_pretrained(tmp_path / "weights", VOCABULARY)


def test_weights_that_lack_a_part_of_the_body_are_refused(tmp_path):
    model = pretrained_folder(tmp_path / "weights")
    state = {name: value for name, value in model.state_dict().items() if "self_attn" not in name}
    save_file(state, tmp_path / "weights" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DataError, match="lack"):
        read_pretrained(tmp_path / "weights", VOCABULARY)


def test_a_configuration_cannot_name_code_to_run(tmp_path):
    pretrained_folder(tmp_path / "weights", auto_map={"AutoModel": "evil.py--Evil"})
    (tmp_path / "weights" / "evil.py").write_text("raise SystemExit('code was run')")
    read_pretrained(tmp_path / "weights", VOCABULARY)


@pytest.mark.parametrize(
    "fields", [None, [], {}, {"model_type": "wav2vec2-bert", "num_hidden_layers": 10**6}]
)
def test_what_is_no_configuration_is_refused(fields):
    with pytest.raises((UserError, DataError)):
        config_from(fields)


@pytest.mark.parametrize(
    "config",
    [tiny_config(VOCABULARY), small_conformer(VOCABULARY), full_config(VOCABULARY, layers=1)],
    ids=["tiny", "small", "full"],
)
@pytest.mark.parametrize("rows", [7, 50, 151])
def test_the_number_of_frames_is_known_before_the_network_runs(config, rows):
    config.update(
        {"hidden_size": 32, "output_hidden_size": 32, "intermediate_size": 32, "num_attention_heads": 2}
    )
    model = build_model(config).eval()
    with torch.no_grad():
        features = torch.randn(1, rows, config.feature_projection_input_dim)
        logits = model(features, attention_mask=torch.ones(1, rows, dtype=torch.long)).logits
    assert output_frames(model, rows) == logits.shape[1]
    row_s = frontend_of(config).input_seconds(1)
    assert frame_seconds(model) == pytest.approx(row_s * rows / logits.shape[1], rel=0.15)


def test_wav2vec2_reads_waveforms():
    config = config_from(
        {"model_type": "wav2vec2", "vocab_size": len(VOCABULARY), **SMALL, "conv_dim": [8] * 7}
    )
    assert frontend_of(config).kind == "waveform"
    model = build_model(config).eval()
    assert frame_seconds(model) == pytest.approx(0.02)
    with torch.no_grad():
        assert output_frames(model, 16_000) == model(torch.randn(1, 16_000)).logits.shape[1]


def test_a_grown_head_reads_what_it_read_before():
    model = build_model(tiny_config(VOCABULARY)).eval()
    features = torch.randn(1, 40, 320)
    with torch.no_grad():
        before = model(features).logits
        grown = VOCABULARY.extended("zŋ")
        grow_head(model, grown)
        after = model(features).logits
    assert after.shape[-1] == len(VOCABULARY) + 2
    torch.testing.assert_close(after[..., : len(VOCABULARY)], before)
    assert model.config.vocab_size == len(grown)


def test_the_delimiter_of_an_old_model_starts_as_its_unknown_which_spaces_were():
    old = Vocabulary.from_hugging_face({" ": 0, "a": 1, "[UNK]": 2, "[PAD]": 3}, {})
    model = build_model(tiny_config(old)).eval()
    features = torch.randn(1, 40, 320)
    with torch.no_grad():
        before = model(features).logits
        new = old.extended("b")
        grow_head(model, new)
        after = model(features).logits
    torch.testing.assert_close(after[..., new.delimiter_id], before[..., old.unknown_id])


@pytest.mark.parametrize("stacked", [1, 2, 3, 4])
def test_the_width_of_its_input_says_how_long_a_row_of_a_checkpoint_is(stacked):
    config = small_conformer(VOCABULARY)
    config.update({"feature_projection_input_dim": stacked * 80})
    read = config_from(config.to_dict())
    assert frontend_of(read).stacked_frames == stacked
    assert frame_seconds(build_model(read)) == pytest.approx(0.01 * stacked)
    noise = np.random.default_rng(0).standard_normal(32_000).astype(np.float32)
    rows = frontend_of(read)(noise)
    assert rows.shape == ((32_000 - 400 + 160) // 160 // stacked, stacked * 80)
    np.testing.assert_array_equal(rows.reshape(-1, 80), log_mel(noise, 1)[: len(rows) * stacked])


@pytest.mark.parametrize("make_config", [tiny_config, small_conformer])
@pytest.mark.parametrize("width", [0, 79, 81, 400, 100_000])
def test_input_rows_that_no_sound_makes_are_refused(width, make_config):
    fields = make_config(VOCABULARY).to_dict() | {"feature_projection_input_dim": width}
    with pytest.raises(DataError, match="configuration"):
        config_from(fields)
