"""Does a transcriber get better by what it reads itself, or a voice speaks? `python -m bench.teaching`

Half of the sample's recordings keep their texts, and a tiny transcriber learns from them as a job would. It
goes on from there in several ways, for about equally many updates: with people's recordings alone, with its
sure readings of the other half, and with other sentences that a voice speaks (`--voice FILE`, a checkpoint
that has learnt the sample). It is measured on the sample's 16 sentences that no training hears. One JSON
object on the last line.
"""

import argparse
import json
import logging
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

import codex_worker.asr  # noqa: F401 - patches torchaudio before transformers looks for it
from codex_worker.asr.corpus import TranscribedClip
from codex_worker.asr.load import load_checkpoint
from codex_worker.asr.transcribe import Transcriber
from codex_worker.job.memory import MemoryCallbacks, MemoryScanner, job_in
from codex_worker.text.error_rate import character_error_rate
from handlers.asr.w2v2bert import training
from sample import sentences
from sample.make_recordings import SENTENCES, VOICES
from tests.support.notebooks import CREATED_AT_MS, cell, notebook, take, written_cell
from tests.support.spoken import sample_utterances

BASE, VOICE = "gpu_jobs/job_base/model.safetensors", "gpu_jobs/job_voice/voice.safetensors"


def main() -> None:
    """Train and measure, and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--spoken", type=int, default=30, help="sentences for the voice")
    parser.add_argument("--epochs", type=int, help="of the base; by default those of the recipe")
    parser.add_argument(
        "--more-epochs", type=int, default=60, help="of people's recordings, from the base on"
    )
    parser.add_argument("--voice", type=Path, help="a voice's checkpoint that has learnt the sample")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        results = measure(Path(name), arguments)
    print(json.dumps({"bench": "teaching", "command": " ".join(sys.orig_argv[1:]), "results": results}))


def measure(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Character error rates of unheard recordings: of the base, and of what it became in each way."""
    clips, unheard = sample_utterances("train"), sample_utterances("unheard")
    files = project_of(clips[::2], clips[1::2], fresh_texts(arguments.spoken))
    results: dict[str, Any] = {"with_text": len(clips[::2]), "without": len(clips[1::2])}
    epochs = {} if arguments.epochs is None else {"epochs": arguments.epochs}
    base, _ = train(folder / "base", files, epochs)
    results["cer_base"] = cer(base, unheard)
    print(json.dumps(results), file=sys.stderr)
    files[BASE] = base
    asked: dict[str, dict[str, Any]] = {"people": {}, "self_training": {"self_training": True}}
    if arguments.voice is not None:
        files[VOICE] = arguments.voice
        asked["synthetic"] = {"synthetic": VOICE}
    for name, keys in asked.items():
        config = {
            "epochs": share_of(arguments.more_epochs, doubled=bool(keys)),
            "model": {"base_checkpoint": BASE},
            "training": keys,
        }
        checkpoint, metrics = train(folder / name, files, config)
        results[f"cer_{name}"] = cer(checkpoint, unheard)
        results[f"metrics_{name}"] = {key: round(value, 4) for key, value in metrics.items()}
        print(json.dumps(results), file=sys.stderr)
    return results


def share_of(epochs: int, *, doubled: bool) -> int:
    """Epochs of equally many updates: with made examples one is up to twice as long."""
    return max(1, epochs // 2) if doubled else epochs


def fresh_texts(count: int) -> list[str]:
    """Sentences of the sample's grammar that are in none of its recordings."""
    rows = json.loads(SENTENCES.read_text(encoding="utf-8"))
    taken = [sentences.Utterance(tuple(row["text"].split()), row["voice"]) for row in rows]
    chosen = sentences.choose(count, tuple(VOICES), already_chosen=taken)
    return [" ".join(one.words) for one in chosen]


def project_of(
    people: Sequence[TranscribedClip], silent: Sequence[TranscribedClip], texts: Sequence[str]
) -> dict[str, Any]:
    """Files of a book whose cells have both a recording and a text, or a recording, or a text."""
    files: dict[str, Any] = {}
    cells = []
    for number, clip in enumerate([*people, *silent], start=1):
        name = f"audio-{CREATED_AT_MS + number}-aaaaaaaaa"
        url = f".project/attachments/files/MRK/{name}.webm"
        attachment = take(name, CREATED_AT_MS + number, url=url, metadata={"mimeType": "audio/webm"})
        selected: dict[str, Any] = {"selectedAudioId": name, "selectionTimestamp": CREATED_AT_MS + number}
        make: Callable[..., dict[str, Any]] = cell
        if number <= len(people):
            make = partial(written_cell, value=clip.text)
        cells.append(make(f"MRK {1 + number % 6}:{number}", attachments={name: attachment}, **selected))
        files[f".project/attachments/pointers/MRK/{name}.webm"] = clip.path
    cells += [written_cell(f"MRK 9:{number}", text) for number, text in enumerate(texts, start=1)]
    return {**files, "files/target/MRK.codex": notebook(*cells)}


def train(
    folder: Path, files: Mapping[str, bytes | str | Path], config: Mapping[str, Any]
) -> tuple[Path, Mapping[str, float]]:
    """The checkpoint of a training job, and its metrics."""
    job = job_in(folder, {"val_split": 0.1, **config}, mode="training")
    made = training.train(job, MemoryCallbacks(MemoryScanner(files, job), job))
    return made.checkpoint, made.metrics


def cer(checkpoint: Path, clips: list[TranscribedClip]) -> float:
    """The character error rate. Raises RuntimeError for a recording that cannot be read."""
    heard = list(Transcriber(load_checkpoint(checkpoint)).transcribe(clips))
    for one in heard:
        if one.error is not None:
            raise RuntimeError(f"{one.key}: {one.error}")
    return round(character_error_rate([one.text for one in clips], [one.text for one in heard]), 4)


if __name__ == "__main__":
    main()
