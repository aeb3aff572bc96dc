"""What the benchmarks of a GPU have in common: parts within a given time, and one JSON object at the end."""

import argparse
import datetime
import json
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

SHORTEST_PART_S = 8.0  # no part begins with less time left


@dataclass
class Report:
    """What was measured, and what of it could not be."""

    ends_at: float
    figures: dict[str, Any] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def left_s(self) -> float:
        """Seconds until all has to be over."""
        return self.ends_at - time.monotonic()

    def part(self, name: str, measure: Callable[[], Any]) -> None:
        """Measure a part, if there is time for it."""
        if self.left_s < SHORTEST_PART_S:
            self.left_out.append(name)
            return
        began = time.monotonic()
        try:
            self.figures[name] = measure()
        except Exception as error:  # the other parts are worth having
            self.failed[name] = f"{type(error).__name__}: {error}"[:300]
        found = self.failed.get(name) or self.figures[name]
        print(f"{name}: {found} ({time.monotonic() - began:.0f} s)", file=sys.stderr, flush=True)


def run(name: str, about: str, measure: Callable[[float, bool, str], Report]) -> None:
    """Measure as the command line asks, and print one JSON object on the last line.

    `measure` is given the seconds that there are, whether the network is a tiny one, and the device.
    """
    parser = argparse.ArgumentParser(prog=f"python -m bench.{name}", description=about)
    parser.add_argument("--seconds", type=float, default=110.0, help="until all is over, about")
    parser.add_argument("--tiny", action="store_true", help="a small network and little sound")
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    report = measure(arguments.seconds, arguments.tiny or device == "cpu", device)
    machine = {
        "processor": platform.machine(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name() if device == "cuda" else None,
        "torch": torch.__version__,
    }
    print(
        json.dumps(
            {
                "bench": name,
                "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
                "machine": machine,
                "results": report.figures,
                "left_out": report.left_out,
                "failed": report.failed,
            }
        )
    )
