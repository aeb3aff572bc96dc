"""A voice as a file: what is written can be used, and what a stranger wrote does no harm."""

import json
import os
import zipfile
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from codex_worker.errors import DataError
from codex_worker.stabletts import checkpoint as checkpoint_module
from codex_worker.stabletts.checkpoint import (
    VoiceDescription,
    grow_alphabet,
    read_checkpoint,
    read_vocos,
    write_checkpoint,
)
from codex_worker.stabletts.configuration import TINY, VocosSettings
from codex_worker.stabletts.frontend.characters import CharactersFrontend
from codex_worker.stabletts.frontend.compat import CompatFrontend
from codex_worker.stabletts.network import StableTTS
from codex_worker.stabletts.symbols import official_symbols
from codex_worker.stabletts.vocos import Vocos
from tests.support.present import present


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return StableTTS(TINY)


@pytest.fixture
def voice():
    return VoiceDescription(
        settings=TINY,
        frontend=CompatFrontend(use_uroman=True, uroman_language="hin"),
        vocoder="griffin_lim",
        language="Hindi",
        base="gpu_jobs/job_a/checkpoint/best.safetensors",
        official_revision="KdaiP/StableTTS1.1@0123",
        training_commit="c" * 40,
        licence="MIT",
        metrics={"val_total_loss": 1.5},
    )


@pytest.fixture
def file(tmp_path, network, voice):
    path = tmp_path / "voice.safetensors"
    write_checkpoint(path, network, voice, {"epochs_completed": "3"})
    return path


def test_the_licence_of_a_voice_that_does_not_say_one_is_that_of_its_official_weights(
    tmp_path, network, voice
):
    write_checkpoint(tmp_path / "older.safetensors", network, replace(voice, licence=""), {})
    assert present(read_checkpoint(tmp_path / "older.safetensors").voice).licence == "MIT"


def test_a_voice_comes_back_with_all_that_is_known_of_it(file, network, voice):
    read = read_checkpoint(file)
    assert read.voice == voice
    again = read.network()
    assert not again.training
    for name, value in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_a_voice_with_letters_of_its_own_comes_back_with_them(tmp_path):
    frontend = CharactersFrontend.learn(["qarr ца"])
    settings = replace(TINY, n_vocab=len(frontend.symbols))
    path = tmp_path / "voice.safetensors"
    write_checkpoint(path, StableTTS(settings), VoiceDescription(settings, frontend))
    read = read_checkpoint(path)
    assert present(read.voice).frontend.encode("ца").ids == frontend.encode("ца").ids
    assert read.settings.n_vocab == 401 + 4


def test_new_letters_get_rows_and_known_ones_keep_their_vectors(file):
    read = read_checkpoint(file)
    old = official_symbols()
    new = (*old, "ǃ", "ц")
    grown = grow_alphabet(read, old, new)
    rows = grown.weights["encoder.emb.weight"]
    assert torch.equal(rows[:401], read.weights["encoder.emb.weight"])
    assert rows[401].std().item() == pytest.approx(TINY.hidden_channels**-0.5, rel=0.3)
    assert torch.equal(rows, grow_alphabet(read, old, new).weights["encoder.emb.weight"])
    assert grown.network().settings.n_vocab == 403
    back = grow_alphabet(grown, new, (*old, "ц"))
    assert torch.equal(back.weights["encoder.emb.weight"][401], rows[402])


def test_a_state_dict_of_an_older_job_is_read_without_metadata(tmp_path, network):
    path = tmp_path / "best_model.pt"
    torch.save(network.state_dict(), path)
    read = read_checkpoint(path)
    assert read.voice is None
    assert read.settings == TINY
    assert torch.equal(read.network().state_dict()["dp.proj.weight"], network.state_dict()["dp.proj.weight"])


def test_the_vocoder_is_read_from_its_state_dict(tmp_path):
    small = VocosSettings(dim=8, intermediate_dim=16, num_layers=1)
    vocoder = Vocos(small)
    torch.save(vocoder.state_dict(), tmp_path / "vocos.pt")
    read = read_vocos(tmp_path / "vocos.pt", small)
    assert all(torch.equal(value, vocoder.state_dict()[name]) for name, value in read.state_dict().items())
    with pytest.raises(DataError, match="another architecture than Vocos"):
        read_vocos(tmp_path / "vocos.pt")


class RunsCode:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.system, (f"touch {self.path}",))


def test_a_pickle_with_code_is_refused_and_nothing_runs(tmp_path):
    path, proof = tmp_path / "evil.pt", tmp_path / "it-ran"
    torch.save({"encoder.emb.weight": torch.zeros(1), "other": RunsCode(proof)}, path)
    with pytest.raises(DataError, match=r"evil\.pt holds more than tensors .* was not opened"):
        read_checkpoint(path)
    assert not proof.exists()


def test_a_checkpoint_of_another_architecture_says_what_differs(tmp_path, network):
    weights = dict(network.state_dict())
    del weights["dp.proj.bias"]
    weights["dp.proj.weight"] = torch.zeros(1, 3, 1)
    weights["lm_head.weight"] = torch.zeros(2)
    torch.save(weights, tmp_path / "other.pt")
    with pytest.raises(DataError) as caught:
        read_checkpoint(tmp_path / "other.pt")
    message = str(caught.value)
    assert "another architecture than StableTTS" in message
    for part in ("dp.proj.bias", "lm_head.weight", "dp.proj.weight is (1, 3, 1)"):
        assert part in message


def test_a_transcriber_is_not_a_voice(tmp_path):
    save_file({"lm_head.weight": torch.zeros(2)}, tmp_path / "asr.safetensors", metadata={"format": "pt"})
    with pytest.raises(DataError, match="is not a StableTTS voice of this worker"):
        read_checkpoint(tmp_path / "asr.safetensors")


@pytest.mark.parametrize("content", [b"", b"\x00", b"not a checkpoint", b"PK\x03\x04 broken", b"\xff" * 64])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path, content):
    path = tmp_path / "junk.safetensors"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"junk\.safetensors is"):
        read_checkpoint(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_truncated_checkpoint_is_refused(tmp_path, file, network, share):
    torch.save(network.state_dict(), tmp_path / "whole.pt")
    for source in (file, tmp_path / "whole.pt"):
        content = source.read_bytes()
        cut = tmp_path / f"cut{source.suffix}"
        cut.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(DataError, match="cut"):
            read_checkpoint(cut)


def test_a_checkpoint_that_unpacks_to_more_than_it_may_is_refused(tmp_path):
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x00" * 10_000_000)
    with pytest.raises(DataError, match="is packed"):
        read_checkpoint(path)


def test_a_diverged_checkpoint_is_refused(tmp_path, network):
    weights = dict(network.state_dict())
    weights["dp.proj.bias"] = torch.tensor([float("nan")])
    torch.save(weights, tmp_path / "nan.pt")
    with pytest.raises(DataError, match=r"not finite in dp\.proj\.bias"):
        read_checkpoint(tmp_path / "nan.pt")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format_version", "99", "made by a newer worker"),
        ("frontend", "phonemes", "a newer worker made it"),
        ("frontend_version", "7", "a newer worker made it"),
        ("frontend_state", "[", "damaged metadata"),
        ("frontend_state", "[]", "damaged metadata"),
        ("config", '{"model": {"hidden_channels": 1e12}, "mel": {}}', "damaged metadata"),
        (
            "config",
            '{"model": {"hidden_channels": 80000, "n_dec_layers": 60}, "mel": {}}',
            "another architecture",
        ),
        ("config", '{"model": {"n_dec_layers": 80000}, "mel": {}}', "damaged metadata"),
        ("config", '{"model": {"n_heads": 0}, "mel": {}}', "damaged metadata"),
        ("config", '{"model": {"colour": 3}, "mel": {}}', "damaged metadata"),
        ("config", '{"model": {}, "mel": {}}', "another architecture"),
        ("config", "[" * 100_000, "damaged metadata"),
        ("metrics", '["a"]', "damaged metadata"),
        ("vocoder", "parrot", "damaged metadata"),
        ("speaker", "[1.0]", "damaged metadata"),
        ("speaker", "[NaN" + ", 0.0" * 63 + "]", "damaged metadata"),
        ("speaker", '"loud"', "damaged metadata"),
    ],
)
def test_damaged_metadata_is_refused(file, key, value, message):
    with checkpoint_module.safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    save_file(load_file(file), file, metadata={**metadata, key: value})
    with pytest.raises(DataError, match=message):
        read_checkpoint(file)


def test_an_exported_voice_with_letters_of_its_own_asks_for_the_whole_file(tmp_path):
    network = StableTTS(replace(TINY, n_vocab=410))
    torch.save(network.state_dict(), tmp_path / "exported.pt")
    with pytest.raises(DataError, match=r"Use that voice's \.safetensors file"):
        read_checkpoint(tmp_path / "exported.pt")


def test_the_metadata_is_readable_without_this_worker(file):
    with checkpoint_module.safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    assert metadata["sample_rate"] == "44100"
    assert metadata["epochs_completed"] == "3"
    assert len(json.loads(metadata["symbols"])) == 401
    assert json.loads(metadata["config"])["model"]["hidden_channels"] == TINY.hidden_channels
