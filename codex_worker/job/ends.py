"""Why an attempt ended, and all that follows from it: the one place where a cause gets its consequences.

Whoever sees that an attempt has to end (the queue, the supervisor, a signal) names a `Cause`. What the
child is told, what is written to the project, with which code a process leaves and what people read is
in the cause's row of `ENDINGS`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from codex_worker.contract.exit_codes import ExitCode
from codex_worker.contract.records import EndState
from codex_worker.errors import Kind


class Cause(StrEnum):
    """Why an attempt ended without a result, and without an error that the handler told of."""

    # Seen in the project, of the worker or of its limits, while the child runs:
    CANCELED = "canceled"
    WITHDRAWN = "withdrawn"  # the manifest's entry is gone, for longer than a merge takes
    PREEMPTED = "preempted"  # the worker has to leave
    YIELDED = "yielded"  # somebody else needs the GPU
    HOURS_OVER = "hours over"  # of those in which the operator lets jobs run
    TIMEOUT = "timeout"
    DELETED = "deleted"  # a person deleted the job's folder
    LOST = "lost"  # another attempt owns the job, or somebody ended this one
    HANG = "hang"
    MEMORY = "memory"
    BROKEN = "broken"  # what it says on the channel makes no sense
    # Seen of a child that has left:
    GAVE_UP = "gave up"  # it says that it was canceled, and nobody canceled it
    KILLED = "killed"
    CRASHED = "crashed"
    SILENT = "silent"

    @property
    def ending(self) -> "Ending":
        """What follows from it."""
        return ENDINGS[self]


class StopReason(StrEnum):
    """What a handler is told of a cause that leaves it time to save."""

    CANCELED = "canceled"  # a person canceled or withdrew the job
    PREEMPTED = "preempted"  # the worker has to leave; save and go
    TIMEOUT = "timeout"  # the job's time is used up

    @property
    def cause(self) -> Cause:
        """The cause that is named so."""
        return Cause(self.value)


@dataclass(frozen=True)
class Ending:
    """One row: what follows from a cause."""

    state: EndState | None  # None: nothing of this attempt may be written to the project any more
    kind: Kind
    sentence: str  # for people; `said` fills it in
    stop_reason: StopReason | None = None  # None: the child gets no time to save

    @property
    def publishes(self) -> bool:
        """Whether anything of this attempt may still be written to the project."""
        return self.state is not None

    @property
    def exit_code(self) -> ExitCode:
        """How a worker leaves whose only job ended so."""
        return exit_code(self.state, self.kind)

    def said(self, **figures: object) -> str:
        """The sentence with the figures that it names; those that it doesn't name are left out."""
        return self.sentence.format(**figures)


_SEE_LOG = "The log shows what it did last."

ENDINGS: Mapping[Cause, Ending] = {
    Cause.CANCELED: Ending(
        EndState.CANCELED,
        Kind.CANCELED,
        "The job was canceled; what was finished by then is saved.",
        StopReason.CANCELED,
    ),
    Cause.WITHDRAWN: Ending(
        EndState.WITHDRAWN,
        Kind.CANCELED,
        "The job's entry is gone from the manifest; what was finished by then is saved.",
        StopReason.CANCELED,
    ),
    Cause.PREEMPTED: Ending(
        EndState.PREEMPTED,
        Kind.PREEMPTED,
        "The worker had to leave; the job goes on with the next one.",
        StopReason.PREEMPTED,
    ),
    Cause.YIELDED: Ending(
        EndState.YIELDED,
        Kind.PREEMPTED,
        "Somebody else needs the memory of the GPU. The job's state is saved, and it goes on when there is "
        "room again.",
        StopReason.PREEMPTED,
    ),
    Cause.HOURS_OVER: Ending(
        EndState.YIELDED,
        Kind.PREEMPTED,
        "The hours in which this machine does jobs are over. The job's state is saved, and it goes on in the "
        "next ones, or with another worker before.",
        StopReason.PREEMPTED,
    ),
    Cause.TIMEOUT: Ending(
        EndState.FAILED,
        Kind.TIMEOUT,
        "The job's time is used up; what was finished by then is saved. "
        "Give it more time (timeout in the manifest, --max-job-hours of the worker) or less to do.",
        StopReason.TIMEOUT,
    ),
    Cause.DELETED: Ending(
        None, Kind.CANCELED, "The job's folder was deleted; nothing more is written of this attempt."
    ),
    Cause.LOST: Ending(
        None, Kind.CANCELED, "The job belongs to another attempt now; nothing more is written of this one."
    ),
    Cause.HANG: Ending(
        EndState.FAILED,
        Kind.SYSTEM,
        "The job's process gave no sign of life for {hang_minutes:.0f} minutes and was ended.",
    ),
    Cause.MEMORY: Ending(
        EndState.FAILED,
        Kind.RESOURCE,
        "The job needed more memory than this machine has ({memory_gb:.1f} GB). "
        "A smaller batch size or another machine may help.",
    ),
    Cause.BROKEN: Ending(
        EndState.FAILED, Kind.SYSTEM, "The job's process sent what no handler sends, and was ended. {message}"
    ),
    # A person must not read that somebody canceled the job.
    Cause.GAVE_UP: Ending(EndState.FAILED, Kind.SYSTEM, "The handler gave up by itself: {message}"),
    Cause.KILLED: Ending(
        EndState.FAILED,
        Kind.RESOURCE,
        "The job's process was killed by signal 9 (SIGKILL), probably because memory ran out. "
        "A smaller batch size or a machine with more memory may help.",
    ),
    Cause.CRASHED: Ending(
        EndState.FAILED,
        Kind.SYSTEM,
        f"The job's process crashed with signal {{signal}} ({{signal_name}}). {_SEE_LOG}",
    ),
    Cause.SILENT: Ending(
        EndState.FAILED,
        Kind.SYSTEM,
        f"The job's process ended without a result (exit code {{return_code}}). {_SEE_LOG}",
    ),
}

_EXIT_CODES: Mapping[EndState, ExitCode] = {
    EndState.COMPLETED: ExitCode.DONE,
    EndState.CANCELED: ExitCode.CANCELED,
    EndState.WITHDRAWN: ExitCode.CANCELED,
    EndState.PREEMPTED: ExitCode.RELEASED,
    EndState.YIELDED: ExitCode.RELEASED,
    EndState.LOST: ExitCode.RELEASED,
    EndState.FAILED: ExitCode.FAILED,
}


def state_of(kind: Kind | None) -> EndState:
    """How an attempt ended whose handler failed with this kind; None: it did not fail."""
    if kind is None:
        return EndState.COMPLETED
    return {Kind.CANCELED: EndState.CANCELED, Kind.PREEMPTED: EndState.PREEMPTED}.get(kind, EndState.FAILED)


def exit_code(state: EndState | None, kind: Kind | None) -> ExitCode:
    """How a process leaves whose job ended so, child or worker; state None: it was another's in the end."""
    if state is None:
        return ExitCode.CANCELED
    if state is EndState.FAILED and kind in {Kind.USER, Kind.DATA}:
        return ExitCode.BAD_DATA
    return _EXIT_CODES[state]
