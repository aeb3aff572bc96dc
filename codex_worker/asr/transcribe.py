"""From recordings to text: batches by seconds, long recordings in pieces, a confidence for every word."""

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch

from codex_worker.asr.checkpoint import TranscriberCheckpoint
from codex_worker.asr.confidence import Confidence
from codex_worker.asr.corpus import TranscribedClip
from codex_worker.asr.decoding.decoder import Decoding, decoder_for
from codex_worker.asr.evidence import Evidence, evidence_of
from codex_worker.asr.features import pad_batch
from codex_worker.asr.held_out_rate import HeldOutRate
from codex_worker.asr.networks.build import frame_seconds, output_frames
from codex_worker.asr.networks.hearing import logits_of
from codex_worker.asr.precision import fastest_precision, fp16_products, with_precision
from codex_worker.asr.words import PIECE_S, Word, cut_at_pauses, words_of
from codex_worker.data.faults import Purpose
from codex_worker.data.usable import hear
from codex_worker.errors import DataError, ResourceError, WorkerError, is_out_of_memory
from codex_worker.training.batches import batches_by_length
from codex_worker.training.machine import Precision, keep_cores, take_one_core
from codex_worker.training.memory import in_halves

logger = logging.getLogger(__name__)

# Recordings are read in rounds. How long they are is not known before, so the first round is small.
FIRST_ROUND = 16
ROUND_BATCHES = 4

Source = TypeVar("Source")  # what a recording is read from: an utterance's file, or samples


@dataclass(frozen=True)
class RecordingInput:
    """A recording as the network reads it: input rows of its pieces with their starts, and remarks on it."""

    pieces: list[tuple[float, np.ndarray]]
    remarks: tuple[str, ...] = ()


Outcome = RecordingInput | WorkerError  # or why there are none


@dataclass(frozen=True)
class Transcript:
    """What was heard in one recording. `error` says why nothing was, where a recording can't be used."""

    key: str
    text: str
    confidence: float  # 0 to 1, of all letters; each word's is that of the letters it has
    words: tuple[Word, ...] = ()
    duration_s: float = 0.0
    is_uncertain: bool = False  # a person should listen before trusting it
    error: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class DecodingSettings:
    """How to read: the manifest's `inference` keys and the limits of the machine."""

    suppress_unknown: bool = True
    unknown_replacement: str = ""
    batch_seconds: float | None = None  # None: 400 s on a GPU, 60 s otherwise
    precision: Precision | None = None  # None: what the hardware multiplies fastest
    use_corrector: bool = True
    decoding: Decoding | None = None  # None: with the checkpoint's language where it has one
    workers: int = 4


@dataclass(frozen=True)
class InputPiece:
    """Input rows of a recording or a part of one, and where in the recording it starts."""

    recording: int
    start_s: float
    features: np.ndarray


class Transcriber:
    """A checkpoint made ready to read recordings on a device, which its network is moved to."""

    def __init__(
        self,
        checkpoint: TranscriberCheckpoint,
        settings: DecodingSettings | None = None,
        device: str | None = None,
    ) -> None:
        self.checkpoint = checkpoint
        self.settings = settings or DecodingSettings()
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        on_gpu = self.device.type == "cuda"
        self.precision = self.settings.precision or fastest_precision(self.device)
        self.batch_seconds = self.settings.batch_seconds or (400.0 if on_gpu else 60.0)
        self.confidence = Confidence.stored(checkpoint.metadata)
        self.decoder = decoder_for(checkpoint.vocabulary, checkpoint.language, self.settings.decoding)
        self.corrector = checkpoint.corrector if self.settings.use_corrector else None
        if self._is_greedy_by_choice:
            self.corrector = None  # it has learnt what is wrong in readings with the language
        self.model = with_precision(checkpoint.model, self.precision, self.device)
        logger.info("Reading with %s on %s", self.precision, self.device)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a person should know of the way it reads, where it is not the checkpoint's own."""
        if self.settings.decoding is Decoding.BEAM and self.checkpoint.language is None:
            return (
                "inference.decoding is beam, but the checkpoint knows no language that was seen to help: it "
                "reads by sound alone.",
            )
        if self._is_greedy_by_choice and self.checkpoint.corrector is not None:
            return (
                "inference.decoding is greedy: the checkpoint's corrector is not used either, because it was "
                "made for readings with the language.",
            )
        return ()

    @property
    def held_out(self) -> HeldOutRate:
        """How well it reads what it was not trained on, in the way that it reads here."""
        return HeldOutRate.stored(self.checkpoint.metadata, is_greedy=self._is_greedy_by_choice)

    @property
    def _is_greedy_by_choice(self) -> bool:
        return self.checkpoint.language is not None and self.settings.decoding is Decoding.GREEDY

    def transcribe(
        self,
        recordings: Sequence[TranscribedClip],
        *,
        should_stop: Callable[[], bool] = lambda: False,
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> Iterator[Transcript]:
        """Transcripts in the order of `recordings`, in rounds: read ahead, sort, batch, join.

        A recording that cannot be used gets a transcript with its `error`. Ends early, between two batches,
        when `should_stop` says so.
        """
        keys = [recording.key for recording in recordings]
        yield from self._read_ahead(keys, recordings, self._read, should_stop, on_progress)

    def transcribe_samples(self, samples: Sequence[np.ndarray]) -> list[Transcript]:
        """Transcripts of waveforms `[N]` at the frontend's sample rate."""
        keys = [str(index) for index in range(len(samples))]
        return list(self._read_ahead(keys, samples, self._pieces_of, lambda: False, lambda done, total: None))

    def frame_log_probs(self, features: Sequence[np.ndarray]) -> list[torch.Tensor]:
        """Log probabilities `[frames, symbols]` (float32, on the device) of inputs that fit one batch."""
        inputs, mask = pad_batch(features)
        with torch.inference_mode():
            with fp16_products(self.precision, self.device):
                logits = logits_of(self.model, inputs, mask).float()
            if self.precision == "fp16" and not logits.isfinite().all():  # they left its range
                logits = logits_of(self.model, inputs, mask).float()
            log_probs = logits.log_softmax(-1)
        return [log_probs[i, : output_frames(self.model, len(rows))] for i, rows in enumerate(features)]

    def _read_ahead(
        self,
        keys: Sequence[str],
        sources: Sequence[Source],
        read: Callable[[Source], Outcome],
        should_stop: Callable[[], bool],
        on_progress: Callable[[int, int], None],
    ) -> Iterator[Transcript]:
        done, size = 0, FIRST_ROUND
        with keep_cores(), ThreadPoolExecutor(self.settings.workers, initializer=take_one_core) as pool:
            reading = [pool.submit(read, source) for source in sources[:size]]
            try:
                while reading:
                    outcomes = [future.result() for future in reading]
                    part = keys[done : done + len(outcomes)]
                    size = self._next_round(outcomes)
                    # The next round is decoded while the network works on this one.
                    start = done + len(outcomes)
                    reading = [pool.submit(read, source) for source in sources[start : start + size]]
                    for transcript in self._transcribe_round(part, outcomes, should_stop):
                        yield transcript
                        done += 1
                        on_progress(done, len(keys))
                    if should_stop():
                        return
            finally:
                for future in reading:
                    future.cancel()

    def _next_round(self, outcomes: Sequence[Outcome]) -> int:
        """Enough recordings like the last ones for batches of like length, few enough to hold in memory."""
        frontend = self.checkpoint.frontend
        seconds = sum(
            frontend.input_seconds(len(features))
            for outcome in outcomes
            if not isinstance(outcome, WorkerError)
            for _, features in outcome.pieces
        )
        wanted = ROUND_BATCHES * self.batch_seconds * len(outcomes) / max(seconds, 1.0)
        return round(max(1.0, min(wanted, 4.0 * len(outcomes))))

    def _read(self, utterance: TranscribedClip) -> Outcome:
        try:
            heard = hear(utterance.clip, sample_rate=self.checkpoint.frontend.sample_rate)
            found = heard.against(Purpose.READING)
            if found is not None or heard.recording is None:
                return DataError(found.sentence if found else "its recording cannot be heard")
            outcome = self._pieces_of(heard.recording.samples)
            remarks = tuple(each.sentence for each in heard.remarks(Purpose.READING))
            return replace(outcome, remarks=remarks) if isinstance(outcome, RecordingInput) else outcome
        except OSError as error:
            return DataError(f"The recording {utterance.path.name} cannot be read ({error}).")

    def _pieces_of(self, samples: np.ndarray) -> Outcome:
        rate = self.checkpoint.frontend.sample_rate
        pieces: list[tuple[float, np.ndarray]] = []
        problem: DataError | None = None
        for start, end in cut_at_pauses(samples, rate, PIECE_S):
            try:
                pieces.append((start / rate, self.checkpoint.frontend(samples[start:end])))
            except DataError as error:
                # One silent piece of a long recording says nothing; only if all are, the recording is bad.
                problem = error
        return RecordingInput(pieces) if pieces or problem is None else problem

    def _transcribe_round(
        self,
        keys: Sequence[str],
        outcomes: Sequence[Outcome],
        should_stop: Callable[[], bool],
    ) -> Iterator[Transcript]:
        pieces = [
            InputPiece(index, start_s, features)
            for index, outcome in enumerate(outcomes)
            if not isinstance(outcome, WorkerError)
            for start_s, features in outcome.pieces
        ]
        seconds = [self.checkpoint.frontend.input_seconds(len(piece.features)) for piece in pieces]
        words: list[list[Word]] = [[] for _ in keys]
        evidence = [Evidence() for _ in keys]
        finished = [0 for _ in keys]
        for batch in batches_by_length(seconds, max_total=self.batch_seconds):
            if should_stop():
                break
            for index, (said, found) in zip(batch, self._read_batch([pieces[i] for i in batch]), strict=True):
                recording = pieces[index].recording
                words[recording] += said
                evidence[recording] += found
                finished[recording] += 1
        for index, (key, outcome) in enumerate(zip(keys, outcomes, strict=True)):
            if isinstance(outcome, WorkerError):
                yield Transcript(key, "", 0.0, error=str(outcome))
            elif finished[index] < len(outcome.pieces):
                return
            else:
                yield self._joined(key, words[index], evidence[index], outcome)

    def _read_batch(self, pieces: Sequence[InputPiece]) -> list[tuple[list[Word], Evidence]]:
        try:
            log_probs = in_halves([piece.features for piece in pieces], self.frame_log_probs)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise ResourceError(f"{self.device} has too little memory for one recording: {error}") from error
        return [
            self._reading(piece, path.symbols, path.probabilities)
            for piece, path in zip(pieces, self.decoder.paths(log_probs), strict=True)
        ]

    def _reading(
        self, piece: InputPiece, symbols: list[int], probabilities: list[float]
    ) -> tuple[list[Word], Evidence]:
        frame_s = frame_seconds(self.model)
        words = words_of(
            self.checkpoint.vocabulary,
            symbols,
            probabilities,
            seconds_per_frame=frame_s,
            start_s=piece.start_s,
            suppress_unknown=self.settings.suppress_unknown,
            unknown_replacement=self.settings.unknown_replacement,
        )
        return words, evidence_of(words, probabilities, frame_s)

    def _joined(self, key: str, words: list[Word], evidence: Evidence, source: RecordingInput) -> Transcript:
        pieces = source.pieces
        words = sorted(words, key=lambda word: word.start_s)
        text = " ".join(word.text for word in words)
        last_start, last = pieces[-1]
        duration_s = last_start + self.checkpoint.frontend.input_seconds(len(last))
        notes = source.remarks + ((f"read in {len(pieces)} pieces",) if len(pieces) > 1 else ())
        confidence = self.confidence.of(evidence, text)
        if self.corrector is not None and text:
            corrected = self.corrector.correct(text)
            if corrected and corrected != text:
                notes += (f"corrected from: {text}",)
                text = corrected
        return Transcript(
            key,
            text,
            confidence,
            tuple(words),
            duration_s,
            is_uncertain=not text or confidence < self.confidence.threshold,
            notes=notes,
        )
