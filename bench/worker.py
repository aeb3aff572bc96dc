"""How much of its time a worker computes: `python -m bench.worker [--jobs 20] [--seconds 20]`.

A worker does short jobs of one project, one after the other, as people start it: on a stand-in for GitLab on
this machine that waits before each answer as a network would, with real git and real processes. The handler
loads what a transcriber's job loads, reads the project, and multiplies matrices for a fixed processor time.

`busy_share`: the part of the time in which a job computes, from the beginning of the first one's computing
to the end of the last one's. `busy_share_without_overlap`: the same where no process waits for its job and
nothing is fetched ahead. Both in one run on one machine; `gap_s` is the median time from the end of one job's
computing to the beginning of the next one's, from which the share for jobs of any length follows. One JSON
object on the last line.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.support.gitlab import DEVELOPER, GitLabServer
from tests.support.queues import GitProject, job, manifest

ROOT = Path(__file__).parents[1]
LATENCY_S = 0.05
AIM = 0.95
SCOPES = ["read_api", "read_repository", "write_repository"]
COMPUTED = "computed.json"
HANDLER = """
import json
import time

def run(job, callbacks):
    import torch

    import codex_worker.asr.train
    import codex_worker.asr.transcribe

    callbacks.scanner.read_files(callbacks.scanner.list_files("gpu_jobs/"))
    began_s, used_s = time.time(), time.process_time()
    numbers = torch.ones(256, 256)
    while time.process_time() - used_s < SECONDS:
        numbers = (numbers @ numbers).clamp(max=1.0)
        callbacks.should_stop()
    callbacks.heartbeat(1, "Computed", "training")
    (job.folder / "COMPUTED").write_text(json.dumps([began_s, time.time()]))
    return {}
"""


@dataclass(frozen=True)
class Course:
    """When the jobs of one worker computed: (beginning, end) of each in seconds, in order."""

    spans: Sequence[tuple[float, float]]

    @property
    def busy_share(self) -> float:
        """The part of the time in which a job computed."""
        computed_s = sum(end - begin for begin, end in self.spans)
        return computed_s / (self.spans[-1][1] - self.spans[0][0])

    @property
    def gap_s(self) -> float:
        """The median of the times in which none did."""
        ends = [end for _, end in self.spans[:-1]]
        return statistics.median(begin - end for (begin, _), end in zip(self.spans[1:], ends, strict=True))


def course_of(options: Sequence[str], jobs: int, seconds: float) -> Course:
    """Lets a worker with these options do so many jobs. Raises RuntimeError where it does not do them all."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-worker-") as place,
        GitLabServer(Path(place) / "server", latency_s=LATENCY_S) as server,
    ):
        folder = Path(place)
        (folder / "project").mkdir()
        wanted = manifest(*(job(f"job{number:02d}") for number in range(jobs)))
        project = GitProject({"gpu_jobs/manifest.yaml": wanted}, folder / "project")
        server.create_project("team/short", {"worker": DEVELOPER}, repository=project.bare)
        code = _handler(folder / "code", seconds)
        environment = {
            **{name: os.environ[name] for name in ("PATH", "OMP_NUM_THREADS") if name in os.environ},
            "HOME": place,
            "PYTHONPATH": f"{code}:{ROOT}",
            "GITLAB_TOKEN": server.create_token("worker", SCOPES),
        }
        command = [
            sys.executable, "-m", "worker_entry", "--gitlab-url", server.url, "--work-dir", f"{place}/work",
            "--worker-id", "bench", "--settle-minutes", "0", "--keep-jobs", "-1", "--allow-cpu", *options,
        ]  # fmt: skip
        done = subprocess.run(
            command, env=environment, cwd=place, capture_output=True, text=True, check=False
        )
        spans = sorted(tuple(json.loads(path.read_text())) for path in folder.glob(f"work/job_*/{COMPUTED}"))
        if done.returncode != 0 or len(spans) != jobs:
            raise RuntimeError(f"{len(spans)} of {jobs} jobs were done: {done.stderr[-3000:]}")
        return Course(spans)


def _handler(folder: Path, seconds: float) -> Path:
    place = folder / "handlers/asr/w2v2bert"
    place.mkdir(parents=True)
    for name in ("__init__.py", "base.py"):
        shutil.copy(ROOT / "handlers" / name, folder / "handlers" / name)
    text = HANDLER.replace("SECONDS", str(seconds)).replace("COMPUTED", COMPUTED)
    (place / "training.py").write_text(text)
    return folder


def main() -> None:
    """Measures, and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=20, help="of each worker, two or more")
    parser.add_argument("--seconds", type=float, default=20.0, help="of a processor, for each job")
    arguments = parser.parse_args()
    if arguments.jobs < 2:
        parser.error("--jobs must be 2 or more: what counts is the time between them.")
    without = course_of(["--without-spare", "--prefetch", "0"], arguments.jobs, arguments.seconds)
    overlapped = course_of([], arguments.jobs, arguments.seconds)
    results = {
        "busy_share": round(overlapped.busy_share, 4),
        "busy_share_without_overlap": round(without.busy_share, 4),
        "gap_s": round(overlapped.gap_s, 3),
        "gap_s_without_overlap": round(without.gap_s, 3),
        "job_s": round(statistics.median(end - begin for begin, end in overlapped.spans), 2),
    }
    report = {
        "bench": "worker",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": {
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "cpu": platform.processor(),
        },
        "jobs": arguments.jobs,
        "seconds": arguments.seconds,
        "latency_s": LATENCY_S,
        "results": results,
        "targets": {"busy_share": [">=", AIM]},
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
