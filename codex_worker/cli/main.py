"""The operator's command line: `codex-worker --help`.

Each command imports what it needs when it runs, so that `--help` answers at once.
"""

import argparse
import sys
from collections.abc import Sequence

from codex_worker import __version__, cores
from codex_worker.cli import check, data, demo, export, jobs, manifest_keys, release, speaking, transcribing
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
    for group in (jobs, check, data, speaking, transcribing, release, export, demo, manifest_keys):
        group.add_parsers(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; answers its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["work"]:
        from codex_worker.cli.work import main as work

        return work(arguments[1:], program="codex-worker work")
    parsed = build_parser().parse_args(arguments)
    cores.settle()  # before a command imports torch
    try:
        return int(parsed.run(parsed))
    except WorkerError as error:
        print(f"codex-worker: {error}", file=sys.stderr)  # noqa: T201 - the command line's own output
        return ExitCode.FAILED
