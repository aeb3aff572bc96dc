"""Train a VITS voice on the cells that have text and a recording."""

import logging
import shutil
from dataclasses import dataclass, replace

import torch
from transformers import VitsModel

from codex_worker.contract.licences import OWN, terms_of
from codex_worker.data.project import Project
from codex_worker.data.recordings import FetchedCells, fetch_recordings
from codex_worker.stabletts.frontend.encoding import lost_letters, report_losses
from codex_worker.stabletts.new_letters import describe, start_from
from codex_worker.stabletts.preparation import needs_of, prepare
from codex_worker.stabletts.recipe import Start, plan
from codex_worker.stabletts.train import CHOICE
from codex_worker.training.loop import fit
from codex_worker.training.machine import this_machine
from codex_worker.vits.checkpoint import (
    VitsCheckpoint,
    VitsDescription,
    grow_symbols,
    read_checkpoint,
    read_mms_voice,
)
from codex_worker.vits.configuration import frame_samples, mel_settings, new_config
from codex_worker.vits.recipe import VITS
from codex_worker.vits.text import MmsFrontend
from codex_worker.vits.train import VITS_METRICS, VitsTraining, framed_samples, into_frames
from handlers.base import JobCallbacks, JobContext, Result, Trained, run_training
from handlers.steps import (
    cells_to_train_on,
    check_up,
    kept_recordings,
    leave_if_preempted,
    project_of,
    require_licence,
    say,
    threads,
    training_folder,
)
from handlers.told import facts_of_training, naming_unmatched
from handlers.tts.choice import chosen_by
from handlers.tts.preparing import preparation_report, publish_decisions, spoken_texts
from handlers.tts.stabletts.listener import listener_of
from handlers.tts.stabletts.progress import VoiceProgress
from handlers.tts.vits.inference import PUBLISHED

logger = logging.getLogger(__name__)

# Of a machine, for the preset full: read by the supervisor before it claims a job (supervisor/needs.py).
FULL_NEEDS = {"gpu_gb": 8, "memory_gb": 6, "disk_gb": 8, "model_gb": 0.2}


def run(job: JobContext, callbacks: JobCallbacks) -> Result:
    """The whole job."""
    return run_training(job, callbacks, train)


def train(job: JobContext, callbacks: JobCallbacks, project: Project | None = None) -> Trained:
    """Choose cells, fetch their recordings, train; the checkpoint lies in the job folder."""
    options, is_tiny = job.options.training, job.preset == "tiny"
    project = project or project_of(job, callbacks)
    if is_tiny:
        torch.set_num_threads(1)  # more gain little at this size, and stall each other on a busy machine
    cells = cells_to_train_on(job, project)
    source = _source(job, callbacks)
    listener = listener_of(job, callbacks)
    callbacks.heartbeat(0, f"Fetching {len(cells.chosen)} recordings", "download")
    fetched = fetch_recordings(project.reader, cells.chosen)
    recorded = spoken_texts(fetched.cells)
    languages = (*([options.language] if options.language else []), *project.languages)
    begun = _begin(source, [one.text for one in recorded], languages, is_tiny)
    voice = replace(
        begun.voice, language=options.language or begun.voice.language, training_commit=job.commit
    )
    kept = framed_samples(mel_settings(voice.config))
    with naming_unmatched(cells), kept_recordings(job, kept.sample_rate) as once:
        check_up(
            job,
            callbacks,
            FetchedCells(fetched.cells, cells.skipped + fetched.skipped),
            align=listener.fit if listener else None,
            compare=listener.compare if listener else None,
            reader_cer=listener.held_out_cer if listener else None,
            lost_letters=lambda text: lost_letters(voice.frontend.encode(text)),
            needs=needs_of(voice.frontend, kept),
            decode=once.decode,
        )
        dataset = prepare(
            recorded,
            voice.frontend,
            job.folder / "features",
            mel=kept,
            analyse=lambda samples: into_frames(samples, frame_samples(voice.config)),
            cut=listener.cut if listener else None,
            workers=threads(),
            decode=once.decode,
            report=preparation_report(callbacks),
        )
    recipe = plan(
        options,
        [one.frames for one in dataset.utterances],
        start=source.start,
        tiny=is_tiny,
        machine=this_machine(),
        judged_by=CHOICE if listener else None,
        method=VITS,
    )
    lost = report_losses(voice.frontend.encode(one.text) for one in recorded)
    start = (f"training starts from {voice.base}", *begun.notes, *filter(None, [terms_of(voice.licence)]))
    reads = f"the voice reads {len(voice.frontend.symbols)} characters"
    for line in (dataset.report()[0], reads, *start, *lost, *recipe.reasons):
        logger.info(line)
    skipped = (*cells.skipped, *fetched.skipped)
    publish_decisions(job, callbacks, dataset, skipped, text=[reads], start=start, recipe=recipe.reasons)
    task = VitsTraining(begun.network, dataset, recipe, voice, judge=listener.judge if listener else None)
    folder = training_folder(job, callbacks)
    say(callbacks, 0, f"Training on {len(task.training)} recordings", "training")
    epoch_audio_s = dataset.seconds_of(task.training)
    progress = VoiceProgress(job, callbacks, task, columns=VITS_METRICS, epoch_audio_s=epoch_audio_s)
    outcome = fit(task, recipe.training, folder, progress)
    leave_if_preempted(job, callbacks, outcome)
    progress.speak_at_end(outcome)
    checkpoint = job.folder / "voice.safetensors"
    shutil.copyfile(outcome.checkpoint_path, checkpoint)
    minutes = {"speech_minutes": dataset.speech_s / 60, "utterances": len(task.training)}
    return Trained(
        checkpoint,
        outcome.epochs_completed,
        {**outcome.checkpoint_metrics, **minutes},
        [*project.notes, *lost, outcome.message, chosen_by(outcome, listens=listener is not None)],
        stopped_early=outcome.ended == "stopped",
        facts=facts_of_training(
            cells, fetched.skipped, [f"{label}: {reason}" for label, reason in dataset.left_out]
        ),
        licence=voice.licence or None,
    )


@dataclass(frozen=True)
class _Source:
    """What training starts from; no checkpoint means random weights."""

    start: Start
    checkpoint: VitsCheckpoint | None = None


@dataclass(frozen=True)
class _Begun:
    """A network that reads the project's letters, what its checkpoints will say, and how that came."""

    network: VitsModel
    voice: VitsDescription
    notes: tuple[str, ...] = ()


def _source(job: JobContext, callbacks: JobCallbacks) -> _Source:
    options = job.options.training
    if path := options.base_checkpoint:
        checkpoint = read_checkpoint(callbacks.scanner.fetch_checkpoint(path))
        require_licence(options, checkpoint.voice.licence or None, path)
        return _Source("checkpoint", replace(checkpoint, voice=replace(checkpoint.voice, base=path)))
    if job.preset == "tiny" or options.from_scratch or options.mms_voice is None:
        return _Source("scratch")
    weights = callbacks.scanner.fetch_weights(f"{PUBLISHED}{options.mms_voice}")
    checkpoint = read_mms_voice(weights.path, weights.revision)
    require_licence(options, checkpoint.voice.licence, checkpoint.voice.base)
    return _Source("official", checkpoint)


def _begin(source: _Source, texts: list[str], languages: tuple[str, ...], is_tiny: bool) -> _Begun:
    checkpoint = source.checkpoint
    if checkpoint is None:
        frontend = MmsFrontend.learn(texts, languages=languages)
        config = new_config(len(frontend.symbols), tiny=is_tiny)
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            return _Begun(VitsModel(config), VitsDescription(config, frontend, licence=OWN))
    known = checkpoint.voice.frontend
    frontend = MmsFrontend.learn(texts, base=known, languages=languages)
    notes = describe(start_from(frontend.symbols[len(known.symbols) :], known.letters))
    grown = grow_symbols(checkpoint, frontend)
    return _Begun(grown.network(), grown.voice, tuple(notes))
