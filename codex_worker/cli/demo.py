"""`codex-worker demo`: the sample project's jobs, where the command runs from a checkout."""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

from codex_worker.errors import UserError

CHECKOUT = Path(__file__).resolve().parents[2]


def add_parsers(commands: "argparse._SubParsersAction[Any]") -> None:
    """Adds the command."""
    demo = commands.add_parser("demo", help="run two jobs on a sample project and show what it holds then")
    demo.add_argument("--folder", type=Path, help="where to leave everything (./demo-output)")
    demo.set_defaults(run=_demo)


def _demo(arguments: argparse.Namespace) -> int:
    if not (CHECKOUT / "sample" / "demo.py").exists():
        raise UserError("The sample project is not installed: run `make demo` in a checkout of the sources.")
    folder = (arguments.folder or Path("demo-output")).resolve()
    command = [sys.executable, "-m", "sample.demo", "--folder", str(folder)]
    return subprocess.run(command, cwd=CHECKOUT, check=False).returncode
