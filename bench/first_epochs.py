"""What a transcriber's first epochs cost beside the later ones: `python -m bench.first_epochs`.

The sample's recordings are read at the speeds of a recipe, in batches as the training takes them and without
a network. Two ways take turns: the features of all speeds made while the recordings are prepared, when each
is decoded anyway, and each speed decoded when an epoch first asks for it. One JSON object comes last.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import torch

import codex_worker.asr  # noqa: F401 - patches torchaudio before transformers looks for it
from codex_worker.asr.corpus import Sounds, prepare, split
from codex_worker.asr.ctc_task import CtcTask
from codex_worker.asr.features import FeatureCache
from codex_worker.asr.networks.build import TINY_FRONTEND, build_model, tiny_config
from codex_worker.asr.plan import TrainingPlan
from codex_worker.asr.recipe import choose_recipe
from codex_worker.asr.vocabulary import build_vocabulary
from codex_worker.text.normalise import TextRecipe
from tests.support.spoken import sample_utterances

EPOCHS = 6
RECORDINGS = 40


def main() -> None:
    """Time both ways in this process, one after the other, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recordings", type=int, default=RECORDINGS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        read_through(options.recordings, Path(folder) / "warm", ahead=True)  # imports, and the disk's cache
        ahead = read_through(options.recordings, Path(folder) / "ahead", ahead=True)
        anew = read_through(options.recordings, Path(folder) / "anew", ahead=False)
    figures = {
        "first_epoch_to_last": ahead[1] / ahead[-1],
        "first_epoch_to_last_decoded_anew": anew[1] / anew[-1],
        "preparation_to_decoded_anew": ahead[0] / anew[0],
        "whole_to_decoded_anew": sum(ahead) / sum(anew),
    }
    rounded = {name: round(value, 3) for name, value in figures.items()}
    machine = {"cores": os.cpu_count(), "recordings": options.recordings, "epochs": EPOCHS}
    print(json.dumps({"bench": "first_epochs", "machine": machine, "results": rounded}))


def read_through(count: int, folder: Path, *, ahead: bool) -> list[float]:
    """Seconds of the preparation and then of each epoch, on an empty cache."""
    utterances = (sample_utterances("train") + sample_utterances("unheard"))[:count]
    recipe = choose_recipe(count / 1000, count, preset="tiny")
    speeds = recipe.augmentation.speeds if ahead else ()
    sounds = Sounds(TINY_FRONTEND, FeatureCache(folder, 10**9), speeds)
    began = time.perf_counter()
    corpus = prepare(
        utterances,
        normalise=TextRecipe().apply,
        sounds=sounds,
        frames=lambda rows: rows,
        max_duration_s=40.0,
        workers=2,
    )
    seconds = [time.perf_counter() - began]
    vocabulary = build_vocabulary(example.text for example in corpus.examples)
    data = split(corpus, val_split=0.0, test_split=0.0)
    model = build_model(tiny_config(vocabulary))
    task = CtcTask(model, TrainingPlan(lambda: model, vocabulary, sounds, data, recipe))
    for epoch in range(EPOCHS):
        began = time.perf_counter()
        for batch in task.batches(epoch):
            task.read_batch(batch)
        seconds.append(time.perf_counter() - began)
    return seconds


if __name__ == "__main__":
    main()
