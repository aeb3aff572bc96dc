"""What is fuzzed: for each kind of input its good examples, and how the worker reads one."""

import gzip
import io
import json
import random
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from safetensors.torch import save_file

from codex_worker.asr.checkpoint import TranscriberCheckpoint, save_checkpoint
from codex_worker.asr.confidence import ESTIMATE, LOW, Confidence
from codex_worker.asr.corrector import Corrector, EditModel, LetterModel
from codex_worker.asr.estimate import SIGNS, RightLetters
from codex_worker.asr.held_out_rate import HELD_OUT_RECORDINGS
from codex_worker.asr.load import load_checkpoint
from codex_worker.asr.networks.build import FAMILIES, TINY_FRONTEND, build_model, tiny_config
from codex_worker.asr.vocabulary import build_vocabulary
from codex_worker.audio.decode import decode, probe
from codex_worker.audio.encode import encode
from codex_worker.codex.notebook import Notebook
from codex_worker.codex.patch import apply_patches, patch_from_dict
from codex_worker.contract import yaml_text
from codex_worker.contract.job_record import ABOUT, ATTEMPT, parse_job_record
from codex_worker.contract.manifest import read_manifest
from codex_worker.contract.options import read_options
from codex_worker.contract.records import Attempt, End, EndState, Lease, read_record
from codex_worker.contract.response import end_response, read_response, signs_of
from codex_worker.errors import Kind as ErrorKind
from codex_worker.errors import WorkerError
from codex_worker.job.channel import Channel, Heartbeat, LastWord, as_json
from codex_worker.publish.ledger import read_page
from codex_worker.stabletts.checkpoint import VoiceDescription, read_checkpoint, write_checkpoint
from codex_worker.stabletts.configuration import TINY
from codex_worker.stabletts.frontend.compat import CompatFrontend
from codex_worker.stabletts.network import StableTTS
from tests.hostile.fuzz.mutate import mutated_bytes, mutated_value, text_of
from tests.hostile.fuzz.runner import Kind, Make, check_sentence
from tests.support.notebooks import PATH, notebook, recorded_cell, written_cell

MOMENT = datetime(2026, 11, 27, tzinfo=UTC)
OLD_LETTERS = {" ": 0, "a": 1, "b": 2, "[UNK]": 3, "[PAD]": 4}


def all_kinds(folder: Path) -> list[Kind]:
    """Every kind; good examples of files are made in `folder`."""
    transcriber, voice = _transcriber(folder), _voice(folder)
    sounds = _sounds(folder)
    return [
        Kind("manifest", 20, _values([_MANIFEST]), _read_manifest),
        Kind("end", 6, _values([_END]), _read_end),
        Kind(
            "attempt",
            4,
            _values([_ATTEMPT]),
            lambda data, _: read_record(Attempt, data, "The attempt").render(),
        ),
        Kind("lease", 6, _values([_LEASE]), lambda data, _: read_record(Lease, data, "The lease").render()),
        Kind("response", 4, _values([_RESPONSE]), lambda data, _: signs_of(read_response(data, "It"))),
        Kind("job record", 4, _values([_ABOUT, _ATTEMPT]), _read_job_record),
        Kind("ledger", 6, _lines([_CELL_LINE, _FILE_LINE]), lambda data, _: read_page("one", data)),
        Kind("notebook", 14, _values([json.loads(_NOTEBOOK)]), _read_notebook),
        Kind("patch", 4, _values([_TEXT_PATCH, _RECORDING_PATCH]), _read_patch),
        Kind("channel", 20, _lines([_HEARTBEAT, _RESULT, _FAILED, _CALL]), _read_channel),
        Kind("audio", 8, lambda chance: _mutated_sound(chance, chance.choice(sounds)), _read_audio),
        Kind("transcriber", 1, lambda chance: _mutated_safetensors(chance, transcriber), _read_transcriber),
        Kind("voice", 1, lambda chance: _mutated_safetensors(chance, voice), _read_voice),
        Kind("state dict", 1, _bytes(_state_dict(folder)), _read_voice),
        Kind("archive", 1, lambda chance: _mutated_archive(chance, _old_files(folder)), _read_transcriber),
    ]


_MODEL = "gpu_jobs/job_one/checkpoint/a.safetensors"
_TIME = "2026-11-20T17:08:58.956Z"
_MANIFEST = {
    "version": 1,
    "jobs": [
        {"job_id": "one", "job_type": "asr", "mode": "training", "submitted_at": "2026-11-20T17:08:58.956Z",
         "model": {"type": "W2V2BERT", "preset": "tiny", "base_checkpoint": _MODEL},
         "epochs": 5, "timeout": "2026-11-22T00:00:00Z", "canceled": False,
         "training": {"include_verses": ["MRK 1:1"], "learning_rate": 0.0001, "val_split": 0.1}},
        {"job_id": "two", "job_type": "tts", "mode": "training_and_inference", "model": {"type": "StableTTS"},
         "timeout": 5, "inference": {"exclude_verses": ["MRK 2:3"]}},
    ],
}  # fmt: skip
_ATTEMPT = {
    "job_id": "one", "number": 2, "nonce": "0a1b2c3d", "worker_id": "gpu-1",
    "claimed_at": "2026-11-20T17:08:58.956Z", "lease_ref": "refs/gpu-jobs/one",
}  # fmt: skip
_END = {
    "state": "failed", "kind": "system", "message": "The network was away.", "ended_at": _TIME,
    "ended_by": "gpu-1", "worker_id": "gpu-1", "number": 2, "nonce": "0a1b2c3d", "epochs_completed": 3,
    "result": {"metrics": {"cer": 0.5}, "notes": ["a"], "checkpoint_path": _MODEL},
    "log_blob": "0" * 40, "metrics_blob": None, "final": True,
}  # fmt: skip
_LEASE = {
    "number": 2, "nonce": "0a1b2c3d", "beat": "00ff", "at": "2026-11-20T17:08:58.956Z", "stage": "training",
    "epochs_completed": 1.5, "message": "halfway", "state": "held",
    "resume": {"oid": "0" * 64, "size": 100, "attempt": 1, "epochs": 1.5},
}  # fmt: skip
_ABOUT = {"version": 1, "since": "0" * 40, "settled": False, "deleted_at": "2026-11-20T17:08:58Z"}
_RESPONSE = {
    "worker_id": "gpu-1", "state": "running", "timestamp": "2026-11-20T17:08:58.956Z", "epochs_completed": 2,
    "status_message": "Training", "result": {"cells_written": 1},
}  # fmt: skip
_NOTEBOOK = notebook(
    written_cell("MRK 1:1", "<p>kata</p>"), recorded_cell("MRK 1:2"), recorded_cell("MRK 1:3", "ei")
)
_READ = {each.id: dict(vars(each.state)) for each in Notebook.parse(_NOTEBOOK, PATH).cells}
_TEXT_PATCH = {
    "kind": "text", "cell_id": "MRK 1:2", "read": _READ["MRK 1:2"], "text": "kata", "author": "codex-worker",
}  # fmt: skip
_RECORDING_PATCH = {
    "kind": "recording", "cell_id": "MRK 1:1", "read": _READ["MRK 1:1"],
    "recording": {
        "attachment_id": "audio-1767225600500-aaaaaaaaa", "document": "MRK", "extension": "webm",
        "created_by": "codex-worker", "mime_type": "audio/webm", "size_bytes": 5000, "sample_rate": 48000,
        "channels": 1, "duration_s": 1.5, "bitrate_kbps": 64.0,
    },
}  # fmt: skip
_CELL_LINE = {"notebook": PATH, "patch": _TEXT_PATCH}
_FILE_LINE = {"file": "gpu_jobs/job_one/checkpoint/a.safetensors", "blob": "0" * 40, "content": "version x\n"}
_HEARTBEAT = {"event": "heartbeat", "epochs_completed": 1.5, "message": "halfway", "stage": "training"}
_RESULT = {
    "event": "result", "result": {"epochs_completed": 3, "metrics": {"cer": 0.5}, "notes": ["a"]},
    "summary": {
        "epochs": 3, "asked": 5, "written": 4, "facts": [{"what": "failed", "count": 1, "example": "x"}],
    },
}  # fmt: skip
_FAILED = {"event": "failed", "kind": "data", "message": "It is empty."}
_CALL = {"id": 3, "call": "read_files", "arguments": {"paths": ["a.codex"]}}


def _values(examples: list[Any]) -> Make:
    """Documents: of made-up values, of damaged bytes, or both."""

    def make(chance: random.Random) -> bytes:
        value = chance.choice(examples)
        data = text_of(chance, mutated_value(chance, value) if chance.random() < 0.75 else value)
        return mutated_bytes(chance, data) if chance.random() < 0.35 else data

    return make


def _lines(examples: list[Any]) -> Make:
    one = _values(examples)
    return lambda chance: b"".join(one(chance) + b"\n" for _ in range(chance.randint(1, 4)))


def _bytes(data: bytes) -> Make:
    return lambda chance: mutated_bytes(chance, data)


def _read_manifest(data: bytes, _: Path) -> None:
    found = read_manifest(yaml_text.load(data, "gpu_jobs/manifest.yaml"))
    for entry in found.jobs.values():
        entry.deadline(MOMENT)
        json.dumps(as_json(entry.config), allow_nan=False).encode()
        yaml_text.dump(dict(entry.config))
        try:
            read_options(entry.config, job_type=entry.job_type, mode=entry.mode, model_type=entry.model_type)
        except WorkerError as error:
            check_sentence(error)


def _read_end(data: bytes, _: Path) -> None:
    end = read_record(End, data, "The end")
    end.render()
    end_response(end, retries=1)


def _read_job_record(data: bytes, _: Path) -> None:
    good = {ABOUT: json.dumps(_ABOUT).encode(), ATTEMPT: json.dumps(_ATTEMPT).encode()}
    for place in good:
        try:
            parse_job_record(
                "one", "0" * 40, {ABOUT: "a", ATTEMPT: "b"}, {**good, place: data}
            ).about.render()
        except WorkerError as error:
            check_sentence(error)


def _read_notebook(data: bytes, _: Path) -> None:
    found = Notebook.parse(data, PATH)
    for problem in found.problems:
        str(problem).encode("utf-8", "surrogatepass")
    apply_patches(data, PATH, [patch_from_dict(_TEXT_PATCH), patch_from_dict(_RECORDING_PATCH)])


def _read_patch(data: bytes, _: Path) -> None:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return  # the channel's and the ledger's readers refuse it before
    apply_patches(_NOTEBOOK, PATH, [patch_from_dict(value)])


def _read_channel(data: bytes, _: Path) -> None:
    """What a child says, up to the record of its end."""
    channel = Channel(io.BytesIO(data), io.BytesIO())
    while (message := channel.receive()) is not None:
        event = message.get("event")
        if event == "heartbeat":
            Heartbeat.of_message(message)
        elif event in ("result", "failed"):
            word = LastWord.of_message(message)
            state = EndState.FAILED if word.kind else EndState.COMPLETED
            end = End(
                state=state, kind=ErrorKind.SYSTEM, message=word.message, ended_at=MOMENT, ended_by="me",
                worker_id="me", number=1, nonce="0a1b2c3d", result=dict(word.result or {}),
            )  # fmt: skip
            read_record(End, end.render(), "The end")
            end_response(end, retries=1)


def _read_audio(data: bytes, folder: Path) -> None:
    path = folder / "recording"
    path.write_bytes(data)
    probe(path)
    recording = decode(path, sample_rate=16_000)
    assert np.isfinite(recording.samples).all()


def _read_transcriber(data: bytes, folder: Path) -> None:
    path = folder / "transcriber.safetensors"
    path.write_bytes(data)
    Confidence.stored(load_checkpoint(path, unpack_folder=folder / "unpacked").metadata)


def _read_voice(data: bytes, folder: Path) -> None:
    path = folder / "voice.safetensors"
    path.write_bytes(data)
    read_checkpoint(path).network()


def _mutated_sound(chance: random.Random, data: bytes) -> bytes:
    """At its beginning or its end, where containers say what is in them, or anywhere."""
    where = chance.random()
    if where < 0.5:
        return mutated_bytes(chance, data[:400]) + data[400:]
    if where < 0.7:
        return data[:-600] + mutated_bytes(chance, data[-600:])
    return mutated_bytes(chance, data)


def _mutated_safetensors(chance: random.Random, data: bytes) -> bytes:
    """Its header's values, one of its descriptions, or its bytes (the header's rather than the weights')."""
    length = int.from_bytes(data[:8], "little")
    header, weights = json.loads(data[8 : 8 + length]), data[8 + length :]
    kind = chance.random()
    if kind < 0.6:
        about = header["__metadata__"]
        key = chance.choice(sorted(about))
        try:
            about[key] = text_of(chance, mutated_value(chance, json.loads(about[key]))).decode()
        except ValueError:
            about[key] = chance.choice(["", "0", "99", "\0", "é" * 100, "griffin_lim", "characters"])
    elif kind < 0.8:
        header = mutated_value(chance, header)
    else:
        return mutated_bytes(chance, data[: 8 + length]) + weights
    text = text_of(chance, header)
    return len(text).to_bytes(8, "little") + text + weights


def _mutated_archive(chance: random.Random, files: dict[str, bytes]) -> bytes:
    name = chance.choice(sorted(files))
    if name.endswith(".json") and chance.random() < 0.7:
        files = {**files, name: text_of(chance, mutated_value(chance, json.loads(files[name])))}
    else:
        files = {**files, name: mutated_bytes(chance, files[name])}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for each, content in files.items():
            member = tarfile.TarInfo(each)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    data = packed.getvalue()
    if chance.random() < 0.4:
        data = mutated_bytes(chance, data[: 64 << 10]) + data[64 << 10 :]
    if chance.random() < 0.5:
        data = gzip.compress(data, 1)
        data = mutated_bytes(chance, data) if chance.random() < 0.3 else data
    return data


def _sounds(folder: Path) -> list[bytes]:
    """Half a second in each format that the worker writes, and in some that browsers and telephones do."""
    rate = 48_000
    samples = (0.3 * np.sin(np.arange(rate // 2) / 20)).astype(np.float32)
    found = []
    for form in ("wav", "webm", "ogg", "mp3", "m4a"):
        path = folder / f"good.{form}"
        encode(samples, rate, path, form)
        found.append(path.read_bytes())
    for container, codec in (("flac", "flac"), ("adts", "aac"), ("matroska", "libopus")):
        path = folder / f"good.{container}"
        with av.open(str(path), "w", format=container) as output:
            stream = output.add_stream(codec, rate=rate, layout="mono")
            frame = av.AudioFrame.from_ndarray((samples * 32767).astype(np.int16)[None], "s16", "mono")
            frame.sample_rate = rate
            output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        found.append(path.read_bytes())
    return found


def _transcriber(folder: Path) -> bytes:
    torch.manual_seed(0)
    vocabulary = build_vocabulary(["ab"])
    spelling = LetterModel.fit(["god made"])
    corrector = Corrector(EditModel.fit([("gob", "god")]), spelling, 0.3)
    path = folder / "good-transcriber.safetensors"
    model = build_model(tiny_config(vocabulary))
    estimate = RightLetters((0.5,) * len(SIGNS), (1.0,) * len(SIGNS), (0.0,) * (len(SIGNS) + 1), spelling)
    about = {
        "language": "tpi",
        "metrics": '{"val_cer": 0.5}',
        HELD_OUT_RECORDINGS: "40",
        LOW: "0.5",
        ESTIMATE: estimate.to_json(),
    }
    save_checkpoint(path, TranscriberCheckpoint(model, vocabulary, TINY_FRONTEND, corrector, about))
    return path.read_bytes()


def _voice(folder: Path) -> bytes:
    path = folder / "good-voice.safetensors"
    write_checkpoint(path, StableTTS(TINY), VoiceDescription(TINY, CompatFrontend(use_uroman=False)))
    return path.read_bytes()


def _state_dict(folder: Path) -> bytes:
    path = folder / "good.pt"
    torch.save(StableTTS(TINY).state_dict(), path)
    return path.read_bytes()


def _old_files(folder: Path) -> dict[str, bytes]:
    """What an older worker's archive holds."""
    path = folder / "old.safetensors"
    family = FAMILIES["wav2vec2-bert"]
    config = family.config(
        vocab_size=len(OLD_LETTERS), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=64, output_hidden_size=32, conv_depthwise_kernel_size=3,
    )  # fmt: skip
    if not path.exists():
        save_file(family.network(config).state_dict(), path, metadata={"format": "pt"})
    return {
        "config.json": json.dumps(config.to_dict()).encode(),
        "vocab.json": json.dumps(OLD_LETTERS).encode(),
        "tokenizer_config.json": b'{"pad_token": "[PAD]", "unk_token": {"content": "[UNK]"}}',
        "added_tokens.json": b'{"<s>": 5}',
        "model.safetensors": path.read_bytes(),
    }
