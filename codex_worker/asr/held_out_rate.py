"""How well a transcriber reads what it was not trained on, and whether that is good enough for cells."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

MOST_WRONG = 0.5
"""Of the letters: a transcriber that reads more of them wrong writes into no cell.

In words of five letters, one of 30 is then right as a whole (0.5 ** 5): such a text helps nobody to write
the right one, and hides that nothing has been written yet. Correcting is quicker than typing only up to 30 %
of wrong words (Gaur et al. 2016, "The Effects of Automatic Speech Recognition Quality on Human Transcription
Latency", W4A), which needs far fewer wrong letters: this bound only keeps out what is no draft at all.
"""

FEWEST_RECORDINGS = 5
"""A rate of fewer recordings than these may be luck, so that the readings themselves are asked, too."""

HELD_OUT_RECORDINGS = "held_out_recordings"
"""Where a checkpoint's metadata notes how many recordings its error rates were measured on."""

# As it reads in the end: on recordings that chose nothing; else on those that chose the best epoch, with and
# without the corrector, which is only kept where it helps.
_MEASURED = (("test_cer",), ("val_cer", "val_cer_with_corrector"))
# As it reads by sound alone, where it could do better; a test knows one rate where there is no better way.
_MEASURED_GREEDY = (("test_cer_greedy",), ("test_cer",), ("val_cer_greedy",), ("val_cer",))


@dataclass(frozen=True)
class HeldOutRate:
    """The share of characters read wrong, and of how many recordings. None where nobody knows."""

    cer: float | None = None
    recordings: int | None = None

    @classmethod
    def of(cls, metrics: object, recordings: int | None, *, is_greedy: bool = False) -> Self:
        """From a training's metrics; a rate that was measured on no held-out recording is none.

        `is_greedy`: of readings without the language and the corrector that the checkpoint has.
        """
        if recordings == 0 or not isinstance(metrics, Mapping):
            return cls(None, recordings)
        for names in _MEASURED_GREEDY if is_greedy else _MEASURED:
            rates = [rate for rate in map(_rate, map(metrics.get, names)) if rate is not None]
            if rates:
                return cls(min(rates), recordings)
        return cls(None, recordings)

    @classmethod
    def stored(cls, metadata: Mapping[str, str], *, is_greedy: bool = False) -> Self:
        """What a checkpoint says of itself, as far as it can be meant."""
        try:
            metrics = json.loads(metadata.get("metrics", ""))
        except (ValueError, RecursionError):
            metrics = None
        noted = metadata.get(HELD_OUT_RECORDINGS, "")
        is_count = noted.isascii() and noted.isdigit() and len(noted) < 10
        return cls.of(metrics, int(noted) if is_count else None, is_greedy=is_greedy)

    @property
    def is_too_wrong(self) -> bool:
        """Whether nothing that it reads should be written into cells."""
        return self.cer is not None and self.cer > MOST_WRONG

    @property
    def is_firm(self) -> bool:
        """Whether it is known, and not from a handful of recordings."""
        return self.cer is not None and (self.recordings is None or self.recordings >= FEWEST_RECORDINGS)

    @property
    def wrong_of_100(self) -> int | None:
        """For people: of 100 letters, so many are read wrong (0 to 100)."""
        return None if self.cer is None else min(100, round(100 * self.cer))


def _rate(value: object) -> float | None:
    """A number that can be a rate; others may stand in a file of a stranger."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        rate = float(value)
    except (ValueError, OverflowError):
        return None
    return rate if math.isfinite(rate) and rate >= 0 else None
