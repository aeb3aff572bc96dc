"""How a child process, and a worker that did a single job, tell their parent what became of it."""

from enum import IntEnum


class ExitCode(IntEnum):
    """One table for the child, the worker and whoever starts it (SkyPilot, Kubernetes, cron)."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    BAD_DATA = 65  # EX_DATAERR of sysexits.h: running it again cannot help
    CANCELED = 70
    RELEASED = 75  # EX_TEMPFAIL of sysexits.h: state or results are kept, something is left to do
    UNFIT = 78  # EX_CONFIG of sysexits.h: this worker can do no job as it is
