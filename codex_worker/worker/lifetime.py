"""How long a worker stays: its own end after so long without a job, and after so long in all."""

import logging
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass

from codex_worker.clock import EventClock

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LifeLimits:
    """The operator's limits; None: there is none."""

    max_idle_s: float | None = None  # for a worker that goes on polling when nothing is left
    max_uptime_s: float | None = None


class Lifetime:
    """Ends a worker when its time is over, as SIGTERM would; answers how much longer it may be idle."""

    def __init__(self, limits: LifeLimits, clock: EventClock, leave: Callable[[], None]) -> None:
        """`leave` makes the worker save what is there and leave; it is called from a thread."""
        self._limits = limits
        self._clock = clock
        self._leave = leave

    def begin(self, over: threading.Event) -> None:
        """The worker's time begins now, and counts until it is `over`."""
        if (uptime_s := self._limits.max_uptime_s) is not None:
            threading.Thread(
                target=self._leave_after, args=(uptime_s, over), name="uptime", daemon=True
            ).start()

    def idle_left_s(self, since_s: float) -> float:
        """How much longer the worker may be without a job, which it is since then; not above 0: no longer."""
        limit_s = self._limits.max_idle_s
        return math.inf if limit_s is None else since_s + limit_s - self._clock.monotonic()

    def say_that_it_was_idle(self) -> None:
        """Tells whoever reads the log why the worker ends."""
        minutes = (self._limits.max_idle_s or 0.0) / 60
        logger.info("No job in %g minutes (--max-idle-minutes): this worker ends.", minutes)

    def _leave_after(self, uptime_s: float, over: threading.Event) -> None:
        if self._clock.wait(over, uptime_s):
            return
        hours = uptime_s / 3600
        logger.warning("This worker has run for %g hours (--max-uptime-hours): it saves and leaves.", hours)
        self._leave()
