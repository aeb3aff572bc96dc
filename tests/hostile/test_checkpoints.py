"""Models that a stranger made up: each is refused with a sentence, before it costs memory or disk."""

import gzip
import io
import json
import tarfile
import zipfile
from dataclasses import fields
from pathlib import Path
from types import NoneType
from typing import get_args

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from codex_worker.asr import checkpoint as asr_checkpoint
from codex_worker.asr.checkpoint import TranscriberCheckpoint, save_checkpoint
from codex_worker.asr.corrector import MAX_JSON_BYTES
from codex_worker.asr.load import load_checkpoint
from codex_worker.asr.networks.build import TINY_FRONTEND, build_model, tiny_config
from codex_worker.asr.vocabulary import build_vocabulary
from codex_worker.errors import DataError
from codex_worker.stabletts.checkpoint import VoiceDescription, read_checkpoint, write_checkpoint
from codex_worker.stabletts.configuration import TINY, MelSettings, ModelSettings
from codex_worker.stabletts.frontend.compat import CompatFrontend
from codex_worker.stabletts.network import StableTTS

DEEP = "[" * 100_000


@pytest.fixture(scope="module")
def transcriber(tmp_path_factory):
    vocabulary = build_vocabulary(["ab"])
    path = tmp_path_factory.mktemp("asr") / "transcriber.safetensors"
    save_checkpoint(
        path, TranscriberCheckpoint(build_model(tiny_config(vocabulary)), vocabulary, TINY_FRONTEND)
    )
    return path


@pytest.fixture(scope="module")
def voice(tmp_path_factory):
    path = tmp_path_factory.mktemp("tts") / "voice.safetensors"
    write_checkpoint(path, StableTTS(TINY), VoiceDescription(TINY, CompatFrontend(use_uroman=False)))
    return path


def changed(source: Path, target: Path, metadata=None, tensors=None) -> Path:
    with safe_open(source, "pt") as file:
        old = file.metadata()
    save_file({**load_file(source), **(tensors or {})}, target, metadata={**old, **(metadata or {})})
    return target


def config_of(path: Path) -> dict:
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()["config"])


@pytest.fixture
def nothing_is_built(monkeypatch):
    def build(config):
        raise AssertionError("A network was built with memory for its numbers.")

    monkeypatch.setattr(asr_checkpoint, "build_model", build)


@pytest.mark.parametrize(
    "config",
    [
        {"num_hidden_layers": 3},
        {"hidden_size": 1024, "intermediate_size": 4096, "output_hidden_size": 1024},
        {"hidden_size": 10**9},
        {"hidden_size": 10**30},
        {"hidden_size": 128.5},
        {"hidden_size": True},
        {"hidden_size": None},
        {"hidden_size": 0},
        {"hidden_size": [128]},
        {"num_attention_heads": 0},
        {"num_attention_heads": 3},
        {"num_hidden_layers": 10**6},
        {"num_hidden_layers": -1},
        {"adapter_stride": 0, "add_adapter": True},
        {"left_max_position_embeddings": -5},
        {"max_source_positions": 10**9, "position_embeddings_type": "relative"},
        {"conv_depthwise_kernel_size": 4},
        {"layer_norm_eps": None},
        {"hidden_dropout": "a little"},
        {"hidden_act": "os.system"},
        {"vocab_size": 10**6},
        {"model_type": "wav2vec2", "conv_dim": [1] * 10**5},
    ],
    ids=lambda config: json.dumps(config)[:60],
)
@pytest.mark.usefixtures("nothing_is_built")
def test_a_transcribers_made_up_settings_build_nothing(transcriber, tmp_path, config):
    text = json.dumps({**config_of(transcriber), **config})
    with pytest.raises(DataError) as refused:
        load_checkpoint(changed(transcriber, tmp_path / "made-up.safetensors", {"config": text}))
    assert len(str(refused.value)) < 1000


def test_a_transcribers_settings_for_other_tasks_are_left_alone(transcriber, tmp_path):
    """A table of a billion labels would be made of this one."""
    text = json.dumps({**config_of(transcriber), "num_labels": 10**9, "auto_map": {"AutoModel": "x.py"}})
    loaded = load_checkpoint(changed(transcriber, tmp_path / "made-up.safetensors", {"config": text}))
    assert len(loaded.model.config.id2label) < 10


@pytest.mark.parametrize(
    "metadata",
    [
        {"config": DEEP},
        {"config": "[]"},
        {"vocabulary": DEEP},
        {"vocabulary": "[]"},
        {"vocabulary": '{"symbols": [[], {}, 1], "blank_id": 0, "unknown_id": 1, "delimiter_id": 2}'},
        {
            "vocabulary": json.dumps(
                {"symbols": ["[PAD]", "[UNK]", "\ud800", "a", "b"], "blank_id": 0, "unknown_id": 1}
                | {"delimiter_id": None, "spaces_are_unknown": True}
            )
        },
        {
            "vocabulary": json.dumps(
                {"symbols": "abcde", "blank_id": 0, "unknown_id": 1, "delimiter_id": 2}
                | {"spaces_are_unknown": False}
            )
        },
    ],
    ids=lambda metadata: str(metadata)[:50],
)
def test_a_transcribers_damaged_descriptions_are_refused(transcriber, tmp_path, metadata):
    with pytest.raises(DataError, match=r"safetensors|vocabulary|configuration"):
        load_checkpoint(changed(transcriber, tmp_path / "made-up.safetensors", metadata))


@pytest.mark.parametrize(
    "tensors",
    [
        {"lm_head.bias": torch.full((5,), float("nan"))},
        {"lm_head.bias": torch.zeros(6)},
        {"one.more": torch.zeros(1)},
        {"corrector.json": torch.zeros(MAX_JSON_BYTES + 1, dtype=torch.uint8)},
        {"corrector.json": torch.frombuffer(bytearray(DEEP.encode()), dtype=torch.uint8)},
        {"corrector.json": torch.frombuffer(bytearray(b'{"edits": {"a": {"b": 1e400}}}'), dtype=torch.uint8)},
    ],
    ids=["no numbers", "another shape", "one more", "a huge corrector", "a deep one", "an endless one"],
)
def test_a_transcribers_wrong_weights_are_refused(transcriber, tmp_path, tensors):
    with pytest.raises(DataError):
        load_checkpoint(changed(transcriber, tmp_path / "made-up.safetensors", tensors=tensors))


@pytest.mark.parametrize("part", ["model", "mel"])
@pytest.mark.parametrize(
    "value", [1.5, 0, -1, 10**400, True, None, "4", [4], {}], ids=lambda value: str(value)[:5]
)
def test_a_voices_made_up_settings_are_refused(voice, tmp_path, part, value):
    config = config_of(voice)
    for each in fields(ModelSettings if part == "model" else MelSettings):
        is_real = isinstance(value, int | float) and value in (0, 1.5) and value is not True
        if each.type is not int and (is_real or (value is None and NoneType in get_args(each.type))):
            continue  # a share or a frequency may be that
        text = json.dumps({**config, part: {**config[part], each.name: value}})
        with pytest.raises(DataError, match=r"made-up\.safetensors"):
            read_checkpoint(changed(voice, tmp_path / "made-up.safetensors", {"config": text}))


@pytest.mark.parametrize("key", ["config", "frontend_state", "metrics"])
@pytest.mark.parametrize(
    "text", [DEEP, "[]", "null", '{"a": 1' + "0" * 5000 + "}"], ids=lambda text: text[:4]
)
def test_a_voices_damaged_descriptions_are_refused(voice, tmp_path, key, text):
    with pytest.raises(DataError):
        read_checkpoint(changed(voice, tmp_path / "made-up.safetensors", {key: text}))


@pytest.mark.parametrize("dtype", [torch.float8_e5m2, torch.complex64, torch.bool])
def test_a_voices_odd_numbers_end_in_a_sentence_or_a_voice(voice, tmp_path, dtype):
    name = "encoder.emb.weight"
    odd = {name: load_file(voice)[name].to(dtype)}
    try:
        read_checkpoint(changed(voice, tmp_path / "made-up.safetensors", tensors=odd)).network()
    except DataError as error:
        assert "made-up.safetensors" in str(error)


def test_a_packed_state_dict_is_not_unpacked(tmp_path):
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 5_000_000)
    with pytest.raises(DataError, match=r"bomb\.pt is packed"):
        read_checkpoint(path)


class Zeros(io.RawIOBase):
    """So many zeros, of which none is kept."""

    def __init__(self, size: int) -> None:
        self.left = size

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        count = min(self.left, size if size >= 0 else self.left)
        self.left -= count
        return b"\0" * count


def bomb_of(kind: bytes, name: str):
    def make(path: Path) -> None:
        size = 200 << 20
        member = tarfile.TarInfo(name)
        member.size, member.type = size, kind
        with gzip.open(path, "wb", compresslevel=1) as packed:
            packed.write(member.tobuf(tarfile.GNU_FORMAT))
            zeros = Zeros(size)
            while block := zeros.read(1 << 20):
                packed.write(block)

    return make


def with_files(**files: bytes):
    def make(path: Path) -> None:
        with tarfile.open(path, "w:gz") as archive:
            for name, content in files.items():
                member = tarfile.TarInfo(name.replace("__", "."))
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))

    return make


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (bomb_of(tarfile.REGTYPE, "model.safetensors"), "unpacks to more than any model needs"),
        (bomb_of(tarfile.REGTYPE, "whatever.bin"), "unpacks to more than any model needs"),
        (bomb_of(tarfile.XHDTYPE, "pax"), "damaged"),
        (bomb_of(tarfile.GNUTYPE_LONGNAME, "name"), "damaged"),
        (bomb_of(tarfile.GNUTYPE_SPARSE, "model.safetensors"), "damaged"),
        (
            with_files(config__json=DEEP.encode(), vocab__json=b"{}", model__safetensors=b""),
            "cannot be read|table",
        ),
        (with_files(config__json=b"{}", vocab__json=DEEP.encode(), model__safetensors=b""), "cannot be read"),
        (
            with_files(
                config__json=b"{}",
                vocab__json=b'{"a": [], "b": {}}',
                added_tokens__json=b'{"c": []}',
                model__safetensors=b"",
            ),
            "not a table",
        ),
    ],
)
def test_an_archive_that_is_made_up_is_refused_before_it_is_unpacked(tmp_path, make, words):
    path = tmp_path / "made-up.pth.tar"
    make(path)
    with pytest.raises(DataError, match=words):
        load_checkpoint(path, unpack_folder=tmp_path / "unpacked")
    assert sum(file.stat().st_size for file in (tmp_path / "unpacked").rglob("*")) < 1_000_000
