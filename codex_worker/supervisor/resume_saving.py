"""Saving where a training stands: at once on this disk, from time to time elsewhere, never in its way.

Elsewhere is the project's server, or a folder that several machines see.

A resume state helps the next attempt and is no result. So nothing here fails an attempt: what cannot be saved
is said once and tried again later, in a thread of its own, while the training goes on.
"""

import logging
import math
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from codex_worker.clock import EventClock
from codex_worker.contract.records import ResumePointer
from codex_worker.errors import WorkerError, clause
from codex_worker.supervisor.local_states import LocalState, StateNote, is_at_least_as_far
from codex_worker.supervisor.shared_states import SharedStates

logger = logging.getLogger(__name__)

# Of all the time, at most one part in so many goes into uploads.
_SHARE = 10
_NOTHING_TO_DO_S = 3600.0
_GIB = 1 << 30


@dataclass(frozen=True)
class CarryLimits:
    """How often states go elsewhere, and how large ones."""

    interval_s: float
    max_bytes: int


@dataclass(frozen=True)
class StateOwner:
    """The attempt that saves, and what earlier ones of its job left."""

    attempt: str  # "<number>-<nonce>"
    earlier: Collection[str]  # the names of the job's earlier attempts
    code: str  # the handler and the version
    carried: ResumePointer | None  # what the lease names

    def left_at(self, place: LocalState | SharedStates) -> list[StateNote]:
        """What earlier attempts left there that is at least as far as what was carried. Raises OSError."""
        found = place.found(self.earlier, self.code)
        return [note for note in found if is_at_least_as_far(note, self.carried)]


class Carrier(Protocol):
    """The project's server, as far as states go."""

    def save_resume(self, file: Path, epochs: float) -> None:
        """Uploads a state and names it in the lease."""

    def forget_resume(self) -> None:
        """Removes the uploaded state, where the server can."""


class ResumeSaver:
    """Saves one attempt's states. With `shared`, they go there, and nothing is uploaded."""

    def __init__(
        self,
        local: LocalState,
        owner: StateOwner,
        limits: CarryLimits,
        clock: EventClock,
        carrier: Carrier,
        refresh: Callable[[], object] = lambda: None,
        shared: SharedStates | None = None,
    ) -> None:
        self._local = local
        self._owner = owner
        self._limits = limits
        self._clock = clock
        self._carrier = carrier
        self._refresh = refresh
        self._shared = shared
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
                self._local.take(file, self._owner.attempt, self._owner.code, epochs)
                self._epochs = epochs
        except OSError as error:
            self._complain(self._local.where, error)
            return
        if self._thread is None:
            self._local.forget_old()
            if self._shared is not None:
                self._shared.forget_old(self._clock.time())
            self._thread = threading.Thread(target=self._run, name="resume", daemon=True)
            self._thread.start()
        self._wake.set()

    def fetch(self, target: Path, fetch_carried: Callable[[], Path | None]) -> Path | None:
        """What the attempt starts from: the furthest state at hand, copied to `target`, or the carried one.

        Of equal ones this disk's counts, which is nearer than a volume.
        """
        for place, note in sorted(self._left(), key=lambda found: (-found[1].epochs, -found[1].number)):
            try:
                if place.copy(note, target):
                    logger.info(
                        "The job goes on from the state that attempt %s left %s.", note.attempt, place.where
                    )
                    return target
                logger.warning("The state of attempt %s %s is damaged.", note.attempt, place.where)
            except OSError as error:
                logger.warning("The state %s cannot be used: %s.", place.where, clause(error))
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
            logger.warning("There was no time to carry the last saved state away; this disk keeps it.")
        if is_over:
            self._local.forget()

    def forget(self) -> None:
        """The job's end stands in the project: nobody goes on from any state of it."""
        self._local.forget()
        try:
            if self._shared is not None:
                self._shared.forget()
            self._carrier.forget_resume()
        except Exception as error:  # it takes room and does nothing else; the job is over
            logger.warning("A state of the job is left on the server: %s", error)

    def _left(self) -> list[tuple[LocalState | SharedStates, StateNote]]:
        """Where earlier attempts left a state, and which."""
        places: list[LocalState | SharedStates] = (
            [self._local] if self._shared is None else [self._local, self._shared]
        )
        found: list[tuple[LocalState | SharedStates, StateNote]] = []
        try:
            self._local.recover()
        except OSError as error:
            logger.warning("A state that arrived %s cannot be used: %s.", self._local.where, clause(error))
        for place in places:
            try:
                found += [(place, note) for note in self._owner.left_at(place)]
            except OSError as error:
                logger.warning("The states %s cannot be read: %s.", place.where, clause(error))
        return found

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
            self._complain(self._local.where, error)
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
                self._elsewhere,
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
            if self._shared is None:
                self._carrier.save_resume(self._local.path_of(note), note.epochs)
            else:
                self._shared.keep(self._local.path_of(note), note, self._owner.earlier)
            self._carried_oid = note.oid
            self._complained.discard(self._elsewhere)
        except (WorkerError, OSError) as error:
            self._complain(self._elsewhere, error)
            self._refresh()
        except Exception:  # a defect of ours must not end a training that goes well
            logger.exception("The training's state could not be uploaded; the training goes on")
        took_s = self._clock.monotonic() - began_s
        self._due_s = began_s + max(self._limits.interval_s, _SHARE * took_s)

    @property
    def _elsewhere(self) -> str:
        return "on the server" if self._shared is None else self._shared.where

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
