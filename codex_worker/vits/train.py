"""Training of a VITS voice: what the shared loop asks of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import VitsModel

from codex_worker.stabletts.configuration import MelSettings
from codex_worker.stabletts.dataset import Dataset, EncodedUtterance, split
from codex_worker.stabletts.padding import Padding
from codex_worker.stabletts.recipe import VoiceRecipe
from codex_worker.stabletts.speak import SpeakingSettings
from codex_worker.stabletts.train import CHOICE, FIXED_VERSES, Judge, misheard
from codex_worker.stabletts.verses import Failed, Spoken, Verse
from codex_worker.training.memory import in_halves
from codex_worker.training.parameters import groups_by_decay
from codex_worker.vits.checkpoint import VitsDescription, read_checkpoint, write_checkpoint
from codex_worker.vits.configuration import frame_samples
from codex_worker.vits.discriminators import Discriminators, feature_distance, fooling, telling_apart
from codex_worker.vits.learning import VitsBatch, listen_and_speak, speak_again
from codex_worker.vits.speak import VitsSpeaker
from codex_worker.vits.spectrogram import Spectrograms

# The weights of the losses: finetune-hf-vits, training_config_examples/finetune_mms.json; VITS has 45 for the
# mel spectrogram and 1 for all others (Kim et al. 2021, section 3.2, and its published code).
MEL, DIVERGENCE, FOOLING, FEATURES, TELLING_APART, DURATION = 35.0, 1.5, 1.0, 1.0, 3.0, 1.0
_SMALL_PARAMETERS = 5_000_000  # a network below it plays against small judges
VITS_METRICS = (
    "epoch",
    *(f"train_{name}_loss" for name in ("total", "mel", "kl", "dur", "gen", "feat", "opponent")),
    *(f"val_{name}_loss" for name in ("total", "mel", "kl", "dur")),
)
"""Columns of `training_metrics.csv`."""


def framed_samples(settings: MelSettings) -> MelSettings:
    """How a `Dataset` keeps sound itself: a row for each frame, of its samples."""
    return MelSettings(settings.sample_rate, settings.n_fft, settings.hop_length, n_mels=settings.hop_length)


def into_frames(samples: Tensor, hop_length: int) -> Tensor:
    """Samples [1, N] as [1, hop_length, N // hop_length]."""
    count = samples.shape[1] // hop_length
    return samples[:, : count * hop_length].reshape(1, count, hop_length).transpose(1, 2)


class VitsTraining:
    """The task that `codex_worker.training.loop.fit` works on: a voice, and judges as its opponent.

    `dataset` keeps sound (`framed_samples`). A judge listens as it does to a voice of StableTTS.
    """

    def __init__(
        self,
        network: VitsModel,
        dataset: Dataset,
        recipe: VoiceRecipe,
        voice: VitsDescription,
        *,
        judge: Judge | None = None,
    ) -> None:
        self.model = network
        self.dataset = dataset
        self.recipe = recipe
        self.voice = voice
        self.judge = judge
        self.spectrograms = Spectrograms(network.config)
        with torch.random.fork_rng([]):
            torch.manual_seed(recipe.training.seed)
            self.opponent = _Judges(self, Discriminators(tiny=network.num_parameters() < _SMALL_PARAMETERS))
        self.training, self.validation = split(dataset.utterances, recipe.validated)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.model.device

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """All parameters, in two groups."""
        return groups_by_decay(self.model)

    def batches(self, epoch: int) -> list[list[int]]:
        """Utterances of like length together, mixed anew in each epoch."""
        return self.recipe.batches([each.frames for each in self.training], epoch)

    def losses(self, batch: Sequence[int]) -> dict[str, Tensor]:
        """Losses of the speaking network on one batch, under the chart's names."""
        self.opponent.model.requires_grad_(False)  # they only pass gradients on now
        passed = listen_and_speak(self.model, self.collate([self.training[index] for index in batch]))
        real, made = self.opponent.model(passed.real), self.opponent.model(passed.made)
        mel = self._mel_distance(passed.made, passed.real)
        fooled, features = fooling(made), feature_distance(real, made)
        total = MEL * mel + DIVERGENCE * passed.divergence + DURATION * passed.duration
        total = total + FOOLING * fooled + FEATURES * features
        return {
            "total": total,
            "mel": mel,
            "kl": passed.divergence,
            "dur": passed.duration,
            "gen": fooled,
            "feat": features,
        }

    def validate(self) -> dict[str, float]:
        """Losses over the held-out utterances; what judges say is no measure, because they change."""
        if not self.validation:
            return {}
        sums = dict.fromkeys(("mel", "kl", "dur"), 0.0)
        batches = self.recipe.batches([each.frames for each in self.validation])

        def losses(part: Sequence[int]) -> list[tuple[str, float]]:
            passed = listen_and_speak(self.model, self.collate([self.validation[index] for index in part]))
            found = (self._mel_distance(passed.made, passed.real), passed.divergence, passed.duration)
            return [(name, float(value) * len(part)) for name, value in zip(sums, found, strict=True)]

        for batch in batches:
            for name, value in in_halves(batch, losses):
                sums[name] += value
        metrics = {f"val_{name}_loss": value / len(self.validation) for name, value in sums.items()}
        metrics["val_total_loss"] = (
            MEL * metrics["val_mel_loss"]
            + DIVERGENCE * metrics["val_kl_loss"]
            + DURATION * metrics["val_dur_loss"]
        )
        if self.judge is not None:
            spoken = self._speak(VitsSpeaker(self.model, self.voice, device=str(self.device)))
            metrics["val_cer"] = misheard(self.judge, spoken)
            metrics[CHOICE] = metrics["val_cer"] + 1e-4 * metrics["val_total_loss"]
        return metrics

    def save(self, path: Path, metadata: dict[str, str]) -> None:
        """Write the voice as it is now, without its judges."""
        write_checkpoint(path, self.model, self.voice, metadata)

    def fixed_verses(self) -> list[Verse]:
        """The verses that are spoken as training goes on; trained ones where none are held out."""
        spoken = self.validation or self.training
        return [Verse(each.id, each.label, each.text) for each in spoken[:FIXED_VERSES]]

    def speak_samples(self, checkpoint: Path) -> list[Spoken | Failed]:
        """The fixed verses by the voice in a file: the network in training holds other weights."""
        network = read_checkpoint(checkpoint).network()
        return self._speak(VitsSpeaker(network, self.voice, device=str(self.device)))

    def collate(self, utterances: Sequence[EncodedUtterance]) -> VitsBatch:
        """Pad utterances into a batch on the network's device."""
        per_frame, device = frame_samples(self.model.config), self.device
        symbols = [self.voice.frontend.network_ids(each.ids) for each in utterances]
        id_lengths, lengths = [len(each) for each in symbols], [each.frames for each in utterances]
        ids = torch.zeros(len(utterances), max(id_lengths), dtype=torch.int64)
        samples = torch.zeros(len(utterances), max(lengths) * per_frame, device=device)
        bins = self.model.config.spectrogram_bins
        spectrogram = torch.zeros(len(utterances), bins, max(lengths), device=device)
        analyse = self.spectrograms.to(device)
        for row, utterance in enumerate(utterances):
            ids[row, : id_lengths[row]] = torch.tensor(symbols[row])
            sound = self.dataset.mel_of(utterance).T.reshape(1, -1).to(device)
            samples[row, : sound.shape[1]] = sound[0]
            spectrogram[row, :, : utterance.frames] = analyse.linear(sound)[0]  # edges as if it were alone
        frames = Padding.of(lengths, max(lengths), device)
        return VitsBatch(
            ids.to(device), Padding.of(id_lengths, ids.shape[1], device), samples, spectrogram, frames
        )

    def _mel_distance(self, made: Tensor, real: Tensor) -> Tensor:
        return (self.spectrograms.log_mel(made[:, 0]) - self.spectrograms.log_mel(real[:, 0])).abs().mean()

    def _speak(self, speaker: VitsSpeaker) -> list[Spoken | Failed]:
        return list(speaker.speak(self.fixed_verses(), SpeakingSettings()))


class _Judges:
    """The opponent: learns to tell the voice's samples from the recordings'."""

    def __init__(self, task: VitsTraining, model: Discriminators) -> None:
        self.task = task
        self.model = model

    def loss(self, batch: Sequence[int]) -> Tensor:
        """How badly both are told apart, over a stretch of each recording."""
        self.model.requires_grad_(True)
        task = self.task
        with torch.no_grad():
            made, real = speak_again(task.model, task.collate([task.training[index] for index in batch]))
        return TELLING_APART * telling_apart(self.model(real), self.model(made))
