"""NVML without a GPU: what pynvml answers and raises, as NVIDIA's reference of that library says."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pynvml

GIB = 1 << 30


@dataclass
class FakeCard:
    """A card, or a part of one (MIG). `resident`: bytes by process; None: the driver doesn't tell."""

    uuid: str = "GPU-11111111-aaaa-bbbb-cccc-000000000001"
    name: str = "NVIDIA T4"
    total: int = 16 * GIB
    driver: int = 0  # what the driver keeps for itself
    resident: dict[int, int | None] = field(default_factory=dict)
    hidden: int = 0  # of processes that a container doesn't see
    graphics: dict[int, int | None] = field(default_factory=dict)
    busy_percent: int = 0
    errors: dict[str, int] = field(default_factory=dict)  # function -> what it raises
    parts: Sequence["FakeCard | None"] | None = None  # None: not split; an empty place is None

    @property
    def free(self) -> int:
        """Bytes that nobody holds."""
        shown = {**self.graphics, **self.resident}.values()
        return self.total - self.driver - self.hidden - sum(each or 0 for each in shown)


class FakeNvml:
    """The functions of pynvml that are called; anything else is an AttributeError."""

    NVMLError = pynvml.NVMLError
    NVML_DEVICE_MIG_ENABLE = pynvml.NVML_DEVICE_MIG_ENABLE

    def __init__(self, *cards: FakeCard, error: int | None = None) -> None:
        self.cards = cards
        self.error = error  # what nvmlInit raises
        self.looks = 0
        self._begun = 0

    def __getattr__(self, name: str) -> Any:
        if name.startswith("NVML_ERROR_"):
            return getattr(pynvml, name)
        raise AttributeError(name)

    def nvmlInit(self) -> None:
        if self.error is not None:
            raise pynvml.NVMLError(self.error)
        self._begun += 1

    def nvmlShutdown(self) -> None:
        self._must_have_begun()
        self._begun -= 1

    def nvmlDeviceGetCount(self) -> int:
        self._must_have_begun()
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> FakeCard:
        self._must_have_begun()
        if not 0 <= index < len(self.cards):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        return self.cards[index]

    def nvmlDeviceGetUUID(self, card: FakeCard) -> str:
        self._check(card, "uuid")
        return card.uuid

    def nvmlDeviceGetName(self, card: FakeCard) -> str:
        self._check(card, "name")
        return card.name

    def nvmlDeviceGetMemoryInfo(self, card: FakeCard) -> SimpleNamespace:
        self._check(card, "memory")
        self.looks += 1
        return SimpleNamespace(total=card.total, free=card.free, used=card.total - card.free)

    def nvmlDeviceGetUtilizationRates(self, card: FakeCard) -> SimpleNamespace:
        self._check(card, "utilization")
        return SimpleNamespace(gpu=card.busy_percent, memory=0)

    def nvmlDeviceGetComputeRunningProcesses_v3(self, card: FakeCard) -> list[SimpleNamespace]:
        self._check(card, "compute")
        return _processes(card.resident)

    def nvmlDeviceGetMPSComputeRunningProcesses_v3(self, card: FakeCard) -> list[SimpleNamespace]:
        self._check(card, "mps")
        return []

    def nvmlDeviceGetGraphicsRunningProcesses_v3(self, card: FakeCard) -> list[SimpleNamespace]:
        self._check(card, "graphics")
        return _processes(card.graphics)

    def nvmlDeviceGetMigMode(self, card: FakeCard) -> list[int]:
        self._check(card, "mig")
        if card.parts is None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return [pynvml.NVML_DEVICE_MIG_ENABLE, pynvml.NVML_DEVICE_MIG_ENABLE]

    def nvmlDeviceGetMaxMigDeviceCount(self, card: FakeCard) -> int:
        self._check(card, "mig")
        return len(card.parts or ())

    def nvmlDeviceGetMigDeviceHandleByIndex(self, card: FakeCard, index: int) -> FakeCard:
        self._check(card, "mig")
        part = (card.parts or ())[index]
        if part is None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return part

    def _check(self, card: FakeCard, what: str) -> None:
        self._must_have_begun()
        for name in (what, "all"):
            if name in card.errors:
                raise pynvml.NVMLError(card.errors[name])

    def _must_have_begun(self) -> None:
        if self._begun < 1:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_UNINITIALIZED)


def _processes(held: dict[int, int | None]) -> list[SimpleNamespace]:
    return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in held.items()]
