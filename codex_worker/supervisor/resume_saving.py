"""Saving where a training stands: at once on this disk, from time to time on the server, never in its way.

A resume state helps the next attempt and is no result. So nothing here fails an attempt: what cannot be saved
is said once and tried again later, in a thread of its own, while the training goes on.
"""

import logging
import math
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from codex_worker.clock import EventClock
from codex_worker.contract.records import ResumePointer
from codex_worker.errors import WorkerError, clause
from codex_worker.supervisor.local_states import LocalState, StateNote, is_at_least_as_far

logger = logging.getLogger(__name__)

# Of all the time, at most one part in so many goes into uploads.
_SHARE = 10
_NOTHING_TO_DO_S = 3600.0
_GIB = 1 << 30


@dataclass(frozen=True)
class CarryLimits:
    """How often states go to the server, and how large ones."""

    interval_s: float
    max_bytes: int


@dataclass(frozen=True)
class StateOwner:
    """The attempt that saves, and what earlier ones of its job left."""

    attempt: str  # "<number>-<nonce>"
    earlier: Collection[str]  # the names of the job's earlier attempts
    code: str  # the handler and the version
    carried: ResumePointer | None  # what the lease names

    def newest_here(self, local: LocalState) -> StateNote | None:
        """What an earlier attempt left on this disk, where it is at least as far as what was carried."""
        note = local.newest(self.earlier, self.code)
        return note if note is not None and is_at_least_as_far(note, self.carried) else None


class ResumeSaver:
    """Saves one attempt's states. `carry` uploads one and names it in the lease."""

    def __init__(
        self,
        local: LocalState,
        owner: StateOwner,
        limits: CarryLimits,
        clock: EventClock,
        carry: Callable[[Path, float], None],
        refresh: Callable[[], object] = lambda: None,
    ) -> None:
        self._local = local
        self._owner = owner
        self._limits = limits
        self._clock = clock
        self._carry_file = carry
        self._refresh = refresh
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._done = threading.Event()
        self._thread: threading.Thread | None = None
        self._over = False  # the child is gone: no state comes any more
        self._is_wanted = True  # somebody may go on from the states
        self._epochs = 0.0
        self._newest: StateNote | None = None
        self._carried_oid = ""
        self._due_s = -math.inf
        self._complained: set[str] = set()

    def save(self, file: Path, epochs: float) -> None:
        """Keeps a state that the child has written; returns once it lies where the child does not write."""
        try:
            with self._lock:
                self._local.take(file)
                self._epochs = epochs
        except OSError as error:
            self._complain("on this disk", error)
            return
        if self._thread is None:
            self._local.forget_old()
            self._thread = threading.Thread(target=self._run, name="resume", daemon=True)
            self._thread.start()
        self._wake.set()

    def fetch(self, target: Path, fetch_carried: Callable[[], Path | None]) -> Path | None:
        """What the attempt goes on from: this disk's state, copied to `target`, else the carried one."""
        try:
            note = self._owner.newest_here(self._local)
            if note is not None and self._local.copy(note, target):
                logger.info("The job goes on from the state that attempt %s left on this disk.", note.attempt)
                return target
        except OSError as error:
            logger.warning("The state on this disk cannot be used: %s.", clause(error))
        carried = self._owner.carried
        if carried is not None and carried.size > self._limits.max_bytes:
            logger.warning(
                "The saved state has %.1f GiB, more than --resume-max-gib allows; the job begins anew.",
                carried.size / _GIB,
            )
            return None
        return fetch_carried()

    def finish(self, *, is_over: bool, is_wanted: bool, timeout_s: float) -> None:
        """The child is gone. Carries its last state where somebody may go on from it, at most so long.

        Where the job itself `is_over`, this disk's state goes as well.
        """
        with self._lock:
            self._over, self._is_wanted = True, is_wanted and not is_over
        self._wake.set()
        if self._thread is not None and self._is_wanted and not self._clock.wait(self._done, timeout_s):
            logger.warning("There was no time to upload the last saved state; this disk keeps it.")
        if is_over:
            self._local.forget()

    def _run(self) -> None:
        try:
            while not self._step():
                self._clock.wait(self._wake, self._pause_s())
                self._wake.clear()
        finally:
            self._done.set()

    def _step(self) -> bool:
        """Does what is due; True when nothing is left to do."""
        with self._lock:
            over, epochs = self._over, self._epochs
        if over and not self._is_wanted:
            return True
        try:
            settled = self._local.settle(self._owner.attempt, self._owner.code, epochs)
            self._newest = settled or self._newest
        except OSError as error:
            self._complain("on this disk", error)
        if self._waits_to_be_carried() and (over or self._clock.monotonic() >= self._due_s):
            self._carry()
        return over

    def _pause_s(self) -> float:
        if not self._waits_to_be_carried():
            return _NOTHING_TO_DO_S
        return max(self._due_s - self._clock.monotonic(), 0.0)

    def _waits_to_be_carried(self) -> bool:
        newest = self._newest
        if newest is None or newest.oid == self._carried_oid:
            return False
        if newest.size > self._limits.max_bytes:
            self._complain(
                "on the server",
                f"it has {newest.size / _GIB:.1f} GiB, more than --resume-max-gib allows",
            )
            return False
        return True

    def _carry(self) -> None:
        note = self._newest
        if note is None:
            return
        began_s = self._clock.monotonic()
        try:
            self._carry_file(self._local.path_of(note), note.epochs)
            self._carried_oid = note.oid
            self._complained.discard("on the server")
        except (WorkerError, OSError) as error:
            self._complain("on the server", error)
            self._refresh()
        except Exception:  # a defect of ours must not end a training that goes well
            logger.exception("The training's state could not be uploaded; the training goes on")
        took_s = self._clock.monotonic() - began_s
        self._due_s = began_s + max(self._limits.interval_s, _SHARE * took_s)

    def _complain(self, where: str, why: object) -> None:
        """Once, until it works again."""
        told = where in self._complained or (self._over and not self._is_wanted)
        self._complained.add(where)
        logger.log(
            logging.DEBUG if told else logging.WARNING,
            "The training's state could not be saved %s: %s. The training goes on, and this is tried again.",
            where,
            clause(why),
        )
