"""The clock of a recording: where its pieces of sound lie by their time stamps, and where sound is missing.

A browser that pauses, a network that loses packets and a phone that sends nothing while nobody speaks (DTX)
leave gaps in the time stamps. Players show the time of the clock, and clips are cut by it.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

Piece = TypeVar("Piece")

GAP_S = (
    0.04  # smaller ones are the rounding and the unsteadiness of clocks; they add up until they are filled
)
ANEW_S = 0.5  # a stamp this far back is that of a clock which begins anew
FEWEST_STEPS = 10
OTHER_SPEED = 1.2  # times as fast as the sound
ALIKE = 0.1


@dataclass(frozen=True)
class Stamp:
    """When a piece of sound begins by its time stamp (None: it has none), and how long it is."""

    time_s: float | None
    duration_s: float


class Timeline:
    """Places pieces of sound one after another, with gaps where their time stamps leave some.

    Args:
        from_zero: whether the clock begins at 0, so that a late first stamp is a gap; otherwise it begins
            with the first piece.
        position_s: where the first piece lies if nothing comes before it.
    """

    def __init__(self, *, from_zero: bool, position_s: float = 0.0) -> None:
        self.position_s = position_s  # the end of what was placed
        self._offset_s = position_s if from_zero else None  # what the clock is ahead of the stamps
        self._speeds: list[float] = []  # of the stamps, from each piece to the next, by those of the sound
        self._last: Stamp | None = None

    def place(self, stamp: Stamp, following: Stamp | None) -> float:
        """Take the next piece; the seconds without sound before it.

        A leap counts only as far as the next piece bears it out: a single wrong stamp is none.
        """
        gap_s = self._gap_s(stamp, following)
        self.position_s += gap_s + stamp.duration_s
        self._note_speed(stamp)
        return gap_s

    @property
    def stated_speed(self) -> float | None:
        """How many times as fast as the sound all stamps run; None where they can be those of its clock.

        Gaps lie here and there. Stamps that leave one after each piece, all alike, have a wrong unit.
        """
        if len(self._speeds) < FEWEST_STEPS:
            return None
        middle = sorted(self._speeds)[len(self._speeds) // 2]
        alike = sum(abs(speed - middle) <= ALIKE * middle for speed in self._speeds)
        return middle if middle > OTHER_SPEED and alike >= (1 - ALIKE) * len(self._speeds) else None

    def _gap_s(self, stamp: Stamp, following: Stamp | None) -> float:
        if stamp.time_s is None or not math.isfinite(stamp.time_s):
            return 0.0
        if self._offset_s is None:
            self._offset_s = self.position_s - stamp.time_s
        late_s = next_late_s = stamp.time_s + self._offset_s - self.position_s
        if following is not None and following.time_s is not None:
            next_late_s = following.time_s + self._offset_s - self.position_s - stamp.duration_s
        if max(late_s, next_late_s) < -ANEW_S or (self._last is None and late_s < 0):
            self._offset_s -= late_s
        gap_s = min(late_s, next_late_s)
        return gap_s if gap_s > GAP_S else 0.0

    def _note_speed(self, stamp: Stamp) -> None:
        last = self._last
        if last is not None and last.time_s is not None and stamp.time_s is not None and last.duration_s > 0:
            self._speeds.append((stamp.time_s - last.time_s) / last.duration_s)
        self._last = stamp


def with_following(pieces: Iterable[Piece]) -> Iterator[tuple[Piece, Piece | None]]:
    """Each piece with the one after it."""
    last: Piece | None = None
    for piece in pieces:
        if last is not None:
            yield last, piece
        last = piece
    if last is not None:
        yield last, None
