"""The sample's recordings as training data for a transcriber, and a training run over them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from codex_worker.asr.corpus import Sounds, TranscribedClip, prepare, split
from codex_worker.asr.features import FeatureCache
from codex_worker.asr.load import load_checkpoint
from codex_worker.asr.networks.build import TINY_FRONTEND, build_model, tiny_config
from codex_worker.asr.plan import TrainedModel, TrainingPlan
from codex_worker.asr.recipe import choose_recipe
from codex_worker.asr.train import train
from codex_worker.asr.transcribe import Transcriber
from codex_worker.asr.vocabulary import build_vocabulary
from codex_worker.contract.options import TrainingOptions
from codex_worker.text.error_rate import character_error_rate
from codex_worker.text.normalise import TextRecipe

SAMPLE = Path(__file__).parents[2] / "sample"


def sample_utterances(part: str) -> list[TranscribedClip]:
    """The sample's recordings of one part (`train` or `unheard`), with the sentences that are said."""
    listed = json.loads((SAMPLE / "sentences.json").read_text(encoding="utf-8"))
    return [
        TranscribedClip(entry["file"], SAMPLE / "recordings" / entry["file"], entry["text"], entry["file"])
        for entry in listed
        if entry["split"] == part
    ]


def train_tiny(
    utterances: list[TranscribedClip],
    folder: Path,
    manifest: Mapping[str, Any],
    progress: Any = None,
    device: str = "cpu",
) -> TrainedModel:
    """Train the tiny preset as a job would, on one thread: the outcome is the same on every machine."""
    torch.set_num_threads(1)
    sounds = Sounds(TINY_FRONTEND, FeatureCache(folder / "features", 10**9))
    corpus = prepare(
        utterances,
        normalise=TextRecipe().apply,
        sounds=sounds,
        frames=lambda rows: rows,
        max_duration_s=40.0,
        workers=2,
    )
    vocabulary = build_vocabulary(example.text for example in corpus.examples)
    recipe = choose_recipe(
        corpus.hours, len(corpus.examples), preset="tiny", options=TrainingOptions(**manifest)
    )
    plan = TrainingPlan(
        make_model=lambda: build_model(tiny_config(vocabulary)),
        vocabulary=vocabulary,
        sounds=sounds,
        data=split(corpus, val_split=recipe.val_split, test_split=recipe.test_split),
        recipe=recipe,
    )
    return train(plan, folder / "training", progress or Unwatched(), device=device)


def error_rate_on(checkpoint: Path, utterances: list[TranscribedClip], device: str = "cpu") -> float:
    """Character error rate of a checkpoint on recordings whose texts are known."""
    transcriber = Transcriber(load_checkpoint(checkpoint), device=device)
    heard = [transcript.text for transcript in transcriber.transcribe(utterances)]
    return character_error_rate([utterance.text for utterance in utterances], heard)


class Unwatched:
    """A `Progress` that lets a run go on to its end."""

    save_every_s = 600.0

    def should_stop(self) -> bool:
        return False

    def report(self, epochs_completed: float, message: str) -> None:
        pass

    def metrics(self, row: dict[str, float]) -> None:
        pass

    def saved_best(self, path: Path, metrics: dict[str, float]) -> None:
        pass

    def needs_resume(self, *, finished: bool) -> bool:
        return True

    def saved_resume(self, path: Path, epochs: float) -> None:
        pass
