"""How well a transcriber reads after how much training: `python -m bench.asr_learns --hours 1`.

espeak-ng says sentences of the sample's 28 words with several voices; the tiny network learns from them, and
every few epochs it reads sentences that it never heard. One JSON object on the last line.
"""

import argparse
import json
import logging
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

import codex_worker.asr  # noqa: F401 - patches torchaudio before transformers looks for it
from codex_worker.asr.corpus import Corpus, Example, Sounds, Split, TranscribedClip, prepare
from codex_worker.asr.features import FeatureCache
from codex_worker.asr.networks.build import TINY_FRONTEND, build_model, tiny_config
from codex_worker.asr.plan import TrainingPlan
from codex_worker.asr.recipe import choose_recipe
from codex_worker.asr.train import train
from codex_worker.asr.vocabulary import build_vocabulary
from codex_worker.contract.options import TrainingOptions
from sample.sentences import WORDS

VOICES = ("en-us", "en-gb", "en-gb-scotland", "en-us+f3")
WORDS_PER_MINUTE = 150
SECONDS_A_WORD = 0.45
UNHEARD = 60


def main() -> None:
    """Make the speech, train, and print the error rate against the time."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hours", type=float, default=0.05, help="hours of speech (0.05: three minutes)")
    parser.add_argument("--updates", type=int, default=600, help="updates of the weights")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    if shutil.which("espeak-ng") is None:
        print("espeak-ng is not installed, so there is no speech to learn from.", file=sys.stderr)
        print(json.dumps({"bench": "asr_learns", "skipped": "espeak-ng is not installed"}))
        return
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(Path(folder), arguments.hours, arguments.updates)))


def measure(folder: Path, hours: float, updates: int) -> dict[str, Any]:
    """Train on so many hours of speech; the figures by name."""
    started_s = time.perf_counter()
    corpus, sounds = speech(folder, hours)
    spoken_s = time.perf_counter() - started_s
    print(f"{corpus.hours * 60:.1f} minutes of speech made in {spoken_s:.0f} s", file=sys.stderr)
    unheard, heard = corpus.examples[:UNHEARD], corpus.examples[UNHEARD:]
    outcome, curve = _train(folder / "training", heard, unheard, sounds, updates)
    return {
        "bench": "asr_learns",
        "results": {
            "heard_minutes": round(sum(example.duration_s for example in heard) / 60, 1),
            "unheard_sentences": len(unheard),
            "updates": updates,
            "training_s": curve[-1]["training_s"],
            "cer_last": curve[-1]["cer"],
            "cer_best": round(outcome, 4),
            "curve": curve,
        },
    }


def speech(folder: Path, hours: float) -> tuple[Corpus, Sounds]:
    """Sentences of three to five words, no two alike, that last so long; the unheard ones come first."""
    generator = random.Random(0)
    count = UNHEARD + round(hours * 3600 / (4 * SECONDS_A_WORD))
    sentences: dict[str, None] = {}
    while len(sentences) < count:
        sentences[" ".join(generator.choices(WORDS, k=generator.choice((3, 4, 5))))] = None
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        utterances = list(pool.map(lambda pair: _say(folder, *pair), enumerate(sentences)))
    sounds = Sounds(TINY_FRONTEND, FeatureCache(folder / "features", 10**10))
    corpus = prepare(
        utterances,
        normalise=str,
        sounds=sounds,
        frames=lambda rows: rows,
        max_duration_s=40.0,
        workers=os.cpu_count() or 1,
    )
    return corpus, sounds


def _say(folder: Path, number: int, sentence: str) -> TranscribedClip:
    path = folder / f"{number}.wav"
    command = ["espeak-ng", "-v", VOICES[number % len(VOICES)], "-s", str(WORDS_PER_MINUTE)]
    subprocess.run([*command, "-w", str(path), sentence], check=True, capture_output=True)
    return TranscribedClip(str(number), path, sentence, str(number))


def _train(
    folder: Path, heard: Sequence[Example], unheard: Sequence[Example], sounds: Sounds, updates: int
) -> tuple[float, list[dict[str, float]]]:
    """The best error rate on unheard sentences, and all of them with the seconds they took."""
    vocabulary = build_vocabulary(WORDS)
    updates_per_epoch = max(1, len(heard) // 4)
    epochs = max(1, round(updates / updates_per_epoch))
    hours = sum(example.duration_s for example in heard) / 3600
    recipe = choose_recipe(hours, len(heard), preset="tiny", options=TrainingOptions(epochs=epochs))
    plan = TrainingPlan(
        make_model=lambda: build_model(tiny_config(vocabulary)),
        vocabulary=vocabulary,
        sounds=sounds,
        data=Split(tuple(heard), tuple(unheard)),
        recipe=recipe,
    )
    curve = _Curve()
    trained = train(plan, folder, curve, device="cuda" if torch.cuda.is_available() else "cpu")
    return trained.metrics["val_cer"], curve.points


class _Curve:
    """A `Progress` that remembers the error rate against the time, at least ten seconds apart."""

    def __init__(self) -> None:
        self.points: list[dict[str, float]] = []
        self._started_s = time.perf_counter()

    def should_stop(self) -> bool:
        return False

    def report(self, epochs_completed: float, message: str) -> None:
        print(message, file=sys.stderr)

    def metrics(self, row: dict[str, float]) -> None:
        point = {
            "epoch": row["epoch"],
            "training_s": round(time.perf_counter() - self._started_s, 1),
            "cer": round(row["val_cer"], 4),
        }
        # Of points that lie close together the later one stays.
        if len(self.points) > 1 and point["training_s"] - self.points[-2]["training_s"] < 10:
            self.points.pop()
        self.points.append(point)

    def saved_best(self, path: Path, metrics: dict[str, float]) -> None:
        """The figures are all that is wanted."""

    @property
    def save_every_s(self) -> float:
        """Never."""
        return math.inf

    def needs_resume(self, *, finished: bool) -> bool:
        """Nothing goes on from here."""
        return False

    def saved_resume(self, path: Path, epochs: float) -> None:
        """Nothing goes on from here."""


if __name__ == "__main__":
    main()
