"""Speak the cells that have text and no recording."""

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from codex_worker.codex.attachments import NewRecording, new_attachment_id
from codex_worker.codex.choose import cells_to_speak
from codex_worker.codex.patch import RecordingPatch
from codex_worker.codex.provenance import made_by_worker
from codex_worker.data.project import ChosenCell, Project
from codex_worker.errors import DataError
from codex_worker.job.publication import Publication, WaitingResults
from codex_worker.job.summary import Fact, What
from codex_worker.stabletts.checkpoint import Vocoder, VoiceCheckpoint, VoiceDescription, read_checkpoint
from codex_worker.stabletts.frontend.choose import FrontendRequest, legacy_frontend
from codex_worker.stabletts.speak import Speaker, SpeakingSettings, SpokenFile, write_files
from codex_worker.stabletts.verses import Failed, Spoken, Verse
from codex_worker.training.machine import this_machine
from handlers.base import CellResult, Inferred, JobCallbacks, JobContext, Result, run_inference
from handlers.steps import project_of, publish_report, require_licence, say, threads
from handlers.told import counted, facts_of_choice, naming_unmatched
from handlers.tts.stabletts.training import frontend_request, vocoder_of
from handlers.tts.stabletts.voices import find_reference

logger = logging.getLogger(__name__)

# Of a machine, for the preset full: read by the supervisor before it claims a job (supervisor/needs.py).
FULL_NEEDS = {"gpu_gb": 5}

FRAMES_PER_BATCH_ON_A_PROCESSOR = 2_000
REPORT_EVERY = 20


def run(job: JobContext, callbacks: JobCallbacks) -> Result:
    """The whole job."""
    return run_inference(job, callbacks, infer)


def infer(
    job: JobContext,
    callbacks: JobCallbacks,
    checkpoint: Path,
    project: Project | None = None,
    *,
    voice_of: "VoiceOf | None" = None,
) -> Inferred:
    """Choose cells, speak them, and publish the recordings as they come.

    `voice_of` makes a voice of the checkpoint; without it, it is one of StableTTS.
    """
    options = job.options.inference
    if voice_of is None:
        frontend_request(options)  # a language without reading rules is refused before anything is read
    project = project or project_of(job, callbacks)
    where = this_machine()
    others = {} if where.memory_bytes else {"batch_frames": FRAMES_PER_BATCH_ON_A_PROCESSOR}
    settings = SpeakingSettings.of(options, **others)
    cells = project.choose(cells_to_speak, options)
    facts = facts_of_choice(cells, What.ALL_RECORDED)
    if not cells.chosen:
        project.note("There was nothing to speak.", logging.INFO)
        return Inferred(0, notes=project.notes, asked=0, facts=facts)
    voice = (voice_of or stabletts_voice)(job, callbacks, checkpoint, project, cells.chosen)
    require_licence(options, voice.licence, checkpoint.name)
    work = _Work(job, callbacks, cells.chosen, settings.audio_format, project, voice.model)
    verses = [Verse(one.key, one.label, one.cell.text) for one in cells.chosen]
    say(callbacks, None, f"Speaking {len(verses)} verses", "inference")
    publication = Publication(
        callbacks.scanner.publish_cells,
        [one.chapter for one in cells.chosen],
        journal=WaitingResults(job.folder),
        on_answer=work.forget,
    )
    with publication:
        spoken = voice.speak(verses, settings, callbacks.should_stop)
        for answer in write_files(spoken, work.path_of, settings.audio_format, workers=threads()):
            chosen = work.cells[answer.verse.id]
            publication.add(chosen.chapter, work.take(answer))
    stopped = callbacks.should_stop()
    work.publish_report()
    with naming_unmatched(cells):
        if work.failed and not publication.applied and not publication.dropped and not stopped:
            raise DataError(
                f"None of the {len(verses)} verses could be spoken. The first one: "
                f"{next(iter(work.failed.values()))}"
            )
    skipped = {result.patch.cell_id: why for result, why in publication.dropped}
    facts += work.facts(skipped, voice.unusable_reference)
    return Inferred(
        len(publication.applied),
        work.failed,
        skipped,
        {},
        list(project.notes),
        stopped,
        len(verses),
        facts,
        voice.licence,
    )


@dataclass(frozen=True)
class ReadyVoice:
    """What speaks in a job: the model's name, for the recordings' history, and what speaks verses."""

    model: str
    speak: Callable[[Sequence[Verse], SpeakingSettings, Callable[[], bool]], Iterator[Spoken | Failed]]
    licence: str | None = None  # of the weights that it goes back to
    unusable_reference: str = ""  # why the clip that the manifest names is not the voice's reference


VoiceOf = Callable[[JobContext, JobCallbacks, Path, Project, Sequence[ChosenCell]], ReadyVoice]
"""(job, callbacks, checkpoint, project, cells to speak) to a voice."""


def stabletts_voice(
    job: JobContext,
    callbacks: JobCallbacks,
    checkpoint: Path,
    project: Project,
    cells: Sequence[ChosenCell],
) -> ReadyVoice:
    """A voice of StableTTS, with the reference that the manifest names or the usual one."""
    options, where = job.options.inference, this_machine()
    loaded = read_checkpoint(checkpoint)
    voice = description_of(job, frontend_request(options), loaded, cells, project)
    speaker = Speaker(
        loaded.network(),
        voice,
        vocoder_of(options, callbacks, voice.vocoder),
        device=where.device,
        precision=where.precision,
    )
    reference = find_reference(job, project, sample_rate=voice.mel.sample_rate)
    project.note(reference.said, logging.INFO)
    heard = speaker.listen(reference.samples)
    return ReadyVoice(
        "StableTTS",
        lambda verses, settings, should_stop: speaker.speak(verses, heard, settings, should_stop),
        (loaded.voice.licence or None) if loaded.voice else None,
        reference.unusable,
    )


class _Work:
    """Spoken verses on their way into the project."""

    def __init__(
        self,
        job: JobContext,
        callbacks: JobCallbacks,
        chosen: Sequence[ChosenCell],
        audio_format: str,
        project: Project,
        model: str,
    ) -> None:
        self.job = job
        self.callbacks = callbacks
        self.cells = {one.key: one for one in chosen}
        self.audio_format = audio_format
        self.project = project
        self.model = model
        self.folder = job.folder / "speech"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.failed: dict[str, str] = {}
        self.remarks: dict[str, list[str]] = {}
        self.done = 0

    def path_of(self, verse: Verse) -> Path:
        """A new file for a verse; its name is the id of the recording."""
        return self.folder / f"{new_attachment_id(time.time_ns() // 1_000_000)}.{self.audio_format}"

    def take(self, answer: SpokenFile | Failed) -> CellResult | None:
        """The result of one verse, None where it failed."""
        self.done += 1
        if self.done % REPORT_EVERY == 0 or self.done == len(self.cells):
            say(self.callbacks, None, f"Spoke {self.done} of {len(self.cells)} verses", "inference")
        chosen = self.cells[answer.verse.id]
        if isinstance(answer, Failed):
            logger.warning("%s: %s", chosen.label, answer.reason)
            self.failed[chosen.cell.id] = f"{chosen.label}: {answer.reason}"
            return None
        self.callbacks.computed(answer.encoded.duration_s)
        if answer.notes:
            self.remarks[chosen.label] = list(answer.notes)
        encoded = answer.encoded
        recording = NewRecording(
            attachment_id=encoded.path.stem,
            document=chosen.notebook.document,
            extension=self.audio_format,
            created_by=made_by_worker(self.model),
            mime_type=encoded.mime_type,
            size_bytes=encoded.size_bytes,
            sample_rate=encoded.sample_rate,
            channels=encoded.channels,
            duration_s=encoded.duration_s,
            bitrate_kbps=encoded.bitrate_kbps,
        )
        patch = RecordingPatch(chosen.cell.id, chosen.cell.state, recording)
        return CellResult(chosen.notebook.path, patch, encoded.path)

    def forget(self, results: Sequence[CellResult], answer: object) -> None:
        """Remove files that are in the project now, or will never be: a job may speak for hours."""
        for result in results:
            if result.recording is not None:
                result.recording.unlink(missing_ok=True)

    def facts(self, skipped: Mapping[str, str], unusable_reference: str) -> list[Fact]:
        """Why verses were not recorded, or not as they were asked for."""
        remarks = (f"{label}: {notes[0]}" for label, notes in self.remarks.items())
        return [
            *counted(What.NOT_SPOKEN, self.failed.values()),
            *counted(What.LEFT_ALONE, (f"{cell}: {why}" for cell, why in skipped.items())),
            *counted(What.NO_VOICE_REFERENCE, [unusable_reference] if unusable_reference else []),
            *counted(What.LETTERS_NOT_SPOKEN, remarks),
        ]

    def publish_report(self) -> None:
        """Which verses failed, and what could not be said of the others."""
        if not self.failed and not self.remarks:
            return
        if self.remarks:
            self.project.note(
                f"{len(self.remarks)} verses have letters or signs that this voice does not speak; "
                "report/speech lists them"
            )
        content = {"failed": list(self.failed.values()), "not_spoken": self.remarks}
        text = json.dumps(content, ensure_ascii=False, indent=1)
        publish_report(self.job, self.callbacks, "speech.json", text)


def description_of(
    job: JobContext,
    request: FrontendRequest,
    loaded: VoiceCheckpoint,
    cells: Sequence[ChosenCell],
    project: Project,
) -> VoiceDescription:
    """The voice of a checkpoint; one that says nothing about itself reads `cells` as older jobs did."""
    if loaded.voice is None:
        choice = legacy_frontend([one.cell.text for one in cells], request)
        project.note(choice.reasons[0], logging.INFO)
        vocoder: Vocoder = "griffin_lim" if job.preset == "tiny" else "vocos"
        return VoiceDescription(loaded.settings, choice.frontend, vocoder=vocoder)
    if request.name not in {"auto", loaded.voice.frontend.name}:
        project.note(
            f"model.frontend: {request.name} is not used: the voice was trained with "
            f"{loaded.voice.frontend.name}, and reads text only so"
        )
    return loaded.voice
