"""Speak the cells that have text and no recording, with a VITS voice of the project or a published one."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from codex_worker.data.project import ChosenCell, Project
from codex_worker.training.machine import this_machine
from codex_worker.vits.checkpoint import VitsCheckpoint, read_checkpoint, read_mms_voice
from codex_worker.vits.speak import VitsSpeaker
from handlers.base import Inferred, JobCallbacks, JobContext, Result, run_inference
from handlers.tts.stabletts.inference import ReadyVoice
from handlers.tts.stabletts.inference import infer as speak_cells

# Of a machine, for the preset full: read by the supervisor before it claims a job (supervisor/needs.py).
FULL_NEEDS = {"gpu_gb": 3}

PUBLISHED = "mms-tts-"


def run(job: JobContext, callbacks: JobCallbacks) -> Result:
    """The whole job."""
    code = job.options.inference.mms_voice
    published = None if code is None else partial(fetch_published, callbacks, code)
    return run_inference(job, callbacks, infer, published=published)


def infer(
    job: JobContext, callbacks: JobCallbacks, checkpoint: Path, project: Project | None = None
) -> Inferred:
    """Speak the chosen cells with the voice in a file or folder."""
    return speak_cells(job, callbacks, checkpoint, project, voice_of=vits_voice)


def fetch_published(callbacks: JobCallbacks, code: str) -> Path:
    """The folder of the MMS voice with this code. Raises UserError where the operator keeps none."""
    return callbacks.scanner.fetch_weights(f"{PUBLISHED}{code}").path


def vits_voice(
    job: JobContext,
    callbacks: JobCallbacks,
    checkpoint: Path,
    project: Project,
    cells: Sequence[ChosenCell],
) -> ReadyVoice:
    """A VITS voice. It has one speaker, so a reference has no effect."""
    loaded = read_voice(checkpoint)
    unusable = ""
    if job.options.inference.voice_reference:
        unusable = "a VITS voice has the one speaker that it learnt from"
    speaker = VitsSpeaker(loaded.network(), loaded.voice, device=this_machine().device)
    return ReadyVoice("VITS", speaker.speak, loaded.voice.licence or None, unusable)


def read_voice(checkpoint: Path) -> VitsCheckpoint:
    """A voice of the project (a file), or a published one (a folder)."""
    if checkpoint.is_dir():
        return read_mms_voice(checkpoint, "local")
    return read_checkpoint(checkpoint)
