"""Published networks of other kinds as starts: Omnilingual ASR, and heads that write letters already."""

import json
import re

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import OmniASRAudioConfig, OmniASRCTCConfig, OmniASRForCTC, Wav2Vec2Config, Wav2Vec2ForCTC

from codex_worker.asr.checkpoint import TranscriberCheckpoint, read_safetensors, save_checkpoint
from codex_worker.asr.evaluate import ctc_loss
from codex_worker.asr.export import export_hugging_face
from codex_worker.asr.features import pad_batch
from codex_worker.asr.networks import omniasr
from codex_worker.asr.networks.base_letters import read_base_letters
from codex_worker.asr.networks.build import (
    config_from,
    frame_seconds,
    grow_head,
    output_frames,
    read_pretrained,
)
from codex_worker.asr.start import FromWeights
from codex_worker.asr.trainable import WholeNetwork
from codex_worker.asr.vocabulary import build_vocabulary
from codex_worker.errors import DataError, UserError

BODY = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "conv_dim": [8] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
SYMBOLS = ["<pad>", "<s>", "</s>", "<unk>", "▁", *"abcdeghilmnoprstuŋ", "|"]
TEXTS = ["god made all", "hal nahom"]
SOUND = torch.linspace(0, 900, 8000).sin() * torch.linspace(0.1, 1, 8000)


def rows_of(letters):
    return [SYMBOLS.index(letter) for letter in letters]


def sentencepiece_tokenizer():
    """As `tokenizers` writes a converted SentencePiece model."""
    return {
        "model": {
            "type": "Unigram",
            "unk_id": 3,
            "vocab": [[symbol, -float(i)] for i, symbol in enumerate(SYMBOLS)],
        },
        "added_tokens": [{"id": i, "content": SYMBOLS[i], "special": True} for i in range(4)],
    }


def write_json(path, value):
    path.write_text(json.dumps(value))


@pytest.fixture(scope="module")
def omni(tmp_path_factory):
    """A small Omnilingual ASR with random weights, as transformers saves it, and its network."""
    folder = tmp_path_factory.mktemp("base") / "omniasr-ctc-300m-v2"
    torch.manual_seed(0)
    network = OmniASRForCTC(
        OmniASRCTCConfig(audio_config=OmniASRAudioConfig(**BODY), vocab_size=len(SYMBOLS))
    ).eval()
    with torch.no_grad():  # nothing of it may be left at zero or one, or a wrong name would not show
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    network.save_pretrained(folder)
    write_json(folder / "tokenizer.json", sentencepiece_tokenizer())
    return folder, network


def copy_of(folder, to):
    to.mkdir()
    for file in folder.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    return to


def test_omnilingual_asr_is_read_as_the_wav2vec2_that_it_is(omni):
    folder, original = omni
    vocabulary = build_vocabulary(TEXTS)
    network = read_pretrained(folder, vocabulary).eval()
    other = SOUND.clone()
    other[5000:] = 0
    mask = torch.ones(2, 8000, dtype=torch.long)
    mask[1, 5000:] = 0
    batch = torch.stack([SOUND, other])
    with torch.no_grad():
        theirs = original(batch[:, None], padding_mask=mask).logits
        ours = network(batch, attention_mask=mask).logits
    frames = output_frames(network, 5000)
    taken = [
        i for i, symbol in enumerate(vocabulary.symbols) if symbol in SYMBOLS and symbol in vocabulary.letters
    ]
    assert len(taken) == len(vocabulary.letters)
    rows = rows_of(vocabulary.symbols[i] for i in taken)
    for row, length in ((0, theirs.shape[1]), (1, frames)):
        torch.testing.assert_close(
            ours[row, :length, taken], theirs[row, :length, rows], atol=1e-4, rtol=1e-4
        )
    torch.testing.assert_close(ours[0, :, vocabulary.blank_id], theirs[0, :, 0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(
        ours[0, :, vocabulary.delimiter_id], theirs[0, :, SYMBOLS.index("▁")], atol=1e-4, rtol=1e-4
    )
    assert frame_seconds(network) == pytest.approx(0.02)
    assert output_frames(network, 8000) == theirs.shape[1]


def test_what_the_published_configuration_leaves_out_is_what_transformers_takes():
    full = config_from({"model_type": "omniasr_ctc"})
    theirs = OmniASRAudioConfig()
    for name in omniasr.as_wav2vec2({}):
        if hasattr(theirs, name) and name != "model_type":
            got, wanted = getattr(full, name), getattr(theirs, name)
            assert (list(got) if isinstance(got, list | tuple) else got) == (
                list(wanted) if isinstance(wanted, list | tuple) else wanted
            )
    assert full.vocab_size == OmniASRCTCConfig().vocab_size
    assert full.pad_token_id == OmniASRCTCConfig().blank_token_id


def test_letters_that_the_base_does_not_know_begin_improbable(omni):
    folder, _ = omni
    vocabulary = build_vocabulary(["god made ʘall"])
    network = read_pretrained(folder, vocabulary).eval()
    new = vocabulary.symbols.index("ʘ")
    with torch.no_grad():
        logits = network(SOUND[None]).logits[0]
    assert not (logits.argmax(-1) == new).any()
    known = [i for i, symbol in enumerate(vocabulary.symbols) if symbol in SYMBOLS]
    assert network.lm_head.bias[new] <= network.lm_head.bias[known].min()


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["god made all"], "reads all 7 letters"),
        (["god ʘʘ fed"], r"reads 4 of the 6 letters .* anew: f ʘ"),
        (["бог создал"], "reads none of the texts' letters: all 8 begin anew"),
        (["GOD MADE ALL"], "reads all 7 letters"),
    ],
)
def test_what_of_a_projects_letters_the_base_reads_is_said(omni, texts, said):
    start = FromWeights(omni[0], "x@1")
    sentence = start.about_letters(start.vocabulary(texts))
    assert re.search(said, sentence), sentence
    assert start.reads is ("none" not in said), "what reads is not frozen, and its head learns like the body"


def test_a_base_without_the_letters_of_the_project_still_makes_a_network_that_trains(omni):
    start = FromWeights(omni[0], "x@1")
    vocabulary = start.vocabulary(["бог создал"])
    network = start.network(vocabulary)
    assert network.lm_head.out_features == len(vocabulary)
    assert step_lowers_loss(network, vocabulary, "бог")


def step_lowers_loss(network, vocabulary, text):
    network.train()
    optimizer = torch.optim.AdamW(WholeNetwork().groups(network, 1e-3, 0.9))
    inputs, mask = pad_batch([SOUND.numpy().astype(np.float32)] * 2)
    losses = []
    for _ in range(4):
        logits = network(inputs, attention_mask=mask).logits
        loss = ctc_loss(logits, [logits.shape[1]] * 2, [vocabulary.encode(text)] * 2, vocabulary.blank_id)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses[-1] < losses[0]


def test_omnilingual_asr_trains_and_layers_further_down_learn_more_slowly(omni):
    folder, _ = omni
    vocabulary = build_vocabulary(TEXTS)
    network = read_pretrained(folder, vocabulary)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    rates = {
        names[id(parameter)]: group["lr"]
        for group in WholeNetwork().groups(network, 1e-3, 0.5)
        for parameter in group["params"]
    }
    top, below = (next(rates[n] for n in rates if f"encoder.layers.{i}." in n) for i in (1, 0))
    assert rates["lm_head.weight"] > top > below
    assert step_lowers_loss(network, vocabulary, "god")


def test_a_child_of_omnilingual_asr_is_saved_read_grown_and_exported(omni, tmp_path):
    folder, _ = omni
    start = FromWeights(folder, "x@1")
    vocabulary = start.vocabulary(TEXTS)
    network = start.network(vocabulary).eval()
    save_checkpoint(tmp_path / "x.safetensors", TranscriberCheckpoint(network, vocabulary, start.frontend))
    child = read_safetensors(tmp_path / "x.safetensors")
    with torch.no_grad():
        before = network(SOUND[None]).logits
        torch.testing.assert_close(child.model(SOUND[None]).logits, before, atol=1e-5, rtol=1e-5)
    grown = child.vocabulary.extended("ʘ")
    grow_head(child.model, grown)
    with torch.no_grad():
        torch.testing.assert_close(
            child.model(SOUND[None]).logits[..., : len(vocabulary)], before, atol=1e-5, rtol=1e-5
        )
    export_hugging_face(tmp_path / "x.safetensors", tmp_path / "exported")
    again = Wav2Vec2ForCTC.from_pretrained(tmp_path / "exported").eval()
    with torch.no_grad():
        torch.testing.assert_close(again(SOUND[None]).logits, before, atol=1e-5, rtol=1e-5)


def test_a_wav2vec2_that_reads_keeps_the_letters_that_it_writes_in_the_other_case(tmp_path):
    folder = tmp_path / "english"
    symbols = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDLUMWCFGYPBVK'XJQZ"]
    torch.manual_seed(0)
    original = Wav2Vec2ForCTC(Wav2Vec2Config(**BODY, vocab_size=len(symbols), pad_token_id=0)).eval()
    original.save_pretrained(folder)
    write_json(folder / "vocab.json", {symbol: row for row, symbol in enumerate(symbols)})
    vocabulary = build_vocabulary(TEXTS)
    network = read_pretrained(folder, vocabulary)
    for index, symbol in enumerate(vocabulary.symbols):
        if symbol in vocabulary.letters:
            torch.testing.assert_close(
                network.lm_head.weight[index], original.lm_head.weight[symbols.index(symbol.upper())]
            )


def test_no_two_letters_begin_from_one_row(omni):
    letters = FromWeights(omni[0], "x@1").letters
    rows = letters.rows_for("aAbBŋŊ")
    assert set(rows) == set("abŋ") and len(set(rows.values())) == 3


def test_a_letter_that_only_looks_like_another_does_not_take_its_row(tmp_path):
    vocab = {"<pad>": 0, "|": 1, "\u00c5": 2, "\u212b": 3, "e\u0301": 4}
    write_json(tmp_path / "vocab.json", vocab)
    letters = read_base_letters(tmp_path, {"vocab_size": 5, "pad_token_id": 0})
    assert letters.rows_for(["\u00c5", "\u00e9"]) == {"\u00c5": 2, "\u00e9": 4}


SPOILT_TOKENIZERS = {
    "no JSON": "{",
    "a list": "[1, 2]",
    "deep": "[" * 100_000,
    "of several languages": json.dumps({"eng": {"a": 0}, "fra": {"a": 0}}),
    "of another network": json.dumps({"a": 5, "b": 6}),
    "negative": json.dumps({symbol: row - 5 for row, symbol in enumerate(SYMBOLS)}),
    "twice the same": json.dumps(dict.fromkeys(SYMBOLS, 1)),
    "numbers that are none": json.dumps(dict.fromkeys(SYMBOLS, True)),
    "beyond the head": json.dumps({symbol: row + 10**9 for row, symbol in enumerate(SYMBOLS)}),
    "large": json.dumps({"a" * 11_000_000: 1}),
}


@pytest.mark.parametrize("spoilt", SPOILT_TOKENIZERS.values(), ids=SPOILT_TOKENIZERS)
def test_a_tokenizer_that_cannot_be_meant_leaves_a_new_head(omni, tmp_path, spoilt):
    folder = copy_of(omni[0], tmp_path / "weights")
    (folder / "tokenizer.json").write_text(spoilt)
    start = FromWeights(folder, "x@1")
    vocabulary = start.vocabulary(TEXTS)
    assert start.about_letters(vocabulary) == ""
    assert start.network(vocabulary).lm_head.out_features == len(vocabulary)


@pytest.mark.parametrize(
    "change",
    [
        {"audio_config": [1]},
        {"audio_config": {**BODY, "num_hidden_layers": 10**6}},
        {"audio_config": {**BODY, "conv_dim": [8] * 500}},
        {"audio_config": {**BODY, "hidden_act": "no such thing"}},
        {"vocab_size": -1},
        {"model_type": "omniasr"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_configuration_that_is_none_is_refused(omni, tmp_path, change):
    folder = copy_of(omni[0], tmp_path / "weights")
    fields = json.loads((folder / "config.json").read_text()) | change
    write_json(folder / "config.json", fields)
    with pytest.raises((DataError, UserError)):
        FromWeights(folder, "x@1")


def test_weights_of_another_version_of_the_architecture_are_refused(omni, tmp_path):
    folder = copy_of(omni[0], tmp_path / "weights")
    path = folder / "model.safetensors"
    save_file({key.replace("audio_tower", "encoder"): value for key, value in load_file(path).items()}, path)
    with pytest.raises(DataError, match="lack"):
        read_pretrained(folder, build_vocabulary(TEXTS))
