"""Does the sample's transcriber read any sentence as well as the sample's 16? `python -m bench.asr_unheard`

The tiny recipe was chosen by its error on the 16 unheard sentences of the sample, so its figure for them may
flatter. This trains as the demo does and has it read sentences that nobody looked at while choosing:
other ones of the same grammar, words and voices, spoken by espeak-ng on the spot. One JSON object on the
last line.
"""

import argparse
import json
import logging
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import codex_worker.asr  # noqa: F401 - patches torchaudio before transformers looks for it
from codex_worker.asr.corpus import TranscribedClip
from codex_worker.asr.load import load_checkpoint
from codex_worker.asr.transcribe import Transcriber
from codex_worker.job.memory import MemoryCallbacks, MemoryScanner, files_below, job_in
from codex_worker.text.error_rate import character_error_rate, word_error_rate
from handlers.asr.w2v2bert import training
from sample import sentences
from sample.make_codex_project import make_project
from sample.make_recordings import RECORDINGS, SENTENCES, VOICES, encode, speak


def main() -> None:
    """Train, read both sets of sentences, and print their error rates."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fresh", type=int, default=200, help="sentences made on the spot")
    parser.add_argument("--seeds", type=int, default=1, help="trainings, with seeds 0, 1, ...")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    if shutil.which("espeak-ng") is None:
        print("espeak-ng is not installed, so there are no fresh sentences.", file=sys.stderr)
        print(json.dumps({"bench": "asr_unheard", "skipped": "espeak-ng is not installed"}))
        return
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        listed, fresh = listed_sentences(), fresh_sentences(folder, arguments.fresh)
        for seed in range(arguments.seeds):
            transcriber = Transcriber(load_checkpoint(train(folder / f"seed-{seed}", seed)))
            results.append(
                {
                    "seed": seed,
                    **rates("listed", transcriber, listed),
                    **rates("fresh", transcriber, fresh),
                }
            )
            print(json.dumps(results[-1]), file=sys.stderr)
    print(
        json.dumps({"bench": "asr_unheard", "listed": len(listed), "fresh": len(fresh), "results": results})
    )


def train(folder: Path, seed: int) -> Path:
    """The checkpoint of a training job on the sample project."""
    job = job_in(folder / "job", {"seed": seed}, mode="training")
    make_project(folder / "project")
    callbacks = MemoryCallbacks(MemoryScanner(files_below(folder / "project"), job), job)
    return training.train(job, callbacks).checkpoint


def listed_sentences() -> list[TranscribedClip]:
    """The sample's recordings that no training hears."""
    rows = json.loads(SENTENCES.read_text(encoding="utf-8"))
    return [
        TranscribedClip(row["file"], RECORDINGS / row["file"], row["text"])
        for row in rows
        if row["split"] == "unheard"
    ]


def fresh_sentences(folder: Path, count: int) -> list[TranscribedClip]:
    """Sentences that are in no recording of the sample, spoken by its voices."""
    rows = json.loads(SENTENCES.read_text(encoding="utf-8"))
    taken = [sentences.Utterance(tuple(row["text"].split()), row["voice"]) for row in rows]
    spoken = []
    for number, chosen in enumerate(sentences.choose(count, tuple(VOICES), already_chosen=taken)):
        path, text = folder / f"{number}.webm", " ".join(chosen.words)
        encode(speak(text, VOICES[chosen.voice]), path)
        spoken.append(TranscribedClip(str(number), path, text))
    return spoken


def rates(name: str, transcriber: Transcriber, utterances: Sequence[TranscribedClip]) -> dict[str, float]:
    """Character and word error rates, by name. Raises RuntimeError for a sentence that cannot be read."""
    heard = list(transcriber.transcribe(utterances))
    for one in heard:
        if one.error is not None:
            raise RuntimeError(f"{name} sentence {one.key}: {one.error}")
    said = [utterance.text for utterance in utterances]
    return {
        f"{name}_cer": round(character_error_rate(said, [one.text for one in heard]), 4),
        f"{name}_wer": round(word_error_rate(said, [one.text for one in heard]), 4),
    }


if __name__ == "__main__":
    main()
