"""What to do with a running child: a pure function of what is seen of it."""

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from codex_worker.contract.records import EndState
from codex_worker.errors import Kind
from codex_worker.job.ends import Cause, state_of
from codex_worker.job.summary import Summary, sentence_of, summary_of
from codex_worker.queue.owned import Outcome
from codex_worker.supervisor.settings import JobLimits

_SIGNALS = {number.value: number.name for number in signal.Signals}


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
    if sight.wish is not None and sight.wish.ending.stop_reason is None:
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
    ends = [sight.asked_s + _patience_s(sight.asked, limits)]
    if sight.leaving_s is not None:
        ends.append(sight.leaving_s + limits.leave_s)
    return min(ends)


def _patience_s(asked: Cause | None, limits: JobLimits) -> float:
    if asked is Cause.PREEMPTED:
        return limits.leave_s
    return limits.yield_s if asked in {Cause.YIELDED, Cause.HOURS_OVER} else limits.save_s


@dataclass(frozen=True)
class Departure:
    """A child that is gone."""

    return_code: int  # negative: minus the signal's number
    cause: Cause | None = None  # why it was asked to stop, or killed
    result: Mapping[str, Any] | None = None  # its last word when it went well
    kind: Kind | None = None  # its last word when it did not
    message: str = ""
    summary: Summary | None = None  # counted facts of its result
    problem: str = ""  # what it sent that makes no sense


def outcome_of(departure: Departure, limits: JobLimits) -> Outcome | None:
    """The end to write; None where nothing may be written any more (lost, deleted).

    A child that finished although it was asked to stop has finished.
    """
    cause = departure.cause
    if cause is not None and not cause.ending.publishes:
        return None
    if departure.result is not None:
        done = sentence_of(departure.summary or summary_of(departure.result))
        return Outcome(EndState.COMPLETED, None, done, result=departure.result)
    cause = cause or _cause_of(departure)
    if cause is None:
        return Outcome(state_of(departure.kind), departure.kind, departure.message)
    ending = cause.ending
    return Outcome(ending.state or EndState.FAILED, ending.kind, ending.said(**_figures(departure, limits)))


def _cause_of(departure: Departure) -> Cause | None:
    """Why a child left that nobody asked to; None where its own last word says it."""
    if departure.kind is Kind.CANCELED:
        return Cause.GAVE_UP
    if departure.kind is not None:
        return None
    if departure.return_code == -signal.SIGKILL:
        return Cause.KILLED
    return Cause.CRASHED if departure.return_code < 0 else Cause.SILENT


def _figures(departure: Departure, limits: JobLimits) -> dict[str, object]:
    """What the causes' sentences may name."""
    return {
        "hang_minutes": limits.hang_s / 60,
        "memory_gb": (limits.memory_bytes or 0) / 1e9,
        "message": departure.problem or departure.message,
        "return_code": departure.return_code,
        "signal": -departure.return_code,
        "signal_name": _SIGNALS.get(-departure.return_code, "unknown"),
    }
