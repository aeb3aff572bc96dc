"""`codex-worker jobs`: a project's jobs and their states."""

import argparse
import os
from typing import Any

from codex_worker.cli.options import access, add_access
from codex_worker.contract.exit_codes import ExitCode


def add_parsers(commands: "argparse._SubParsersAction[Any]") -> None:
    """Adds the command."""
    jobs = commands.add_parser("jobs", help="list a project's jobs and their states")
    jobs.add_argument("project", metavar="PATH-OR-URL", help="a repository on this machine, or its address")
    add_access(jobs)
    jobs.set_defaults(run=_jobs)


def _jobs(arguments: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from codex_worker.worker.assembly import Assembly
    from codex_worker.worker.projects import project_at

    settings, credentials = access(arguments)
    assembly = Assembly(settings, credentials, os.environ)
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
    # Ids and reasons are as people wrote them: "[/b]" is no markup.
    Console(markup=False, emoji=False).print(table if views else f"{project.name} has no jobs.")
    return ExitCode.DONE
