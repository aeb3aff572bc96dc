"""What to do with a running child: a pure function of what is seen of it."""

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any

from codex_worker.contract.records import EndState
from codex_worker.errors import Kind
from codex_worker.job.api import StopReason
from codex_worker.queue.owned import Outcome
from codex_worker.supervisor.settings import JobLimits


class Cause(StrEnum):
    """Why an attempt is brought to its end before the handler is done."""

    CANCELED = "canceled"
    WITHDRAWN = "withdrawn"  # the manifest's entry is gone
    PREEMPTED = "preempted"  # the worker has to leave
    TIMEOUT = "timeout"
    DELETED = "deleted"  # a person deleted the job's folder
    LOST = "lost"  # another attempt owns the job
    HANG = "hang"
    MEMORY = "memory"
    BROKEN = "broken"  # what it says on the channel makes no sense

    @property
    def stop_reason(self) -> StopReason | None:
        """What the child is told; None where it gets no time to save."""
        return _STOP_REASONS.get(self)

    @property
    def publishes(self) -> bool:
        """Whether anything of this attempt may still be written to the project."""
        return self not in {Cause.DELETED, Cause.LOST}


_STOP_REASONS = {
    Cause.CANCELED: StopReason.CANCELED,
    Cause.WITHDRAWN: StopReason.CANCELED,
    Cause.PREEMPTED: StopReason.PREEMPTED,
    Cause.TIMEOUT: StopReason.TIMEOUT,
}


class Step(Enum):
    """What comes next."""

    GO_ON = "go on"
    ASK_TO_STOP = "ask to stop"
    KILL = "kill"


@dataclass(frozen=True)
class ChildState:
    """A child as it is seen at one moment; times in seconds of one monotonic clock."""

    now_s: float
    last_sign_s: float  # its last heartbeat, call or look at should_stop()
    deadline_s: float | None = None
    is_served: bool = False  # it waits for an answer of ours, which may take long
    memory_bytes: int = 0
    wish: Cause | None = None  # what was seen in the repository, on the channel or of the worker
    asked: Cause | None = None  # what it was asked to stop for already
    asked_s: float = 0.0
    leaving_s: float | None = None  # since when the worker has to leave


def next_step(sight: ChildState, limits: JobLimits) -> tuple[Step, Cause | None]:
    """The next step and its cause."""
    cause = _fatal(sight, limits)
    if cause is not None:
        return Step.KILL, cause
    if sight.asked is None:
        wish = sight.wish or _over(sight) or (Cause.PREEMPTED if sight.leaving_s is not None else None)
        return (Step.ASK_TO_STOP, wish) if wish else (Step.GO_ON, None)
    if sight.now_s >= _saved_by(sight, limits):
        return Step.KILL, sight.asked
    return Step.GO_ON, None


def _fatal(sight: ChildState, limits: JobLimits) -> Cause | None:
    if sight.wish is not None and sight.wish.stop_reason is None:
        return sight.wish
    if limits.memory_bytes is not None and sight.memory_bytes > limits.memory_bytes:
        return Cause.MEMORY
    # Once asked to stop, the time for saving is the shorter limit.
    if sight.asked is None and not sight.is_served and sight.now_s - sight.last_sign_s > limits.hang_s:
        return Cause.HANG
    return None


def _over(sight: ChildState) -> Cause | None:
    return Cause.TIMEOUT if sight.deadline_s is not None and sight.now_s >= sight.deadline_s else None


def _saved_by(sight: ChildState, limits: JobLimits) -> float:
    patience_s = limits.leave_s if sight.asked is Cause.PREEMPTED else limits.save_s
    ends = [sight.asked_s + patience_s]
    if sight.leaving_s is not None:
        ends.append(sight.leaving_s + limits.leave_s)
    return min(ends)


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
