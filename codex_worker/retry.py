"""Trying again what may pass: which errors do, how long to wait between tries, and when to give up.

There is one loop for all servers and one row in this module for each kind of call. The rows are nested:
a request is repeated within a transaction, a transaction within a publication. The inner ones are short,
so that the outer one can read the token again and let an operator interrupt it.
"""

import logging
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TypeVar

import tenacity

from codex_worker.errors import (
    AccessDenied,
    CacheBroken,
    ProjectGone,
    Refused,
    ResourceError,
    ServerUnreachable,
)

logger = logging.getLogger(__name__)

# What may be over later: everything else is an answer. A person may put a valid token into its file.
PASSING = (ServerUnreachable, AccessDenied)
# What a publication may fail for that says nothing of the result: the server's will, this machine's disk.
# The result is kept and offered again.
TAKEN_LATER = (*PASSING, Refused, ResourceError, CacheBroken, OSError)

T = TypeVar("T")


@dataclass(frozen=True)
class RetrySchedule:
    """Pauses that double from `first_s` to `longest_s`, and where they end.

    A pause that a server asks for (`ServerUnreachable.wait_s`) is kept, up to the longest one.
    """

    first_s: float
    longest_s: float
    tries: int | None = None  # None: as many as fit into the time
    timeout_s: float | None = None  # from the first try; no pause is begun that would end later
    name: str = ""  # of what is tried again, where tries are counted
    passing: tuple[type[Exception], ...] = PASSING
    level: int = logging.WARNING  # of what the log says of each pause

    def pause_s(self, failures: int, asked_s: float | None, chance: random.Random) -> float:
        """The pause after so many failures; at random, so that many workers do not come back at once."""
        if asked_s is not None:
            return min(asked_s, self.longest_s)
        # Twenty doublings are more than any schedule has; a float would not hold a thousand.
        return min(self.first_s * 2 ** min(failures - 1, 20), self.longest_s) * chance.uniform(0.5, 1.0)


# A request to GitLab's API; the next poll asks again in any case. A refused token is its caller's affair.
API = RetrySchedule(1.0, 60.0, tries=4, name="request", passing=(ServerUnreachable,), level=logging.DEBUG)
# A large file, or a question about some of them.
LARGE_FILES = RetrySchedule(
    1.0, 60.0, tries=6, name="large file", passing=(ServerUnreachable,), level=logging.INFO
)
# Fetching, committing and pushing once.
TRANSACTION = RetrySchedule(2.0, 60.0, timeout_s=60.0, name="transaction")
# Results that took hours to make, while the server is away; for how long is the operator's choice.
PUBLICATION = RetrySchedule(5.0, 15 * 60.0, name="publication")
# A GPU is not held by a server: after so long a result is kept, and the next job begins.
PUBLISH_PATIENCE_S = 90.0
# What a job needs for its work, before anything is computed; then its attempt has failed.
READ_PATIENCE_S = 3600.0


def _nothing(*_: object) -> None:
    """What there is to do between two tries, mostly."""


@dataclass(frozen=True)
class BackOff:
    """Repeats what failed for a passing reason, on one schedule and somebody's clock."""

    schedule: RetrySchedule
    monotonic: Callable[[], float]
    sleep: Callable[[float], object]
    give_up: threading.Event = field(default_factory=threading.Event)  # set: the next failure is the last
    refresh: Callable[[], object] = _nothing  # before each new try; reads the token again
    chance: random.Random = field(default_factory=random.Random)
    retried: Callable[[str], object] = _nothing  # told the schedule's name, once for each new try

    def insist(self, action: Callable[[], T]) -> T:
        """The action's answer. Raises its last error when the schedule is at its end, and others at once."""
        began_s = self.monotonic()
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(self._may_pass),
            wait=self._pause_s,
            stop=lambda state: self._is_over(state, began_s),
            before_sleep=self._say,
            sleep=self._rest,
            reraise=True,
        )(action)

    def _may_pass(self, error: BaseException) -> bool:
        return isinstance(error, self.schedule.passing) and not isinstance(error, ProjectGone)

    def _pause_s(self, state: tenacity.RetryCallState) -> float:
        asked_s = getattr(_error_of(state), "wait_s", None)
        return self.schedule.pause_s(state.attempt_number, asked_s, self.chance)

    def _is_over(self, state: tenacity.RetryCallState, began_s: float) -> bool:
        schedule = self.schedule
        if self.give_up.is_set() or (schedule.tries is not None and state.attempt_number >= schedule.tries):
            return True
        ready_s = self.monotonic() + state.upcoming_sleep
        return schedule.timeout_s is not None and ready_s > began_s + schedule.timeout_s

    def _say(self, state: tenacity.RetryCallState) -> None:
        self.retried(self.schedule.name)
        logger.log(self.schedule.level, "%s Trying again in %.0f s.", _error_of(state), state.upcoming_sleep)

    def _rest(self, pause_s: float) -> None:
        self.sleep(pause_s)
        self.refresh()


def asked_for_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """The pause that an answer's headers ask for, in seconds; None where they don't.

    `Retry-After` (RFC 9110, 10.2.3) is a number of seconds or a date, GitLab's `RateLimit-Reset` a time
    in seconds since 1970, as `now_s` is.
    """
    asked = headers.get("Retry-After", "").strip()
    if asked.isdecimal():
        return float(asked)
    if asked:
        try:
            return max(parsedate_to_datetime(asked).timestamp() - now_s, 0.0)
        except ValueError:
            return None  # not a date either: the usual pause applies
    reset = headers.get("RateLimit-Reset", "").strip()
    return max(float(reset) - now_s, 0.0) if reset.isdecimal() else None


def _error_of(state: tenacity.RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None
