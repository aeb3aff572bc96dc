"""How quickly the worker answers, and how little it needs while it waits. `python -m bench.start`"""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
RUNS = 7

_IDLE = """
import resource, sys, worker_entry
code = worker_entry.main(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, "torch" in sys.modules, int(code))
"""


def main() -> int:
    """Measures, prints, and answers 0 when everything ran."""
    results = {
        "help_s": _median_s([sys.executable, "worker_entry.py", "--help"]),
        "help_peak_mb": _peak_mb([sys.executable, "worker_entry.py", "--help"]),
    }
    with tempfile.TemporaryDirectory() as folder:
        project = _empty_project(Path(folder))
        options = ["--project", str(project), "--work-dir", f"{folder}/work", "--worker-id", "bench"]
        idle = [sys.executable, "-c", _IDLE, *options]
        done = subprocess.run(idle, cwd=ROOT, capture_output=True, text=True, check=True)
        peak_kb, has_torch, code = done.stdout.split()[-3:]
        results |= {
            "idle_peak_mb": round(int(peak_kb) / 1024, 1),
            "idle_imports_torch": int(has_torch == "True"),
            "idle_exit_code": int(code),
            "poll_and_exit_s": _median_s([sys.executable, "worker_entry.py", *options]),
        }
    print(f"--help answers in {results['help_s']:.2f} s and needs {results['help_peak_mb']:.0f} MB.")
    print(
        f"A worker that finds nothing to do in one project is through in {results['poll_and_exit_s']:.2f} s "
        f"and needs {results['idle_peak_mb']:.0f} MB."
    )
    report = {
        "bench": "start",
        "machine": {
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "system": platform.system(),
        },
        "results": results,
        "targets": {"help_s": ["<", 0.5], "idle_imports_torch": ["==", 0], "idle_exit_code": ["==", 0]},
    }
    print(json.dumps(report))
    return 0


def _median_s(command: list[str]) -> float:
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
        times.append(time.perf_counter() - started)
    return round(statistics.median(times), 3)


def _peak_mb(command: list[str]) -> float:
    """The peak of one run, seen from a process that has had no other child."""
    script = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], capture_output=True, check=True); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *command], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return round(int(done.stdout) / 1024, 1)


def _empty_project(folder: Path) -> Path:
    work, bare = folder / "clone", folder / "project.git"
    (work / "gpu_jobs").mkdir(parents=True)
    (work / "gpu_jobs/manifest.yaml").write_text("version: 1\njobs: []\n")
    identity = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"]
    for arguments in (
        ["init", "-q", "-b", "main", str(work)],
        ["-C", str(work), "add", "."],
        ["-C", str(work), *identity, "commit", "-q", "-m", "a project without jobs"],
        ["clone", "-q", "--bare", str(work), str(bare)],
    ):
        subprocess.run(["git", *arguments], check=True, capture_output=True)
    return bare


if __name__ == "__main__":
    sys.exit(main())
