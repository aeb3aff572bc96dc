"""How fast a project is spoken: seconds for a text of so many letters, and what is odd about a recording.

A fixed part and a part for each letter, since starting and ending a word takes time, too: by letters a
second alone, every single word would be slow. Learnt from the project's own recordings, in any script.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PACE_LETTERS = 10  # shorter texts are single words, which people say as they like
HESITATION_S = 4.0  # but not for longer than this
MIN_TO_COMPARE = 10
MOST_COMPARED = 500  # recordings, each with each
# How far from the usual pace is odd: so many spreads of the project, within these factors.
ODD_SPREADS = 4.5
LEAST_FACTOR, MOST_FACTOR = 1.6, 1.9
SHORT_FACTOR = 1.25  # quicker than usual by this is one recording in twenty

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Pace:
    """Seconds of speech for a text, and the factor from which more or less than that is odd."""

    start_s: float
    letter_s: float
    odd_factor: float

    def usual_s(self, letters: int) -> float:
        """Seconds that so many letters usually take."""
        return self.start_s + self.letter_s * letters

    def is_fast(self, letters: int, speech_s: float) -> bool:
        """Whether a text was said so fast that a part of it may be missing."""
        return letters >= PACE_LETTERS and speech_s * self.odd_factor < self.usual_s(letters)

    def is_short(self, letters: int, speech_s: float) -> bool:
        """Whether a text took less time than usual, which is odd only where something else is odd, too."""
        return letters >= PACE_LETTERS and speech_s * SHORT_FACTOR < self.usual_s(letters)

    def is_slow(self, letters: int, speech_s: float) -> bool:
        """Whether it took so long that more may be said than the text; single words are given time."""
        patience_s = HESITATION_S if letters < PACE_LETTERS else 0.0
        return letters > 0 and speech_s > self.odd_factor * self.usual_s(letters) + patience_s


def usual_pace(letters: Sequence[int], speech_s: Sequence[float]) -> Pace | None:
    """The pace that most recordings agree on; None where there are too few to tell.

    The slope is the median over all pairs of recordings whose texts differ clearly in length (Theil 1950, Sen
    1968), so a quarter of wrong texts does not move it.
    """
    some = _spread_over(len(letters))
    counts, seconds = np.asarray(letters, np.float64)[some], np.asarray(speech_s, np.float64)[some]
    counts, seconds = counts[counts > 0], seconds[counts > 0]
    if counts.size < MIN_TO_COMPARE:
        return None
    start_s, letter_s = _line(counts, seconds)
    return Pace(start_s, letter_s, _odd_factor(counts, seconds, start_s + letter_s * counts))


def _spread_over(count: int) -> NDArray[np.int64]:
    """At most MOST_COMPARED places, evenly spread over so many."""
    return np.unique(np.linspace(0, count - 1, min(count, MOST_COMPARED)).round().astype(np.int64))


def _line(letters: Numbers, seconds: Numbers) -> tuple[float, float]:
    """Fixed seconds and seconds a letter; through nought where the texts are of one length."""
    one, other = np.triu_indices(letters.size, 1)
    apart = letters[other] - letters[one]
    clear = np.abs(apart) >= PACE_LETTERS
    if clear.sum() >= MIN_TO_COMPARE:
        slope = float(np.median((seconds[other] - seconds[one])[clear] / apart[clear]))
        offset = float(np.median(seconds - slope * letters))
        if slope > 0 and offset >= 0:
            return offset, slope
    long = letters >= PACE_LETTERS
    chosen = long if long.any() else np.ones(letters.size, bool)
    return 0.0, float(np.median(seconds[chosen] / letters[chosen]))


def _odd_factor(letters: Numbers, seconds: Numbers, usual_s: Numbers) -> float:
    judged = letters >= PACE_LETTERS
    if judged.sum() < MIN_TO_COMPARE:
        return MOST_FACTOR
    residuals = np.log(np.maximum(seconds[judged], 1e-3) / np.maximum(usual_s[judged], 1e-3))
    spread = 1.4826 * float(np.median(np.abs(residuals - np.median(residuals))))
    return min(max(math.exp(ODD_SPREADS * spread), LEAST_FACTOR), MOST_FACTOR)
