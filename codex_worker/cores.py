"""How many of the processor's cores a process that computes takes, and how its threads wait.

The libraries below torch read the environment once, as they are loaded: all of this comes before torch.
"""

import math
import os
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from pathlib import Path

# Between two parallel parts of its work torch's threads spin for a while by default, in case more comes. On a
# machine with other work they take the cores from those that still compute. Torch's own wheels bring GNU's
# libgomp, for which the first variable is enough; of Intel's and LLVM's runtimes older ones read only
# KMP_BLOCKTIME. The last one is for numpy's own OpenBLAS (4 is the least: 2 to the power of so many ticks).
_POLICY = "OMP_WAIT_POLICY"
_SPINS = {"GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0", "OPENBLAS_THREAD_TIMEOUT": "4"}
_COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
NAMES = (_POLICY, *_SPINS, *_COUNTS)
"""All variables that decide it, an operator's own among them."""


def variables(own: Mapping[str, str], quota: float | None) -> dict[str, str]:
    """The variables with which threads wait asleep, and are no more than the cores that there are.

    Args:
        own: the environment of whoever starts it. What it says is kept: whoever asks for a way of waiting
            or a number of threads gets that.
        quota: the cores that a container may use; None without a limit.
    """
    found = {name: own[name] for name in NAMES if name in own}
    if _POLICY not in found:
        found = {_POLICY: "PASSIVE", **_SPINS, **found}
    # Without a quota torch counts for itself: real cores, not the two threads of each.
    if quota is not None and quota < _allowed() and not any(name in own for name in _COUNTS):
        found["OMP_NUM_THREADS"] = str(_whole(quota))
    return found


def settle(environment: MutableMapping[str, str] | None = None) -> None:
    """First thing in a process that computes by itself: what it loads from then on waits so."""
    environment = os.environ if environment is None else environment
    environment.update(variables(environment, cpu_quota()))


def count() -> int:
    """The cores that this process may use: not those of the whole machine, where it is a container's."""
    quota = cpu_quota()
    return _allowed() if quota is None else min(_allowed(), _whole(quota))


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Cores that this process's control groups leave it, fractions included; None without a limit.

    Source: the kernel's admin-guide/cgroup-v2 (cpu.max) and scheduler/sched-bwc (version 1). A group above
    may be tighter than the own one. In a container the path may be the host's; its own group is the top then.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None  # not Linux
    limits: list[float] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            limits += _limits(root / "sys/fs/cgroup", path, _version_2)
        elif "cpu" in controllers.split(","):
            for mount in ("cpu", controllers):
                limits += _limits(root / "sys/fs/cgroup" / mount, path, _version_1)
    return min(limits, default=None)


def _limits(mount: Path, path: str, read: Callable[[Path], tuple[int, int]]) -> Iterator[float]:
    group = Path(path.lstrip("/"))
    for folder in (mount / group, *(mount / above for above in group.parents)):
        try:
            quota, period = read(folder)
        except (OSError, ValueError):
            continue  # no such group seen from here, or "max"
        if quota > 0 and period > 0:
            yield quota / period


def _version_2(folder: Path) -> tuple[int, int]:
    quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
    return int(quota), int(period)


def _version_1(folder: Path) -> tuple[int, int]:
    """The quota is -1 without a limit."""
    return (
        int((folder / "cpu.cfs_quota_us").read_text(encoding="ascii")),
        int((folder / "cpu.cfs_period_us").read_text(encoding="ascii")),
    )


def _allowed() -> int:
    """Processors that this process may run on (taskset, cpusets)."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


def _whole(quota: float) -> int:
    """Upwards: half a core that is paid for would lie idle otherwise."""
    return max(1, math.ceil(quota))
