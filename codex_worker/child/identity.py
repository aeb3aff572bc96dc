"""Another user for the child of a worker that is root, and no privilege of root's but what it needs."""

import ctypes
import os
from collections.abc import Collection, Sequence
from contextlib import suppress

from codex_worker.child.kernel import (
    MACHINE,
    PR_CAP_AMBIENT,
    PR_CAPBSET_DROP,
    PR_SET_DUMPABLE,
    PR_SET_KEEPCAPS,
    prctl,
    system_call,
)

READ_EVERYTHING = 2  # CAP_DAC_READ_SEARCH
_CAPSET = {"x86_64": 126, "aarch64": 91}
_VERSION_3 = 0x20080522
_LAST = 63
_CLEAR_ALL = 4


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inherited", ctypes.c_uint32),
    )


def become(user: int, groups: Sequence[int], kept: Collection[int] = ()) -> None:
    """This process is `user` for good, with these groups and no capabilities but `kept`.

    Raises OSError where it may not, and is then who it was.
    """
    _drop_from_bounds(kept)
    if kept:
        prctl(PR_SET_KEEPCAPS, 1)
    os.setgroups(groups)
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    _keep_only(kept)
    # Who changes users becomes unreadable to itself in places of /proc that libraries look at.
    prctl(PR_SET_DUMPABLE, 1)


def _drop_from_bounds(kept: Collection[int]) -> None:
    with suppress(OSError):  # older kernels know fewer of them
        for number in range(_LAST + 1):
            if number not in kept:
                prctl(PR_CAPBSET_DROP, number)


def _keep_only(kept: Collection[int]) -> None:
    with suppress(OSError):
        prctl(PR_CAP_AMBIENT, _CLEAR_ALL)
    bits = sum(1 << number for number in kept)
    sets = (_Sets * 2)(_Sets(bits, bits, 0), _Sets(0, 0, 0))
    if MACHINE not in _CAPSET:
        return  # a change of users has dropped all of them
    system_call(_CAPSET[MACHINE], ctypes.byref(_Header(_VERSION_3, 0)), ctypes.byref(sets))
