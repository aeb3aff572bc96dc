"""What a job starts, in whatever session and however it ends: nothing outlives it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from codex_worker.child.keeper import descendants
from tests.support.event_clock import until
from tests.support.jobs import ROOT
from tests.support.processes import is_gone

KEPT = """
import os, signal, subprocess, sys
from codex_worker.child.keeper import keep
read, write = os.pipe()
keep([read, write])
def leave_behind():
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        left = os.fork()
        while left == 0:
            signal.pause()
        print(left, flush=True)
        os._exit(0)
    os.wait()
"""
WAIT = "\nwhile True: signal.pause()"


def start(code: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", KEPT + code], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def left_behind(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


@pytest.mark.parametrize(
    ("last", "code"),
    [
        ("os._exit(0)", 0),
        ("sys.exit(65)", 65),
        ("raise SystemExit(1)", 1),
        ("os.abort()", -signal.SIGABRT),
        ("os.kill(os.getpid(), signal.SIGSEGV)", -signal.SIGSEGV),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    ],
)
def test_the_keeper_ends_all_that_is_left_and_leaves_as_the_job_did(last, code):
    process = start(f"\nleave_behind()\n{last}")
    left = left_behind(process)
    assert process.wait(30) == code
    assert is_gone(left)


def test_the_job_ends_when_its_supervisor_is_gone():
    """The kernel tells the keeper so; here the signal itself is sent."""
    process = start(f"\nleave_behind(){WAIT}")
    left = left_behind(process)
    process.send_signal(signal.SIGUSR1)
    assert process.wait(30) == -signal.SIGKILL
    assert is_gone(left)


def test_the_job_ends_when_its_keeper_is_killed():
    process = start(f"\nprint(os.getpid(), flush=True){WAIT}")
    job = left_behind(process)
    process.kill()
    process.wait(30)
    until(lambda: is_gone(job))


def test_a_machine_that_shuts_down_leaves_the_job_its_time_to_save():
    process = start(
        "\nsignal.signal(signal.SIGTERM, lambda *_: os._exit(7))\nprint(os.getpid(), flush=True)" + WAIT
    )
    job = left_behind(process)
    until(lambda: ignores(process.pid, signal.SIGTERM))
    os.kill(process.pid, signal.SIGTERM)
    os.kill(job, signal.SIGTERM)
    assert process.wait(30) == 7


def ignores(process: int, number: int) -> bool:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    ignored = next(int(line.split()[1], 16) for line in lines if line.startswith("SigIgn"))
    return bool(ignored >> (number - 1) & 1)


def test_descendants_are_found_over_generations(tmp_path):
    for process, parent in {2: 1, 3: 2, 4: 3, 5: 1, 6: 9}.items():
        (tmp_path / str(process)).mkdir()
        (tmp_path / str(process) / "stat").write_text(f"{process} (a (b) c) S {parent} 0 0")
    (tmp_path / "meminfo").touch()
    assert descendants(2, tmp_path) == [3, 4]
    assert sorted(descendants(1, tmp_path)) == [2, 3, 4, 5]
