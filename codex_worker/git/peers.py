"""Who is at the other end of a connection on this machine: a command of ours, or somebody else.

Linux only (/proc); elsewhere nobody can be told from anybody.
"""

import sys
from contextlib import suppress
from pathlib import Path
from socket import inet_aton, socket

_PROC = Path("/proc")
_TABLE = _PROC / "net" / "tcp"


def is_family(pid: int, connection: socket) -> bool:
    """Whether the process `pid`, or one that it started, is at the other end of a loopback connection.

    True where the machine has no /proc to tell by, or does not let us look.
    """
    try:
        inode = _inode_of(connection.getpeername(), connection.getsockname())
        return inode is not None and any(_holds(member, inode) for member in _family(pid))
    except (FileNotFoundError, PermissionError):
        return True


def _inode_of(local: tuple[str, int], remote: tuple[str, int]) -> str | None:
    """The number of the socket that goes from `local` to `remote`."""
    ends = [_as_in_the_table(local), _as_in_the_table(remote)]
    for line in _TABLE.read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1:3] == ends:
            return fields[9]
    return None


def _as_in_the_table(end: tuple[str, int]) -> str:
    """An address in hex digits, in the machine's own order of bytes (man 5 proc)."""
    host, port = end
    return f"{int.from_bytes(inet_aton(host), sys.byteorder):08X}:{port:04X}"


def _family(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            with suppress(OSError):  # it has ended
                # The name before it, in parentheses, may hold anything.
                parent = int((entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    family = [pid]
    for member in family:
        family += children.get(member, [])
    return family


def _holds(pid: int, inode: str) -> bool:
    with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
        for descriptor in (_PROC / str(pid) / "fd").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):
                if str(descriptor.readlink()) == f"socket:[{inode}]":
                    return True
    return False
