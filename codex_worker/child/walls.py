"""The walls around a job's process: it raises them itself, before a handler is imported.

What they are for, and what a machine may lack, is told in docs/security.md. A wall that this machine does not
have is named in the job's log, and the job runs without it.
"""

import json
import resource
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from codex_worker.child import identity, landlock, seccomp
from codex_worker.child.kernel import PR_SET_NO_NEW_PRIVS, prctl

# The kernel, short of memory, ends the child rather than the supervisor.
_OOM_SCORE = "700"
# No recording, model or table of ours comes near; a file without end fills the disk for everybody.
LARGEST_FILE_BYTES = 64 << 30
# Counted for each user: threads of numpy and torch are a few for each core of a large machine.
MOST_PROCESSES = 8192
# Weights are read into memory a second time while they are loaded, and threads reserve stacks they never use.
_DATA_FOR_EACH_BYTE_OF_MEMORY = 2


@dataclass(frozen=True)
class Walls:
    """What a child may reach; everything else is closed to it where the machine can close it."""

    folder: str  # where it may write
    readable: tuple[str, ...] = ()  # files and folders
    devices: tuple[str, ...] = ()  # read, written and controlled
    user: int | None = None  # None: it stays who the worker is
    reads_closed: bool = False  # that user may read what is closed to others, as far as Landlock lets it
    groups: tuple[int, ...] = ()  # of the devices that only their group may use
    memory_bytes: int | None = None  # what a job may use of this machine

    def to_text(self) -> str:
        """As the supervisor hands it over."""
        return json.dumps(asdict(self))

    @classmethod
    def of_text(cls, text: str) -> "Walls":
        """The supervisor's walls."""
        given = json.loads(text)
        lists = {name: tuple(given[name]) for name in ("readable", "devices", "groups")}
        return cls(**{**given, **lists})


def raise_walls(walls: Walls) -> list[str]:
    """Raises what can be raised; answers a sentence for each wall that this machine does not have.

    Threads and processes that exist already stay outside, so this comes before anything is imported that
    starts some.
    """
    with suppress(OSError):  # not on every system, and the job runs without it
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)
    return list(_raised(walls))


def _raised(walls: Walls) -> Iterator[str]:
    for name, limit in _limits(walls):
        yield from _tried(f"a limit of {name}", partial(_lower, *limit))
    yield from _tried("no new privileges", lambda: prctl(PR_SET_NO_NEW_PRIVS, 1))
    unconfined = list(
        _tried("Landlock", lambda: landlock.restrict(walls.readable, walls.devices, walls.folder))
    )
    yield from unconfined
    if walls.user is not None:
        yield from _tried("another user", partial(_become, walls, walls.user, bool(unconfined)))
    yield from _tried("seccomp", seccomp.restrict)


def _become(walls: Walls, user: int, is_unconfined: bool) -> None:
    """Code and weights of a worker that is root may be closed to others; Landlock says what of it is read."""
    if walls.reads_closed and is_unconfined:
        raise OSError("without Landlock it could not read the worker's code, or could read everything")
    identity.become(user, walls.groups, [identity.READ_EVERYTHING] if walls.reads_closed else [])


def _tried(wall: str, build: Callable[[], object]) -> Iterator[str]:
    try:
        build()
    except (OSError, ValueError) as error:
        yield f"This machine has no wall of this kind around the job: {wall} ({error})."


def _limits(walls: Walls) -> Iterator[tuple[str, tuple[int, int]]]:
    yield "core dumps", (resource.RLIMIT_CORE, 0)
    yield "file sizes", (resource.RLIMIT_FSIZE, LARGEST_FILE_BYTES)
    yield "processes", (resource.RLIMIT_NPROC, MOST_PROCESSES)
    if walls.memory_bytes is not None:
        # Not the address space: a GPU's driver reserves more of it than any machine has memory.
        data_bytes = walls.memory_bytes * _DATA_FOR_EACH_BYTE_OF_MEMORY
        yield "memory", (resource.RLIMIT_DATA, data_bytes)


def _lower(kind: int, most: int) -> None:
    """A stricter limit of the operator's stays."""
    hard = resource.getrlimit(kind)[1]
    limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (limit, limit))
