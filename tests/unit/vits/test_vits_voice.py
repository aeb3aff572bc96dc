"""A VITS voice as a file or a published folder: it speaks, and what a stranger wrote does no harm."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import VitsModel, VitsTokenizer

from codex_worker.cli.main import main
from codex_worker.errors import DataError
from codex_worker.stabletts.speak import EDGE_S, SpeakingSettings
from codex_worker.stabletts.symbols import intersperse
from codex_worker.stabletts.verses import Failed, Spoken, Verse
from codex_worker.vits.checkpoint import (
    VitsDescription,
    grow_symbols,
    read_checkpoint,
    read_mms_voice,
    write_checkpoint,
)
from codex_worker.vits.configuration import new_config
from codex_worker.vits.export import export_mms
from codex_worker.vits.network import synthesise
from codex_worker.vits.speak import VitsSpeaker
from codex_worker.vits.text import BLANK, MmsFrontend
from tests.support.mms_voice import mms_folder

FRONTEND = MmsFrontend.learn(["mama na baba wanaenda sokoni leo asubuhi"])
EMBEDDING = "text_encoder.embed_tokens.weight"


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return VitsModel(new_config(len(FRONTEND.symbols), tiny=True)).eval()


@pytest.fixture
def voice(network):
    return VitsDescription(
        network.config, FRONTEND, "swh", "a", "b", "CC-BY-NC-4.0", "c" * 40, {"val_total_loss": 1.5}
    )


@pytest.fixture
def file(tmp_path, network, voice):
    path = tmp_path / "voice.safetensors"
    write_checkpoint(path, network, voice, {"epochs_completed": "3"})
    return path


def verses(*texts):
    return [Verse(f"id{number}", f"GEN 1:{number}", text) for number, text in enumerate(texts, start=1)]


def test_a_voice_comes_back_with_all_that_is_known_of_it(file, network, voice):
    read = read_checkpoint(file)
    assert replace(read.voice, config=voice.config) == voice
    assert read.voice.config.to_dict() == voice.config.to_dict()
    again = read.network().state_dict()
    for name, value in network.state_dict().items():
        assert torch.equal(again[name], value), name


@pytest.mark.parametrize("older", [False, True], ids=["today", "published"])
def test_a_published_voice_is_read_with_its_revision_and_its_licence(tmp_path, older):
    folder = mms_folder(tmp_path / "mms-tts-swh", older=older)
    read = read_mms_voice(folder, "local:1234")
    assert (read.voice.base, read.voice.official_revision, read.voice.licence) == (
        "facebook/mms-tts-swh",
        "facebook/mms-tts-swh@local:1234",
        "CC-BY-NC-4.0",
    )
    whole = VitsModel.from_pretrained(folder).state_dict()
    assert all(torch.equal(value, whole[name]) for name, value in read.weights.items())


@pytest.mark.parametrize("text", ["mama", "mama na baba wanaenda sokoni leo"])
def test_speech_is_what_the_published_code_makes_of_it(network, text):
    ids = torch.tensor([FRONTEND.encode(text).ids])
    torch.manual_seed(7)
    theirs = network(ids).waveform[0]
    torch.manual_seed(7)
    ours, lasts = synthesise(network, ids)
    assert lasts.sum() == ours.shape[0]
    assert ours.shape == theirs.shape
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_a_verse_sounds_the_same_alone_and_among_others(network, voice):
    speaker = VitsSpeaker(network, voice)
    wanted = verses("mama", "baba wanaenda sokoni", "", "漢字", "leo asubuhi na mama na baba")
    answers = list(speaker.speak(wanted, SpeakingSettings()))
    assert len(answers) == len(wanted)
    assert [one.verse.text for one in answers if isinstance(one, Failed)] == ["", "漢字"]
    together = {one.verse.id: one for one in answers if isinstance(one, Spoken)}
    for verse in wanted:
        (alone,) = speaker.speak([verse], SpeakingSettings())
        if isinstance(alone, Spoken):
            assert np.array_equal(alone.samples, together[verse.id].samples)
            assert alone.sample_rate == 16_000 and alone.samples.size > 2 * EDGE_S * 16_000


def test_how_slow_and_how_varied_speech_is_follows_the_settings(network, voice):
    ids = torch.tensor([FRONTEND.encode("baba wanaenda sokoni").ids])

    def spoken(**settings):
        torch.manual_seed(1)
        return synthesise(network, ids, **settings)[0]

    assert spoken(length_scale=2.0).shape[0] > 1.5 * spoken().shape[0]
    assert torch.equal(spoken(temperature=0.0), spoken(temperature=0.0))
    torch.manual_seed(2)
    assert torch.equal(synthesise(network, ids, temperature=0.0)[0], spoken(temperature=0.0))
    assert not torch.equal(spoken(temperature=0.0), spoken())


@pytest.mark.parametrize(
    ("added", "reason"), [(20, "would hold one letter for more than"), (4.5, "s for 41 letters and blanks")]
)
def test_durations_that_no_speech_has_fail_one_verse_only(network, voice, monkeypatch, added, reason):
    original = network.duration_predictor.forward

    def forward(inputs, *arguments, **others):
        logs = original(inputs, *arguments, **others)
        return torch.full_like(logs, added) if inputs.shape[-1] > 20 else logs

    monkeypatch.setattr(network.duration_predictor, "forward", forward)
    short, long = VitsSpeaker(network, voice).speak(
        verses("mama", "baba wanaenda sokoni"), SpeakingSettings()
    )
    assert isinstance(short, Spoken)
    assert isinstance(long, Failed) and reason in long.reason


def test_new_letters_start_from_those_that_sound_like_them(file):
    read = read_checkpoint(file)
    frontend = MmsFrontend.learn(["é ш ǃ"], base=FRONTEND)
    grown = grow_symbols(read, frontend)
    rows, known = grown.weights[EMBEDDING], read.weights[EMBEDDING]
    places = {symbol: number for number, symbol in enumerate(frontend.symbols)}
    assert torch.equal(rows[: len(known)], known)
    assert torch.equal(rows[places["é"]], known[places["e"]])
    assert torch.allclose(rows[places["ш"]], known[[places["s"], places["h"]]].mean(0))
    assert grown.network().config.vocab_size == len(frontend.symbols) == len(known) + 3


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format", "codex-worker/stabletts", "is not a VITS voice"),
        ("format_version", "99", "made by a newer worker"),
        ("frontend", "[", "damaged metadata"),
        ("frontend", "[]", "which letters its voice reads"),
        ("config", "[]", "not a table of settings"),
        ("config", '{"hidden_size": 1000000}', "must be from 0 to"),
        ("config", '{"num_hidden_layers": 1000}', "must be from 0 to 64"),
        ("config", '{"hidden_size": 50000}', "(cannot be built|asks for)"),
        ("config", '{"upsample_rates": [100, 100, 100, 100]}', "(cannot be built|asks for)"),
        ("config", json.dumps({"upsample_rates": [1] * 100}), "numbers for upsample_rates; no real one"),
        ("config", '{"num_speakers": 100}', "several speakers|must be"),
        ("config", '{"hidden_size": "wide"}', "cannot be built"),
        ("config", "[" * 100_000, "damaged metadata"),
        ("config", " " * 2_000_000, "damaged metadata"),
        ("metrics", '["a"]', "damaged metadata"),
    ],
)
def test_damaged_metadata_is_refused(file, key, value, message):
    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    save_file(load_file(file), file, metadata={**metadata, key: value})
    with pytest.raises(DataError, match=message):
        read_checkpoint(file)


@pytest.mark.parametrize("content", [b"", b"\x00", b"not a checkpoint", b"PK\x03\x04 broken", b"\xff" * 64])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path, content):
    path = tmp_path / "junk.safetensors"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"junk\.safetensors is not a checkpoint"):
        read_checkpoint(path)


def test_weights_of_another_shape_or_without_numbers_are_refused(file):
    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    tensors = load_file(file)
    save_file({**tensors, EMBEDDING: tensors[EMBEDDING][:2].clone()}, file, metadata=metadata)
    with pytest.raises(DataError, match="do not fit their own configuration"):
        read_checkpoint(file)
    save_file({**tensors, EMBEDDING: tensors[EMBEDDING] * float("nan")}, file, metadata=metadata)
    with pytest.raises(DataError, match="not finite"):
        read_checkpoint(file)


def test_a_list_of_symbols_that_is_not_the_networks_is_refused(file, voice, network):
    write_checkpoint(file, network, replace(voice, frontend=MmsFrontend((BLANK, "a"))))
    with pytest.raises(DataError, match="its letters are not those of its network"):
        read_checkpoint(file)


def test_an_exported_voice_is_what_transformers_reads_and_this_worker_too(file, network, tmp_path):
    written = export_mms(file, tmp_path / "mms-tts-own")
    assert {path.name for path in written} == {
        "model.safetensors",
        "config.json",
        "vocab.json",
        "tokenizer_config.json",
        "voice.json",
    }
    theirs = VitsModel.from_pretrained(tmp_path / "mms-tts-own").state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in network.state_dict().items())
    read = VitsTokenizer.from_pretrained(tmp_path / "mms-tts-own")("mama na baba")["input_ids"]
    assert read == intersperse(FRONTEND.encode("mama na baba").ids)
    assert read_mms_voice(tmp_path / "mms-tts-own", "own").voice.frontend.symbols == FRONTEND.symbols
    assert json.loads((tmp_path / "mms-tts-own/voice.json").read_text())["licence"] == "CC-BY-NC-4.0"


def test_the_command_exports_it_too(file, tmp_path):
    assert main(["export", str(file), str(tmp_path / "out")]) == 0
    assert (tmp_path / "out/config.json").exists()
