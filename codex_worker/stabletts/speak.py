"""Verses into speech: many at a time, each as it would be alone, and written while the next are spoken."""

import hashlib
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codex_worker.audio.encode import Encoded, encode
from codex_worker.audio.level import even_level, is_silent, trim_silence
from codex_worker.codex.sayable import holds_letters
from codex_worker.contract.options import InferenceOptions
from codex_worker.errors import DataError, ModelError, ResourceError, WorkerError
from codex_worker.stabletts.checkpoint import VoiceDescription
from codex_worker.stabletts.flow import Solver, solver_named
from codex_worker.stabletts.frontend.encoding import Encoding, report_losses
from codex_worker.stabletts.griffin_lim import GriffinLim
from codex_worker.stabletts.mel import LogMel
from codex_worker.stabletts.network import StableTTS
from codex_worker.stabletts.phrases import Phrase, phrases
from codex_worker.stabletts.symbols import BLANK_ID
from codex_worker.stabletts.vocos import Vocos
from codex_worker.training.batches import batches_by_length

logger = logging.getLogger(__name__)

FRAMES_PER_ID = 6.0  # blanks counted; only to guess how large a batch will be
EDGE_S = 0.15  # silence before and behind each verse
SHORTEST_S = 0.05
WINDOW = 256  # verses that are sorted by length together; they come out nearly in order
LONGEST_REFERENCE_S, SHORTEST_REFERENCE_S = 20.0, 0.5

Samples = NDArray[np.float32]


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
class Verse:
    """A text to be spoken; `id` decides its noise, so that it sounds the same in any company."""

    id: str
    label: str
    text: str


@dataclass(frozen=True)
class Spoken:
    """A verse as samples [N] at `sample_rate`, with what could not be said."""

    verse: Verse
    samples: Samples
    sample_rate: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failed:
    """A verse that could not be spoken, and why."""

    verse: Verse
    reason: str


@dataclass(frozen=True)
class SpokenFile:
    """A verse as a file."""

    verse: Verse
    encoded: Encoded
    notes: tuple[str, ...] = ()


class Speaker:
    """A voice that is ready to speak: network, vocoder and frontend on one device.

    `vocos` is None where the voice uses Griffin-Lim. With `has_bf16` the network computes in bfloat16.
    """

    def __init__(
        self,
        network: StableTTS,
        voice: VoiceDescription,
        vocos: Vocos | None,
        *,
        device: str = "cpu",
        has_bf16: bool = False,
    ) -> None:
        self.network = network.to(device).eval()
        self.voice = voice
        self.device = torch.device(device)
        self.has_bf16 = has_bf16
        self.analyse = LogMel(voice.mel).to(device)
        self.vocos = vocos.to(device).eval() if vocos else None
        self.griffin_lim = None if vocos else GriffinLim(voice.mel).to(device)

    @torch.no_grad()
    def listen(self, samples: Samples | None) -> Tensor:
        """The voice [1, G] of a reference clip at the voice's sample rate; None means the voice without one.

        Raises DataError when the clip is too short.
        """
        if samples is None:
            return self.network.fake_speaker.detach()
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
        remaining = iter(verses)
        while window := list(islice(remaining, WINDOW)):
            yield from self._speak_window(window, speaker, settings, should_stop)
            if should_stop():
                return

    def _speak_window(
        self,
        window: Sequence[Verse],
        speaker: Tensor,
        settings: SpeakingSettings,
        should_stop: Callable[[], bool],
    ) -> Iterator[Spoken | Failed]:
        waiting: dict[int, _Waiting] = {}
        parts: list[_Part] = []
        for number, verse in enumerate(window):
            encoding = self.voice.frontend.encode(verse.text)
            cut = phrases(verse.text, self.voice.frontend)
            if not cut:
                yield Failed(verse, _nothing_to_speak(verse, encoding))
                continue
            waiting[number] = _Waiting(verse, encoding, cut, [None] * len(cut))
            parts += [_Part(number, place, phrase.ids) for place, phrase in enumerate(cut)]
        lengths = [len(part.ids) for part in parts]
        for batch in batches_by_length(lengths, max_total=settings.batch_frames / FRAMES_PER_ID):
            if should_stop():
                return
            chosen = [parts[index] for index in batch if parts[index].verse in waiting]
            for part, outcome in zip(chosen, self._try(chosen, waiting, speaker, settings), strict=True):
                if part.verse not in waiting:
                    continue  # another part of this verse has failed in this batch
                if isinstance(outcome, WorkerError):
                    yield Failed(waiting.pop(part.verse).verse, str(outcome))
                    continue
                state = waiting[part.verse]
                state.samples[part.place] = outcome
                if all(samples is not None for samples in state.samples):
                    yield self._finish(waiting.pop(part.verse), settings)

    def _try(
        self,
        parts: Sequence["_Part"],
        waiting: dict[int, "_Waiting"],
        speaker: Tensor,
        settings: SpeakingSettings,
    ) -> list[Samples | WorkerError]:
        """Samples of each part; where a batch fails, its halves are tried, until the culprit is alone."""
        if not parts:
            return []
        try:
            seeds = [_seed(waiting[part.verse].verse.id, part.place, settings.seed) for part in parts]
            return list(self._synthesise([part.ids for part in parts], seeds, speaker, settings))
        except (ModelError, DataError) as error:
            failure: WorkerError = error
        except (torch.OutOfMemoryError, MemoryError) as error:
            failure = ResourceError(f"memory ran out while speaking it: {error}")
        if len(parts) == 1:
            return [failure]
        logger.warning("A batch of %d phrases failed (%s); trying its halves", len(parts), failure)
        half = len(parts) // 2
        return [
            *self._try(parts[:half], waiting, speaker, settings),
            *self._try(parts[half:], waiting, speaker, settings),
        ]

    @torch.no_grad()
    def _synthesise(
        self,
        texts: Sequence[Sequence[int]],
        seeds: Sequence[int],
        speaker: Tensor,
        settings: SpeakingSettings,
    ) -> Iterator[Samples]:
        lengths = torch.tensor([len(ids) for ids in texts])
        ids = torch.full((len(texts), int(lengths.max())), BLANK_ID)
        for row, own in enumerate(texts):
            ids[row, : len(own)] = torch.tensor(own)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.has_bf16):
            speech = self.network.synthesise(
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
        mel = speech.mel.float()
        frames = speech.mel_lengths.tolist()
        with torch.autocast(self.device.type, enabled=False):  # whoever calls may have turned it on
            sounds = self.vocos(mel, speech.mel_lengths) if self.vocos else None
        for row, count in enumerate(frames):
            sound = (
                sounds[row] if sounds is not None else self._invert(mel[row : row + 1, :, :count], seeds[row])
            )
            yield sound[: count * self.voice.mel.hop_length].float().cpu().numpy()

    def _invert(self, mel: Tensor, seed: int) -> Tensor:
        """Griffin-Lim for one row, whose random phases follow from the seed."""
        assert self.griffin_lim is not None  # noqa: S101  set where Vocos is not
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(seed)
            sound: Tensor = self.griffin_lim(mel)
        return sound[0]

    def _finish(self, state: "_Waiting", settings: SpeakingSettings) -> Spoken | Failed:
        rate = self.voice.mel.sample_rate
        joined: list[Samples] = []
        for phrase, samples in zip(state.phrases, state.samples, strict=True):
            assert samples is not None  # noqa: S101  a verse is finished when all parts are there
            if not np.isfinite(samples).all():
                return Failed(
                    state.verse, "the voice gave no finite numbers for it; its training may have diverged"
                )
            pause = np.zeros(round(phrase.pause_s * settings.length_scale * rate), np.float32)
            joined += [
                trim_silence(samples, rate, margin_s=0.03) if len(state.phrases) > 1 else samples,
                pause,
            ]
        whole = np.concatenate(joined[:-1])
        if whole.size < SHORTEST_S * rate or is_silent(whole, rate):
            return Failed(
                state.verse,
                f"the voice said nothing audible for it ({whole.size / rate:.2f} s); train it longer",
            )
        edge = np.zeros(round(EDGE_S * rate), np.float32)
        spoken = even_level(trim_silence(whole, rate, margin_s=0.02), rate)
        notes = report_losses([state.encoding])
        if len(state.encoding.ids) == 1:
            notes.append("a single letter, spoken as it is")
        return Spoken(state.verse, np.concatenate([edge, spoken, edge]), rate, tuple(notes))


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


@dataclass(frozen=True)
class _Part:
    verse: int
    place: int
    ids: Sequence[int]


@dataclass
class _Waiting:
    """A verse of which not all parts are spoken yet."""

    verse: Verse
    encoding: Encoding
    phrases: Sequence[Phrase]
    samples: list[Samples | None]


def _nothing_to_speak(verse: Verse, encoding: Encoding) -> str:
    if not verse.text.strip():
        return "it has no text"
    if not holds_letters(verse.text):
        return "its text holds no letters"
    lost = report_losses([encoding], at_most=5)
    shown = repr(verse.text.strip()[:40])
    return f"nothing in {shown} can be spoken by this voice: {'; '.join(lost) or 'no letters'}"


def _seed(identity: str, place: int, seed: int) -> int:
    digest = hashlib.sha256(f"{seed}:{place}:{identity}".encode()).digest()
    return int.from_bytes(digest[:7])
