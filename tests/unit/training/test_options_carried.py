"""Options that are settings of the shared loop reach both models by one mechanism; a new key shows it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from codex_worker.asr.recipe import choose_recipe
from codex_worker.contract.options import TrainingOptions
from codex_worker.stabletts.recipe import plan
from codex_worker.training.task import TrainingSettings

ROOT = Path(__file__).parents[3]
NEW_KEY = """\
    weight_decay: Annotated[
        float | None,
        Key("weight_decay", Number(0.0, 1.0), "how fast weights shrink", "0.01", TRAIN),
    ] = None
    epochs: Annotated[
"""
SHOW = """
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import torch
from codex_worker.asr import recipe as transcribers, train
from codex_worker.contract.options import read_options
from codex_worker.errors import UserError
from codex_worker.stabletts import recipe as voices
from codex_worker.training.loop import fit
from tiny_task import TinyTask, Watcher

def options(model, value):
    entry = {"weight_decay": value, "epochs": 1}
    return read_options(entry, job_type=model[0], mode="training", model_type=model[1]).training

settings = {}
asked = options(("tts", "stabletts"), "0.25")
settings["voice"] = voices.plan(asked, [180] * 60, start="scratch").training

class Reached(Exception):
    pass

def stop_here(task, found, folder, progress):
    settings["transcriber"] = found
    raise Reached

recipe = transcribers.choose_recipe(1.0, 60, preset="tiny", options=options(("asr", "w2v2bert"), 0.25))
data = SimpleNamespace(held_out=0, train=())
plan = SimpleNamespace(recipe=recipe, make_model=lambda: None, data=data, texts=("one", "two"))
train.fit, train.CtcTask = stop_here, lambda model, plan, **_: SimpleNamespace(updates_per_epoch=1)
try:
    train._run(plan, Path("."), None, "cpu")
except Reached:
    pass

class Shown(torch.optim.AdamW):
    def __init__(self, groups, **settings):
        print(name, settings["weight_decay"])
        super().__init__(groups, **settings)

torch.optim.AdamW = Shown
for name in sorted(settings):
    fit(TinyTask(), replace(settings[name], best_metric="val_total_loss"), Path(name), Watcher())

for model in (("asr", "w2v2bert"), ("tts", "stabletts")):
    try:
        options(model, 7)
    except UserError as error:
        print("weight_decay: 7 is not a number from 0 to 1" in str(error))
"""


def test_what_a_recipe_decides_counts_before_what_a_job_asks_for():
    asked = TrainingOptions(epochs=9, seed=4, learning_rate=0.5)
    settings = TrainingSettings.of(asked, epochs=3, learning_rate=0.1)
    assert (settings.epochs, settings.learning_rate, settings.seed) == (3, 0.1, 4)


def test_both_models_are_given_the_seed_and_the_length_that_a_job_asks_for():
    asked = TrainingOptions(epochs=9, seed=4, early_stopping_patience=2)
    voice = plan(asked, [180] * 60, start="scratch", judged_by="val_choice").training
    transcriber = choose_recipe(1.0, 60, options=asked)
    assert (voice.epochs, voice.seed, voice.patience_epochs) == (9, 4, 2)
    assert (transcriber.epochs, transcriber.seed, transcriber.patience_epochs) == (9, 4, 2)


@pytest.mark.slow
def test_a_new_key_reaches_both_trainers_from_its_one_line(tmp_path):
    for folder in ("codex_worker", "handlers", "patches"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(Path(__file__).with_name("tiny_task.py"), tmp_path)
    _edit(tmp_path / "codex_worker/contract/options.py", "    epochs: Annotated[\n", NEW_KEY)

    page = _run(tmp_path, "-m", "codex_worker.cli", "manifest-keys")
    assert "| `weight_decay` | 0 to 1 | how fast weights shrink | 0.01 |" in page
    shown = _run(tmp_path, "-c", SHOW)
    assert shown.splitlines() == ["transcriber 0.25", "voice 0.25", "True", "True"]


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1, f"{old!r} in {path.name}"
    path.write_text(text.replace(old, new))


def _run(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
