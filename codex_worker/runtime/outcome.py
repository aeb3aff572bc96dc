"""How an attempt ended: a pure function of what the child said and how its process left."""

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from codex_worker.contract.records import EndState
from codex_worker.errors import Kind
from codex_worker.queue.owned import Outcome
from codex_worker.runtime.settings import JobLimits
from codex_worker.runtime.watch import Cause


@dataclass(frozen=True)
class Departure:
    """A child that is gone."""

    return_code: int  # negative: minus the signal's number
    cause: Cause | None = None  # why it was asked to stop, or killed
    result: Mapping[str, Any] | None = None  # its last word when it went well
    kind: Kind | None = None  # its last word when it did not
    message: str = ""


_ENDS: dict[Cause, tuple[EndState, Kind]] = {
    Cause.CANCELED: (EndState.CANCELED, Kind.CANCELED),
    Cause.WITHDRAWN: (EndState.WITHDRAWN, Kind.CANCELED),
    Cause.PREEMPTED: (EndState.PREEMPTED, Kind.PREEMPTED),
    Cause.TIMEOUT: (EndState.FAILED, Kind.TIMEOUT),
    Cause.HANG: (EndState.FAILED, Kind.SYSTEM),
    Cause.MEMORY: (EndState.FAILED, Kind.RESOURCE),
    Cause.BROKEN: (EndState.FAILED, Kind.SYSTEM),
}


def outcome_of(departure: Departure, limits: JobLimits) -> Outcome | None:
    """The end to write; None where nothing may be written any more (lost, deleted).

    A child that finished although it was asked to stop has finished.
    """
    cause = departure.cause
    if cause is not None and not cause.publishes:
        return None
    if departure.result is not None:
        return Outcome(EndState.COMPLETED, None, _done(departure.result), result=departure.result)
    if cause is not None:
        state, kind = _ENDS[cause]
        return Outcome(state, kind, _sentence(cause, limits))
    if departure.kind is Kind.PREEMPTED:
        return Outcome(EndState.PREEMPTED, Kind.PREEMPTED, departure.message)
    if departure.kind is Kind.CANCELED:
        # Nobody asked for it, so a person must not read that somebody did.
        return Outcome(EndState.FAILED, Kind.SYSTEM, f"The handler gave up by itself: {departure.message}")
    if departure.kind is not None:
        return Outcome(EndState.FAILED, departure.kind, departure.message)
    kind, message = _silent_end(departure.return_code)
    return Outcome(EndState.FAILED, kind, message)


def _done(result: Mapping[str, Any]) -> str:
    """What a translator reads of a finished job."""
    counts = (
        ("epochs_completed", "epochs trained"),
        ("cells_written", "cells written"),
        ("cells_failed", "cells failed"),
        ("cells_skipped", "cells skipped"),
    )
    parts = [f"{result[key]} {words}" for key, words in counts if isinstance(result.get(key), int)]
    return f"Done: {', '.join(parts)}." if parts else "Done."


def _sentence(cause: Cause, limits: JobLimits) -> str:
    return {
        Cause.CANCELED: "The job was canceled; what was finished by then is saved.",
        Cause.WITHDRAWN: "The job's entry is gone from the manifest; what was finished by then is saved.",
        Cause.PREEMPTED: "The worker had to leave; the job goes on with the next one.",
        Cause.TIMEOUT: "The job's time is used up; what was finished by then is saved. "
        "Give it more time (timeout in the manifest, --max-job-hours of the worker) or less to do.",
        Cause.HANG: f"The job's process gave no sign of life for {limits.hang_s / 60:.0f} minutes "
        "and was ended.",
        Cause.MEMORY: "The job needed more memory than this machine has "
        f"({(limits.memory_bytes or 0) / 1e9:.1f} GB). A smaller batch size or another machine may help.",
        Cause.BROKEN: "The job's process sent what no handler sends, and was ended.",
    }[cause]


def _silent_end(return_code: int) -> tuple[Kind, str]:
    """A process that left without a word."""
    if return_code == -signal.SIGKILL:
        return Kind.RESOURCE, (
            "The job's process was killed by signal 9 (SIGKILL), probably because memory ran out. "
            "A smaller batch size or a machine with more memory may help."
        )
    if return_code < 0:
        try:
            name = signal.Signals(-return_code).name
        except ValueError:
            name = "unknown"
        return Kind.SYSTEM, (
            f"The job's process crashed with signal {-return_code} ({name}). The log shows what it did last."
        )
    return Kind.SYSTEM, (
        f"The job's process ended without a result (exit code {return_code}). The log shows what it did last."
    )
