"""Two real processes on one GPU: a worker's job, and a neighbour that wakes."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from codex_worker.supervisor.gpu_gate import GpuGate
from codex_worker.supervisor.gpu_memory import GIB, Card, CardMemory
from codex_worker.supervisor.gpu_peaks import GpuPeaks
from codex_worker.supervisor.gpu_watch import LOOKS_IN_A_ROW
from codex_worker.supervisor.tenancy import Admission, Tenancy
from tests.support.event_clock import until
from tests.support.jobs import ROOT, Stage

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")

NEIGHBOUR = """
import sys, torch
for line in sys.stdin:
    held = torch.ones(int(float(line) * 2**30), dtype=torch.uint8, device="cuda")
    torch.cuda.synchronize()
    print("held", flush=True)
"""
JOB = """
import os, torch
held = torch.ones(1 << 30, dtype=torch.uint8, device="cuda")
torch.cuda.synchronize()
(folder / "pid").write_text(str(os.getpid()))
while not (reason := callbacks.stop_reason()):
    callbacks.should_stop()
from codex_worker.job.api import stop_error
raise stop_error(reason)
"""
SHARE = """
import torch
from codex_worker.child.gpu_share import take_at_most
from codex_worker.training.machine import this_machine
take_at_most(2 << 30)
assert abs(this_machine().memory_bytes - (2 << 30)) < 1 << 20, this_machine()
fits = torch.ones(3 << 29, dtype=torch.uint8, device="cuda")
try:
    torch.ones(3 << 29, dtype=torch.uint8, device="cuda")
except torch.OutOfMemoryError:
    print("refused")
"""


class Neighbour:
    """A process that holds as much of the card as it is told, in GiB."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.pid = process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def holds(self, gib: float) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{gib}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline().strip() == "held"


@contextmanager
def a_neighbour() -> Iterator[Neighbour]:
    process = subprocess.Popen(
        [sys.executable, "-c", NEIGHBOUR], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield Neighbour(process)
    finally:
        process.kill()
        process.wait()


def free_bytes() -> int:
    memory = Card({}).look()
    assert memory is not None
    return memory.free_bytes


def test_the_driver_tells_what_a_neighbour_holds():
    before = free_bytes()
    with a_neighbour() as neighbour:
        neighbour.holds(2)
        memory = Card({}).look()
        assert memory is not None and memory.free_bytes <= before - 2 * GIB
        if memory.holders and neighbour.pid in memory.holders:  # a container may have other numbers
            assert memory.held_by([neighbour.pid]) >= 2 * GIB
    until(lambda: free_bytes() >= before - (64 << 20))


def test_a_job_cannot_take_more_than_its_share():
    done = subprocess.run(
        [sys.executable, "-c", SHARE], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.stdout.strip() == "refused", done.stderr


def test_a_job_gives_the_card_back_to_a_neighbour_that_wakes(tmp_path):
    stage = Stage(tmp_path, JOB)
    looks: list[None] = []
    (stage.settings.handlers_root / "torch.py").unlink()  # this job needs the real one
    stage.work_dir.mkdir()
    card, before = Card({}), free_bytes()

    def look() -> CardMemory | None:
        looks.append(None)
        return card.look()

    headroom = before - 6 * GIB
    gate = GpuGate(look, GpuPeaks(stage.work_dir), stage.clock, threading.Event, headroom)
    stage.tenancy = Tenancy(stage.clock, stage.settings.handlers_root, gate=gate)
    admission = admitted(stage)
    assert isinstance(admission, Admission), admission
    stage.admission = admission
    with a_neighbour() as neighbour:
        stage.start()
        stage.reached("pid")
        neighbour.holds(6.5)
        last_look = len(looks) + LOOKS_IN_A_ROW
        stage.tick(lambda: len(looks) >= last_look, 5, waiting=5)
        outcome = stage.finish()
        assert outcome is not None and outcome.state == "yielded"
        assert isinstance(admitted(stage), str), "nor is it let in again"
        assert neighbour.is_alive
    until(lambda: free_bytes() >= before - (64 << 20))


def admitted(stage: Stage) -> Admission | str:
    entry, tenancy = stage.queue().survey()[0].entry, stage.tenancy
    assert tenancy is not None and entry is not None
    found: list[Admission | str] = []
    asking = threading.Thread(target=lambda: found.append(tenancy.admit(entry)), daemon=True)
    asking.start()
    stage.tick(lambda: not asking.is_alive(), 10, waiting=1)
    return found[0]
