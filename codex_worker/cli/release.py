"""`codex-worker release`: which versions of which models a service gives to whom."""

import argparse
import getpass
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from codex_worker.contract.exit_codes import ExitCode
from codex_worker.errors import UserError

if TYPE_CHECKING:
    from codex_worker.service.releases import Releases


def add_parsers(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command with its five parts."""
    release = commands.add_parser(
        "release",
        help="say which versions of which models a service gives to whom",
        epilog="codex-worker release releases.yaml add v9.2 voice.safetensors\n"
        "codex-worker release releases.yaml share v9 1=80 2=20\n"
        "codex-worker release releases.yaml pin v9.2",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    release.add_argument("file", type=Path, metavar="FILE", help="the file of releases")
    parts = release.add_subparsers(dest="part", required=True, metavar="WHAT", help="what to do")
    parts.add_parser("list", help="print models, versions, shares and what latest means")
    add = parts.add_parser("add", help="release a checkpoint as a new version; it gets no requests yet")
    add.add_argument("version", metavar="MODEL.VERSION", help="a new one, for example v9.2")
    add.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="a voice or a transcriber")
    share = parts.add_parser("share", help="part the requests of a model among its versions")
    share.add_argument("model", metavar="MODEL", help="for example v9")
    share.add_argument("shares", nargs="+", metavar="VERSION=PERCENT", help="100 together; others get none")
    pin = parts.add_parser("pin", help="say which version latest means")
    pin.add_argument("version", metavar="MODEL.VERSION", help="for example v9.2")
    remove = parts.add_parser("remove", help="take back a version that gets no requests any more")
    remove.add_argument("version", metavar="MODEL.VERSION", help="for example v9.2")
    release.set_defaults(run=run_release)


def run_release(arguments: argparse.Namespace) -> int:
    """Changes the file, and prints what holds now."""
    from codex_worker.clock import SystemClock
    from codex_worker.service.release_file import ReleaseFile

    file = ReleaseFile(arguments.file)
    if arguments.part == "list":
        _show(file.read())
        return ExitCode.DONE
    change, what = _change(arguments)
    releases = file.change(
        change, who=_who(), what=what, at=datetime.fromtimestamp(SystemClock().time(), UTC)
    )
    _show(releases)
    return ExitCode.DONE


def _change(arguments: argparse.Namespace) -> "tuple[Callable[[Releases], Releases], str]":
    """What is to be done with the releases, and how the log calls it."""
    from codex_worker.service.kinds import kind_of
    from codex_worker.service.release_file import sha256_of
    from codex_worker.service.releases import Release

    if arguments.part == "share":
        shares = _shares(arguments.shares)
        what = f"share {arguments.model} {' '.join(arguments.shares)}"
        return lambda releases: releases.with_shares(arguments.model, shares), what
    name, dot, version = arguments.version.partition(".")
    if not dot or not name or not version:
        raise UserError(f"{arguments.version!r} names no version: write MODEL.VERSION, for example v9.2.")
    if arguments.part == "pin":
        return lambda releases: releases.with_pin(name, version), f"pin {name}.{version}"
    if arguments.part == "remove":
        return lambda releases: releases.without_version(name, version), f"remove {name}.{version}"
    kind_of(arguments.checkpoint)  # refused before it is released
    digest = sha256_of(arguments.checkpoint)
    path = os.path.relpath(arguments.checkpoint.resolve(), arguments.file.resolve().parent)
    what = f"add {name}.{version} {path} {digest}"
    return lambda releases: releases.with_version(name, version, Release(path, digest)), what


def _shares(given: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for each in given:
        version, _, percent = each.partition("=")
        if not version or not percent.isascii() or not percent.isdigit() or len(percent) > 3:
            raise UserError(f"{each!r} is no share: write VERSION=PERCENT, for example 2=20.")
        if version in found:
            raise UserError(f"Version {version} is named twice.")
        found[version] = int(percent)
    return found


def _who() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"user {os.getuid()}"


def _show(releases: "Releases") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("version", "share", "latest", "checkpoint", "sha256")
    for name, model in sorted(releases.models.items()):
        for version, release in model.versions.items():
            is_latest = "yes" if model.latest == version else ""
            short = release.sha256[:12]
            table.add_row(f"{name}.{version}", f"{release.share} %", is_latest, release.checkpoint, short)
    console = Console(markup=False, emoji=False)
    console.print(table)
    for alias, meant in sorted(releases.aliases.items()):
        console.print(f"{alias} is another name of {meant}.")
