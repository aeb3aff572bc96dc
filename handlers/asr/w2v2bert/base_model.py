"""`model.base_model: auto`: the name that is meant, before anything depends on it."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from codex_worker.asr.base_choice import choose_base
from codex_worker.asr.corpus import TranscribedClip
from codex_worker.asr.start import FromWeights
from codex_worker.audio.decode import probe
from codex_worker.contract.options import AUTO_BASE_MODEL
from codex_worker.errors import DataError
from codex_worker.text.normalise import TextRecipe
from handlers.base import JobCallbacks, JobContext

logger = logging.getLogger(__name__)


def with_base_model(
    job: JobContext, callbacks: JobCallbacks, clips: Sequence[TranscribedClip], text_recipe: TextRecipe
) -> tuple[JobContext, tuple[str, ...]]:
    """The job with a base model's name instead of `auto`, and the reasons; as it is where it names one."""
    options = job.options.training
    if options.base_model != AUTO_BASE_MODEL or options.base_checkpoint or job.preset == "tiny":
        return job, ()

    def begin(base: str) -> FromWeights:
        weights = callbacks.scanner.fetch_weights(base.rpartition("/")[2])
        return FromWeights(weights.path, f"{base}@{weights.revision}")

    choice = choose_base(recorded_hours(clips), [text_recipe.apply(clip.text) for clip in clips], begin)
    for reason in choice.reasons:
        logger.info(reason)
    return replace(job, config=_with_base(job.config, choice.base)), choice.reasons


def recorded_hours(clips: Sequence[TranscribedClip]) -> float:
    """Hours of recordings as far as a glance at them tells: nothing is decoded yet."""
    return sum(map(_seconds, clips)) / 3600


def _seconds(clip: TranscribedClip) -> float:
    if clip.end_s is not None:
        return max(0.0, clip.end_s - (clip.start_s or 0.0))
    whole_s = clip.expected_duration_s
    if whole_s is None:
        try:
            whole_s = probe(clip.path).duration_s
        except DataError:
            return 0.0  # the check-up of the recordings says what is wrong with it
    return max(0.0, (whole_s or 0.0) - (clip.start_s or 0.0))


def _with_base(config: Mapping[str, Any], base: str) -> dict[str, Any]:
    model = config.get("model")
    return {**config, "model": {**(model if isinstance(model, Mapping) else {}), "base_model": base}}
