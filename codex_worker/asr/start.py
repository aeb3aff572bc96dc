"""What a transcriber's training starts from."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from transformers import PreTrainedModel

from codex_worker.asr.checkpoint import TranscriberCheckpoint
from codex_worker.asr.features import FeatureExtractor
from codex_worker.asr.networks.base_letters import listed_letters, read_base_letters
from codex_worker.asr.networks.build import (
    TINY_FRONTEND,
    build_model,
    config_fields,
    config_from,
    count_parameters,
    frontend_of,
    grow_head,
    has_adapters,
    read_pretrained,
    tiny_config,
)
from codex_worker.asr.trainable import Trainable, WholeNetwork
from codex_worker.asr.vocabulary import Vocabulary, build_vocabulary
from codex_worker.contract.licences import OWN, licence_of
from codex_worker.text.normalise import TextRecipe


class TrainingStart(Protocol):
    """The seam for more models: another base, or another way of fine-tuning, is another start."""

    @property
    def origin(self) -> str:
        """For people and for the checkpoint: where the weights come from."""

    @property
    def licence(self) -> str | None:
        """Of the published weights that it goes back to (`contract.licences`); None where nobody noted it."""

    @property
    def is_pretrained(self) -> bool:
        """Whether the network knows something already; decides the recipe."""

    @property
    def reads(self) -> bool:
        """Whether its head is trained as well: a transcriber, and not only a body."""

    @property
    def has_adapters(self) -> bool:
        """Whether the network has adapters in its layers, which are there to be trained alone."""

    @property
    def parameters(self) -> int:
        """How many the network has; 0 where a count would say nothing."""

    @property
    def frontend(self) -> FeatureExtractor:
        """What the network reads."""

    @property
    def text_recipe(self) -> TextRecipe | None:
        """How the texts that it learnt from were normalised, where it learnt from any."""

    @property
    def trainable(self) -> Trainable:
        """Which of its parameters train."""

    def vocabulary(self, texts: Sequence[str]) -> Vocabulary:
        """The letters that it will write."""

    def about_letters(self, vocabulary: Vocabulary) -> str:
        """Which of the letters it reads already, as a sentence; empty where it has learnt none."""

    def network(self, vocabulary: Vocabulary) -> PreTrainedModel:
        """The network as it is at the start, made anew at each call."""

    def listener(self) -> TranscriberCheckpoint | None:
        """A transcriber of the language that can listen already, for whoever may change it; or None."""


class FromCheckpoint:
    """A transcriber goes on learning; its vocabulary only grows.

    One of another project knows another language: nothing is taken from how its texts were written, and it
    does not judge whether recordings fit their texts.
    """

    is_pretrained = True
    reads = True
    trainable: Trainable = WholeNetwork()

    def __init__(
        self, checkpoint: TranscriberCheckpoint, origin: str, *, is_neighbours: bool = False
    ) -> None:
        self.checkpoint = checkpoint
        self.is_neighbours = is_neighbours
        self.origin = origin
        self.licence = licence_of(checkpoint.metadata)
        self.has_adapters = has_adapters(checkpoint.model.config)
        self.frontend = checkpoint.frontend
        self.text_recipe = None if is_neighbours else checkpoint.text_recipe

    @property
    def parameters(self) -> int:
        """How many the network has."""
        return int(self.checkpoint.model.num_parameters())

    def vocabulary(self, texts: Sequence[str]) -> Vocabulary:
        """Its own letters, and those that are new."""
        return self.checkpoint.vocabulary.extended(build_vocabulary(texts).letters)

    def about_letters(self, vocabulary: Vocabulary) -> str:
        """Which letters are new to it, as a sentence; empty where there are none."""
        new = vocabulary.letters - self.checkpoint.vocabulary.letters
        letters = "1 letter" if len(new) == 1 else f"{len(new)} letters"
        return f"New to the checkpoint: {letters}: {listed_letters(new)}" if new else ""

    def network(self, vocabulary: Vocabulary) -> PreTrainedModel:
        """A copy with a wider head."""
        model = copy.deepcopy(self.checkpoint.model)
        grow_head(model, vocabulary)
        return model

    def listener(self) -> TranscriberCheckpoint | None:
        """A copy: whoever listens takes the network to its own device and numbers."""
        if self.is_neighbours:
            return None
        return replace(self.checkpoint, model=copy.deepcopy(self.checkpoint.model))


class FromWeights:
    """Official weights in a folder, with a head for the project's letters; those that it knows it keeps.

    Whether it reads shows with the texts: it does where it knows at least half of their letters.
    """

    is_pretrained = True
    reads = False
    text_recipe = None
    trainable: Trainable = WholeNetwork()

    def __init__(self, folder: Path, origin: str, licence: str | None = None) -> None:
        self.folder = folder
        self.origin = origin
        self.licence = licence
        fields = config_fields(folder)
        self._config = config_from(fields)
        self.has_adapters = has_adapters(self._config)
        self.letters = read_base_letters(folder, fields)
        self.frontend = frontend_of(self._config)

    @property
    def parameters(self) -> int:
        """How many the network has."""
        return count_parameters(self._config)

    def vocabulary(self, texts: Sequence[str]) -> Vocabulary:
        """The letters of the texts."""
        vocabulary = build_vocabulary(texts)
        self.reads = 2 * len(self.letters.rows_for(vocabulary.letters)) >= len(vocabulary.letters)
        return vocabulary

    def about_letters(self, vocabulary: Vocabulary) -> str:
        """Which of the letters it reads already, as a sentence; empty where it has learnt no letters."""
        return self.letters.described(vocabulary.letters)

    def network(self, vocabulary: Vocabulary) -> PreTrainedModel:
        """Read from the folder."""
        return read_pretrained(self.folder, vocabulary)

    def listener(self) -> TranscriberCheckpoint | None:
        """It knows no letters yet."""
        return None


class FromNothing:
    """The tiny network with random weights."""

    is_pretrained = False
    reads = False
    has_adapters = False
    parameters = 0
    origin = "random weights"
    licence = OWN
    text_recipe = None
    trainable: Trainable = WholeNetwork()

    def __init__(self) -> None:
        self.frontend = TINY_FRONTEND

    def vocabulary(self, texts: Sequence[str]) -> Vocabulary:
        """The letters of the texts."""
        return build_vocabulary(texts)

    def about_letters(self, vocabulary: Vocabulary) -> str:
        """It reads nothing yet."""
        return ""

    def network(self, vocabulary: Vocabulary) -> PreTrainedModel:
        """Random weights."""
        return build_model(tiny_config(vocabulary))

    def listener(self) -> TranscriberCheckpoint | None:
        """It knows nothing yet."""
        return None
