"""A process that is ready before its job is: libraries imported, walls raised, in a folder of no job yet.

It is a child like any other and does one job. It raises its walls as every child does, before it imports
anything, around a folder that gets its job's name afterwards: walls are built around folders, not around
names. It holds no memory of a GPU until it has a job.
"""

import logging
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

from codex_worker.clock import EventClock
from codex_worker.errors import WorkerError, clause
from codex_worker.job.channel import PREPARE, ChannelClosed
from codex_worker.supervisor.job_folder import JobFolder
from codex_worker.supervisor.machine import available_memory
from codex_worker.supervisor.process import ChildProcess
from codex_worker.supervisor.sandbox import Equipment, child_command
from codex_worker.supervisor.settings import SPARE_BYTES, SpareTime

logger = logging.getLogger(__name__)

# Where a job may use so much, the next one's process is made while it runs; elsewhere once it has ended.
LEAST_BESIDE_BYTES = 16 * SPARE_BYTES
# From a cold disk torch alone takes a minute; what takes longer hangs.
READY_WITHIN_S = 300.0
# Libraries may be installed anew under a process that has loaded half of them.
OLDEST_S = 3600.0
# After one that ended by itself: the next job, which needs no spare, says what is wrong.
PAUSE_S = 600.0
_GONE_WITHIN_S = 5.0
_PREFIX = ".spare-"
_NONE: Mapping[str, str] = MappingProxyType({})

Equip = Callable[[Path, Mapping[str, str]], Equipment]  # the variables of a job alone


@dataclass(frozen=True)
class Room:
    """Where an attempt works: its folder, and the process that waits there for its assignment, or None."""

    folder: JobFolder
    child: ChildProcess | None = None


@dataclass(frozen=True)
class _Spare:
    folder: JobFolder
    child: ChildProcess
    equipment: Equipment
    made_s: float

    def discard(self) -> None:
        self.child.discard()
        self.folder.remove_all()


class Spares:
    """Keeps one process ready for the next job. Used by one thread, which has to outlive the processes:
    the kernel ends a process whose parent's thread is gone.
    """

    def __init__(self, work_dir: Path, equip: Equip, clock: EventClock, when: SpareTime) -> None:
        self.is_wanted = True  # whether another job may follow the next one
        self._work_dir = work_dir
        self._equip = equip
        self._clock = clock
        self._when = when
        self._spare: _Spare | None = None
        self._not_before_s = float("-inf")

    @property
    def is_ready(self) -> bool:
        """Whether one waits that has imported everything."""
        return self._spare is not None and self._spare.child.has_spoken

    def keep_one(self) -> None:
        """Makes a spare process where there is none, or only one that is of no use any more."""
        if self._when is SpareTime.NEVER:
            return
        self._let_go_of_a_bad_one()
        if self._spare is None and self._clock.monotonic() >= self._not_before_s and _memory_is_free():
            try:
                self._spare = self._made()
            except (WorkerError, OSError) as error:
                self._pause(clause(error))

    def keep_one_beside_a_job(self) -> None:
        """The same while a job computes, where another may follow and there is memory for both."""
        if self.is_wanted and self._when is SpareTime.ALWAYS:
            self.keep_one()

    @contextmanager
    def place_for(self, job_id: str, attempt: str, variables: Mapping[str, str] = _NONE) -> Iterator[Room]:
        """The folder of an attempt, with the spare process in it where there is one.

        Nothing of either is open afterwards. Raises what `JobFolder.create` raises.
        """
        place = self._ready_place(job_id, attempt, variables) or Room(
            JobFolder.create(self._work_dir, job_id, attempt)
        )
        with place.folder:
            try:
                yield place
            finally:
                if place.child is not None and place.child.is_running:  # it never got its assignment
                    place.child.kill()

    def close(self) -> None:
        """No process waits any more."""
        spare, self._spare = self._spare, None
        if spare is not None:
            _in_background(spare.discard).join(_GONE_WITHIN_S)

    def _ready_place(self, job_id: str, attempt: str, variables: Mapping[str, str]) -> Room | None:
        self._let_go_of_a_bad_one()
        spare, self._spare = self._spare, None
        if spare is None:
            return None
        try:
            if self._equip(spare.folder.path, variables) == spare.equipment:
                spare.folder.become(job_id, attempt)
                return Room(spare.folder, spare.child)
            logger.info("The waiting process has other walls or variables than a new one; it is not used.")
        except (OSError, WorkerError) as error:
            logger.warning("The waiting process cannot be used: %s.", clause(error))
        _in_background(spare.discard)
        return None

    def _let_go_of_a_bad_one(self) -> None:
        spare = self._spare
        if spare is None:
            return
        age_s = self._clock.monotonic() - spare.made_s
        if not spare.child.is_running:
            self._pause("it ended by itself")
        elif age_s > READY_WITHIN_S and not spare.child.has_spoken:
            self._pause(f"it was not ready after {READY_WITHIN_S:.0f} s")
        elif age_s <= OLDEST_S:
            return
        self._spare = None
        _in_background(spare.discard)

    def _pause(self, reason: str) -> None:
        logger.warning(
            "The process that waits for the next job is of no use: %s. Jobs start theirs when they begin.",
            reason,
        )
        self._not_before_s = self._clock.monotonic() + PAUSE_S

    def _made(self) -> _Spare:
        _remove_left_behind(self._work_dir)
        folder = JobFolder(self._work_dir / f"{_PREFIX}{secrets.token_hex(8)}")
        try:
            equipment = self._equip(folder.path, _NONE)
            child = start_child(folder, equipment)
        except BaseException:
            folder.remove_all()
            raise
        spare = _Spare(folder, child, equipment, self._clock.monotonic())
        with suppress(ChannelClosed):  # it is gone already, which is seen before it is used
            child.channel.send(PREPARE)
        return spare


def start_child(folder: JobFolder, equipment: Equipment) -> ChildProcess:
    """A process for the job of this folder. Raises SystemFault where none can be started."""
    folder.give_to(equipment.walls.user)
    return ChildProcess(partial(child_command, equipment.walls), equipment.environment, folder.path)


def time_for_spares(limit_bytes: int | None) -> SpareTime:
    """When there is memory for one, where a job may use `limit_bytes`; None: nobody knows."""
    if limit_bytes is None or limit_bytes < LEAST_BESIDE_BYTES:
        return SpareTime.BETWEEN_JOBS
    return SpareTime.ALWAYS


def _memory_is_free() -> bool:
    free_bytes = available_memory()
    return free_bytes is not None and free_bytes >= 2 * SPARE_BYTES


def _remove_left_behind(work_dir: Path) -> None:
    """Folders of spare processes whose worker was killed; another worker's are in use, and stay."""
    for path in work_dir.glob(f"{_PREFIX}*"):
        with suppress(WorkerError):
            JobFolder(path).remove_all()


def _in_background(do: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=do, name="spare", daemon=True)
    thread.start()
    return thread
