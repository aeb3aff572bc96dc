"""Plans to train a transcriber on noise, for tests of the training and not of what is learnt."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from codex_worker.asr.corpus import Example, Sounds, Split, TranscribedClip
from codex_worker.asr.features import FeatureCache
from codex_worker.asr.networks.build import TINY_FRONTEND, build_model, tiny_config
from codex_worker.asr.plan import TrainingPlan
from codex_worker.asr.recipe import choose_recipe
from codex_worker.asr.vocabulary import Vocabulary, build_vocabulary
from codex_worker.contract.options import TrainingOptions
from tests.support.spoken import Unwatched


class Remembers(Unwatched):
    """What a run told."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []
        self.messages: list[str] = []

    def report(self, epochs_completed: float, message: str) -> None:
        self.messages.append(message)

    def metrics(self, row: dict[str, float]) -> None:
        self.rows.append(row)


LATIN = ("god made all", "all see him", "him god sees")


def plan_over_noise(
    tmp_path: Path,
    count: int = 12,
    manifest: Mapping[str, Any] | None = None,
    make_config: Callable[[Vocabulary], Any] = tiny_config,
    texts: Sequence[str] = LATIN,
) -> TrainingPlan:
    """A plan over recordings of noise whose features are made up; nothing is decoded."""
    sounds = Sounds(TINY_FRONTEND, FeatureCache(tmp_path / "features", 10**8))
    examples = []
    for place in range(count):
        example = Example(TranscribedClip(f"c{place}", tmp_path, ""), texts[place % 3], f"s{place}", 1.0)
        rows = np.random.default_rng(place).standard_normal((50, 320))
        for speed in ("", "-x0.9", "-x0.95", "-x1.05", "-x1.06", "-x1.12"):
            sounds.cache.get(example.sound + speed, sounds.frontend, rows.copy)
        examples.append(example)
    vocabulary = build_vocabulary(texts)
    data = Split(tuple(examples[2:]), tuple(examples[:2]))
    recipe = choose_recipe(0.01, count, preset="tiny", options=TrainingOptions(**(manifest or {"epochs": 2})))
    return TrainingPlan(lambda: build_model(make_config(vocabulary)), vocabulary, sounds, data, recipe)
