"""How a worker shares its machine: in which hours it takes jobs, and which of them may have the GPU now."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from codex_worker.active_hours import ActiveHours
from codex_worker.clock import Clock
from codex_worker.contract.manifest import JobEntry
from codex_worker.supervisor.gpu_gate import GpuGate, Grant
from codex_worker.supervisor.gpu_memory import VISIBLE
from codex_worker.supervisor.gpu_peaks import JobKind
from codex_worker.supervisor.needs import needs_of

# What a job of the tiny preset holds of a card is CUDA's context, and little else. An allowance.
TINY_GPU_GB = 2.0


@dataclass(frozen=True)
class Admission:
    """A job may begin; how it has to behave towards others."""

    grant: Grant | None = None  # None: nobody can tell of the GPU, or there is none
    note: str = ""  # why it has to do without the GPU; empty where it hasn't

    @property
    def on_processor(self) -> bool:
        """Whether the job may not use the GPU."""
        return bool(self.note)

    @property
    def variables(self) -> dict[str, str]:
        """What the job's process gets into its environment for it."""
        return {VISIBLE: ""} if self.on_processor else {}

    @property
    def tensor_bytes(self) -> int | None:
        """The most that the job's tensors may hold of the GPU; None: as much as there is."""
        return None if self.grant is None else self.grant.tensor_bytes


FREE = Admission()


class Tenancy:
    """Decides what may begin. `gate` None: the GPU is this worker's alone."""

    def __init__(
        self,
        clock: Clock,
        handlers_root: Path,
        hours: ActiveHours | None = None,
        gate: GpuGate | None = None,
        preset: str | None = None,
    ) -> None:
        self.hours = hours or ActiveHours()
        self.gate = gate
        self._clock = clock
        self._handlers_root = handlers_root
        self._preset = preset

    @property
    def is_open(self) -> bool:
        """Whether jobs may be claimed, and go on, at this hour."""
        return self.hours.is_open(self._clock.time())

    def admit(self, entry: JobEntry) -> Admission | str:
        """How the job may begin, or why not now, as a sentence. May take some seconds."""
        if self.gate is None:
            return FREE
        preset = entry.preset(self._preset)
        found = self.gate.admit(_kind_of(entry, preset), self._estimate_bytes(entry, preset))
        if isinstance(found, str) and preset == "tiny":
            return Admission(note=f"The GPU is left to others, and the processor does this job: {found}")
        return found if isinstance(found, str) else Admission(found)

    def _estimate_bytes(self, entry: JobEntry, preset: str) -> int:
        gb = TINY_GPU_GB if preset == "tiny" else needs_of(self._handlers_root, entry).gpu_gb
        return int(gb * 1e9)


def _kind_of(entry: JobEntry, preset: str) -> Callable[[str], JobKind]:
    return lambda gpu: JobKind(entry.job_type, entry.mode, entry.model_type, preset, gpu)
