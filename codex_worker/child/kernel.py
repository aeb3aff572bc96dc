"""System calls that Python has no function for, by ctypes: no package and no compiler is needed.

Every function raises OSError where the kernel refuses, or has never heard of it.
"""

import ctypes
import os
import platform

PR_SET_PDEATHSIG = 1
PR_GET_SECCOMP = 21
PR_SET_SECCOMP = 22
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_GET_CHILD_SUBREAPER = 37
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47

MACHINE = platform.machine()


def prctl(option: int, *arguments: object) -> int:
    """`prctl(2)` with integers or pointers."""
    return _called("prctl", ctypes.c_int(option), *_five(arguments)[:4])


def system_call(number: int, *arguments: object) -> int:
    """`syscall(2)` with integers or pointers."""
    return _called("syscall", ctypes.c_long(number), *_five(arguments))


def _five(arguments: tuple[object, ...]) -> list[object]:
    """All of them as wide as a register: of a variable argument that is left out the kernel reads rubbish."""
    wide = [ctypes.c_ulong(each) if isinstance(each, int) else each for each in arguments]
    return [*wide, *[ctypes.c_ulong(0)] * (5 - len(wide))]


def _called(name: str, *arguments: object) -> int:
    try:
        function = getattr(ctypes.CDLL(None, use_errno=True), name)
    except (AttributeError, TypeError) as error:
        raise OSError(f"This system has no {name}.") from error
    function.restype = ctypes.c_long
    answer: int = function(*arguments)
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
    return answer
