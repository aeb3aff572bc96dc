"""What this machine is like: git, disk, memory, GPU. Nothing is imported for it that a job would need."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

OLDEST_GIT = (2, 30)  # fetch --stdin, --no-write-fetch-head, partial clones
MIN_MEMORY_BYTES = 750_000_000  # torch and a tiny network
COMFORTABLE_BYTES = 20_000_000_000


@dataclass(frozen=True)
class Condition:
    """One thing about the machine. `is_fatal`: no job can be done until it is fixed."""

    subject: str
    text: str
    remedy: str = ""
    is_fatal: bool = False
    stops_full: bool = False  # no job of the full preset can be done

    @property
    def sentence(self) -> str:
        """What is there and what to do, for people."""
        return f"{self.subject}: {self.text.rstrip('.')}. {self.remedy}".strip()


def conditions(work_dir: Path) -> list[Condition]:
    """All of them, whether well or not; those that are not well have a remedy."""
    return [_git(), _disk(work_dir), _memory(), gpu_condition(driver_listing())]


def git_condition(version_text: str | None) -> Condition:
    """What `git --version` tells; None where there is no git."""
    found = re.search(r"(\d+)\.(\d+)(?:\.\d+)*", version_text or "")
    if found is None:
        return Condition("git", "git is not installed", "Install git 2.30 or newer.", is_fatal=True)
    if (int(found[1]), int(found[2])) < OLDEST_GIT:
        return Condition("git", f"version {found[0]} is too old", "Install git 2.30 or newer.", is_fatal=True)
    return Condition("git", f"version {found[0]}")


def gpu_condition(listing: str | None) -> Condition:
    """What nvidia-smi lists, one GPU a line; None where there is none."""
    gpus = [" ".join(line.split()) for line in (listing or "").splitlines() if line.strip()]
    if not gpus:
        return Condition(
            "gpu", "no NVIDIA GPU is seen, so only jobs of the tiny preset make sense here",
            "Install the NVIDIA driver, and start containers with --gpus all.",
        )  # fmt: skip
    return Condition("gpu", "; ".join(gpus))


def _git() -> Condition:
    return git_condition(_output("git", "--version"))


def driver_listing() -> str | None:
    """The GPUs that the driver sees, one a line; None where there is no driver."""
    query = ("--query-gpu=name,memory.total,driver_version", "--format=csv,noheader")
    return _output("nvidia-smi", *query)


def _disk(work_dir: Path) -> Condition:
    problem = unfitness(work_dir)
    if problem is not None:
        return Condition("disk", problem, is_fatal=True)
    free_bytes = shutil.disk_usage(work_dir).free
    text = f"{free_bytes / 1e9:.0f} GB are free in {work_dir.resolve()}"
    if free_bytes < COMFORTABLE_BYTES:
        return Condition("disk", text, f"Training is better off with {COMFORTABLE_BYTES / 1e9:.0f} GB.")
    return Condition("disk", text)


def _memory() -> Condition:
    limit = memory_limit()
    if limit is not None and limit < MIN_MEMORY_BYTES:
        return Condition(
            "memory", f"{limit / 1e9:.1f} GB for a job, and no job can do with so little",
            "Give the machine or the container more memory.", is_fatal=True,
        )  # fmt: skip
    return Condition("memory", "unknown" if limit is None else f"{limit / 1e9:.0f} GB for a job")


def _output(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None  # not installed, or without a driver
    return done.stdout


MIN_FREE_BYTES = 500_000_000


def unfitness(work_dir: Path, min_free_bytes: int = MIN_FREE_BYTES) -> str | None:
    """Why no job should be claimed, as a sentence with what to do; None where all is well."""
    probe = work_dir / f".probe-{os.getpid()}"
    try:
        work_dir.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"can this be written?")
        probe.unlink()
    except OSError as error:
        return (
            f"The work directory {work_dir} cannot be written: {error.strerror}. "
            "Give another one by --work-dir, or make room there."
        )
    free_bytes = shutil.disk_usage(work_dir).free
    if free_bytes < min_free_bytes:
        return (
            f"The disk of the work directory {work_dir} is full: {free_bytes / 1e6:.0f} MB are free, and a "
            f"job needs at least {min_free_bytes / 1e6:.0f} MB. Remove old job folders (--keep-jobs) or give "
            "another place by --work-dir."
        )
    return None


# What the supervisor, the page cache's working set and the operating system need for themselves.
RESERVED_BYTES = 512 << 20

_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def memory_limit(proc: Path = Path("/proc"), cgroup_limits: tuple[Path, ...] = _CGROUP_LIMITS) -> int | None:
    """The bytes that a job may use on this machine or in this container; None where nobody says."""
    found = [_of_machine(proc, "MemTotal"), *(_number(path) for path in cgroup_limits)]
    known = [value for value in found if value is not None]
    return max(min(known) - RESERVED_BYTES, min(known) // 2) if known else None


def available_memory(proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")) -> int | None:
    """The bytes that can be had now on this machine or in this container; None where nobody says."""
    found = [_of_machine(proc, "MemAvailable")]
    most, used = _number(cgroup / "memory.max"), _number(cgroup / "memory.current")
    if most is not None and used is not None:
        found.append(most - used + _cached(cgroup))
    known = [value for value in found if value is not None]
    return min(known) if known else None


def memory_of(processes: Iterable[int], proc: Path = Path("/proc")) -> int:
    """Bytes of memory that processes hold (resident; pages they share count once each)."""
    total = 0
    for process in processes:
        with suppress(OSError, IndexError, ValueError):  # it ended while it was looked at
            total += _anonymous_memory(proc / str(process))
    return total


def _anonymous_memory(folder: Path) -> int:
    """RssAnon and RssShmem; mapped files (weights) can be dropped by the kernel and don't count."""
    total = 0
    for line in (folder / "status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in {"RssAnon", "RssShmem"}:
            total += int(value.split()[0]) * 1024
    return total


def _cached(cgroup: Path) -> int:
    """What a container's kernel would drop at once: files that nobody has used for a while."""
    try:
        lines = (cgroup / "memory.stat").read_text().splitlines()
        return next((int(line.split()[1]) for line in lines if line.startswith("inactive_file ")), 0)
    except (OSError, IndexError, ValueError):
        return 0


def _of_machine(proc: Path, what: str) -> int | None:
    try:
        lines = (proc / "meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{what}:"))
    except (OSError, IndexError, ValueError, StopIteration):
        return None  # not Linux


def _number(path: Path) -> int | None:
    try:
        value = int(path.read_text().strip())
    except (OSError, ValueError):
        return None  # no such controller, or "max"
    return value if value < 1 << 60 else None
