"""Cutting long recordings where nobody speaks."""

import numpy as np

from codex_worker.audio.level import find_pauses

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
