"""The operator's command line: `codex-worker --help`.

Each command imports what it needs when it runs, so that `--help` answers at once.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from codex_worker import __version__
from codex_worker.commands import check, data, export
from codex_worker.contract.exit_codes import ExitCode
from codex_worker.errors import WorkerError


def build_parser() -> argparse.ArgumentParser:
    """All commands; `work` is shown here and parsed by the worker itself."""
    parser = argparse.ArgumentParser(
        prog="codex-worker", description="Speech jobs of Codex translation projects, from the command line."
    )
    parser.add_argument("--version", action="version", version=f"codex-worker {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("work", add_help=False, help="do jobs (the same as worker_entry.py)")
    jobs = commands.add_parser("jobs", help="list a project's jobs and their states")
    jobs.add_argument("project", metavar="PATH-OR-URL")
    jobs.add_argument("--env-file", type=Path, metavar="FILE", help="a file with GITLAB_TOKEN=...")
    jobs.add_argument("--gitlab-url", metavar="URL", help="the server that the token is for ($GITLAB_URL)")
    jobs.add_argument("--work-dir", type=Path, metavar="FOLDER", help="for caches ($WORK_DIR, or ./work)")
    jobs.set_defaults(run=_jobs)
    for group in (check, data, export):
        group.add_parsers(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; answers its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["work"]:
        from worker_entry import main as work

        return work(arguments[1:], program="codex-worker work")
    parsed = build_parser().parse_args(arguments)
    try:
        return int(parsed.run(parsed))
    except WorkerError as error:
        print(f"codex-worker: {error}", file=sys.stderr)  # noqa: T201 - the command line's own output
        return ExitCode.FAILED


def _jobs(arguments: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from codex_worker.runtime.projects import project_at
    from codex_worker.runtime.wiring import WorkerOptions, Workshop
    from worker_entry import credentials_of, gitlab_url_of

    options = WorkerOptions(
        worker_id="codex-worker-jobs",
        gitlab_url=gitlab_url_of(arguments, os.environ),
        work_dir=arguments.work_dir or Path(os.environ.get("WORK_DIR") or "work"),
    )
    workshop = Workshop(options, credentials_of(arguments, os.environ), os.environ)
    project = project_at(arguments.project)
    table = Table(title=f"Jobs of {project.name}", title_justify="left")
    for column in ("job", "type", "mode", "submitted", "state", "reason"):
        table.add_column(column, overflow="fold")
    views = workshop.open_queue(project.address).survey()
    for view in views:
        entry = view.entry
        submitted = entry.submitted_at.strftime("%Y-%m-%d %H:%M") if entry and entry.submitted_at else "-"
        kind, mode = (entry.job_type, entry.mode) if entry else ("-", "-")
        table.add_row(view.job_id, kind, mode, submitted, view.state.value, view.reason)
    Console().print(table if views else f"{project.name} has no jobs.")
    return ExitCode.DONE


if __name__ == "__main__":
    sys.exit(main())
