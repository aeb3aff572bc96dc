"""A seccomp filter for what Landlock does not cover: sockets of every kind, and looking into other processes.

The program is written out by hand, in the instructions of classic BPF (linux/filter.h, linux/seccomp.h).
"""

import ctypes
import errno
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from codex_worker.child.kernel import MACHINE, PR_GET_SECCOMP, PR_SET_SECCOMP, prctl

_LOAD_WORD, _JUMP_IF_EQUAL, _JUMP_IF_AT_LEAST, _JUMP_IF_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
_ALLOW, _FAIL_WITH = 0x7FFF0000, 0x00050000
_FILTER_MODE = 2
_AF_UNIX = 1
_CLONE_NEW_NAMESPACES = 0x7E020000  # CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
_X32_BIT = 0x40000000

# The newer calls have one number on all architectures.
_REFUSED_EVERYWHERE = {
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428,
    "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "pidfd_getfd": 438,
    "process_madvise": 440, "mount_setattr": 442,
}  # fmt: skip
_CLONE3 = 435


@dataclass(frozen=True)
class _Architecture:
    audit: int
    socket: int
    clone: int
    refused: Mapping[str, int]


_ARCHITECTURES = {
    "x86_64": _Architecture(
        audit=0xC000003E, socket=41, clone=56,
        refused={
            "connect": 42, "ptrace": 101, "pivot_root": 155, "chroot": 161, "mount": 165, "umount2": 166,
            "init_module": 175, "delete_module": 176, "kexec_load": 246, "add_key": 248, "request_key": 249,
            "keyctl": 250, "unshare": 272, "perf_event_open": 298, "open_by_handle_at": 304, "setns": 308,
            "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "finit_module": 313,
            "kexec_file_load": 320, "bpf": 321, "userfaultfd": 323,
        },
    ),
    "aarch64": _Architecture(
        audit=0xC00000B7, socket=198, clone=220,
        refused={
            "connect": 203, "ptrace": 117, "pivot_root": 41, "chroot": 51, "mount": 40, "umount2": 39,
            "init_module": 105, "delete_module": 106, "kexec_load": 104, "add_key": 217, "request_key": 218,
            "keyctl": 219, "unshare": 97, "perf_event_open": 241, "open_by_handle_at": 265, "setns": 268,
            "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272, "finit_module": 273,
            "kexec_file_load": 294, "bpf": 280, "userfaultfd": 282,
        },
    ),
}  # fmt: skip


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def is_here() -> bool:
    """Whether this kernel filters system calls, and this machine's are known."""
    try:
        return MACHINE in _ARCHITECTURES and sys.byteorder == "little" and prctl(PR_GET_SECCOMP) >= 0
    except OSError:
        return False


def restrict() -> None:
    """From now on this thread and all it starts have only local, unconnected sockets, and no such calls.

    Raises OSError where the kernel has no filters, or the machine is of another kind.
    """
    if MACHINE not in _ARCHITECTURES:
        raise OSError(errno.ENOSYS, f"the system calls of {MACHINE} are not known")
    program = _program(_ARCHITECTURES[MACHINE])
    prctl(PR_SET_SECCOMP, _FILTER_MODE, ctypes.byref(_Program(len(program) // 8, program)))


def _program(machine: _Architecture) -> bytes:
    refused = [*machine.refused.values(), *_REFUSED_EVERYWHERE.values()]
    lines = [
        (_LOAD_WORD, 0, 0, _ARCHITECTURE),
        (_JUMP_IF_EQUAL, 1, 0, machine.audit),
        (_RETURN, 0, 0, _FAIL_WITH | errno.EPERM),  # 32-bit calls have other numbers
        (_LOAD_WORD, 0, 0, _NUMBER),
        (_JUMP_IF_AT_LEAST, 0, 1, _X32_BIT),
        (_RETURN, 0, 0, _FAIL_WITH | errno.EPERM),
    ]
    for number in refused:
        lines += [(_JUMP_IF_EQUAL, 0, 1, number), (_RETURN, 0, 0, _FAIL_WITH | errno.EPERM)]
    lines += [
        # Its flags lie in memory, where no filter looks; libraries then use clone.
        (_JUMP_IF_EQUAL, 0, 1, _CLONE3),
        (_RETURN, 0, 0, _FAIL_WITH | errno.ENOSYS),
        (_JUMP_IF_EQUAL, 0, 4, machine.clone),
        (_LOAD_WORD, 0, 0, _FIRST_ARGUMENT),
        (_JUMP_IF_BITS, 0, 1, _CLONE_NEW_NAMESPACES),
        (_RETURN, 0, 0, _FAIL_WITH | errno.EPERM),
        (_RETURN, 0, 0, _ALLOW),
        (_JUMP_IF_EQUAL, 0, 3, machine.socket),
        (_LOAD_WORD, 0, 0, _FIRST_ARGUMENT),
        (_JUMP_IF_EQUAL, 1, 0, _AF_UNIX),
        (_RETURN, 0, 0, _FAIL_WITH | errno.EACCES),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("<HBBI", *line) for line in lines)
