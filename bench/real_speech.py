"""How well the tiny transcriber learns from real people's speech: `python -m bench.real_speech`

Debian's voice prompts in English and Russian, about 18 minutes each by one speaker (`make real`), as a job
would train on them: every default of `model.preset: tiny`. The error rates are those on the recordings that
have no text in the project. A plain BiLSTM (`bench/bilstm.py`) learns from the same English recordings for as
many processor seconds in the same run; all of it takes one thread. One JSON object on the last line.
"""

import argparse
import datetime
import json
import logging
import math
import os
import platform
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

import codex_worker.asr  # noqa: F401 - patches torchaudio before transformers looks for it
from bench.bilstm import bilstm_error_rate, train_bilstm
from bench.ranking import area_under_curve, found_in_third, wrong_verses
from codex_worker.asr.corpus import Corpus, Sounds, TranscribedClip, prepare, split
from codex_worker.asr.decoding.decoder import Decoding
from codex_worker.asr.decoding.texts import as_written
from codex_worker.asr.features import FeatureCache, FeatureExtractor
from codex_worker.asr.load import load_checkpoint
from codex_worker.asr.networks.build import TINY_FRONTEND, output_frames
from codex_worker.asr.plan import TrainingPlan
from codex_worker.asr.recipe import choose_recipe
from codex_worker.asr.start import FromNothing
from codex_worker.asr.train import train
from codex_worker.asr.transcribe import DecodingSettings, Transcriber
from codex_worker.asr.vocabulary import Vocabulary
from codex_worker.asr.words import confidence_of
from codex_worker.text.error_rate import character_error_rate, edit_distance
from codex_worker.text.normalise import recipe_for
from sample.real_speech.__main__ import FOLDER
from sample.real_speech.languages import LANGUAGES
from sample.real_speech.make import RealProject, make_real_project
from sample.real_speech.packages import PackagesMissingError
from sample.real_speech.truth import CellTruth, Role
from tests.support.real_speech import Repository

TARGETS = {"cer_tiny": 0.45, "cer_tiny_beam": 0.30, "wrong_found_in_third": 0.80}
POINTS_APART_S = 40.0  # of the processor, between two points of a curve
FRAMES_OF_10_MS = FeatureExtractor(stacked_frames=1)


@dataclass(frozen=True)
class Speech:
    """A language's recordings: those to learn from, and the unheard ones with what is said in them."""

    code: str
    learnt: Corpus
    unheard: tuple[TranscribedClip, ...]
    texts: tuple[str, ...]  # of all cells that have one, recorded or not


def main() -> int:
    """Measure each language, and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("languages", nargs="*", default=["en", "ru"], help="en ru")
    parser.add_argument("--projects", type=Path, default=FOLDER, help="where they are made (build/real)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compare", nargs="*", default=["en"], help="languages for the BiLSTM, too (en)")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    torch.set_num_threads(1)
    results: dict[str, Any] = {}
    for code in arguments.languages:
        try:
            project = make_real_project(LANGUAGES[code], arguments.projects)
        except PackagesMissingError as error:
            print(json.dumps({"bench": "real_speech", "skipped": str(error)}))
            return 0
        with tempfile.TemporaryDirectory() as folder:
            results |= measure(project, code, Path(folder), arguments.seed, compare=code in arguments.compare)
    thirds = [results[f"wrong_found_in_third_{code}"] for code in arguments.languages]
    results["wrong_found_in_third"] = round(sum(thirds) / len(thirds), 3)
    about = {"bench": "real_speech", "command": " ".join(sys.orig_argv[1:]), "machine": machine()}
    print(json.dumps({**about, "results": results, "targets": TARGETS}))
    return 0


def machine() -> dict[str, Any]:
    """What it was measured on, and when."""
    return {
        "cores": os.cpu_count(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def measure(project: RealProject, code: str, folder: Path, seed: int, *, compare: bool) -> dict[str, Any]:
    """One language's figures, by name."""
    sounds = Sounds(TINY_FRONTEND, FeatureCache(folder / "features", 10**10))
    speech = read_speech(project, code, folder, sounds)
    plan = plan_of(speech, sounds, seed)
    watch = Watch(speech)
    trained = train(plan, folder / "training", watch, device="cpu")
    processor_s = watch.processor_s
    rate = error_rate(trained.checkpoint, speech)
    print(f"{code}: {rate:.3f} after {processor_s:.0f} processor seconds", file=sys.stderr)
    results = {
        f"cer_{code}_tiny": round(rate, 4),
        f"cer_{code}_tiny_beam": round(error_rate(trained.checkpoint, speech, decoding=None), 4),
        f"processor_s_{code}": round(processor_s),
        f"curve_{code}_tiny": [*watch.points, {"processor_s": round(processor_s), "cer": round(rate, 4)}],
        f"learnt_minutes_{code}": round(speech.learnt.hours * 60, 1),
        f"unheard_{code}": len(speech.unheard),
        **ranking(trained.checkpoint, speech),
    }
    if compare:
        baseline, updates = baseline_error_rate(speech, plan.vocabulary, folder, processor_s)
        print(f"{code}: the baseline {baseline:.3f} after {updates} updates", file=sys.stderr)
        results |= {f"cer_baseline_{code}": round(baseline, 4), f"updates_baseline_{code}": updates}
    return results


def read_speech(project: RealProject, code: str, folder: Path, sounds: Sounds) -> Speech:
    """The project's recordings as files, with texts as a job would normalise them."""
    training = [clip_of(project, cell, cell.text, folder) for cell in project.truth.with_role(Role.TRAINING)]
    clips = [clip for clip in training if clip is not None]
    normal = recipe_for([clip.text for clip in clips], languages=[code])
    sizing = FromNothing()
    network = sizing.network(sizing.vocabulary([normal.apply(clip.text) for clip in clips]))
    learnt = prepare(
        clips,
        normalise=normal.apply,
        sounds=sounds,
        frames=lambda rows: output_frames(network, rows),
        max_duration_s=choose_recipe(1.0, len(clips), preset="tiny").max_duration_s,
        workers=1,
        report=logging.getLogger(__name__).info,
    )
    unheard = [
        clip_of(project, cell, normal.apply(cell.said), folder)
        for cell in project.truth.with_role(Role.UNHEARD)
    ]
    letters = {letter for example in learnt.examples for letter in example.text}
    written = [cell.text for cell in project.truth.cells if cell.text]
    texts = as_written(written, normal.apply, letters, learnt.rare_letters)
    return Speech(code, learnt, tuple(clip for clip in unheard if clip is not None), tuple(texts))


def clip_of(project: RealProject, cell: CellTruth, text: str, folder: Path) -> TranscribedClip | None:
    """A cell's recording as a file; None where the server has none."""
    content = Repository(project.repository).recording(cell.cell)
    if content is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{cell.cell.replace(' ', '_').replace(':', '_')}.{cell.extension}"
    path.write_bytes(content)
    return TranscribedClip(cell.cell, path, text, cell.reference.partition(":")[0])


def plan_of(speech: Speech, sounds: Sounds, seed: int) -> TrainingPlan:
    """As a job of preset tiny that asks for nothing plans it."""
    start, corpus = FromNothing(), speech.learnt
    recipe = replace(choose_recipe(corpus.hours, len(corpus.examples), preset="tiny"), seed=seed)
    vocabulary = start.vocabulary([example.text for example in corpus.examples])
    return TrainingPlan(
        make_model=lambda: start.network(vocabulary),
        vocabulary=vocabulary,
        sounds=sounds,
        data=split(corpus, val_split=recipe.val_split, test_split=recipe.test_split),
        recipe=recipe,
        readers=1,
        project_texts=speech.texts,
    )


def error_rate(checkpoint: Path, speech: Speech, decoding: Decoding | None = Decoding.GREEDY) -> float:
    """Character error rate on the unheard recordings; with None, as the checkpoint reads by itself."""
    settings = DecodingSettings(decoding=decoding)
    transcriber = Transcriber(load_checkpoint(checkpoint), settings, device="cpu")
    heard = [transcript.text for transcript in transcriber.transcribe(speech.unheard)]
    return character_error_rate([clip.text for clip in speech.unheard], heard)


def ranking(checkpoint: Path, speech: Speech) -> dict[str, float]:
    """Whether the least sure unheard recordings are those read wrong, as a job reads and lists them.

    Beside it the same by the mean probability of the letters, which does not see those that are missing.
    """
    transcriber = Transcriber(load_checkpoint(checkpoint), device="cpu")
    heard = list(transcriber.transcribe(speech.unheard))
    said = [clip.text for clip in speech.unheard]
    wrong = wrong_verses(
        [edit_distance(text, one.text) / max(1, len(text)) for text, one in zip(said, heard, strict=True)]
    )
    sure = {"": [one.confidence for one in heard], "_plain": [confidence_of(one.words) for one in heard]}
    found = {}
    for name, values in sure.items():
        found[f"wrong_found_in_third_{speech.code}{name}"] = round(found_in_third(values, wrong), 3)
        found[f"wrong_area_under_curve_{speech.code}{name}"] = round(area_under_curve(values, wrong), 3)
    return found


def baseline_error_rate(
    speech: Speech, vocabulary: Vocabulary, folder: Path, processor_s: float
) -> tuple[float, int]:
    """What the plain network reads wrong after so many seconds with all recordings, none held back."""
    sounds = Sounds(FRAMES_OF_10_MS, FeatureCache(folder / "frames", 10**10))
    for example in speech.learnt.examples:
        sounds.features(example)  # as the transcriber has them before its clock starts
    network, updates = train_bilstm(speech.learnt.examples, sounds, vocabulary, processor_s)
    unheard = prepare(
        speech.unheard, normalise=str, sounds=sounds, frames=lambda rows: rows, max_duration_s=40.0, workers=1
    ).examples
    rows = [sounds.features(example) for example in unheard]
    return bilstm_error_rate(network, rows, [example.text for example in unheard], vocabulary), updates


class Watch:
    """Who watches a run: reads the unheard recordings now and then, and stops the clock meanwhile."""

    def __init__(self, speech: Speech) -> None:
        self.points: list[dict[str, float]] = []
        self._speech = speech
        self._began_s = time.process_time()
        self._last_s = 0.0

    @property
    def processor_s(self) -> float:
        """Seconds of the processor that the training took."""
        return time.process_time() - self._began_s

    def should_stop(self) -> bool:
        """Never."""
        return False

    def report(self, epochs_completed: float, message: str) -> None:
        """For whoever waits."""
        print(message, file=sys.stderr)

    def metrics(self, row: dict[str, float]) -> None:
        """The unheard recordings tell more."""

    def saved_best(self, path: Path, metrics: dict[str, float]) -> None:
        """Adds a point to the curve, where the last one is old enough."""
        now_s = self.processor_s
        if now_s - self._last_s < POINTS_APART_S:
            return
        rate = error_rate(path, self._speech)
        self._began_s += self.processor_s - now_s
        self._last_s = now_s
        self.points.append({"processor_s": round(now_s), "cer": round(rate, 4)})
        print(self.points[-1], file=sys.stderr)

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
    sys.exit(main())
