"""A voice of StableTTS that speaks, and files that are written while the next verses are spoken."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from codex_worker.audio.encode import Encoded, encode
from codex_worker.contract.options import InferenceOptions
from codex_worker.errors import DataError
from codex_worker.stabletts.checkpoint import VoiceDescription
from codex_worker.stabletts.flow import Solver, solver_named
from codex_worker.stabletts.griffin_lim import GriffinLim
from codex_worker.stabletts.mel import LogMel
from codex_worker.stabletts.network import Speech, StableTTS
from codex_worker.stabletts.symbols import BLANK_ID
from codex_worker.stabletts.verses import Failed, PhraseSound, Samples, Spoken, Verse, VerseSpeaking
from codex_worker.stabletts.vocos import Vocos
from codex_worker.training.machine import Precision

EDGE_S = 0.15  # silence before and behind each verse
WINDOW = 256  # verses that are sorted by length together; they come out nearly in order
LONGEST_REFERENCE_S, SHORTEST_REFERENCE_S = 20.0, 0.5


@dataclass(frozen=True)
class SpeakingSettings:
    """How to speak. The defaults are those of older jobs, but for the fixed-step solver."""

    steps: int = 10
    temperature: float = 1.0
    length_scale: float = 1.0
    guidance: float = 3.0
    solver: Solver = "euler"
    audio_format: str = "webm"
    batch_frames: int = 8_000
    seed: int = 0

    @classmethod
    def of(cls, options: InferenceOptions, **others: Any) -> "SpeakingSettings":
        """What a job asks for; `others` are for what is not the job's to say."""
        return cls(
            steps=options.diffusion_steps,
            temperature=options.temperature,
            length_scale=options.length_scale,
            guidance=options.cfg_scale,
            solver=solver_named(options.solver),
            audio_format=options.audio_format,
            **others,
        )


@dataclass(frozen=True)
class SpokenFile:
    """A verse as a file."""

    verse: Verse
    encoded: Encoded
    notes: tuple[str, ...] = ()


class Speaker:
    """A voice that is ready to speak: network, vocoder and frontend on one device.

    `vocos` is None where the voice uses Griffin-Lim. `precision` is what the network makes its products of.
    """

    def __init__(
        self,
        network: StableTTS,
        voice: VoiceDescription,
        vocos: Vocos | None,
        *,
        device: str = "cpu",
        precision: Precision = "fp32",
    ) -> None:
        self.network = network.to(device).eval()
        self.voice = voice
        self.device = torch.device(device)
        self.precision = precision
        self.analyse = LogMel(voice.mel).to(device)
        self.vocos = vocos.to(device).eval() if vocos else None
        self.griffin_lim = None if vocos else GriffinLim(voice.mel).to(device)

    @torch.no_grad()
    def listen(self, samples: Samples | None) -> Tensor:
        """The voice [1, G] of a reference clip at the voice's sample rate.

        Without a clip it is that of the checkpoint itself, or the network's own where it has none.

        Raises DataError when the clip is too short.
        """
        if samples is None:
            own = self.voice.speaker
            return torch.tensor([own], device=self.device) if own else self.network.fake_speaker.detach()
        rate = self.voice.mel.sample_rate
        if samples.size < SHORTEST_REFERENCE_S * rate:
            raise DataError(
                f"the voice reference has {samples.size / rate:.1f} s of speech; choose a clip of 3 to 15 s"
            )
        samples = samples[: round(LONGEST_REFERENCE_S * rate)]
        mel = self.analyse(torch.from_numpy(np.ascontiguousarray(samples))[None].to(self.device))
        return self.network.speaker(mel, torch.tensor([mel.shape[2]]))

    def speak(
        self,
        verses: Iterable[Verse],
        speaker: Tensor,
        settings: SpeakingSettings,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[Spoken | Failed]:
        """Speak verses in the voice `speaker`, nearly in order; each is answered once unless told to stop.

        A verse's samples do not depend on the others. What cannot be spoken is answered as `Failed`.
        """
        speaking = VerseSpeaking(
            self.voice.frontend,
            self.voice.mel.sample_rate,
            lambda texts, seeds: self._synthesise(texts, seeds, speaker, settings),
            settings.batch_frames,
            EDGE_S,
            settings.length_scale,
            settings.seed,
        )
        return speaking.speak(verses, should_stop, WINDOW)

    @torch.no_grad()
    def _synthesise(
        self,
        texts: Sequence[Sequence[int]],
        seeds: Sequence[int],
        speaker: Tensor,
        settings: SpeakingSettings,
    ) -> Iterator[PhraseSound]:
        lengths = torch.tensor([len(ids) for ids in texts])
        ids = torch.full((len(texts), int(lengths.max())), BLANK_ID)
        for row, own in enumerate(texts):
            ids[row, : len(own)] = torch.tensor(own)

        def speech_in(precision: Precision) -> Speech:
            dtype = torch.float16 if precision == "fp16" else torch.bfloat16
            with torch.autocast(self.device.type, dtype, enabled=precision != "fp32"):
                return self.network.synthesise(
                    ids.to(self.device),
                    lengths,
                    speaker,
                    steps=settings.steps,
                    temperature=settings.temperature,
                    length_scale=settings.length_scale,
                    guidance=settings.guidance,
                    solver=settings.solver,
                    generator=[torch.Generator().manual_seed(seed) for seed in seeds],
                )

        speech = speech_in(self.precision)
        if self.precision == "fp16" and not speech.mel.isfinite().all():  # it left the range of fp16
            speech = speech_in("fp32")
        mel = speech.mel.float()
        frames, hop = speech.mel_lengths.tolist(), self.voice.mel.hop_length
        ends = speech.durations.cumsum(1).cpu().numpy() * hop
        with torch.autocast(self.device.type, enabled=False):  # whoever calls may have turned it on
            sounds = self.vocos(mel, speech.mel_lengths) if self.vocos else None
        for row, count in enumerate(frames):
            sound = (
                sounds[row] if sounds is not None else self._invert(mel[row : row + 1, :, :count], seeds[row])
            )
            yield PhraseSound(sound[: count * hop].float().cpu().numpy(), ends[row])

    def _invert(self, mel: Tensor, seed: int) -> Tensor:
        """Griffin-Lim for one row, whose random phases follow from the seed."""
        assert self.griffin_lim is not None  # noqa: S101  set where Vocos is not
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(seed)
            sound: Tensor = self.griffin_lim(mel)
        return sound[0]


def write_files(
    spoken: Iterable[Spoken | Failed],
    path_of: Callable[[Verse], Path],
    audio_format: str,
    *,
    workers: int = 2,
) -> Iterator[SpokenFile | Failed]:
    """Encode verses in threads while the next ones are being spoken; at most four per thread are held."""

    def write(one: Spoken) -> SpokenFile | Failed:
        try:
            encoded = encode(one.samples, one.sample_rate, path_of(one.verse), audio_format)
        except DataError as error:  # one verse of many
            return Failed(one.verse, str(error))
        return SpokenFile(one.verse, encoded, one.notes)

    pending: deque[Future[SpokenFile | Failed]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="encode") as pool:
        for one in spoken:
            if isinstance(one, Failed):
                yield one
                continue
            pending.append(pool.submit(write, one))
            while pending and (pending[0].done() or len(pending) > 4 * workers):
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
