"""Whether a job may have the GPU now: there must be room for it, and some left for others."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from codex_worker.clock import EventClock
from codex_worker.settings import Settings
from codex_worker.supervisor.gpu_memory import GIB, CardMemory, CardTrouble, of_this_worker
from codex_worker.supervisor.gpu_peaks import GpuPeaks, JobKind

logger = logging.getLogger(__name__)

# A neighbour that is just starting shows itself between the two looks.
BETWEEN_LOOKS_S = 10.0
# A look that is older says nothing of now.
OLDEST_LOOK_S = 60.0
_MOST_LOOKS = 100
# With so much of it free the card is nobody else's: a job begins there with less than it is known to take,
# but not with less than this part of that. It makes its batches smaller.
EMPTY_SHARE = 0.9
LEAST_PART = 0.5
# What a process holds of a card beside its tensors: CUDA's context and the libraries' code. An allowance.
BESIDE_TENSORS_BYTES = 3 * GIB // 4


@dataclass(frozen=True)
class Grant:
    """A job may compute on the card: what it may take, and what there was when it was let in."""

    kind: JobKind
    free_bytes: int
    tensor_bytes: int  # the most that its tensors may hold
    foreign_bytes: int | None = None  # what others held; None where the driver doesn't tell


@dataclass(frozen=True)
class _Look:
    """What a job of ours could have had at one moment (monotonic seconds)."""

    at_s: float
    available_bytes: int


class GpuGate:
    """Two looks, some seconds apart, must both find room. Looks while a job of ours runs count as well.

    `look` asks the card (None: there is none that tells), `ours` names the worker's own processes.
    """

    def __init__(
        self,
        look: Callable[[], CardMemory | None],
        peaks: GpuPeaks,
        clock: EventClock,
        leaving: Callable[[], threading.Event],
        headroom_bytes: int = int(Settings.vram_headroom_gib * GIB),
        ours: Callable[[], Collection[int]] = of_this_worker,
    ) -> None:
        self.look = look
        self._peaks = peaks
        self._clock = clock
        self._leaving = leaving
        self.headroom_bytes = headroom_bytes
        self._ours = ours
        self._looks: deque[_Look] = deque(maxlen=_MOST_LOOKS)

    def admit(self, kind_on: Callable[[str], JobKind], estimate_bytes: int) -> Grant | str | None:
        """A grant, or why the job has to wait as a sentence; None where no card tells of its memory.

        `kind_on` makes the job's kind from the card's name. `estimate_bytes` is for kinds that were never
        measured here. May wait for the second look.
        """
        try:
            return self._admit(kind_on, estimate_bytes)
        except CardTrouble as error:
            return str(error)

    def measured(self, kind: JobKind, peak_bytes: int, *, is_whole: bool) -> None:
        """A job has held so much at most; `is_whole`: it came to its end by itself."""
        self._peaks.note(kind, peak_bytes, is_whole=is_whole)

    def saw(self, memory: CardMemory, own_bytes: int = 0) -> None:
        """A look that somebody else had, while processes of ours that will be gone hold `own_bytes`."""
        self._looks.append(_Look(self._clock.monotonic(), memory.free_bytes + own_bytes))

    def _admit(self, kind_on: Callable[[str], JobKind], estimate_bytes: int) -> Grant | str | None:
        memory = self._without_ours()
        if memory is None:
            return None
        kind = kind_on(memory.name)
        needed = self._needed_bytes(memory, kind, estimate_bytes)
        if memory.free_bytes >= needed and not self._had_room(needed):
            self._clock.wait(self._leaving(), BETWEEN_LOOKS_S)
            again = self._without_ours()
            if again is None:
                return None
            memory = replace(again, free_bytes=min(again.free_bytes, memory.free_bytes))
        self.saw(memory)
        if memory.free_bytes < needed:
            return self._too_full(kind, memory, estimate_bytes)
        tensors = max(memory.free_bytes - self.headroom_bytes - BESIDE_TENSORS_BYTES, 0)
        return Grant(kind, memory.free_bytes, tensors, memory.foreign_bytes(self._ours()))

    def _without_ours(self) -> CardMemory | None:
        """The card as it is once what the worker itself has running there is over."""
        memory = self.look()
        if memory is None:
            return None
        return replace(memory, free_bytes=memory.free_bytes + memory.held_by(self._ours()))

    def _had_room(self, needed_bytes: int) -> bool:
        """Whether there was room at every look of late, the first of them long enough ago."""
        now_s = self._clock.monotonic()
        late = [look for look in list(self._looks) if now_s - look.at_s <= OLDEST_LOOK_S]
        return (
            bool(late)
            and now_s - late[0].at_s >= BETWEEN_LOOKS_S
            and all(look.available_bytes >= needed_bytes for look in late)
        )

    def _needed_bytes(self, memory: CardMemory, kind: JobKind, estimate_bytes: int) -> int:
        job = self._peaks.of(kind) or estimate_bytes
        at_least = max(EMPTY_SHARE * memory.total_bytes, LEAST_PART * job + self.headroom_bytes)
        return min(job + self.headroom_bytes, int(at_least))

    def _too_full(self, kind: JobKind, memory: CardMemory, estimate_bytes: int) -> str:
        measured = self._peaks.of(kind)
        how = "measured here" if measured else "estimated"
        return (
            f"{of_whole(memory)} are free, and such a job takes {(measured or estimate_bytes) / GIB:.1f} GiB "
            f"({how}), beside {self.headroom_bytes / GIB:.1f} GiB for others (--vram-headroom-gib)."
        )


def of_whole(memory: CardMemory) -> str:
    """The free part of a card's memory, for people."""
    return f"{memory.free_bytes / GIB:.1f} of {memory.total_bytes / GIB:.1f} GiB of the {memory.name}"
