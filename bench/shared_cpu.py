"""Training steps on a shared processor: threads that sleep as they wait against threads that spin.

`python -m bench.shared_cpu`: the same steps in two processes, one with the environment of a job's process and
one with the variables of `codex_worker.cores` unset. They take turns, so that whatever else the machine does
meets both alike. First the machine is left as it is, then four processes are busy beside them.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from codex_worker import cores

ROOT = Path(__file__).parents[1]
BUSY_PROCESSES = 4
_BUSY = "while True: pass"


def main() -> int:
    """Measures and prints; answers 0."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=5, help="of each of the two, quiet and busy")
    parser.add_argument("--seconds", type=float, default=3.0, help="of a turn")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return _work()
    plain = {name: value for name, value in os.environ.items() if name not in cores.NAMES}
    with _trainer(plain, settled=True) as asleep, _trainer(plain, settled=False) as spinning:
        quiet = _turns(asleep, spinning, options.turns, options.seconds)
        with _busy(BUSY_PROCESSES):
            busy = _turns(asleep, spinning, options.turns, options.seconds)
    result = {
        "busy_speedup": round(_median_ratio(busy), 2),
        "quiet_ratio": round(_median_ratio(quiet), 3),
        "busy_steps_per_s": [round(statistics.median(side), 2) for side in zip(*busy, strict=True)],
        "quiet_steps_per_s": [round(statistics.median(side), 2) for side in zip(*quiet, strict=True)],
        "quiet_ratios": [round(one / other, 3) for one, other in quiet],
        "busy_ratios": [round(one / other, 2) for one, other in busy],
        "load_before": round(os.getloadavg()[0], 1),
        "cores": cores.count(),
        "machine": platform.processor() or platform.machine(),
    }
    print(json.dumps(result))
    return 0


def _median_ratio(turns: list[tuple[float, float]]) -> float:
    return statistics.median(one / other for one, other in turns)


def _turns(
    one: "subprocess.Popen[str]", other: "subprocess.Popen[str]", count: int, seconds: float
) -> list[tuple[float, float]]:
    """Steps a second of both, so many times; who begins changes, for a machine may be slowing down."""
    rates: list[tuple[float, float]] = []
    for turn in range(count):
        order = (one, other) if turn % 2 == 0 else (other, one)
        found = {id(process): _steps_per_s(process, seconds) for process in order}
        rates.append((found[id(one)], found[id(other)]))
        print(f"asleep {rates[-1][0]:.2f}, spinning {rates[-1][1]:.2f} steps a second", file=sys.stderr)
    return rates


def _steps_per_s(process: "subprocess.Popen[str]", seconds: float) -> float:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(f"{seconds}\n")
    process.stdin.flush()
    return float(process.stdout.readline())


@contextmanager
def _trainer(plain: Mapping[str, str], *, settled: bool) -> "Iterator[subprocess.Popen[str]]":
    """A process that trains when it is told to, ready for its first turn."""
    environment = {**plain, **(cores.variables(plain, cores.cpu_quota()) if settled else {})}
    # Not as a module of this package, which settles every process; and -P, for queue.py lies beside it.
    command = [sys.executable, "-P", str(Path(__file__)), "--child"]
    environment["PYTHONPATH"] = str(ROOT)
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        _steps_per_s(process, 0.0)
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def _busy(count: int) -> Iterator[None]:
    processes = [subprocess.Popen([sys.executable, "-c", _BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _work() -> int:
    """The trainer: reads how many seconds to train, answers with its steps a second."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv1d(80, 128, 3, padding=1), nn.GELU(), nn.Conv1d(128, 128, 3, padding=1), nn.GELU(),
        nn.Conv1d(128, 80, 1),
    )  # fmt: skip
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    sound = torch.randn(4, 80, 200)

    def step() -> None:
        optimizer.zero_grad()
        (network(sound) - sound).square().mean().backward()
        optimizer.step()

    for _ in range(3):
        step()
    for line in sys.stdin:
        seconds, began, steps = float(line), time.monotonic(), 0
        while time.monotonic() - began < seconds or steps == 0:
            step()
            steps += 1
        print(steps / (time.monotonic() - began), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
