"""What a training of a transcriber needs, and what it made."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from transformers import PreTrainedModel

from codex_worker.asr.corpus import Sounds, Split
from codex_worker.asr.corrector import CorrectorReport
from codex_worker.asr.held_out_rate import HeldOutRate
from codex_worker.asr.recipe_settings import TranscriberRecipe
from codex_worker.asr.trainable import Trainable, WholeNetwork
from codex_worker.asr.vocabulary import Vocabulary
from codex_worker.text.spacing import has_words
from codex_worker.training.task import TrainingOutcome


@dataclass(frozen=True)
class TrainedModel:
    """What a run made."""

    checkpoint: Path
    outcome: TrainingOutcome
    metrics: Mapping[str, float]
    notes: tuple[str, ...]
    held_out_recordings: int  # that its error rates were measured on
    corrector: CorrectorReport | None = None
    no_corrector: str = ""  # why there is none although one was asked for

    @property
    def held_out(self) -> HeldOutRate:
        """How well it reads what it was not trained on."""
        return HeldOutRate.of(self.metrics, self.held_out_recordings)


@dataclass(frozen=True)
class TrainingPlan:
    """Everything that a run needs besides a folder and somebody who watches."""

    make_model: Callable[[], PreTrainedModel]  # a fresh network each time; a restart needs another one
    vocabulary: Vocabulary
    sounds: Sounds
    data: Split
    recipe: TranscriberRecipe
    trainable: Trainable = field(default_factory=WholeNetwork)
    metadata: Mapping[str, str] = field(default_factory=dict)  # what the checkpoint shall say about itself
    with_corrector: bool = False
    project_texts: Sequence[str] = ()  # all of the project, normalised; also those that nobody has recorded
    readers: int = 2  # recordings read at a time while the network trains

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """The texts of all recordings that are learnt from or read meanwhile."""
        return tuple(example.text for example in dict.fromkeys((*self.data.train, *self.data.validation)))

    @cached_property
    def has_words(self) -> bool:
        """Whether spaces part the words of the texts, so that word errors can be counted."""
        return has_words(self.texts)

    @property
    def texts_apart(self) -> list[str]:
        """What the language may be learnt from: no text of a recording that tells how well it is read."""
        held_out = {example.text for example in (*self.data.validation, *self.data.test)}
        known = self.project_texts or self.data.people_texts
        return [text for text in known if text and text not in held_out]
