"""While a job runs: what it takes of the GPU, and whether others have come to need that."""

import logging
import threading
from collections.abc import Callable, Collection
from dataclasses import replace

from codex_worker.clock import EventClock
from codex_worker.errors import Kind
from codex_worker.job.ends import Cause
from codex_worker.supervisor.decide import Departure
from codex_worker.supervisor.gpu_gate import GpuGate, Grant
from codex_worker.supervisor.gpu_memory import CardMemory, CardTrouble
from codex_worker.supervisor.tenancy import Admission, Tenancy

logger = logging.getLogger(__name__)

# A neighbour that takes memory for a moment only costs nobody a restart.
LOOKS_IN_A_ROW = 3
# Less growth than this is no neighbour that has woken.
LEAST_GROWTH_BYTES = 64 << 20
_PATIENCE_S = 10.0


def is_squeezed(memory: CardMemory, family: Collection[int], grant: Grant, headroom_bytes: int) -> bool:
    """Whether less is free than is left to others, because others hold more than when the job was let in.

    Where the driver doesn't tell who holds what, the free memory alone decides: the job's own share was
    chosen so that it leaves the headroom free.
    """
    if memory.free_bytes >= headroom_bytes:
        return False
    if grant.foreign_bytes is None or memory.holders is None or not memory.held_by(family):
        return True
    return sum(memory.holders.values()) - memory.held_by(family) > grant.foreign_bytes + LEAST_GROWTH_BYTES


class NeighbourWatch:
    """Looks at card and hours in a thread of its own: a driver that hangs must hold up nothing else.

    `family` names the job's processes, `wish` is told why the job has to end.
    """

    def __init__(
        self,
        tenancy: Tenancy,
        admission: Admission,
        family: Callable[[], Collection[int]],
        wish: Callable[[Cause], None],
        clock: EventClock,
        every_s: float,
    ) -> None:
        self._tenancy = tenancy
        self._grant = admission.grant
        self._family = family
        self._wish = wish
        self._clock = clock
        self._every_s = every_s
        self._over = threading.Event()
        self._peak_bytes = 0
        self._in_a_row = 0
        self._thread = threading.Thread(target=self._run, name="neighbours", daemon=True)

    def begin(self) -> None:
        """Watches until `end`, where there is anything to watch."""
        if self._grant is not None or self._tenancy.hours.windows:
            self._thread.start()

    def end(self, departure: Departure) -> Departure:
        """The job's process is gone; how it left, with what is known here of the reason."""
        self.stop()
        gate = self._tenancy.gate
        if gate is None or self._grant is None or self._thread.is_alive():
            return departure
        gate.measured(self._grant.kind, self._peak_bytes, is_whole=departure.result is not None)
        if departure.kind is Kind.RESOURCE and departure.cause is None and self._others_took_its_share(gate):
            return replace(departure, cause=Cause.YIELDED)
        return departure

    def stop(self) -> None:
        """Watches no more."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join(_PATIENCE_S)

    def _others_took_its_share(self, gate: GpuGate) -> bool:
        """Whether less is free, now that the job is gone, than when it was let in.

        A neighbour may fill the card between two looks: the job that runs out of memory then is not to blame.
        """
        try:
            memory = gate.look()
        except CardTrouble:
            return False
        return (
            memory is not None
            and self._grant is not None
            and memory.free_bytes + LEAST_GROWTH_BYTES < self._grant.free_bytes
        )

    def _run(self) -> None:
        while not self._clock.wait(self._over, self._every_s):
            if not self._tenancy.is_open:
                self._wish(Cause.HOURS_OVER)
            try:
                self._look()
            except CardTrouble as error:  # a job that computes on it meets that itself
                logger.debug("%s", error)
            except Exception:  # a defect of ours must not end a job that goes well
                logger.exception("The GPU could not be watched; the job goes on")

    def _look(self) -> None:
        gate = self._tenancy.gate
        if gate is None or self._grant is None:
            return
        memory, family = gate.look(), self._family()
        if memory is None:
            return
        own_bytes = memory.held_by(family)
        gate.saw(memory, own_bytes)
        self._peak_bytes = max(self._peak_bytes, own_bytes)
        is_tight = is_squeezed(memory, family, self._grant, gate.headroom_bytes)
        self._in_a_row = self._in_a_row + 1 if is_tight else 0
        if self._in_a_row == LOOKS_IN_A_ROW:
            self._wish(Cause.YIELDED)
