"""How much memory there is for a job, and how much its processes use."""

from pathlib import Path

# What the supervisor, the page cache's working set and the operating system need for themselves.
RESERVED_BYTES = 512 << 20

_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def memory_limit(proc: Path = Path("/proc"), cgroup_limits: tuple[Path, ...] = _CGROUP_LIMITS) -> int | None:
    """The bytes that a job may use on this machine or in this container; None where nobody says."""
    found = [_total_memory(proc), *(_number(path) for path in cgroup_limits)]
    known = [value for value in found if value is not None]
    return max(min(known) - RESERVED_BYTES, min(known) // 2) if known else None


def session_memory(session: int, proc: Path = Path("/proc")) -> int:
    """Bytes of memory that the processes of a session hold (resident; pages they share count once each)."""
    total = 0
    for folder in proc.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                total += _anonymous_memory(folder)
        except (OSError, IndexError, ValueError):
            continue  # the process ended while it was looked at
    return total


def _anonymous_memory(folder: Path) -> int:
    """RssAnon and RssShmem; mapped files (weights) can be dropped by the kernel and don't count."""
    total = 0
    for line in (folder / "status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in {"RssAnon", "RssShmem"}:
            total += int(value.split()[0]) * 1024
    return total


def _total_memory(proc: Path) -> int | None:
    try:
        first = (proc / "meminfo").read_text().splitlines()[0]
        return int(first.split()[1]) * 1024
    except (OSError, IndexError, ValueError):
        return None  # not Linux


def _number(path: Path) -> int | None:
    try:
        value = int(path.read_text().strip())
    except (OSError, ValueError):
        return None  # no such controller, or "max"
    return value if value < 1 << 60 else None
