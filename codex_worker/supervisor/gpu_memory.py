"""What NVIDIA's library of management (NVML) says of the card that jobs compute on, and who holds its memory.

Nothing here computes on the card: asking takes no memory of it, and works while others fill it.
"""

import logging
import os
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from codex_worker.child.keeper import descendants
from codex_worker.errors import SystemFault

logger = logging.getLogger(__name__)

GIB = 1 << 30
VISIBLE = "CUDA_VISIBLE_DEVICES"


class CardTrouble(SystemFault):
    """The card, or its driver, does not answer as it should."""


@dataclass(frozen=True)
class CardMemory:
    """One look at a card. `holders` is None where the driver does not tell who holds what."""

    name: str
    total_bytes: int
    free_bytes: int
    holders: Mapping[int, int] | None = None  # process -> bytes

    def held_by(self, processes: Collection[int]) -> int:
        """Bytes that these hold, as far as the driver tells."""
        return sum((self.holders or {}).get(process, 0) for process in processes)

    def foreign_bytes(self, ours: Collection[int]) -> int | None:
        """Bytes that others hold; None where the driver doesn't tell."""
        return None if self.holders is None else sum(self.holders.values()) - self.held_by(ours)


class Card:
    """The card that a job's process sees first, or none.

    `nvml` is the module pynvml, `environment` the one that jobs get.
    """

    def __init__(self, environment: Mapping[str, str], nvml: Any = None) -> None:
        self._visible = environment.get(VISIBLE)
        self._nvml = nvml
        self._is_used = True
        self._seen = ""  # the identity of the card that torch computes on
        self._handle: Any = None
        self._lock = threading.Lock()  # the loop, a job's watch and the metrics ask
        self._said = False

    def found(self, uuid: str | None) -> None:
        """Torch has named its first card: with cards of several kinds its order need not be the driver's.

        None: it computes on the processor, whatever the driver sees.
        """
        with self._lock:
            self._is_used, self._seen, self._handle = uuid is not None, uuid or "", None

    def look(self) -> CardMemory | None:
        """Its memory now; None where there is no NVIDIA card or it doesn't tell. Raises CardTrouble."""
        with self._lock:
            if not self._is_used:
                return None
            nvml = self._nvml = self._nvml or _pynvml()
            try:
                if self._handle is None:
                    nvml.nvmlInit()
                    self._handle = self._choose(nvml)
                return None if self._handle is None else _memory(nvml, self._handle)
            except nvml.NVMLError as error:
                self._begin_anew(nvml)
                self._must_be_absent(nvml, error)
                return None

    def busy(self) -> float | None:
        """The share of the last moments in which anything ran on it; None where it does not tell.

        The driver's own figure (nvmlDeviceGetUtilizationRates), over a sixth of a second to a second.
        """
        with self._lock:
            if self._handle is None:
                return None
            nvml = self._nvml
            try:
                return float(nvml.nvmlDeviceGetUtilizationRates(self._handle).gpu) / 100
            except nvml.NVMLError:  # parts of cards have no such figure
                return None

    def _begin_anew(self, nvml: Any) -> None:
        """At the next look: a driver may have been loaded again, and a card come back."""
        self._handle = None
        with suppress(nvml.NVMLError):  # it may never have begun
            nvml.nvmlShutdown()

    def _must_be_absent(self, nvml: Any, error: Any) -> None:
        """Raises CardTrouble unless there is no card, or none that could tell."""
        if error.value in {nvml.NVML_ERROR_LIBRARY_NOT_FOUND, nvml.NVML_ERROR_DRIVER_NOT_LOADED}:
            return
        if error.value == nvml.NVML_ERROR_NOT_SUPPORTED:
            if not self._said:
                logger.warning(
                    "The GPU does not tell how much of its memory is free: jobs begin without asking."
                )
            self._said = True
            return
        raise CardTrouble(
            f"The GPU cannot be asked how much of its memory is free: {error}. Look at nvidia-smi."
        ) from error

    def _choose(self, nvml: Any) -> Any:
        named = None if self._visible is None else self._visible.split(",")[0].strip()
        if named is not None and named.startswith(("GPU-", "MIG-")):
            return next((handle for uuid, handle in _cards_and_parts(nvml) if uuid.startswith(named)), None)
        if named is not None and not named.isdecimal():
            return None  # empty, -1 or no name: CUDA sees no card then
        for uuid, handle in _cards_and_parts(nvml):
            if self._seen and uuid in {f"GPU-{self._seen}", f"MIG-{self._seen}"}:
                return _first_part(nvml, handle)
        index = int(named or 0)
        return _first_part(nvml, nvml.nvmlDeviceGetHandleByIndex(index)) if index < _count(nvml) else None


def of_this_worker() -> list[int]:
    """The worker's own processes: itself, and all that it has started."""
    return [os.getpid(), *descendants(os.getpid())]


def _pynvml() -> Any:
    import pynvml  # only a worker that claims jobs asks

    return pynvml


def _count(nvml: Any) -> int:
    return int(nvml.nvmlDeviceGetCount())


def _cards_and_parts(nvml: Any) -> Iterator[tuple[str, Any]]:
    """Every card, and every part of a card that is split (MIG), with its UUID."""
    for index in range(_count(nvml)):
        card = nvml.nvmlDeviceGetHandleByIndex(index)
        yield nvml.nvmlDeviceGetUUID(card), card
        for part in _parts(nvml, card):
            yield nvml.nvmlDeviceGetUUID(part), part


def _first_part(nvml: Any, card: Any) -> Any:
    """CUDA sees the first part of a card that is split, and never the whole."""
    return next(_parts(nvml, card), card)


def _parts(nvml: Any, card: Any) -> Iterator[Any]:
    if _told(nvml, lambda: nvml.nvmlDeviceGetMigMode(card)[0], 0) != nvml.NVML_DEVICE_MIG_ENABLE:
        return
    for index in range(nvml.nvmlDeviceGetMaxMigDeviceCount(card)):
        part = _told(nvml, partial(nvml.nvmlDeviceGetMigDeviceHandleByIndex, card, index), None)
        if part is not None:
            yield part


def _memory(nvml: Any, handle: Any) -> CardMemory:
    """What is free is the lower of two figures: the driver's own, and the total without what processes hold.

    They differ where the driver keeps something for itself, or holds what a dead process has left.
    """
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    total, free, holders = int(memory.total), int(memory.free), _holders(nvml, handle)
    if holders is not None:
        free = min(free, total - sum(holders.values()))
    return CardMemory(str(nvml.nvmlDeviceGetName(handle)), total, max(free, 0), holders)


def _holders(nvml: Any, handle: Any) -> Mapping[int, int] | None:
    """Bytes by process, each once; None where one is hidden, as in WSL and for some users of containers."""
    listings = (
        nvml.nvmlDeviceGetComputeRunningProcesses_v3,
        nvml.nvmlDeviceGetMPSComputeRunningProcesses_v3,
        nvml.nvmlDeviceGetGraphicsRunningProcesses_v3,
    )
    found: dict[int, int] = {}
    for number, listing in enumerate(listings):
        # Parts of cards and older drivers list no graphics, and need not know of MPS.
        processes = _told(nvml, partial(listing, handle), None if number == 0 else [])
        if processes is None or any(each.usedGpuMemory is None for each in processes):
            return None
        for each in processes:
            found[each.pid] = max(found.get(each.pid, 0), int(each.usedGpuMemory))
    return found


def _told(nvml: Any, ask: Callable[[], Any], otherwise: Any) -> Any:
    """An answer, or `otherwise` where this card, driver or user gets none."""
    try:
        return ask()
    except nvml.NVMLError as error:
        hidden = {
            nvml.NVML_ERROR_NOT_SUPPORTED,
            nvml.NVML_ERROR_NO_PERMISSION,
            nvml.NVML_ERROR_FUNCTION_NOT_FOUND,
            nvml.NVML_ERROR_NOT_FOUND,
            nvml.NVML_ERROR_INSUFFICIENT_SIZE,  # processes came while it was asked
            nvml.NVML_ERROR_INVALID_ARGUMENT,  # an older driver, of a part of a card
        }
        if error.value in hidden:
            return otherwise
        raise
