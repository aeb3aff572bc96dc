"""Train a transcriber on the cells that have text and a recording."""

import copy
import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from transformers import PreTrainedModel

from codex_worker.asr.align import align
from codex_worker.asr.corpus import Corpus, Sounds, TranscribedClip, learnt_text, needs_of, prepare, split
from codex_worker.asr.features import FeatureCache, FeatureExtractor
from codex_worker.asr.load import load_checkpoint
from codex_worker.asr.networks.build import (
    build_model,
    count_parameters,
    frontend_of,
    grow_head,
    output_frames,
    read_config,
    read_pretrained,
    tiny_config,
)
from codex_worker.asr.recipe import Preset, choose_recipe
from codex_worker.asr.train import METRICS_COLUMNS, TrainedModel, TrainingPlan
from codex_worker.asr.train import train as train_model
from codex_worker.asr.transcribe import Transcriber
from codex_worker.asr.vocabulary import Vocabulary, build_vocabulary
from codex_worker.audio.resample import resample
from codex_worker.data.project import Project
from codex_worker.data.recordings import FetchedCells, fetch_recordings
from codex_worker.doctor.examine import SAMPLE_RATE, Align
from codex_worker.text.normalise import TextRecipe, recipe_for
from codex_worker.training.machine import this_machine
from handlers.asr.w2v2bert.utterances import utterance_of
from handlers.base import JobCallbacks, JobContext, Result, Trained, run_training
from handlers.steps import (
    TrainingProgress,
    cells_to_train_on,
    check_up,
    project_of,
    say,
    threads,
    training_folder,
)

logger = logging.getLogger(__name__)

FEATURE_CACHE_BYTES = 20_000_000_000
FEATURE_CACHE_SHARE = 0.25  # of the free disk, where that is less


def run(job: JobContext, callbacks: JobCallbacks) -> Result:
    """The whole job."""
    return run_training(job, callbacks, train)


def train(job: JobContext, callbacks: JobCallbacks, project: Project | None = None) -> Trained:
    """Choose cells, fetch their recordings, train; the checkpoint lies in the job folder."""
    options = job.options.training
    project = project or project_of(job, callbacks)
    cells = cells_to_train_on(job, project)
    callbacks.heartbeat(0, f"Fetching {len(cells.chosen)} recordings", "download")
    fetched = fetch_recordings(project.reader, cells.chosen)
    utterances = [utterance_of(cell) for cell in fetched.cells]
    start = _Start(job, callbacks)
    text_recipe = recipe_for(
        [utterance.text for utterance in utterances],
        lowercase=options.lowercase,
        remove_punctuation=options.remove_punctuation,
        remove_numbers=options.remove_numbers,
    )
    logger.info(text_recipe.describe())
    sounds = Sounds(start.frontend, FeatureCache(job.folder / "features", _cache_bytes(job.folder)))
    listed = FetchedCells(fetched.cells, cells.skipped + fetched.skipped)
    corpus = _checked_corpus(job, callbacks, listed, utterances, text_recipe, sounds, start)
    trained = _train(job, callbacks, corpus, text_recipe, sounds, start)
    _report(job, callbacks, corpus, fetched)
    checkpoint = job.folder / "asr_model.safetensors"
    shutil.copyfile(trained.checkpoint, checkpoint)
    notes = [*project.notes, *corpus.notes, *trained.notes]
    if fetched.skipped:
        count = len(fetched.skipped)
        what = "1 recording" if count == 1 else f"{count} recordings"
        notes.append(f"{what} could not be fetched: {fetched.skipped[0].reason}")
    return Trained(
        checkpoint,
        trained.outcome.epochs_completed,
        trained.metrics,
        notes,
        stopped_early=trained.outcome.ended == "stopped",
    )


class _Start:
    """What training starts from: a project's checkpoint, official weights, or nothing (preset tiny)."""

    def __init__(self, job: JobContext, callbacks: JobCallbacks) -> None:
        options = job.options.training
        path = options.base_checkpoint
        self.base = None
        self.folder: Path | None = None
        self.origin = "random weights"
        if path:
            file = callbacks.scanner.fetch_checkpoint(path)
            self.base = load_checkpoint(file, unpack_folder=job.folder / "base")
            self.frontend, self.origin = self.base.frontend, path
        elif job.preset == "tiny":
            self.frontend = FeatureExtractor()
        else:
            name = options.base_model
            weights = callbacks.scanner.fetch_weights(name.removeprefix("facebook/"))
            self.folder, self.origin = weights.path, f"{name}@{weights.revision}"
            self.frontend = frontend_of(read_config(weights.path))

    @property
    def parameters(self) -> int:
        """How many the network has; a count for a tiny one would say nothing."""
        if self.base is not None:
            return int(self.base.model.num_parameters())
        return count_parameters(read_config(self.folder)) if self.folder is not None else 0

    @property
    def fit(self) -> Align | None:
        """How well texts and recordings fit, where there is a transcriber already that can tell."""
        if self.base is None:
            return None
        # A transcriber takes its network to its own device and numbers; training starts from it as it was.
        transcriber = Transcriber(replace(self.base, model=copy.deepcopy(self.base.model)))

        def fit(samples: np.ndarray, text: str) -> float:
            return align(transcriber, resample(samples, SAMPLE_RATE, self.frontend.sample_rate), text).score

        return fit

    def vocabulary(self, texts: list[str]) -> Vocabulary:
        built = build_vocabulary(texts)
        return self.base.vocabulary.extended(built.letters) if self.base is not None else built

    def maker(self, vocabulary: Vocabulary) -> Callable[[], PreTrainedModel]:
        """Makes the network anew each time, from the weights as they were at the start."""
        if self.base is not None:
            base = self.base

            def from_checkpoint() -> PreTrainedModel:
                model = copy.deepcopy(base.model)
                grow_head(model, vocabulary)
                return model

            return from_checkpoint
        if self.folder is not None:
            folder = self.folder
            return lambda: read_pretrained(folder, vocabulary)
        return lambda: build_model(tiny_config(vocabulary))


def _checked_corpus(
    job: JobContext,
    callbacks: JobCallbacks,
    listed: FetchedCells,
    utterances: list[TranscribedClip],
    text_recipe: TextRecipe,
    sounds: Sounds,
    start: _Start,
) -> Corpus:
    """Publishes what the recordings are like, and gives those that the page lists as used."""
    sizing = start.maker(start.vocabulary([text_recipe.apply(u.text) for u in utterances]))()
    limit_s = choose_recipe(
        1.0, len(utterances), preset=_preset(job), options=job.options.training
    ).max_duration_s
    learnt, rare = learnt_text([u.text for u in utterances], text_recipe.apply)

    def frames(rows: int) -> int:
        return output_frames(sizing, rows)

    check_up(
        job,
        callbacks,
        listed,
        align=start.fit,
        reader_cer=start.base.held_out_cer if start.base is not None else None,
        lost_letters=lambda text: rare.keys() & set(text_recipe.apply(text)),
        needs=needs_of(learnt, start.frontend, frames, limit_s),
    )
    return prepare(
        utterances,
        normalise=text_recipe.apply,
        sounds=sounds,
        frames=frames,
        max_duration_s=limit_s,
        workers=threads(),
        report=lambda message: callbacks.heartbeat(0, message, "preprocess"),
    )


def _train(
    job: JobContext,
    callbacks: JobCallbacks,
    corpus: Corpus,
    text_recipe: TextRecipe,
    sounds: Sounds,
    start: _Start,
) -> TrainedModel:
    machine = this_machine()
    recipe = choose_recipe(
        corpus.hours,
        len(corpus.examples),
        preset=_preset(job),
        pretrained=start.base is not None or start.folder is not None,
        parameters=start.parameters,
        machine=machine,
        options=job.options.training,
    )
    vocabulary = start.vocabulary([example.text for example in corpus.examples])
    plan = TrainingPlan(
        make_model=start.maker(vocabulary),
        vocabulary=vocabulary,
        sounds=sounds,
        data=split(corpus, val_split=recipe.val_split, test_split=recipe.test_split),
        recipe=recipe,
        metadata={
            "text_recipe": json.dumps(text_recipe.to_dict(), ensure_ascii=False),
            "language": job.options.training.language or "",
            "data_commit": job.commit,
            "job_id": job.job_id,
            "started_from": start.origin,
            "hours": f"{corpus.hours:.3f}",
        },
        readers=threads(),
        with_corrector=job.options.training.corrector,
    )
    say(callbacks, 0, f"Training on {len(plan.data.train)} recordings", "training")
    progress = TrainingProgress(job, callbacks, METRICS_COLUMNS)
    return train_model(plan, training_folder(job, callbacks), progress, device=machine.device)


def _report(job: JobContext, callbacks: JobCallbacks, corpus: Corpus, fetched: FetchedCells) -> None:
    """Which recordings were of no use, and why, where there are any."""
    labels = {cell.key: cell.label for cell in fetched.cells}
    left_out = {entry.label: entry.reason for entry in fetched.skipped}
    left_out |= {labels[key]: reason for key, reason in corpus.left_out.items()}
    if not left_out and not corpus.rare_letters:
        return
    path = job.folder / "training_data.json"
    content = {"left_out": left_out, "rare_letters": dict(corpus.rare_letters), "hours": corpus.hours}
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2), encoding="utf-8")
    callbacks.scanner.publish_artifact(path, "report")


def _preset(job: JobContext) -> Preset:
    return "tiny" if job.preset == "tiny" else "full"


def _cache_bytes(folder: Path) -> int:
    return min(FEATURE_CACHE_BYTES, int(FEATURE_CACHE_SHARE * shutil.disk_usage(folder).free))
