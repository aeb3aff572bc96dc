"""`make demo`: a transcriber's job and a voice's job, from the manifest to the repository, in minutes.

It makes a bare repository of the sample project, asks for the two jobs, runs the worker on it exactly as
an operator would, and then tells what the repository holds. Nothing needs a GPU or the network.
"""

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from codex_worker.codex.cell import Cell
from codex_worker.codex.notebook import Notebook
from codex_worker.codex.text import plain_text
from codex_worker.text.error_rate import character_error_rate
from sample.make_codex_project import SampleProject, make_project, make_repository

ROOT = Path(__file__).parents[1]
ASR_JOB = "demo1_transcribe"
TTS_JOB = "demo2_speak"
JOBS = [
    {
        "job_id": ASR_JOB,
        "name": "Read the letter of James",
        "job_type": "asr",
        "mode": "training_and_inference",
        "submitted_at": "2026-01-03T00:00:00.000Z",
        "model": {"type": "W2V2BERT"},
        "canceled": False,
    },
    {
        "job_id": TTS_JOB,
        "name": "A first voice",
        "job_type": "tts",
        "mode": "training_and_inference",
        "submitted_at": "2026-01-03T01:00:00.000Z",
        "model": {"type": "StableTTS"},
        "epochs": 10,
        "canceled": False,
    },
]


def main() -> int:
    """Runs the demo; answers 0 when all its jobs are completed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=ROOT / "demo-output", help="where to leave everything")
    parser.add_argument("--only", choices=["asr", "tts"], help="run one of the two jobs")
    arguments = parser.parse_args()
    jobs = [job for job in JOBS if arguments.only in {None, job["job_type"]}]
    console = Console()
    repository = _fresh_repository(arguments.folder, jobs)
    console.print(f"A translator's project with recordings is in {repository}; the worker starts.")
    started = time.monotonic()
    code = _run_worker(repository, arguments.folder / "work")
    console.print(f"The worker ended with exit code {code} after {time.monotonic() - started:.0f} s.\n")
    expected = make_project(arguments.folder / "as-made", jobs)
    completed = [_show(console, repository, job, expected) for job in jobs]
    console.print(f"\nLook at it yourself: git clone {repository}")
    console.print(
        f"Its large files are in {repository}/lfs/objects, logs and models in {arguments.folder}/work."
    )
    return 0 if all(completed) else 1


def _fresh_repository(folder: Path, jobs: list[dict[str, Any]]) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return make_repository(folder, jobs)


def _run_worker(repository: Path, work: Path) -> int:
    command = [sys.executable, str(ROOT / "worker_entry.py"), "--project", str(repository)]
    command += ["--work-dir", str(work), "--preset", "tiny", "--worker-id", "demo-worker"]
    command += ["--settle-minutes", "0"]  # nobody else uses this repository
    return subprocess.run(command, check=False).returncode


def _show(console: Console, repository: Path, job: dict[str, Any], expected: SampleProject) -> bool:
    """One job's table; True where it is completed."""
    folder = f"gpu_jobs/job_{job['job_id']}"
    files = _git(repository, "ls-tree", "-r", "-z", "--name-only", "main").split("\0")
    response_path = f"{folder}/response.yaml"
    response = (
        yaml.safe_load(_git(repository, "show", f"main:{response_path}")) if response_path in files else {}
    )
    table = Table(title=f"{job['name']} ({job['job_id']})", show_header=False, title_justify="left")
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    table.add_row("state", str(response.get("state", "no answer")))
    for key in ("epochs_completed", "status_message", "error_message"):
        if response.get(key) is not None:
            table.add_row(key.replace("_", " "), str(response[key]))
    result = response.get("result", {})
    table.add_row("cells written", str(result.get("cells_written", 0)))
    for row in _measured(repository, job, expected):
        table.add_row(*row)
    own = [path.removeprefix(f"{folder}/") for path in files if path.startswith(f"{folder}/")]
    table.add_row(f"in {folder}", "\n".join(own))
    console.print(table)
    return response.get("state") == "completed"


def _measured(repository: Path, job: dict[str, Any], expected: SampleProject) -> list[tuple[str, str]]:
    """What can be checked against what is known of the sample: the words said, the verses to speak."""
    cells = {cell.id: cell for notebook in _notebooks(repository) for cell in notebook.cells}
    if job["job_type"] == "asr":
        known = {cell_id: words for cell_id, words in expected.unheard.items() if cell_id in cells}
        read = {cell_id: plain_text(cells[cell_id].value) for cell_id in known}
        rate = character_error_rate(list(known.values()), list(read.values()))
        cell_id = next(iter(known))
        return [
            ("character error rate", f"{rate:.1%} on {len(known)} recordings that it never heard"),
            ("said", known[cell_id]),
            ("read", read[cell_id]),
        ]
    spoken = [i for i in expected.text_only if _has_voice(cells[i])]
    return [("verses spoken", f"{len(spoken)} of {len(expected.text_only)} that had text and no recording")]


def _has_voice(cell: Cell) -> bool:
    return any(take.id == cell.selected_audio_id for take in cell.live_attachments)


def _notebooks(repository: Path) -> list[Notebook]:
    names = _git(repository, "ls-tree", "-r", "-z", "--name-only", "main", "files/target").split("\0")
    return [
        Notebook.parse(_git(repository, "show", f"main:{name}").encode(), name)
        for name in names
        if name.endswith(".codex")
    ]


def _git(repository: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(repository), *arguments], check=True, capture_output=True)
    return done.stdout.decode()


if __name__ == "__main__":
    sys.exit(main())
