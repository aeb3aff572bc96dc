"""What a failed git command means: this machine's disk, a damaged cache, a project that is gone, the server.

The server's own words come behind `remote:`; all other lines are of the git that runs here, or of a path that
stands for a server. Where a line could be either's, it counts as the cache's: to make that anew costs little.
"""

import os
import re
import signal
from pathlib import Path

from codex_worker.errors import (
    AccessDenied,
    CacheBroken,
    ProjectGone,
    ResourceError,
    ServerUnreachable,
    clause,
)

# Less free space than this is none: git writes a pack and an index before it says so.
_NO_SPACE_BYTES = 1 << 20
_SHOWN_CHARACTERS = 500

_OF_THE_DISK = re.compile(
    r"no space left on device|disk quota exceeded|file too large|read-only file system|input/output error",
    re.IGNORECASE,
)
_OF_THE_CACHE = re.compile(
    r"\.lock'?: file exists|cannot lock ref|unable to resolve reference|unable to update local ref"
    r"|cannot update ref|couldn't write|unable to (write|read|open|create|append|unpack|parse|map)\b"
    r"|failed to (write|read|traverse|unpack)|is corrupt|corrupted|is empty$|loose object|packfile|pack has"
    r"|bad (object|tree|commit|shallow|ref|config|signature|revision)|invalid (object|sha1|index)"
    r"|missing (blob|tree|commit|object)|not a git repository|index-pack failed|unpack-objects failed"
    r"|did not send all necessary objects|not a valid object|does not match any|reference broken"
    r"|garbage at end|mismatch|inflate|could not (read|parse|write|open) (?!from remote|username|password)",
    re.IGNORECASE | re.MULTILINE,
)
_GONE = re.compile(
    r"repository '[^']*' not found|project you were looking for could not be found"
    r"|does not appear to be a git repository|returned error: 4(04|10)",
    re.IGNORECASE,
)
_ACCESS = re.compile(
    r"authentication failed|could not read username|access denied|returned error: 40[13]|not found"
    r"|permission denied|dubious ownership|insufficient_scope",
    re.IGNORECASE,
)
_OF_THE_WAY = re.compile(
    r"unable to access|could not resolve|connection|remote end hung up|early eof|timed out|rpc failed"
    r"|returned error: \d|protocol error|unexpected disconnect|expected '?(flush|packfile|acknowledg)",
    re.IGNORECASE,
)


def network_error(command: str, words: str, address: str | None = None) -> ServerUnreachable | AccessDenied:
    """The error that a server's answer, or none, means."""
    last = _last(words)
    if _GONE.search(words):
        return ProjectGone(f"There is no such repository (git {command}): {last}. {_advice(address)}")
    if _ACCESS.search(words):
        return AccessDenied(f"The repository cannot be used (git {command}): {last}. {_advice(address)}")
    return ServerUnreachable(f"The git server did not answer as expected (git {command}): {last}.")


def fault_here(command: str, words: str, folder: Path) -> ResourceError | CacheBroken | None:
    """Why a command on the cache in `folder` failed that asked the server; None where the server is why."""
    here = "\n".join(line for line in words.splitlines() if not line.startswith("remote:"))
    full = disk_fault(here, folder)
    if full is not None:
        return full
    answered = _GONE.search(words) or _ACCESS.search(words) or _OF_THE_WAY.search(here)
    if str(folder) in here or (_OF_THE_CACHE.search(here) and not answered):
        return CacheBroken(f"The cache {folder} is damaged (git {command}): {_last(here)}.")
    return None


def local_fault(command: str, words: str, folder: Path) -> ResourceError | CacheBroken:
    """The error of a command that asked nobody, and never fails in a cache that is sound."""
    full = disk_fault(words, folder)
    return full or CacheBroken(f"The cache {folder} is damaged (git {command}): {_last(words)}.")


def stopped(command: str, code: int, words: str, folder: Path) -> ResourceError | ServerUnreachable | None:
    """The error of a git that a signal ended, as its exit code tells; None where none did.

    That is a machine that shuts down, or has no memory left. Nothing is wrong with cache or server, and
    another try may succeed.
    """
    if code >= 0:
        return None
    name = next((known.name for known in signal.Signals if known == -code), f"signal {-code}")
    ended = ServerUnreachable(f"git {command} was ended by {name} before it was done.")
    return disk_fault(words, folder) or ended


def disk_fault(words: str, folder: Path) -> ResourceError | None:
    """The error of a command that could not write, as it says or as the disk looks; None where it could."""
    if not (_OF_THE_DISK.search(words) or is_full(folder)):
        return None
    said = f" ({_last(words)})" if words.strip() else ""
    return ResourceError(
        f"The disk of {folder.parent} is full, or cannot be written to{said}. Make room there."
    )


def is_full(folder: Path, at_least_bytes: int = _NO_SPACE_BYTES) -> bool:
    """Whether a folder's disk has less space than that, or no room for another file."""
    there = next((place for place in (folder, *folder.parents) if place.exists()), None)
    if there is None:
        return False
    disk = os.statvfs(there)
    return disk.f_bavail * disk.f_frsize < at_least_bytes or (disk.f_files > 0 and disk.f_favail == 0)


def _last(words: str) -> str:
    """The end of what git said, which tells what went wrong, from the beginning of a word."""
    said = clause(words) or "it said nothing"
    return said if len(said) <= _SHOWN_CHARACTERS else f"...{said[-_SHOWN_CHARACTERS:].partition(' ')[2]}"


def _advice(address: str | None) -> str:
    if address is not None and address.startswith("file:"):
        return "Check its path, and that the worker's user may read and write there."
    return "Check its address, that the worker is a member, and the token's scopes and expiry date."
