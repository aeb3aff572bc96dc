"""Forced alignment: when each word of a known text is said, and how well the sound fits it."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from codex_worker.asr.corpus import ctc_frames_needed
from codex_worker.asr.likelihood import read_frames
from codex_worker.asr.transcribe import Transcriber
from codex_worker.asr.viterbi import best_paths
from codex_worker.asr.vocabulary import Vocabulary
from codex_worker.audio.level import trim_silence
from codex_worker.audio.resample import resample
from codex_worker.doctor.examine import SAMPLE_RATE, Align
from codex_worker.errors import DataError, SystemFault
from codex_worker.text.graphemes import letter_count
from codex_worker.text.spacing import divisible

logger = logging.getLogger(__name__)


class TextTooLongError(DataError):
    """No recording of this length can say so many letters."""


@dataclass(frozen=True)
class AlignedToken:
    """A label's frames `[start, end)` on the best path, and its mean probability over them."""

    start: int
    end: int
    probability: float


@dataclass(frozen=True)
class AlignedWord:
    """A word with its times in seconds; `score` is the mean probability of its letters (0 to 1).

    In scripts without spaces between words it is less: a letter with its marks. Then `goes_on` says that the
    next one follows without a space.
    """

    text: str
    start_s: float
    end_s: float
    score: float
    goes_on: bool = False


@dataclass(frozen=True)
class Alignment:
    """A text laid over its recording; `score` is a mean over all letters (low: something else is said)."""

    words: tuple[AlignedWord, ...]
    score: float
    duration_s: float


@dataclass(frozen=True)
class Cut:
    """A stretch of a recording and the words said in it."""

    start_s: float
    end_s: float
    text: str
    score: float


def align(transcriber: Transcriber, samples: np.ndarray, text: str) -> Alignment:
    """Lay a normalised text over a waveform `[N]` at the frontend's rate.

    Raises DataError for a text without letters that the model knows, or one longer than the recording can
    hold.
    """
    log_probs = read_frames(transcriber, samples)
    # Pieces lose part of a frame at their ends; the frames that are there share the real duration.
    seconds_per_frame = len(samples) / transcriber.checkpoint.frontend.sample_rate / len(log_probs)
    return align_words(log_probs, text, transcriber.checkpoint.vocabulary, seconds_per_frame)


def fit_of(transcriber: Transcriber) -> Align:
    """How well a text and its recording belong together, for the data doctor."""
    rate = transcriber.checkpoint.frontend.sample_rate
    recipe = transcriber.checkpoint.text_recipe

    def fit(samples: np.ndarray, text: str) -> float:
        normalised = text if recipe is None else recipe.apply(text)
        spoken = resample(trim_silence(samples, SAMPLE_RATE), SAMPLE_RATE, rate)
        try:
            return align(transcriber, spoken, normalised).score
        except TextTooLongError:
            return 0.0

    return fit


def align_words(log_probs: Tensor, text: str, vocabulary: Vocabulary, seconds_per_frame: float) -> Alignment:
    """Lay a text over CTC log probabilities `[frames, symbols]`. Raises DataError when it can't be laid."""
    labels = vocabulary.encode(text)
    if not labels or all(label == vocabulary.unknown_id for label in labels):
        raise DataError(f"The text {text[:60]!r} holds no letter that this model knows; it can't be aligned.")
    if ctc_frames_needed(labels) > len(log_probs):
        duration_s = len(log_probs) * seconds_per_frame
        raise TextTooLongError(
            f"The text has {letter_count(text)} letters, more than {duration_s:.1f} s of "
            "speech can hold: text and recording don't belong together."
        )
    tokens = forced_align(log_probs, labels, vocabulary.blank_id)
    aligned, at = [], 0
    for stretch in text.split():
        parts = divisible(stretch)
        for place, word in enumerate(parts, start=1):
            letters = tokens[at : at + len(word)]
            at += len(word)
            aligned.append(
                AlignedWord(
                    word,
                    letters[0].start * seconds_per_frame,
                    letters[-1].end * seconds_per_frame,
                    sum(letter.probability for letter in letters) / len(letters),
                    goes_on=place < len(parts),
                )
            )
        at += 1  # the space
    score = sum(token.probability for token in tokens) / len(tokens)
    return Alignment(tuple(aligned), score, len(log_probs) * seconds_per_frame)


def forced_align(log_probs: Tensor, labels: Sequence[int], blank_id: int) -> list[AlignedToken]:
    """The likeliest CTC path of `labels` through `log_probs [frames, symbols]`, one entry for each label.

    On a GPU torchaudio's kernel does it where its extension is there; otherwise the vectorised one here does.
    """
    path = None
    if log_probs.device.type == "cuda":
        path = _torchaudio_path(log_probs, labels, blank_id)
    if path is None:
        path = best_path(log_probs, labels, blank_id)
    probabilities = log_probs.exp()
    tokens, frame = [], 0
    states = path.tolist()
    for position, label in enumerate(labels):
        state = 2 * position + 1
        while states[frame] != state:
            frame += 1
        start = frame
        while frame < len(states) and states[frame] == state:
            frame += 1
        tokens.append(AlignedToken(start, frame, float(probabilities[start:frame, label].mean())))
    return tokens


def best_path(log_probs: Tensor, labels: Sequence[int], blank_id: int) -> Tensor:
    """States `[frames]` of the likeliest path through one recording: see `viterbi.best_paths`."""
    return torch.from_numpy(best_paths([log_probs.detach()], [labels], blank_id)[0])


def cut_at_words(
    alignment: Alignment,
    *,
    longest_s: float,
    shortest_s: float = 1.0,
    pauses: Sequence[tuple[float, float]] = (),
) -> list[Cut]:
    """Cut a recording between words into stretches of at most `longest_s`, at its longest silences.

    Used for voices, which learn from short recordings. A gap between two words counts for as long as it is,
    and twice where `pauses` (start and end in seconds) confirm it. Words longer than `longest_s` stay whole.
    """
    words = list(alignment.words)
    if not words:
        return []
    edges = _edges(words, alignment.duration_s)
    pieces = _divide(words, 0, len(words), edges, pauses, longest_s, shortest_s)
    return [
        Cut(
            edges[start],
            edges[end],
            "".join(word.text if word.goes_on else f"{word.text} " for word in words[start:end]).strip(),
            sum(word.score * len(word.text) for word in words[start:end])
            / sum(len(word.text) for word in words[start:end]),
        )
        for start, end in pieces
    ]


def _edges(words: Sequence[AlignedWord], duration_s: float) -> list[float]:
    """Where to cut before each word and after the last: half-way between its neighbours."""
    between = [(left.end_s + right.start_s) / 2 for left, right in pairwise(words)]
    return [0.0, *between, duration_s]


def _divide(
    words: Sequence[AlignedWord],
    start: int,
    end: int,
    edges: Sequence[float],
    pauses: Sequence[tuple[float, float]],
    longest_s: float,
    shortest_s: float,
) -> list[tuple[int, int]]:
    """Halve at the best gap until every stretch of words `[start, end)` is short enough."""
    if edges[end] - edges[start] <= longest_s or end - start == 1:
        return [(start, end)]
    middle_s = (edges[start] + edges[end]) / 2

    def worth(cut: int) -> tuple[bool, float, float]:
        long_enough = min(edges[cut] - edges[start], edges[end] - edges[cut]) >= shortest_s
        gap_s = words[cut].start_s - words[cut - 1].end_s
        confirmed = any(pause_start <= edges[cut] <= pause_end for pause_start, pause_end in pauses)
        return long_enough, gap_s * (2 if confirmed else 1), -abs(edges[cut] - middle_s)

    cut = max(range(start + 1, end), key=worth)
    return [
        *_divide(words, start, cut, edges, pauses, longest_s, shortest_s),
        *_divide(words, cut, end, edges, pauses, longest_s, shortest_s),
    ]


def _torchaudio_path(log_probs: Tensor, labels: Sequence[int], blank_id: int) -> Tensor | None:
    """The same path from torchaudio's CUDA kernel as states `[frames]`; None where that is missing."""
    from patches import torchaudio as patch

    try:
        torchaudio = patch.load()
        targets = torch.tensor([list(labels)], device=log_probs.device, dtype=torch.int32)
        aligned, _ = torchaudio.functional.forced_align(log_probs[None].float(), targets, blank=blank_id)
    except (SystemFault, RuntimeError, AttributeError) as error:
        logger.info("torchaudio cannot align here (%s); the slower alignment is used", error)
        return None
    return _states_of(aligned[0].tolist(), blank_id)


def _states_of(symbols: Sequence[int], blank_id: int) -> Tensor:
    """States of a path that is given by its symbols."""
    states, position, before = [], 0, blank_id
    for symbol in symbols:
        if symbol == blank_id:
            states.append(2 * position)
        else:
            if symbol != before:
                position += 1
            states.append(2 * position - 1)
        before = symbol
    return torch.tensor(states)
