"""`codex-worker export`: a checkpoint for other programs."""

import argparse
from pathlib import Path

from codex_worker.contract.exit_codes import ExitCode
from codex_worker.errors import UserError


def add_parsers(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command; its function is in `run`."""
    export = commands.add_parser(
        "export",
        help="write a voice as StableTTS .pt and JSON, a VITS voice or transcriber as Hugging Face folder",
    )
    export.add_argument(
        "checkpoint", type=Path, metavar="CHECKPOINT", help="a .safetensors file of this worker"
    )
    export.add_argument("folder", type=Path, metavar="DIR", help="a new or empty folder")
    export.set_defaults(run=run_export)


def run_export(arguments: argparse.Namespace) -> int:
    """Looks what kind of checkpoint it is, and writes it."""
    from rich.console import Console

    from codex_worker.service.kinds import ModelKind, kind_of

    checkpoint, folder = arguments.checkpoint, arguments.folder
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is not empty. Name a new folder for the export.")
    kind = kind_of(checkpoint)
    if kind is ModelKind.STABLETTS:
        from codex_worker.stabletts.export import export_stabletts

        written = export_stabletts(checkpoint, folder)
    elif kind is ModelKind.VITS:
        from codex_worker.vits.export import export_mms

        written = export_mms(checkpoint, folder)
    else:
        from codex_worker.asr.export import export_hugging_face

        written = export_hugging_face(checkpoint, folder)
    for path in written:
        Console().print(str(path), markup=False, highlight=False, soft_wrap=True)
    return ExitCode.DONE
