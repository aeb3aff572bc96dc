import io
import json
import pickle
import tarfile

import pytest
import torch
from safetensors.torch import save_file

from codex_worker.asr.load import load_checkpoint
from codex_worker.asr.transcribe import Transcriber
from codex_worker.errors import DataError, UserError

OLD_VOCAB = {" ": 0, "a": 1, "b": 2, "[UNK]": 3, "[PAD]": 4}


class Bomb:
    def __reduce__(self):
        return (pytest.exit, ("a pickle was opened",))


def old_folder(folder):
    """A folder as the older worker's trainer leaves it: its config names no CTC settings."""
    from transformers import Wav2Vec2BertConfig, Wav2Vec2BertForCTC

    config = Wav2Vec2BertConfig(
        vocab_size=len(OLD_VOCAB),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        output_hidden_size=32,
        conv_depthwise_kernel_size=3,
    )
    torch.manual_seed(0)
    model = Wav2Vec2BertForCTC(config)
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    save_file(model.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "vocab.json").write_text(json.dumps(OLD_VOCAB))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"pad_token": "[PAD]", "unk_token": {"content": "[UNK]"}, "word_delimiter_token": "|"})
    )
    (folder / "added_tokens.json").write_text(json.dumps({"<s>": 5, "</s>": 6}))
    (folder / "special_tokens_map.json").write_text("{}")
    (folder / "preprocessor_config.json").write_text("{}")
    (folder / "training_args.bin").write_bytes(pickle.dumps(Bomb()))
    return model


def packed(folder, path, extra=()):
    with tarfile.open(path, "w:gz") as archive:
        for file in sorted(folder.iterdir()):
            archive.add(file, arcname=file.name)
        for member, content in extra:
            archive.addfile(member, io.BytesIO(content) if content is not None else None)
    return path


def member(name, size=0, kind=tarfile.REGTYPE, target=""):
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size, kind, target
    return info


@pytest.fixture
def folder(tmp_path):
    old_folder(tmp_path / "final_model")
    return tmp_path / "final_model"


def test_an_archive_made_as_the_older_worker_makes_it_is_read(tmp_path):
    model = old_folder(tmp_path / "final_model")
    path = packed(tmp_path / "final_model", tmp_path / "asr_model.pth.tar")
    checkpoint = load_checkpoint(path, unpack_folder=tmp_path / "unpacked")
    assert checkpoint.vocabulary.spaces_are_unknown
    assert any("spaces" in note for note in checkpoint.notes)
    assert checkpoint.model.config.pad_token_id == OLD_VOCAB["[PAD]"]
    features = torch.randn(1, 40, 160)
    with torch.no_grad():
        torch.testing.assert_close(
            checkpoint.model(features).logits, model.eval()(features).logits, atol=1e-4, rtol=1e-3
        )
    assert not (tmp_path / "unpacked" / "training_args.bin").exists()


def test_unknowns_of_an_old_archive_are_read_as_spaces(tmp_path, folder):
    checkpoint = load_checkpoint(packed(folder, tmp_path / "old.tar"), unpack_folder=tmp_path / "unpacked")
    with torch.no_grad():
        checkpoint.model.lm_head.weight.zero_()
        checkpoint.model.lm_head.bias.copy_(torch.tensor([0.0, 0, 0, 9, 0]))
    transcriber = Transcriber(checkpoint, device="cpu")
    frames = [1, 1, 4, 3, 4, 2]
    text = checkpoint.vocabulary.decode(t.symbol_id for t in checkpoint.vocabulary.collapse(frames))
    assert text == "a b"
    assert transcriber.transcribe_samples([torch.randn(16_000).numpy()])[0].text == ""


def test_a_catboost_corrector_in_an_old_archive_is_said_and_skipped(tmp_path, folder):
    extra = [(member("transmorgrifier.tm", 4), b"PK\x03\x04")]
    checkpoint = load_checkpoint(
        packed(folder, tmp_path / "old.tar", extra), unpack_folder=tmp_path / "unpacked"
    )
    assert checkpoint.corrector is None
    assert any("transmorgrifier.tm" in note for note in checkpoint.notes)
    assert not (tmp_path / "unpacked" / "transmorgrifier.tm").exists()


@pytest.mark.parametrize(
    "bad",
    [
        member("../escaped", 4),
        member("/etc/escaped", 4),
        member("inner/../../escaped", 4),
        member("..\\escaped", 4),
        member("config.json", 0, tarfile.SYMTYPE, "/etc/passwd"),
        member("vocab.json", 0, tarfile.LNKTYPE, "../secret"),
        member("pipe", 0, tarfile.FIFOTYPE),
        member("device", 0, tarfile.CHRTYPE),
    ],
    ids=lambda info: f"{info.name}-{info.type}",
)
def test_an_archive_with_paths_or_links_that_leave_it_is_refused_and_nothing_escapes(tmp_path, folder, bad):
    content = b"evil" if bad.isreg() else None
    path = packed(folder, tmp_path / "bad.tar", [(bad, content)])
    with pytest.raises(DataError, match="refused"):
        load_checkpoint(path, unpack_folder=tmp_path / "deep" / "unpacked")
    assert not list(tmp_path.rglob("*escaped*"))


def test_a_member_larger_than_any_real_one_is_refused_before_it_is_read(tmp_path, folder):
    (folder / "config.json").unlink()
    huge = member("config.json", 2_000_000)
    path = packed(folder, tmp_path / "bomb.tar", [(huge, b"{" + b" " * 1_999_998 + b"}")])
    with pytest.raises(DataError, match="limit"):
        load_checkpoint(path, unpack_folder=tmp_path / "unpacked")


@pytest.mark.parametrize("missing", ["config.json", "vocab.json", "model.safetensors"])
def test_an_archive_that_lacks_a_part_says_which(tmp_path, folder, missing):
    (folder / missing).unlink()
    with pytest.raises(DataError, match=missing):
        load_checkpoint(packed(folder, tmp_path / "old.tar"), unpack_folder=tmp_path / "unpacked")


def test_a_truncated_archive_is_named_as_damaged(tmp_path, folder):
    path = packed(folder, tmp_path / "old.tar")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match="damaged"):
        load_checkpoint(path, unpack_folder=tmp_path / "unpacked")


def test_an_archive_of_another_architecture_is_refused_with_what_to_choose(tmp_path, folder):
    (folder / "config.json").write_text(json.dumps({"model_type": "whisper", "vocab_size": 5}))
    with pytest.raises(UserError, match="Wav2Vec2-BERT"):
        load_checkpoint(packed(folder, tmp_path / "old.tar"), unpack_folder=tmp_path / "unpacked")


def test_weights_that_do_not_fit_the_configuration_are_refused(tmp_path, folder):
    config = json.loads((folder / "config.json").read_text()) | {"hidden_size": 64, "output_hidden_size": 64}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(DataError, match="do not fit"):
        load_checkpoint(packed(folder, tmp_path / "old.tar"), unpack_folder=tmp_path / "unpacked")
