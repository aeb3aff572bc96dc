"""What people are told of a shared GPU: what is free now, and what jobs have taken of it here."""

from collections.abc import Callable, Iterator

from codex_worker.supervisor.gpu_gate import of_whole
from codex_worker.supervisor.gpu_memory import GIB, CardMemory, CardTrouble
from codex_worker.supervisor.gpu_peaks import GpuPeaks
from codex_worker.supervisor.machine import Condition


def gpu_conditions(
    look: Callable[[], CardMemory | None], peaks: GpuPeaks, headroom_bytes: int
) -> Iterator[Condition]:
    """One for the card's memory, where there is a card, and one for each kind of job that was measured."""
    subject = "gpu memory"
    try:
        memory = look()
    except CardTrouble as error:
        yield Condition(subject, str(error), "No job that needs a GPU is begun until it answers.")
        return
    if memory is None:
        return
    held = "" if memory.holders is not None else "; the driver doesn't tell who holds the rest"
    yield Condition(
        subject,
        f"{of_whole(memory)} are free{held}; {headroom_bytes / GIB:.1f} GiB of it are left to others "
        "(--vram-headroom-gib)",
    )
    for kind, peak in peaks.all().items():
        yield Condition(subject, f"a job of the kind {kind} has taken {peak / GIB:.1f} GiB")
