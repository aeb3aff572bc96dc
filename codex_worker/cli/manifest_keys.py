"""`codex-worker manifest-keys`: every key of a job, as docs/manifest.md."""

import argparse
import sys
from typing import Any

from codex_worker.contract.exit_codes import ExitCode


def add_parsers(commands: "argparse._SubParsersAction[Any]") -> None:
    """Adds the command."""
    keys = commands.add_parser("manifest-keys", help="list every key of a job (docs/manifest.md)")
    keys.set_defaults(run=_manifest_keys)


def _manifest_keys(arguments: argparse.Namespace) -> int:
    from codex_worker.contract.options_page import manifest_page

    sys.stdout.write(manifest_page())
    return ExitCode.DONE
