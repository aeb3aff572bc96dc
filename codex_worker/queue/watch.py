"""When a silent worker counts as dead: a pure judgement on what was seen, by the observer's own clock.

A lease's own time decides nothing: clocks differ, beats are sent again, machines pause. What counts is
that the observer saw the same value for long enough, and could reach the server at every look.
"""

from collections.abc import Hashable
from dataclasses import dataclass, replace

STALE_AFTER_S = 5 * 60
LONGEST_GAP_S = 90


@dataclass(frozen=True)
class _Seen:
    value: Hashable
    since_s: float
    last_s: float


class StaleWatch:
    """Watches values that a living owner would change."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def saw(self, key: str, value: Hashable, now_s: float) -> float:
        """Notes a look that reached the server; answers for how many seconds the value has stood still."""
        before = self._seen.get(key)
        if before is None or before.value != value or now_s - before.last_s > LONGEST_GAP_S:
            self._seen[key] = _Seen(value, now_s, now_s)
            return 0.0
        self._seen[key] = replace(before, last_s=now_s)
        return now_s - before.since_s

    def failed(self) -> None:
        """Notes a look that did not reach the server: after an outage everybody's lease looks old."""
        self._seen.clear()

    def forget(self, key: str) -> None:
        """Ends the watch of one value."""
        self._seen.pop(key, None)
