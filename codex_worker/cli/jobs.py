"""`codex-worker jobs`: a project's jobs and their states."""

import argparse
import os
from pathlib import Path
from typing import Any

from codex_worker.contract.exit_codes import ExitCode


def add_parsers(commands: "argparse._SubParsersAction[Any]") -> None:
    """Adds the command."""
    jobs = commands.add_parser("jobs", help="list a project's jobs and their states")
    jobs.add_argument("project", metavar="PATH-OR-URL")
    jobs.add_argument("--env-file", type=Path, metavar="FILE", help="a file with GITLAB_TOKEN=...")
    jobs.add_argument("--gitlab-url", metavar="URL", help="the server that the token is for ($GITLAB_URL)")
    jobs.add_argument("--work-dir", type=Path, metavar="FOLDER", help="for caches ($WORK_DIR, or ./work)")
    jobs.set_defaults(run=_jobs)


def _jobs(arguments: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from codex_worker.cli.work import credentials_of, gitlab_url_of
    from codex_worker.worker.assembly import Assembly, WorkerOptions
    from codex_worker.worker.projects import project_at

    options = WorkerOptions(
        worker_id="codex-worker-jobs",
        gitlab_url=gitlab_url_of(arguments, os.environ),
        work_dir=arguments.work_dir or Path(os.environ.get("WORK_DIR") or "work"),
    )
    assembly = Assembly(options, credentials_of(arguments, os.environ), os.environ)
    project = project_at(arguments.project)
    table = Table(title=f"Jobs of {project.name}", title_justify="left")
    for column in ("job", "type", "mode", "submitted", "state", "reason"):
        table.add_column(column, overflow="fold")
    views = assembly.open_queue(project.address).survey()
    for view in views:
        entry = view.entry
        submitted = entry.submitted_at.strftime("%Y-%m-%d %H:%M") if entry and entry.submitted_at else "-"
        kind, mode = (entry.job_type, entry.mode) if entry else ("-", "-")
        table.add_row(view.job_id, kind, mode, submitted, view.state.value, view.reason)
    Console().print(table if views else f"{project.name} has no jobs.")
    return ExitCode.DONE
