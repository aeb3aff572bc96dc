"""Train a voice on the cells that have text and a recording."""

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from codex_worker.contract.licences import LICENCES, OWN, terms_of
from codex_worker.contract.options import OFFICIAL_VOICE, SharedOptions
from codex_worker.data.project import Project
from codex_worker.data.recordings import FetchedCells, fetch_recordings
from codex_worker.stabletts.checkpoint import VoiceCheckpoint, VoiceDescription, read_checkpoint, read_vocos
from codex_worker.stabletts.configuration import MelSettings
from codex_worker.stabletts.dataset import Dataset
from codex_worker.stabletts.frontend.choose import (
    FrontendChoice,
    FrontendRequest,
    choose_frontend,
    legacy_frontend,
)
from codex_worker.stabletts.frontend.encoding import lost_letters, report_losses
from codex_worker.stabletts.preparation import needs_of, prepare
from codex_worker.stabletts.recipe import Start, VoiceRecipe, plan
from codex_worker.stabletts.train import CHOICE, Beginning, VoiceTraining, begin_from, begin_from_scratch
from codex_worker.stabletts.vocos import Vocos
from codex_worker.training.loop import TrainingOutcome, fit
from codex_worker.training.machine import this_machine
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
from handlers.tts.stabletts.listener import Listener, listener_of
from handlers.tts.stabletts.progress import VoiceProgress

logger = logging.getLogger(__name__)

# Of a machine, for the preset full: read by the supervisor before it claims a job (supervisor/needs.py).
FULL_NEEDS = {"gpu_gb": 8, "memory_gb": 4, "disk_gb": 5, "model_gb": 0.2, "official_weights": True}


def run(job: JobContext, callbacks: JobCallbacks) -> Result:
    """The whole job."""
    return run_training(job, callbacks, train)


def train(job: JobContext, callbacks: JobCallbacks, project: Project | None = None) -> Trained:
    """Choose cells, fetch their recordings, train; the checkpoint lies in the job folder."""
    options = job.options.training
    wanted = frontend_request(options)
    project = project or project_of(job, callbacks)
    wanted = replace(wanted, project_languages=project.languages)
    if job.preset == "tiny":
        torch.set_num_threads(1)  # more gain little at this size, and stall each other on a busy machine
    cells = cells_to_train_on(job, project)
    source = _source(job, callbacks)
    listener = listener_of(job, callbacks)
    callbacks.heartbeat(0, f"Fetching {len(cells.chosen)} recordings", "download")
    fetched = fetch_recordings(project.reader, cells.chosen)
    recorded = spoken_texts(fetched.cells)
    choice = _frontend([one.text for one in recorded], wanted, source)
    with naming_unmatched(cells), kept_recordings(job, MelSettings().sample_rate) as once:
        check_up(
            job,
            callbacks,
            FetchedCells(fetched.cells, cells.skipped + fetched.skipped),
            align=listener.fit if listener else None,
            compare=listener.compare if listener else None,
            reader_cer=listener.held_out_cer if listener else None,
            lost_letters=lambda text: lost_letters(choice.frontend.encode(text)),
            needs=needs_of(choice.frontend, MelSettings()),
            decode=once.decode,
        )
        dataset = prepare(
            recorded,
            choice.frontend,
            job.folder / "features",
            cut=listener.cut if listener else None,
            workers=threads(),
            decode=once.decode,
            report=preparation_report(callbacks),
        )
    beginning = _begin(source, choice, job)
    recipe = plan(
        options,
        [one.frames for one in dataset.utterances],
        start=source.start,
        tiny=job.preset == "tiny",
        machine=this_machine(),
        judged_by=CHOICE if listener else None,
    )
    start = (
        f"training starts from {beginning.base}",
        *beginning.notes,
        *filter(None, [terms_of(source.licence)]),
    )
    unused = [f"{label}: {reason}" for label, reason in dataset.left_out]
    lost = report_losses(choice.frontend.encode(one.text) for one in recorded)
    for line in (dataset.report()[0], *start, *choice.reasons, *lost, *recipe.reasons):
        logger.info(line)
    skipped = (*cells.skipped, *fetched.skipped)
    publish_decisions(
        job, callbacks, dataset, skipped, text=choice.reasons, start=start, recipe=recipe.reasons
    )
    task, outcome = _fit(job, callbacks, beginning, dataset, recipe, choice, listener, source.licence)
    checkpoint = job.folder / "voice.safetensors"
    shutil.copyfile(outcome.checkpoint_path, checkpoint)
    return Trained(
        checkpoint,
        outcome.epochs_completed,
        {
            **outcome.checkpoint_metrics,
            "speech_minutes": dataset.speech_s / 60,
            "utterances": len(task.training),
        },
        [
            *project.notes,
            choice.reasons[0],
            *lost,
            outcome.message,
            chosen_by(outcome, listens=listener is not None),
        ],
        stopped_early=outcome.ended == "stopped",
        facts=facts_of_training(cells, fetched.skipped, unused),
        licence=source.licence,
    )


def frontend_request(options: SharedOptions) -> FrontendRequest:
    """What the job says about reading text. Raises UserError for a language without reading rules."""
    return FrontendRequest(
        name=options.frontend,
        language=(options.language or "english").lower(),
        use_uroman=options.use_uroman,
        uroman_language=options.uroman_lang,
    )


def vocoder_of(options: SharedOptions, callbacks: JobCallbacks, vocoder: str) -> Vocos | None:
    """Vocos with its official weights; None where the voice or the job is content with Griffin-Lim."""
    if "griffin_lim" in {vocoder, options.vocoder}:
        return None
    return read_vocos(callbacks.scanner.fetch_weights("vocos").path)


@dataclass(frozen=True)
class _Source:
    """What training starts from; no checkpoint means random weights."""

    start: Start
    checkpoint: VoiceCheckpoint | None = None
    base: str = "random weights"
    revision: str = ""
    licence: str | None = None


def _source(job: JobContext, callbacks: JobCallbacks) -> _Source:
    options = job.options.training
    if path := options.base_checkpoint:
        checkpoint = read_checkpoint(callbacks.scanner.fetch_checkpoint(path))
        licence = (checkpoint.voice.licence or None) if checkpoint.voice else None
        require_licence(options, licence, path)
        return _Source("checkpoint", checkpoint, path, licence=licence)
    if job.preset == "tiny" or options.from_scratch:
        return _Source("scratch", licence=OWN)
    weights = callbacks.scanner.fetch_weights("stabletts")
    return _Source(
        "official",
        read_checkpoint(weights.path),
        OFFICIAL_VOICE,
        f"{OFFICIAL_VOICE}@{weights.revision}",
        LICENCES[OFFICIAL_VOICE],
    )


def _frontend(texts: Sequence[str], request: FrontendRequest, source: _Source) -> FrontendChoice:
    if source.start != "checkpoint" or source.checkpoint is None:
        return choose_frontend(texts, request)
    if source.checkpoint.voice is None and request.name != "characters":
        return legacy_frontend(texts, request)
    voice = source.checkpoint.voice
    return choose_frontend(texts, request, base=voice.frontend if voice else None)


def _begin(source: _Source, choice: FrontendChoice, job: JobContext) -> Beginning:
    if source.checkpoint is None:
        return begin_from_scratch(choice.frontend, tiny=job.preset == "tiny")
    return begin_from(source.checkpoint, choice.frontend, base=source.base, official_revision=source.revision)


def _fit(
    job: JobContext,
    callbacks: JobCallbacks,
    beginning: Beginning,
    dataset: Dataset,
    recipe: VoiceRecipe,
    choice: FrontendChoice,
    listener: Listener | None,
    licence: str | None,
) -> tuple[VoiceTraining, TrainingOutcome]:
    voice = VoiceDescription(
        settings=beginning.network.settings,
        frontend=choice.frontend,
        vocoder="griffin_lim" if job.preset == "tiny" else "vocos",
        language=job.options.training.language or "",
        base=beginning.base,
        official_revision=beginning.official_revision,
        training_commit=job.commit,
        licence=licence or "",
    )
    task = VoiceTraining(
        beginning,
        dataset,
        recipe,
        voice,
        judge=listener.judge if listener else None,
        vocos=vocoder_of(job.options.training, callbacks, voice.vocoder),
    )
    folder = training_folder(job, callbacks)
    say(callbacks, 0, f"Training on {len(task.training)} recordings", "training")
    progress = VoiceProgress(job, callbacks, task, epoch_audio_s=dataset.seconds_of(task.training))
    outcome = fit(task, recipe.training, folder, progress)
    leave_if_preempted(job, callbacks, outcome)
    progress.speak_at_end(outcome)
    return task, outcome
