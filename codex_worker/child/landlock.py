"""Landlock: a process says which files it will ever reach, and the kernel holds it and its children to that.

No privilege is needed, and not even the superuser gets out. See
https://docs.kernel.org/userspace-api/landlock.html; the numbers are those of linux/landlock.h.
"""

import ctypes
import os
import stat
from collections.abc import Iterable
from contextlib import suppress

from codex_worker.child.kernel import system_call

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_ASK_FOR_VERSION = 1
_RULE_PATH_BENEATH = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REFER, _TRUNCATE, _IOCTL_DEVICE = 1 << 13, 1 << 14, 1 << 15
_MAKE_CHAR, _MAKE_BLOCK = 1 << 6, 1 << 11
_ALL_OF_VERSION_1 = (1 << 13) - 1
_BIND_AND_CONNECT_TCP = 0b11
_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11

_OWN_PROCESS = "/proc/self"
_FOR_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEVICE
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_USE_DEVICE = _READ_FILE | _WRITE_FILE | _TRUNCATE | _IOCTL_DEVICE


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


def version() -> int:
    """What of Landlock this kernel has; 0: nothing, or it is switched off."""
    try:
        return system_call(_CREATE_RULESET, 0, 0, _ASK_FOR_VERSION)
    except OSError:
        return 0


def restrict(readable: Iterable[str], devices: Iterable[str], folder: str) -> None:
    """From now on this thread and all it starts reach these paths only, and write in `folder` only.

    No TCP from version 4 on; no signals and no abstract sockets to the outside from 6 on. A path that is
    not there is left out. Raises OSError where Landlock is missing.
    """
    known = version()
    handled = _handled(known)
    ruleset = _Ruleset(
        handled,
        _BIND_AND_CONNECT_TCP if known >= 4 else 0,
        _ABSTRACT_SOCKETS_AND_SIGNALS if known >= 6 else 0,
    )
    size = 24 if known >= 6 else 16 if known >= 4 else 8
    descriptor = system_call(_CREATE_RULESET, ctypes.byref(ruleset), size, 0)
    _hold(_OWN_PROCESS)
    try:
        for paths, rights in ((readable, _READ), (devices, _USE_DEVICE), ((folder,), _in_own_folder(known))):
            for path in paths:
                _allow(descriptor, path, rights & handled)
        system_call(_RESTRICT_SELF, descriptor, 0)
    finally:
        os.close(descriptor)


def _handled(known: int) -> int:
    newer = ((2, _REFER), (3, _TRUNCATE), (5, _IOCTL_DEVICE))
    return _ALL_OF_VERSION_1 | sum(right for since, right in newer if known >= since)


def _in_own_folder(known: int) -> int:
    """All but device files: they would lead to the disk itself."""
    return _handled(known) & ~(_MAKE_CHAR | _MAKE_BLOCK | _IOCTL_DEVICE)


def _hold(path: str) -> None:
    """Keeps it open for good: a folder of /proc may be made anew otherwise, and no rule knows the new one."""
    with suppress(OSError):  # no /proc here
        os.open(path, os.O_PATH | os.O_CLOEXEC)


def _allow(ruleset: int, path: str, rights: int) -> None:
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError):  # then it can't be read anyway
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
                rights &= _FOR_FILES
            rule = _PathBeneath(rights, descriptor)
            system_call(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, ctypes.byref(rule), 0)
        finally:
            os.close(descriptor)
