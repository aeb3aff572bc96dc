"""Training of a voice: what the shared loop asks of it."""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from codex_worker.stabletts.alignment import check_alignable
from codex_worker.stabletts.checkpoint import (
    VoiceCheckpoint,
    VoiceDescription,
    grow_alphabet,
    read_checkpoint,
    write_checkpoint,
)
from codex_worker.stabletts.configuration import FULL, TINY, ModelSettings
from codex_worker.stabletts.dataset import Batch, Dataset, EncodedUtterance, Samples, split
from codex_worker.stabletts.frontend.encoding import TextFrontend
from codex_worker.stabletts.network import StableTTS
from codex_worker.stabletts.new_letters import describe, start_from
from codex_worker.stabletts.recipe import VoiceRecipe
from codex_worker.stabletts.shapes import BatchShapes
from codex_worker.stabletts.speak import Failed, Speaker, SpeakingSettings, Spoken, Verse
from codex_worker.stabletts.symbols import official_symbols
from codex_worker.stabletts.vocos import Vocos
from codex_worker.training.graphs import MOST_SHAPES
from codex_worker.training.memory import BatchPart, in_halves
from codex_worker.training.parameters import groups_by_decay

logger = logging.getLogger(__name__)

METRICS = (
    "epoch",
    "train_total_loss",
    "train_diff_loss",
    "train_dur_loss",
    "train_prior_loss",
    "val_total_loss",
    "val_diff_loss",
    "val_dur_loss",
    "val_prior_loss",
)
"""Columns of `training_metrics.csv`, as the plugin plots them."""
FIXED_VERSES = 5
CHOICE = "val_choice"
"""Metric behind the best checkpoint when a judge listens: its error rate; losses only break ties."""
_VALIDATED = ("flow", "duration", "prior")
_NAMES = {"total": "total", "diff": "flow", "dur": "duration", "prior": "prior"}

Judge = Callable[[Sequence[Samples], int, Sequence[str]], float]
"""(samples of each verse, sample rate, texts) to a character error rate, 0 for perfect."""


@dataclass(frozen=True)
class Beginning:
    """Weights to start from, fitted to the frontend, and how a report calls them."""

    network: StableTTS
    base: str
    official_revision: str
    notes: tuple[str, ...] = ()


def begin_from(
    checkpoint: VoiceCheckpoint, frontend: TextFrontend, *, base: str, official_revision: str = ""
) -> Beginning:
    """Start from a checkpoint: a project's voice, or a state dict of the official alphabet.

    Symbols that the checkpoint knows keep their vectors; the others start from those that sound like them.
    """
    old = checkpoint.voice.frontend.symbols if checkpoint.voice else official_symbols()
    notes: list[str] = []
    if frontend.symbols != old:
        checkpoint = grow_alphabet(checkpoint, old, frontend.symbols)
        notes = describe(start_from(frontend.symbols, old))
    root = checkpoint.voice.official_revision if checkpoint.voice else official_revision
    return Beginning(checkpoint.network(), base, root, tuple(notes))


def begin_from_scratch(frontend: TextFrontend, *, tiny: bool = False, seed: int = 0) -> Beginning:
    """Start from random weights."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        settings: ModelSettings = replace(TINY if tiny else FULL, n_vocab=len(frontend.symbols))
        return Beginning(StableTTS(settings), "random weights", "")


class VoiceTraining:
    """The task that `codex_worker.training.loop.fit` works on.

    `judge` decides about checkpoints by ear: five fixed verses are spoken at each validation and handed to
    it. `vocos` is the vocoder for that, None for Griffin-Lim.
    """

    def __init__(
        self,
        beginning: Beginning,
        dataset: Dataset,
        recipe: VoiceRecipe,
        voice: VoiceDescription,
        *,
        judge: Judge | None = None,
        vocos: Vocos | None = None,
    ) -> None:
        self.model = beginning.network
        self.dataset = dataset
        self.recipe = recipe
        self.voice = voice
        self.judge = judge
        self.vocos = vocos
        self.training, self.validation = split(dataset.utterances, recipe.validated)
        self._shapes = BatchShapes(
            [(each.frames, len(each.ids)) for each in self.training],
            recipe.batch_items,
            recipe.batch_frames,
            most=MOST_SHAPES,
        )

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.model.fake_speaker.device

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """All parameters, in two groups."""
        return groups_by_decay(self.model)

    def batches(self, epoch: int) -> list[list[int]]:
        """Utterances of like length together, mixed anew in each epoch."""
        return self.recipe.batches([each.frames for each in self.training], epoch)

    @property
    def repeats(self) -> bool:
        """Whether batches are padded to a few shapes, because the work for each is recorded: on a GPU."""
        return self.device.type == "cuda"

    def load(self, batch: Sequence[int], generator: torch.Generator | None) -> Batch:
        """Read a batch; the generator decides which part of each utterance its voice is heard from.

        Raises DataError where a recording is shorter than its text needs.
        """
        utterances = [self.training[index] for index in batch]
        frames = [each.frames for each in utterances]
        check_alignable([len(each.ids) for each in utterances], frames)
        shape = self._shapes.holding(max(frames)) if self.repeats else None
        if shape is not None and isinstance(batch, BatchPart):
            shape = replace(shape, rows=math.ceil(shape.rows / batch.parts))
        return self.dataset.collate(utterances, generator, shape, pinned=self.device.type == "cuda")

    def losses_of(self, batch: Batch) -> dict[str, Tensor]:
        """Losses of a batch that was loaded, under the chart's names."""
        found = self._losses(batch, None)
        return {name: found[own] for name, own in _NAMES.items()}

    def losses(self, batch: Sequence[int]) -> dict[str, Tensor]:
        """Load a batch, and give its losses under the chart's names."""
        return self.losses_of(self.load(batch, None))

    def validate(self) -> dict[str, float]:
        """Losses over the held-out utterances, with the same noise, times and references each time."""
        if not self.validation:
            return {}
        sums = dict.fromkeys(_VALIDATED, 0.0)
        weights = dict.fromkeys(sums, 0)
        batches = self.recipe.batches([each.frames for each in self.validation])
        for number, batch in enumerate(batches):
            for name, value, weight in in_halves(batch, partial(self._validated, number)):
                sums[name] += value * weight
                weights[name] += weight
        means = {name: sums[name] / weights[name] for name in sums}
        metrics = {f"val_{name}_loss": means[own] for name, own in _NAMES.items() if own in means}
        metrics["val_total_loss"] = sum(means.values())
        if self.judge is not None:
            metrics["val_cer"] = self._judge(self.judge)
            metrics[CHOICE] = metrics["val_cer"] + 1e-4 * metrics["val_total_loss"]
        return metrics

    def _validated(self, number: int, batch: Sequence[int]) -> list[tuple[str, float, int]]:
        """Each loss of some validation utterances: name, value, and how many frames or symbols it is of."""
        chosen = [self.validation[index] for index in batch]
        frames, ids = sum(each.frames for each in chosen), sum(len(each.ids) for each in chosen)
        generator = torch.Generator().manual_seed(number)
        found = self._losses(self.dataset.collate(chosen, generator), generator)
        return [(name, float(found[name]), ids if name == "duration" else frames) for name in _VALIDATED]

    def save(self, path: Path, metadata: dict[str, str]) -> None:
        """Write the voice as it is now, with the sound of one of its recordings to speak in."""
        write_checkpoint(path, self.model, replace(self.voice, speaker=self._speaker()), metadata)

    def fixed_verses(self) -> list[Verse]:
        """The verses that are spoken at each best checkpoint; trained ones where none are held out."""
        spoken = self.validation or self.training
        return [Verse(each.id, each.label, each.text) for each in spoken[:FIXED_VERSES]]

    def speak_samples(self, checkpoint: Path) -> list[Spoken | Failed]:
        """The fixed verses by the voice in a file: the network in training holds other weights."""
        network = read_checkpoint(checkpoint).network()
        speaker = Speaker(network, self.voice, self.vocos, device=str(self.device))
        return speak_samples(speaker, self.dataset, self.reference(), self.fixed_verses())

    def reference(self) -> EncodedUtterance:
        """The utterance whose voice the samples have: of middle length, the same whatever the order."""
        return middle_utterance(self.training)

    @torch.no_grad()
    def _speaker(self) -> tuple[float, ...]:
        mel = self.dataset.mel_of(self.reference())[None].to(self.device)
        was_training = self.model.training
        heard = self.model.eval().speaker(mel, torch.tensor([mel.shape[2]]))[0]
        self.model.train(was_training)
        return tuple(heard.float().tolist())

    def _losses(self, batch: Batch, generator: torch.Generator | None) -> dict[str, Tensor]:
        batch = batch.to(self.device)
        return self.model.losses(
            batch.ids,
            batch.id_lengths,
            batch.mel,
            batch.mel_lengths,
            batch.reference,
            batch.reference_lengths,
            generator,
        )

    def _judge(self, judge: Judge) -> float:
        speaker = Speaker(self.model, self.voice, self.vocos, device=str(self.device))
        return misheard(judge, speak_samples(speaker, self.dataset, self.reference(), self.fixed_verses()))


def misheard(judge: Judge, spoken: Sequence[Spoken | Failed]) -> float:
    """The character error rate of what a judge understands; a verse that was not spoken counts as 1."""
    heard = sorted((one for one in spoken if isinstance(one, Spoken)), key=lambda one: one.verse.id)
    if not heard:
        return 1.0
    texts = [one.verse.text for one in heard]
    rate = judge([one.samples for one in heard], heard[0].sample_rate, texts)
    silent = len(spoken) - len(heard)
    return (rate * len(heard) + silent) / len(spoken)


def speak_samples(
    speaker: Speaker, dataset: Dataset, reference: EncodedUtterance, verses: Sequence[Verse]
) -> list[Spoken | Failed]:
    """Speak verses in the voice of one of the dataset's utterances."""
    mel = dataset.mel_of(reference)[None]
    with torch.no_grad():
        voice = speaker.network.speaker(mel.to(speaker.device), torch.tensor([mel.shape[2]]))
    return list(speaker.speak(verses, voice, SpeakingSettings()))


def middle_utterance(utterances: Sequence[EncodedUtterance]) -> EncodedUtterance:
    """The utterance of middle length."""
    ordered = sorted(utterances, key=lambda each: (each.frames, each.id))
    return ordered[len(ordered) // 2]
