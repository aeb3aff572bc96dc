"""Train a transcriber on the cells that have text and a recording."""

import json
import logging
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from codex_worker.asr.align import fit_of
from codex_worker.asr.corpus import (
    Corpus,
    Sounds,
    Split,
    TranscribedClip,
    learnt_text,
    needs_of,
    prepare,
    split,
)
from codex_worker.asr.decoding.texts import as_written
from codex_worker.asr.features import FeatureCache
from codex_worker.asr.likelihood import likelihoods_of
from codex_worker.asr.load import load_checkpoint
from codex_worker.asr.networks.build import output_frames
from codex_worker.asr.plan import TrainedModel, TrainingPlan
from codex_worker.asr.recipe import choose_recipe
from codex_worker.asr.recipe_settings import TranscriberRecipe
from codex_worker.asr.start import FromCheckpoint, FromNothing, FromWeights, TrainingStart
from codex_worker.asr.train import METRICS_COLUMNS
from codex_worker.asr.train import train as train_model
from codex_worker.asr.transcribe import Transcriber
from codex_worker.asr.utterances import utterance_of
from codex_worker.contract.licences import LICENCES, licence_of, terms_of
from codex_worker.contract.paths import project_and_path
from codex_worker.data.project import Project
from codex_worker.data.recordings import FetchedCells, fetch_recordings
from codex_worker.errors import ModelError
from codex_worker.job.summary import What
from codex_worker.text.normalise import TextRecipe, dropped_lines, lost_letters, recipe_for
from codex_worker.training.machine import Machine, this_machine
from handlers.asr.w2v2bert.base_model import with_base_model
from handlers.asr.w2v2bert.quality import facts_of_quality
from handlers.asr.w2v2bert.teaching import Teaching, teaching_of
from handlers.base import JobCallbacks, JobContext, Result, Trained, run_training
from handlers.steps import (
    TrainingProgress,
    cells_to_train_on,
    check_up,
    kept_recordings,
    leave_if_preempted,
    project_of,
    publish_report,
    require_licence,
    say,
    threads,
    training_folder,
)
from handlers.told import counted, facts_of_training, naming_unmatched

logger = logging.getLogger(__name__)

# Of a machine, for the preset full: read by the supervisor before it claims a job (supervisor/needs.py).
FULL_NEEDS = {"gpu_gb": 14, "memory_gb": 6, "disk_gb": 15, "model_gb": 2.4, "official_weights": True}

FEATURE_CACHE_BYTES = 20_000_000_000
FEATURE_CACHE_SHARE = 0.25  # of the free disk, where that is less


def run(job: JobContext, callbacks: JobCallbacks) -> Result:
    """The whole job."""
    return run_training(job, callbacks, train)


def start_of(job: JobContext, callbacks: JobCallbacks) -> TrainingStart:
    """A checkpoint, official weights, or nothing (preset tiny). Raises UserError where terms forbid it."""
    options = job.options.training
    if options.base_checkpoint:
        file = callbacks.scanner.fetch_checkpoint(options.base_checkpoint)
        checkpoint = load_checkpoint(file, unpack_folder=job.folder / "base")
        require_licence(options, licence_of(checkpoint.metadata), options.base_checkpoint)
        is_neighbours = bool(project_and_path(options.base_checkpoint)[0])
        return FromCheckpoint(checkpoint, options.base_checkpoint, is_neighbours=is_neighbours)
    if job.preset == "tiny":
        return FromNothing()
    licence = LICENCES[options.base_model]
    require_licence(options, licence, options.base_model)
    weights = callbacks.scanner.fetch_weights(options.weights)
    return FromWeights(weights.path, f"{options.base_model}@{weights.revision}", licence)


def train(
    job: JobContext,
    callbacks: JobCallbacks,
    project: Project | None = None,
    *,
    start_of: Callable[[JobContext, JobCallbacks], TrainingStart] = start_of,
) -> Trained:
    """Choose cells, fetch their recordings, train; the checkpoint lies in the job folder.

    `start_of` is where another model comes in: see docs/adding-a-model.md.
    """
    teaching = teaching_of(job, callbacks)
    project = project or project_of(job, callbacks)
    cells = cells_to_train_on(job, project)
    callbacks.heartbeat(0, f"Fetching {len(cells.chosen)} recordings", "download")
    fetched = fetch_recordings(project.reader, cells.chosen)
    clips = [utterance_of(cell) for cell in fetched.cells]
    job, chosen = with_base_model(job, callbacks, clips, _text_recipe(job, project, clips, None))
    start = start_of(job, callbacks)
    work = _Work(job, callbacks, start, _text_recipe(job, project, clips, start.text_recipe))
    work.notes += chosen
    not_written = dropped_lines(work.text_recipe, [clip.text for clip in clips])
    for line in (work.text_recipe.describe(), *not_written):
        logger.info(line)
    with naming_unmatched(cells):
        corpus = work.corpus(clips, FetchedCells(fetched.cells, cells.skipped + fetched.skipped))
    data, longest_s = work.divided(corpus)
    if teaching is not None:
        data = teaching.added_to(
            data,
            corpus,
            project=project,
            recordings=fetched.cells,
            start=start,
            sounds=work.sounds,
            text_recipe=work.text_recipe,
            longest_s=longest_s,
        )
    _report(job, callbacks, corpus, fetched, not_written, start, teaching)
    try:
        trained = work.train(corpus, data, project.written_texts(job.options.training))
        leave_if_preempted(job, callbacks, trained.outcome)
        if teaching is not None:
            trained = teaching.judged(trained, start, work.sounds, job.folder)
    except ModelError as error:
        if teaching is None:
            raise
        trained = teaching.given_up(error, start, job.folder)
    checkpoint = job.folder / "asr_model.safetensors"
    shutil.copyfile(trained.checkpoint, checkpoint)
    notes = [*project.notes, *corpus.notes, *not_written, *work.notes, *trained.notes]
    labels = {cell.key: cell.label for cell in fetched.cells}
    unused = [f"{labels[key]}: {reason}" for key, reason in corpus.left_out.items()]
    facts = [*facts_of_quality(trained.held_out), *facts_of_training(cells, fetched.skipped, unused)]
    facts += [] if teaching is None else teaching.facts
    facts += counted(What.NO_CORRECTOR, [trained.no_corrector] if trained.no_corrector else [])
    return Trained(
        checkpoint,
        trained.outcome.epochs_completed,
        trained.metrics,
        notes,
        stopped_early=trained.outcome.ended == "stopped",
        facts=facts,
        licence=start.licence,
    )


class _Work:
    """One training: what it starts from, how text is written, and where features are kept."""

    def __init__(
        self, job: JobContext, callbacks: JobCallbacks, start: TrainingStart, text_recipe: TextRecipe
    ) -> None:
        self.job = job
        self.callbacks = callbacks
        self.start = start
        self.text_recipe = text_recipe
        self.notes: list[str] = []  # what a person should know of the start
        speeds = self._recipe(1.0, 1).augmentation.speeds  # the same for any number of recordings
        cache = FeatureCache(job.folder / "features", _cache_bytes(job.folder))
        self.sounds = Sounds(start.frontend, cache, speeds)

    def corpus(self, clips: Sequence[TranscribedClip], listed: FetchedCells) -> Corpus:
        """Publishes what the recordings are like, and gives those that the page lists as used."""
        texts = [clip.text for clip in clips]
        letters = self.start.vocabulary([self.text_recipe.apply(text) for text in texts])
        sizing = self.start.network(letters)
        limit_s = self._recipe(1.0, len(clips)).max_duration_s
        learnt, rare = learnt_text(texts, self.text_recipe.apply)

        def frames(rows: int) -> int:
            return output_frames(sizing, rows)

        listener = self.start.listener()
        reader = None if listener is None else Transcriber(listener)
        with kept_recordings(self.job, self.start.frontend.sample_rate) as kept:
            check_up(
                self.job,
                self.callbacks,
                listed,
                align=None if reader is None else fit_of(reader),
                compare=None if reader is None else likelihoods_of(reader),
                reader_cer=None if listener is None else listener.held_out_cer,
                lost_letters=lambda text: lost_letters(self.text_recipe, text, rare),
                needs=needs_of(learnt, self.start.frontend, frames, limit_s),
                decode=kept.decode,
            )
            return prepare(
                clips,
                normalise=self.text_recipe.apply,
                written=self.text_recipe.written,
                sounds=self.sounds,
                frames=frames,
                max_duration_s=limit_s,
                workers=threads(),
                decode=kept.decode,
                report=lambda message: self.callbacks.heartbeat(0, message, "preprocess"),
            )

    def divided(self, corpus: Corpus) -> tuple[Split, float]:
        """People's examples by what they are for, and how many seconds one may have at most."""
        recipe = self._recipe(corpus.hours, len(corpus.examples), this_machine())
        return split(corpus, val_split=recipe.val_split, test_split=recipe.test_split), recipe.max_duration_s

    def train(self, corpus: Corpus, data: Split, texts: Sequence[str]) -> TrainedModel:
        """Trains on a corpus as it is divided, with what was added to it; `texts` are all of the project."""
        job, machine = self.job, this_machine()
        made = [example for example in data.train if example.utterance.is_made]
        hours = corpus.hours + sum(example.duration_s for example in made) / 3600
        recipe = self._recipe(hours, len(corpus.examples) + len(made), machine)
        vocabulary = self.start.vocabulary([example.text for example in corpus.examples])
        if about := self.start.about_letters(vocabulary):
            logger.info(about)
            self.notes.append(about)
        plan = TrainingPlan(
            make_model=lambda: self.start.network(vocabulary),
            vocabulary=vocabulary,
            sounds=self.sounds,
            data=data,
            recipe=recipe,
            trainable=self.start.trainable,
            metadata={
                "text_recipe": json.dumps(self.text_recipe.to_dict(), ensure_ascii=False),
                "language": job.options.training.language or "",
                "data_commit": job.commit,
                "job_id": job.job_id,
                "started_from": self.start.origin,
                **({"licence": self.start.licence} if self.start.licence else {}),
                "hours": f"{corpus.hours:.3f}",
            },
            readers=threads(),
            with_corrector=job.options.training.corrector,
            project_texts=as_written(texts, self.text_recipe.apply, vocabulary.letters, corpus.rare_letters),
        )
        say(self.callbacks, 0, f"Training on {len(plan.data.train)} recordings", "training")
        epoch_audio_s = sum(example.duration_s for example in plan.data.train)
        progress = TrainingProgress(job, self.callbacks, METRICS_COLUMNS, epoch_audio_s=epoch_audio_s)
        return train_model(plan, training_folder(job, self.callbacks), progress, device=machine.device)

    def _recipe(self, hours: float, recordings: int, machine: Machine | None = None) -> TranscriberRecipe:
        return choose_recipe(
            hours,
            recordings,
            preset="tiny" if self.job.preset == "tiny" else "full",
            pretrained=self.start.is_pretrained,
            reads=self.start.reads,
            has_adapters=self.start.has_adapters,
            parameters=self.start.parameters,
            machine=machine,
            options=self.job.options.training,
        )


def _text_recipe(
    job: JobContext, project: Project, clips: Sequence[TranscribedClip], base: TextRecipe | None
) -> TextRecipe:
    options = job.options.training
    return recipe_for(
        [clip.text for clip in clips],
        languages=[options.language] if options.language else project.languages,
        base=base,
        lowercase=options.lowercase,
        remove_punctuation=options.remove_punctuation,
        remove_numbers=options.remove_numbers,
    )


def _report(
    job: JobContext,
    callbacks: JobCallbacks,
    corpus: Corpus,
    fetched: FetchedCells,
    not_written: Sequence[str],
    start: TrainingStart,
    teaching: Teaching | None,
) -> None:
    """What was of no use, and why, what is not learnt, terms, what a machine made; where there is any."""
    labels = {cell.key: cell.label for cell in fetched.cells}
    left_out = {entry.label: entry.reason for entry in fetched.skipped}
    left_out |= {labels[key]: reason for key, reason in corpus.left_out.items()}
    terms = terms_of(start.licence)
    made = {} if teaching is None else teaching.report
    if not (left_out or corpus.rare_letters or not_written or terms or made):
        return
    content = {
        "left_out": left_out,
        "rare_letters": dict(corpus.rare_letters),
        "not_written": list(not_written),
        "hours": corpus.hours,
        "started_from": start.origin,
        **({"licence": start.licence, "terms": terms} if terms else {}),
        **({"made_by_machine": made} if made else {}),
    }
    text = json.dumps(content, ensure_ascii=False, indent=2)
    publish_report(job, callbacks, "training_data.json", text)


def _cache_bytes(folder: Path) -> int:
    return min(FEATURE_CACHE_BYTES, int(FEATURE_CACHE_SHARE * shutil.disk_usage(folder).free))
