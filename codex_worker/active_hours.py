"""The hours in which a worker may claim jobs, by the clock on the wall of some place.

What counts is what that clock shows. So an hour that it shows twice (the end of daylight saving) counts
twice, and one that it leaves out is not there that day.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

DAY_MINUTES = 24 * 60

_WINDOW = re.compile(r"(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})")


@dataclass(frozen=True)
class Window:
    """From `start` to `end`, in minutes since midnight; over midnight where it ends before it starts."""

    start: int
    end: int

    def holds(self, minute: int) -> bool:
        """Whether a minute of the day lies in it; its end does not."""
        if self.start < self.end:
            return self.start <= minute < self.end
        return minute >= self.start or minute < self.end

    def __str__(self) -> str:
        return "-".join(f"{minute // 60:02}:{minute % 60:02}" for minute in (self.start, self.end))


@dataclass(frozen=True)
class ActiveHours:
    """Windows of each day; none: always. `zone` None is the machine's own."""

    windows: Sequence[Window] = ()
    zone: tzinfo | None = None

    def is_open(self, timestamp_s: float) -> bool:
        """Whether jobs may be claimed, and go on, at a moment (seconds since 1970)."""
        there = datetime.fromtimestamp(timestamp_s, UTC).astimezone(self.zone)
        minute = there.hour * 60 + there.minute
        return not self.windows or any(window.holds(minute) for window in self.windows)

    def __str__(self) -> str:
        place = "this machine's time" if self.zone is None else str(self.zone)
        return f"{', '.join(map(str, self.windows))} {place}"


def read_windows(text: str) -> tuple[Window, ...]:
    """The windows of `02:00-06:00, 22:00-23:30`. Raises ValueError for what is none."""
    return tuple(_window(part.strip()) for part in text.split(","))


def read_zone(text: str) -> tzinfo:
    """The time zone of this name. Raises ValueError where this machine knows none."""
    name = text.strip()
    if name == "UTC":
        return UTC  # also where no time zones are installed
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError) as error:  # OSError: a folder of zones, like Europe
        raise ValueError(
            "it must be the name of a time zone that this machine knows, like Europe/London (on Linux the "
            "package tzdata brings them)"
        ) from error


def _window(text: str) -> Window:
    found = _WINDOW.fullmatch(text)
    if found is None:
        raise ValueError(
            "it must be hours and minutes like 02:00-06:00, or several such windows with commas between them"
        )
    hours = [int(each) for each in found.groups()]
    start, end = hours[0] * 60 + hours[1], hours[2] * 60 + hours[3]
    if hours[1] > 59 or hours[3] > 59 or start >= DAY_MINUTES or end > DAY_MINUTES:
        raise ValueError("it must be of times from 00:00 to 24:00")
    if start == end:
        raise ValueError(
            "it must be a window whose end is not its beginning; leave the option out for the whole day"
        )
    return Window(start, end)
