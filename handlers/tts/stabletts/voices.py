"""Whose voice speaks: the clip that the manifest names, or the same recording of the project each time."""

import logging
from dataclasses import dataclass, replace

from codex_worker.audio.decode import decode
from codex_worker.codex.attachments import resolve_voice_reference, selected_recording
from codex_worker.codex.choose import cells_for_training
from codex_worker.data.project import ChosenCell, Project
from codex_worker.data.recordings import RecordedCell, decoded, fetch_recordings
from codex_worker.errors import DataError
from codex_worker.stabletts.dataset import Samples
from codex_worker.stabletts.preparation import ready_samples
from codex_worker.stabletts.speak import SHORTEST_REFERENCE_S
from handlers.base import JobContext

logger = logging.getLogger(__name__)

IDEAL_S = 8.0  # long enough to tell a voice, short enough to be one breath of it
SHORTEST_DEFAULT_S = 3.0
TRIED = 20


@dataclass(frozen=True)
class VoiceReference:
    """A clip as the network hears it (None: the voice without one), and a sentence that says which it is."""

    samples: Samples | None
    said: str
    unusable: str = ""  # why the clip that the manifest names is not it


def find_reference(job: JobContext, project: Project, *, sample_rate: int) -> VoiceReference:
    """The reference for this job. A clip that cannot be used is said, and the default is taken.

    Raises UserError where `voice_reference` names no recording of a project at all.
    """
    path = resolve_voice_reference(job.options.inference.voice_reference)
    if path is None:
        return _default(job, project, sample_rate)
    fetched = project.reader.fetch_recordings([path])
    try:
        if path not in fetched.files:
            raise DataError(fetched.missing.get(path, "it is not in the project"))
        samples = ready_samples(decode(fetched.files[path], sample_rate=sample_rate))
        duration_s = samples.size / sample_rate
        if duration_s < SHORTEST_REFERENCE_S:
            raise DataError(f"it has {duration_s:.1f} s of speech; choose a clip of 3 to 15 s")
        return VoiceReference(samples, f"voice reference: {path} ({duration_s:.1f} s), as the manifest says")
    except DataError as error:  # any voice of the project is better than no speech
        project.note(f"voice_reference {path} cannot be used: {error}")
        return replace(_default(job, project, sample_rate), unusable=f"{path}: {error}")


def _default(job: JobContext, project: Project, sample_rate: int) -> VoiceReference:
    """The recording whose length is nearest to eight seconds, of those that the job trains on."""
    cells = project.choose(cells_for_training, job.options.training).chosen
    candidates = fetch_recordings(project.reader, _by_fitness(cells)[:TRIED]).cells
    longest: tuple[float, Samples, RecordedCell] | None = None
    for recorded, recording in decoded(candidates, sample_rate=sample_rate):
        try:
            if isinstance(recording, DataError):
                raise recording
            samples = ready_samples(recording)
        except DataError as error:  # the next one may do
            logger.info("%s is no voice reference: %s", recorded.label, error)
            continue
        duration_s = samples.size / sample_rate
        if longest is None or duration_s > longest[0]:
            longest = (duration_s, samples, recorded)
        if duration_s >= SHORTEST_DEFAULT_S:
            break
    if longest is None or longest[0] < SHORTEST_REFERENCE_S:
        return VoiceReference(
            None, "voice reference: none, because the project has no person's recording to take it from"
        )
    duration_s, samples, recorded = longest
    return VoiceReference(
        samples, f"voice reference: the recording of {recorded.label} ({duration_s:.1f} s), by default"
    )


def _by_fitness(cells: tuple[ChosenCell, ...]) -> list[ChosenCell]:
    def distance(chosen: ChosenCell) -> tuple[float, str]:
        duration_s = selected_recording(chosen.cell).attachment.duration_s
        return (abs(duration_s - IDEAL_S) if duration_s is not None else 1e6, chosen.key)

    return sorted(cells, key=distance)
