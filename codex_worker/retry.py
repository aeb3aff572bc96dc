"""Trying again while the server is away or refuses our token, for as long as an operator allows."""

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from codex_worker.clock import EventClock
from codex_worker.errors import AccessDenied, ServerUnreachable

logger = logging.getLogger(__name__)

FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 15 * 60.0

# What may be over later: everything else is an answer.
PASSING = (ServerUnreachable, AccessDenied)

T = TypeVar("T")


class Patience:
    """Repeats what failed for a passing reason, until `timeout_s` is over or `give_up` is set.

    `refresh` reads the token again before each new try: a person may have put a valid one there.
    """

    def __init__(
        self, clock: EventClock, refresh: Callable[[], object], timeout_s: float, give_up: threading.Event
    ) -> None:
        self._clock = clock
        self._refresh = refresh
        self._timeout_s = timeout_s
        self._give_up = give_up

    def insist(self, action: Callable[[], T]) -> T:
        """The action's answer. Raises the last error when patience is at its end."""
        until_s = self._clock.monotonic() + self._timeout_s
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return action()
            except PASSING as error:
                if self._give_up.is_set() or self._clock.monotonic() + pause_s > until_s:
                    raise
                logger.warning("%s Trying again in %.0f s; nothing is lost meanwhile.", error, pause_s)
            self._clock.wait(self._give_up, pause_s)
            self._refresh()
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
