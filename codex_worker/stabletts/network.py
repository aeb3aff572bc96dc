"""StableTTS: text and a voice in, a mel spectrogram out; one network for training and for speaking."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from codex_worker.errors import ModelError
from codex_worker.stabletts.alignment import alignment_scores, check_alignable, durations, expand
from codex_worker.stabletts.configuration import ModelSettings
from codex_worker.stabletts.duration_predictor import DurationPredictor, duration_loss, predicted_frames
from codex_worker.stabletts.flow import Decoder, Solver, flow_loss, solve, training_time
from codex_worker.stabletts.padding import Padding
from codex_worker.stabletts.reference_encoder import MelStyleEncoder
from codex_worker.stabletts.text_encoder import TextEncoder

P_WITHOUT_CONDITIONS = 0.2  # share of utterances trained without text and voice, for guidance
LOG_TWO_PI = 1.8378770664093453
MAX_FRAMES_PER_SYMBOL = 862  # ten seconds: no voice says one symbol for so long

Generators = torch.Generator | Sequence[torch.Generator] | None


@dataclass(frozen=True)
class Speech:
    """What the network says."""

    mel: Tensor  # [B, M, T] log-mel frames, zero behind each row's end
    mel_lengths: Tensor  # [B] int64, on the CPU
    durations: Tensor  # [B, Tx] int64, frames per symbol


@dataclass(frozen=True)
class Draws:
    """The chance in one training step."""

    keep: Tensor  # [B] bool: rows that see their text and voice
    time: Tensor  # [B] in [0, 1]
    noise: Tensor  # [B, T, M] standard normal

    @classmethod
    def from_generator(cls, mel: Tensor, generator: torch.Generator | None) -> "Draws":
        """Draw for mel [B, T, M], on the generator's device, so that a seed means the same on any other."""
        source = mel.device if generator is None else generator.device
        coins = torch.rand(mel.shape[0], generator=generator, device=source)
        uniform = torch.rand(mel.shape[0], generator=generator, device=source)
        noise = torch.randn(mel.shape, generator=generator, device=source)
        keep = coins > P_WITHOUT_CONDITIONS
        return cls(keep.to(mel.device), training_time(uniform).to(mel.device), noise.to(mel.device))


class StableTTS(nn.Module):
    """The whole network; its parameters have the names of the published weights (StableTTS 1.1).

    Lengths are int64 tensors. On the CPU they are checked; on a GPU they stay, and nothing waits for it.
    """

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.settings = settings
        self.encoder = TextEncoder(settings)
        self.ref_encoder = MelStyleEncoder(settings)
        self.dp = DurationPredictor(settings)
        self.decoder = Decoder(settings)
        self.fake_speaker = nn.Parameter(torch.zeros(1, settings.gin_channels))
        self.fake_content = nn.Parameter(torch.zeros(1, settings.mel_channels, 1))

    def speaker(self, reference_mel: Tensor, lengths: Tensor) -> Tensor:
        """Summarise the voice of reference_mel [B, M, T] as [B, G]."""
        return self.ref_encoder(reference_mel.transpose(1, 2), _padding(lengths, reference_mel))

    def losses(
        self,
        ids: Tensor,
        id_lengths: Tensor,
        mel: Tensor,
        mel_lengths: Tensor,
        reference_mel: Tensor,
        reference_lengths: Tensor,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """The losses of ids [B, Tx] spoken as mel [B, M, Ty] in the voice of reference_mel [B, M, Tr].

        Returns scalars `total` = `duration` + `flow` + `prior`, over real symbols and frames only. Times,
        noise and guidance coins come from the generator; dropout, where training, from torch's own state.
        Raises DataError where a recording has fewer frames than symbols.
        """
        draws = Draws.from_generator(mel.transpose(1, 2), generator)
        return self.losses_for(ids, id_lengths, mel, mel_lengths, reference_mel, reference_lengths, draws)

    def losses_for(
        self,
        ids: Tensor,
        id_lengths: Tensor,
        mel: Tensor,
        mel_lengths: Tensor,
        reference_mel: Tensor,
        reference_lengths: Tensor,
        draws: Draws,
    ) -> dict[str, Tensor]:
        """Compute what `losses` does, for given draws.

        Where the lengths are on a GPU, this is its work only, from the first kernel to the last.
        """
        symbols = Padding.of(id_lengths, ids.shape[1], ids.device)
        frames = _padding(mel_lengths, mel)
        check_alignable(symbols.lengths, frames.lengths)
        mel = frames.clear(mel.transpose(1, 2))
        keep = draws.keep[:, None]
        speaker = torch.where(keep, self.speaker(reference_mel, reference_lengths), self.fake_speaker)
        hidden, mean = self.encoder(ids, speaker, symbols)
        frames_per_symbol = durations(alignment_scores(mean, mel), symbols, frames)
        mean = expand(mean, frames_per_symbol, mel.shape[1])
        seen = torch.where(keep[:, :, None], mean, self.fake_content.transpose(1, 2))
        parts = {
            "duration": duration_loss(self.dp(hidden, speaker, symbols), frames_per_symbol, symbols),
            "flow": flow_loss(self.decoder.estimator, mel, seen, speaker, draws.time, draws.noise, frames),
            "prior": prior_loss(mel, mean, frames),
        }
        return {"total": torch.stack(list(parts.values())).sum(), **parts}

    @torch.no_grad()
    def synthesise(
        self,
        ids: Tensor,
        id_lengths: Tensor,
        speaker: Tensor,
        *,
        steps: int = 10,
        temperature: float = 1.0,
        length_scale: float = 1.0,
        guidance: float = 3.0,
        solver: Solver = "euler",
        generator: Generators = None,
    ) -> Speech:
        """Speak ids [B, Tx] in the voice of speaker [B, G] (or [1, G] for all).

        A row's mel is the same whatever stands beside it, given the same noise: hand in a generator for each
        row to have that. `guidance` 1 turns guidance off and halves the work. Runs in autocast's type where
        autocast is on. Raises ModelError where the predicted durations make no sense.
        """
        symbols = Padding.of(id_lengths, ids.shape[1], ids.device)
        speaker = speaker.expand(ids.shape[0], -1)
        hidden, mean = self.encoder(ids, speaker, symbols)
        frames_per_symbol = self._frames_per_symbol(hidden, speaker, symbols, length_scale)
        mel_lengths = frames_per_symbol.sum(-1).cpu()
        n_frames = int(mel_lengths.max())
        frames = Padding.of(mel_lengths, n_frames, ids.device)
        noise = _noise(mel_lengths.tolist(), n_frames, self.settings.mel_channels, generator, ids.device)
        mel = solve(
            self.decoder.estimator,
            noise * temperature,
            expand(mean, frames_per_symbol, n_frames),
            speaker,
            frames,
            steps=steps,
            solver=solver,
            guidance=guidance,
            unguided=(self.fake_content, self.fake_speaker),
        )
        return Speech(mel.transpose(1, 2), mel_lengths, frames_per_symbol)

    def _frames_per_symbol(
        self, hidden: Tensor, speaker: Tensor, symbols: Padding, length_scale: float
    ) -> Tensor:
        log_durations = self.dp(hidden, speaker, symbols)
        longest = float(log_durations.exp().max())  # NaN and infinity fail the comparison as well
        if not longest <= MAX_FRAMES_PER_SYMBOL:
            raise ModelError(
                f"The voice would hold one symbol for {longest:.0f} mel frames: it is untrained or broken. "
                "Train it longer, or use another checkpoint."
            )
        return predicted_frames(log_durations, symbols, length_scale)


def prior_loss(mel: Tensor, mean: Tensor, frames: Padding) -> Tensor:
    """Negative log likelihood of mel [B, T, M] under unit Gaussians around the mean (Grad-TTS, 3.3)."""
    density = 0.5 * ((mel - mean).square() + LOG_TWO_PI)
    return frames.clear(density).sum() / (frames.total * mel.shape[-1])


def _padding(lengths: Tensor, mel: Tensor) -> Padding:
    return Padding.of(lengths, mel.shape[2], mel.device)


def _noise(
    lengths: Sequence[int], n_frames: int, n_mels: int, generator: Generators, device: torch.device
) -> Tensor:
    """Draw noise [B, T, M] row by row, each as long as the row, so that it knows nothing of the others."""
    generators = generator if isinstance(generator, Sequence) else [generator] * len(lengths)
    noise = torch.zeros(len(lengths), n_frames, n_mels, device=device)
    for row, (length, own) in enumerate(zip(lengths, generators, strict=True)):
        source = device if own is None else own.device
        noise[row, :length] = torch.randn(length, n_mels, generator=own, device=source).to(device)
    return noise
