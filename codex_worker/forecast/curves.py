"""Letters wrong against hours of recordings: what was published or measured, and what lies between.

Error rates fall about in a straight line where both are logarithms, so that is how it is read off between two
anchors. Beyond the anchors each end is drawn on so that the range only gets wider.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from codex_worker.errors import UserError

LEAST_PERCENT = 0.5  # fewer letters wrong than this are promised to nobody


@dataclass(frozen=True)
class ErrorRange:
    """Letters wrong in a hundred, of recordings that the transcriber has not heard: at best and at worst."""

    low: float
    high: float

    def __str__(self) -> str:
        low, high = shown(self.low), shown(self.high)
        return f"{low if low == high else f'{low} to {high}'} in 100 letters wrong"


@dataclass(frozen=True)
class Anchor:
    """What so many hours of one reader gave; percent of the letters wrong, at best and at worst."""

    hours: float
    low_percent: float
    high_percent: float
    source: str


@dataclass(frozen=True)
class ErrorCurve:
    """Anchors of one way to train, fewest hours first; two at least."""

    name: str
    anchors: tuple[Anchor, ...]

    def at(self, hours: float) -> ErrorRange:
        """The range for so many hours. Raises UserError for none."""
        if not (hours > 0 and math.isfinite(hours)):
            raise UserError(
                "There are no recordings to forecast anything from. Record verses that have text."
            )
        first, last = self.anchors[0], self.anchors[-1]
        points = [(each.hours, each.low_percent) for each in self.anchors]
        low = _read_off(points, hours)
        high = _read_off([(each.hours, each.high_percent) for each in self.anchors], min(hours, last.hours))
        # Fewer hours than any figure is of: the best end is not drawn on, as nothing says how fast it rises.
        low = min(low, first.low_percent) if hours < first.hours else low
        return ErrorRange(min(max(low, LEAST_PERCENT), 100.0), min(max(high, LEAST_PERCENT), 100.0))

    def sources(self, hours: float) -> list[str]:
        """Where the figures on both sides of so many hours are from, each once."""
        below = [each for each in self.anchors if each.hours <= hours][-1:]
        above = [each for each in self.anchors if each.hours > hours][:1]
        return list(dict.fromkeys(each.source for each in (*below, *above)))

    def beyond(self, hours: float) -> str:
        """A sentence where so many hours are outside of all anchors; empty inside."""
        first, last = self.anchors[0], self.anchors[-1]
        if hours < first.hours:
            return (
                f"The figures begin at {first.hours * 60:.0f} minutes; for less, the worse end is drawn on "
                "from there."
            )
        if hours > last.hours * 1.01:
            return f"The figures end at {duration(last.hours)}; for more, the better end is drawn on."
        return ""


def _read_off(points: Sequence[tuple[float, float]], hours: float) -> float:
    """On the line through the two nearest points, in logarithms on both axes."""
    segments = list(pairwise(points))
    (left, below), (right, above) = next((each for each in segments if hours <= each[1][0]), segments[-1])
    slope = math.log(above / below) / math.log(right / left)
    return below * (hours / left) ** slope


def shown(percent: float) -> str:
    """A percentage with as many digits as it deserves."""
    return f"{percent:.0f}" if percent >= 9.95 else f"{percent:.1f}".removesuffix(".0")


def duration(hours: float) -> str:
    """Hours in words."""
    if hours >= 2:
        return f"{hours:.1f}".removesuffix(".0") + " hours"
    minutes = round(hours * 60)
    return "1 minute" if minutes == 1 else f"{minutes} minutes"
