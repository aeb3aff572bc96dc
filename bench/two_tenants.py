"""Two tenants on one GPU: what a resident that speaks and a guest that trains cost each other.

Two real processes. Each works alone first, then both at once; every process counts its rounds over the same
seconds, after a round that does not count. The guest trains a voice of the published size within a share of
the memory, as a job of a worker does; the resident speaks, one utterance after the other, as a service does.

    python -m bench.two_tenants [--seconds N] [--share-gib N] [--rows N]

Needs a GPU, and says so where there is none. About three times the seconds, and the start of four processes.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch

from bench.stabletts import synthesis, tell, training_step
from codex_worker.child.gpu_share import take_at_most
from codex_worker.stabletts.configuration import FULL
from codex_worker.stabletts.network import StableTTS
from codex_worker.supervisor.gpu_memory import GIB, Card

READY, BEGIN = "ready", "begin"
_ROLES = ("resident", "guest")


class Tenant:
    """A process with one role; it loads, says that it is ready, and works for so long once it is told to."""

    def __init__(self, role: str, arguments: argparse.Namespace) -> None:
        words = ["--role", role, "--seconds", str(arguments.seconds), "--rows", str(arguments.rows)]
        words += ["--share-gib", str(arguments.share_gib)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.two_tenants", *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.pid = self._process.pid
        if self._said() != READY:
            raise SystemExit(f"The {role} could not begin; its own words are above.")

    def begin(self) -> None:
        """Works from now on."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{BEGIN}\n")
        self._process.stdin.flush()

    def end(self) -> dict[str, float]:
        """What it counted."""
        found: dict[str, float] = json.loads(self._said())
        self._process.wait()
        return found

    def _said(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def work_as(role: str, seconds: float, rows: int, share_gib: float) -> None:
    """This process is a tenant."""
    torch.manual_seed(0)
    device = torch.device("cuda")
    if role == "guest":
        take_at_most(int(share_gib * GIB))
    network = StableTTS(FULL).to(device)
    work: Callable[[], object]
    if role == "guest":
        work = training_step(network, rows, torch.bfloat16)
    else:
        speak = synthesis(network.eval(), 1, torch.bfloat16)

        def work() -> object:
            with torch.no_grad():
                return speak()

    work()
    torch.cuda.synchronize()
    print(READY, flush=True)
    sys.stdin.readline()
    print(json.dumps(counted(work, seconds)), flush=True)


def counted(work: Callable[[], object], seconds: float) -> dict[str, float]:
    """Rounds a second, and how long a round takes: the median and the slowest of twenty."""
    times: list[float] = []
    begin = time.perf_counter()
    while not times or time.perf_counter() - begin < seconds:
        before = time.perf_counter()
        work()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - before)
    p95 = sorted(times)[int(0.95 * (len(times) - 1))]
    return {
        "rounds_a_second": len(times) / sum(times),
        "median_ms": 1000 * statistics.median(times),
        "p95_ms": 1000 * p95,
        "peak_tensor_gib": torch.cuda.max_memory_reserved() / GIB,
    }


def run_together(roles: tuple[str, ...], arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """What each of these tenants counts while all of them work."""
    tenants = {role: Tenant(role, arguments) for role in roles}
    memory = Card({}).look()
    if memory is not None:
        held = {role: memory.held_by([each.pid]) / GIB for role, each in tenants.items()}
        tell(f"{' and '.join(roles)}: {memory.free_bytes / GIB:.1f} GiB are free, held by process {held}")
    for each in tenants.values():
        each.begin()
    return {role: each.end() for role, each in tenants.items()}


def main() -> None:
    """Measures, or is one of the tenants."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--share-gib", type=float, default=16.0, help="of the guest's tensors")
    parser.add_argument("--rows", type=int, default=32, help="of the guest's batches, of 400 frames")
    parser.add_argument("--role", choices=_ROLES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        tell("There is no GPU here: what two tenants of one cost each other can't be measured.")
        return
    if arguments.role is not None:
        work_as(arguments.role, arguments.seconds, arguments.rows, arguments.share_gib)
        return
    alone = {role: run_together((role,), arguments)[role] for role in _ROLES}
    both = run_together(_ROLES, arguments)
    results: dict[str, object] = {"gpu": torch.cuda.get_device_name(0), "alone": alone, "both": both}
    for role in _ROLES:
        results[f"{role}_keeps"] = both[role]["rounds_a_second"] / alone[role]["rounds_a_second"]
        results[f"{role}_p95_ratio"] = both[role]["p95_ms"] / alone[role]["p95_ms"]
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
