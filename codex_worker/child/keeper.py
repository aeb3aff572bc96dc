"""A keeper for the job's process: whatever that starts, in whatever session, ends with it.

Two processes, one start of Python: the first one stays behind as the keeper, the second one becomes the job.
What loses its parent becomes the keeper's child instead of escaping (man 2 prctl, PR_SET_CHILD_SUBREAPER).
"""

import ctypes
import os
import signal
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from codex_worker.child.kernel import PR_GET_CHILD_SUBREAPER, PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG, prctl

# Tells the keeper to end everything: the kernel sends it when the supervisor is gone.
END_ALL = signal.SIGUSR1
# A whole machine's shutdown reaches the keeper as well; the job is asked to save, and the keeper waits.
_FOR_THE_JOB_ALONE = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_EXIT_BY_SIGNAL = 128
_MOMENT_S = 0.005


def keep(descriptors: Iterable[int]) -> None:
    """Returns in the process that is to become the job. The keeper leaves as that one did, and never returns.

    `descriptors` are the job's line to its supervisor, which the keeper lets go of.
    """
    supervisor, keeper = os.getppid(), os.getpid()
    with suppress(OSError):  # not Linux: then only the job's own session can be ended
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        prctl(PR_SET_PDEATHSIG, END_ALL)
    job = os.fork()
    if job == 0:
        os.setsid()
        with suppress(OSError):
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != keeper:  # it was gone before its death could be noticed
            os._exit(_EXIT_BY_SIGNAL + signal.SIGKILL)
        return
    _let_go_of((0, 1, 2, *descriptors))
    _keep(job, supervisor)


def can_adopt() -> None:
    """Raises OSError where the kernel gives a keeper nothing to keep."""
    prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(ctypes.c_int()))


def descendants(process: int, proc: Path = Path("/proc")) -> list[int]:
    """All that a process has started, and what that has started, at this moment; parents first."""
    started = defaultdict(list)
    for folder in proc.iterdir():
        if folder.name.isdigit():
            with suppress(OSError, IndexError, ValueError):  # it ended while it was looked at
                fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
                started[int(fields[1])].append(int(folder.name))
    found = list(started[process])
    for each in found:
        found += started[each]
    return found


def _keep(job: int, supervisor: int) -> None:
    for number in _FOR_THE_JOB_ALONE:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(END_ALL, lambda *_: _kill(job))
    if os.getppid() != supervisor:  # it was gone before it could be waited for
        _kill(job)
    status = _wait_for(job)
    _end_the_rest()
    _leave_like(status)


def _wait_for(job: int) -> int:
    """Its wait status; what loses its parent meanwhile and ends is reaped on the way."""
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == job:
            return status


def _end_the_rest() -> None:
    """Kills until nothing is left: what is being started while we look is found in the next round."""
    with suppress(ChildProcessError):
        while True:
            for each in descendants(os.getpid()):
                _kill(each)
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(_MOMENT_S)


def _leave_like(status: int) -> None:
    """The supervisor sees the end of the job itself, be it a code or a signal."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        with suppress(OSError, ValueError):  # SIGKILL's disposition cannot be set, and need not be
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        os._exit(_EXIT_BY_SIGNAL + number)
    os._exit(os.WEXITSTATUS(status))


def _let_go_of(descriptors: Iterable[int]) -> None:
    """Their other ends see that the job is gone only when nobody else holds them."""
    for each in descriptors:
        os.close(each)


def _kill(process: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(process, signal.SIGKILL)
