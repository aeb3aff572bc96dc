"""What this machine is like: git, disk, memory, GPU. Nothing is imported for it that a job would need."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from codex_worker.runtime.fitness import unfitness
from codex_worker.runtime.limits import memory_limit

OLDEST_GIT = (2, 30)  # fetch --stdin, --no-write-fetch-head, partial clones
COMFORTABLE_BYTES = 20_000_000_000


@dataclass(frozen=True)
class Condition:
    """One thing about the machine. `is_fatal`: no job can be done until it is mended."""

    subject: str
    text: str
    remedy: str = ""
    is_fatal: bool = False


def conditions(work_dir: Path) -> list[Condition]:
    """All of them, whether well or not; those that are not well have a remedy."""
    return [_git(), _disk(work_dir), _memory(), _gpu()]


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


def _gpu() -> Condition:
    query = ("--query-gpu=name,memory.total,driver_version", "--format=csv,noheader")
    return gpu_condition(_output("nvidia-smi", *query))


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
    return Condition("memory", "unknown" if limit is None else f"{limit / 1e9:.0f} GB for a job")


def _output(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None  # not installed, or without a driver
    return done.stdout
