"""What is known of a manifest's key beside its value: its place, what it is for, and what is said of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from codex_worker.contract.values import Values


class Work(StrEnum):
    """What a job can do; `training_and_inference` does two of them."""

    TRAIN_TRANSCRIBER = "training a transcriber"
    TRANSCRIBE = "transcribing"
    TRAIN_VOICE = "training a voice"
    SPEAK = "speaking with a voice"


TRAIN = frozenset({Work.TRAIN_TRANSCRIBER, Work.TRAIN_VOICE})
USE = frozenset({Work.TRANSCRIBE, Work.SPEAK})
ALL = frozenset(Work)
TRANSCRIBER_TRAINING = frozenset({Work.TRAIN_TRANSCRIBER})
TRANSCRIBING = frozenset({Work.TRANSCRIBE})
VOICE_TRAINING = frozenset({Work.TRAIN_VOICE})
SPEAKING = frozenset({Work.SPEAK})
VOICES = VOICE_TRAINING | SPEAKING
NOTHING: frozenset[Work] = frozenset()

_MODELS = {
    ("asr", "w2v2bert"): {"training": Work.TRAIN_TRANSCRIBER, "inference": Work.TRANSCRIBE},
    ("tts", "stabletts"): {"training": Work.TRAIN_VOICE, "inference": Work.SPEAK},
    ("tts", "vits"): {"training": Work.TRAIN_VOICE, "inference": Work.SPEAK},
}


def work_of(job_type: str, mode: str, model_type: str) -> frozenset[Work] | None:
    """What a job does; None where its model is a plug-in that this package knows nothing of."""
    halves = _MODELS.get((job_type, model_type))
    if halves is None:
        return None
    return frozenset(halves[half] for half in mode.split("_and_") if half in halves)


@dataclass(frozen=True)
class Key:
    """A key of a manifest's entry. Stands in the annotation of the field that holds its value."""

    place: str  # dotted, as it stands in the entry: "inference.cfg_scale"
    values: Values
    says: str  # its line in docs/manifest.md
    default: str  # what holds without it, for people
    used_in: frozenset[Work]
    also_at: str = ""  # a second place; the first one counts where both are given
    no_effect: str = ""  # why nothing reads it: a key of older manifests

    @property
    def places(self) -> tuple[str, ...]:
        """Where the key may stand, the first one counts."""
        return (self.place, self.also_at) if self.also_at else (self.place,)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Lets a model that is made in code read its values as a manifest's."""
        return core_schema.no_info_before_validator_function(self.values.read, handler(source))


def keys_of(model: type[BaseModel]) -> Iterator[tuple[str, Key]]:
    """The fields of a model that are keys of a manifest, in the order in which they stand."""
    for name, field in model.model_fields.items():
        for note in field.metadata:
            if isinstance(note, Key):
                yield name, note
