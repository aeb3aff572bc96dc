"""An exception in the words and the kind that end an attempt; and back again across the channel."""

import errno
import traceback
from pathlib import Path

from codex_worker.contract.plain_text import plain_text
from codex_worker.errors import (
    DataError,
    JobCanceled,
    JobTimeout,
    Kind,
    ModelError,
    Preempted,
    ResourceError,
    SystemFault,
    UserError,
    WorkerError,
    is_out_of_memory,
)

MAX_MESSAGE_LENGTH = 2000

_ERRORS: dict[Kind, type[WorkerError]] = {
    error.kind: error
    for error in (
        UserError, DataError, ModelError, ResourceError, SystemFault, Preempted, JobCanceled, JobTimeout,
    )
}  # fmt: skip


def describe(error: BaseException) -> tuple[Kind, str]:
    """The kind and the sentence for any exception."""
    if isinstance(error, WorkerError):
        return error.kind, _bounded(str(error))
    if is_out_of_memory(error):
        return Kind.RESOURCE, _bounded(
            "The job ran out of memory. A machine with more of it, or a smaller batch size, may help. "
            + _first_line(error)
        )
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return Kind.RESOURCE, "The disk is full. Make room in the work directory (--work-dir)."
    if isinstance(error, ImportError):
        return Kind.SYSTEM, _bounded(
            f"A part of the worker could not be loaded: {_first_line(error)}. "
            "Install it with its extra 'ml' (pip install 'codex-worker[ml]')."
        )
    if isinstance(error, SystemExit):
        return Kind.SYSTEM, _bounded(f"The handler ended its process by itself (exit code {error.code}).")
    if isinstance(error, KeyboardInterrupt):
        return Kind.PREEMPTED, "The job's process was interrupted."
    return Kind.SYSTEM, _bounded(f"{type(error).__name__}: {_first_line(error)}{_place(error)}")


def error_of(kind: str, message: str) -> WorkerError:
    """The exception that a failed call raises on the other side of the channel."""
    try:
        return _ERRORS[Kind(kind)](message)
    except ValueError:
        return SystemFault(message)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[0]


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""


def _bounded(message: str) -> str:
    message = plain_text(message.strip())
    return message if len(message) <= MAX_MESSAGE_LENGTH else message[: MAX_MESSAGE_LENGTH - 4] + " ..."
