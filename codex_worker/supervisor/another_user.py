"""Another user for the child of a worker that is root: nobody's number, one for each job folder."""

import os
import stat
import zlib
from collections.abc import Iterable
from pathlib import Path

from codex_worker.child import landlock

# Where systemd finds numbers for services that have no user of their own (DynamicUser=).
_FIRST, _COUNT = 61184, 4336
# CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_KILL, CAP_SETGID, CAP_SETUID: to make the child another user, and end it.
_NEEDED = 1 << 0 | 1 << 1 | 1 << 5 | 1 << 6 | 1 << 7
_OWN = Path("/proc/self")


def user_for(folder: Path) -> int:
    """A number for the child that works there; two jobs of one machine seldom have the same."""
    return _FIRST + zlib.crc32(bytes(folder)) % _COUNT


def problem(folder: Path, readable: Iterable[str], own: Path = _OWN) -> str | None:
    """Why a child that works in `folder` has to stay who the worker is; None where it need not."""
    if os.geteuid() != 0:
        return "the worker is not root"
    if _capabilities(own) & _NEEDED != _NEEDED:
        return "this root may not become another user (CAP_SETUID, CAP_SETGID, CAP_CHOWN, CAP_KILL)"
    if not all(_is_mapped(own / name, user_for(folder)) for name in ("uid_map", "gid_map")):
        return f"the container knows no user with the number {user_for(folder)}"
    if landlock.version() > 0:
        return None  # which keeps the child to its own, so that it may look into closed folders
    closed = next((path for path in (str(folder), *readable) if not _is_open(Path(path))), None)
    return None if closed is None else f"{closed} is closed to other users, and there is no Landlock"


def groups_of(devices: Iterable[Path]) -> tuple[int, ...]:
    """The groups that a user needs for devices which are not everybody's."""
    found = [path.stat() for path in devices]
    return tuple(sorted({each.st_gid for each in found if not each.st_mode & stat.S_IWOTH}))


def _capabilities(own: Path) -> int:
    try:
        lines = (own / "status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1], 16) for line in lines if line.startswith("CapEff:")), 0)


def _is_mapped(table: Path, number: int) -> bool:
    try:
        rows = [[int(each) for each in line.split()] for line in table.read_text().splitlines()]
    except (OSError, ValueError):
        return False
    return any(first <= number < first + count for first, _, count in rows)


def _is_open(path: Path) -> bool:
    """Whether everybody gets there. What is not there closes nothing."""
    return all(each.stat().st_mode & stat.S_IXOTH for each in path.parents if each.exists())
