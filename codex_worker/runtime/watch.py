"""What to do with a running child: a pure function of what is seen of it."""

from dataclasses import dataclass
from enum import Enum, StrEnum

from codex_worker.runtime.settings import JobLimits
from handlers.base import StopReason


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
class Sight:
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


def next_step(sight: Sight, limits: JobLimits) -> tuple[Step, Cause | None]:
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


def _fatal(sight: Sight, limits: JobLimits) -> Cause | None:
    if sight.wish is not None and sight.wish.stop_reason is None:
        return sight.wish
    if limits.memory_bytes is not None and sight.memory_bytes > limits.memory_bytes:
        return Cause.MEMORY
    # Once asked to stop, the time for saving is the shorter limit.
    if sight.asked is None and not sight.is_served and sight.now_s - sight.last_sign_s > limits.hang_s:
        return Cause.HANG
    return None


def _over(sight: Sight) -> Cause | None:
    return Cause.TIMEOUT if sight.deadline_s is not None and sight.now_s >= sight.deadline_s else None


def _saved_by(sight: Sight, limits: JobLimits) -> float:
    patience_s = limits.leave_s if sight.asked is Cause.PREEMPTED else limits.save_s
    ends = [sight.asked_s + patience_s]
    if sight.leaving_s is not None:
        ends.append(sight.leaving_s + limits.leave_s)
    return min(ends)
