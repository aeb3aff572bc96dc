"""From the best symbol of each frame to words, with their times and how sure the network was of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from codex_worker.asr.vocabulary import Vocabulary
from codex_worker.audio.level import find_pauses


@dataclass(frozen=True)
class Word:
    """A word as heard: times in seconds within the recording, and how sure the network was (0 to 1)."""

    text: str
    start_s: float
    end_s: float
    confidence: float


def words_of(
    vocabulary: Vocabulary,
    frame_ids: Sequence[int],
    frame_probabilities: Sequence[float],
    *,
    seconds_per_frame: float,
    start_s: float = 0.0,
    suppress_unknown: bool = True,
    unknown_replacement: str = "",
) -> list[Word]:
    """Words of a greedy reading; a word's confidence is the mean over its letters of their best frame."""
    words: list[Word] = []
    letters: list[tuple[str, int, int, float]] = []

    def finish() -> None:
        if letters:
            words.append(
                Word(
                    "".join(text for text, *_ in letters),
                    start_s + letters[0][1] * seconds_per_frame,
                    start_s + letters[-1][2] * seconds_per_frame,
                    sum(probability for *_, probability in letters) / len(letters),
                )
            )
            letters.clear()

    for token in vocabulary.collapse(frame_ids):
        text = vocabulary.text_of(
            token.symbol_id,
            suppress_unknown=suppress_unknown,
            replacement=unknown_replacement,
        )
        if text.isspace():
            finish()
        elif text:
            letters.append((text, token.start, token.end, max(frame_probabilities[token.start : token.end])))
    finish()
    return words


def confidence_of(words: Sequence[Word]) -> float:
    """The mean over all letters (0 to 1); 0 where nothing was heard."""
    letters = sum(len(word.text) for word in words)
    return sum(word.confidence * len(word.text) for word in words) / letters if letters else 0.0


PIECE_S = 25.0  # what the network reads at once: longer recordings are cut into pieces of at most this


def cut_at_pauses(samples: np.ndarray, sample_rate: int, longest_s: float) -> list[tuple[int, int]]:
    """Sample ranges that cover a recording, none longer than `longest_s`, cut in the middle of pauses.

    Where `longest_s` holds no pause, the cut is at the quietest 100 ms of its second half.
    """
    longest = round(longest_s * sample_rate)
    if len(samples) <= longest:
        return [(0, len(samples))]
    cuts = [round((start + end) / 2 * sample_rate) for start, end in find_pauses(samples, sample_rate)]
    ranges, start = [], 0
    while len(samples) - start > longest:
        limit = start + longest
        within = [cut for cut in cuts if start + longest // 3 < cut <= limit]
        end = within[-1] if within else _quietest(samples, start + longest // 2, limit, sample_rate // 10)
        ranges.append((start, end))
        start = end
    ranges.append((start, len(samples)))
    return ranges


def _quietest(samples: np.ndarray, start: int, end: int, width: int) -> int:
    """The middle of the `width` samples with the least energy between `start` and `end`."""
    energy = np.cumsum(np.square(samples[start:end], dtype=np.float64))
    windows = energy[width:] - energy[:-width]
    return start + int(np.argmin(windows)) + width // 2
