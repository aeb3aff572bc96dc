"""The packages with the prompts: fetched and unpacked with the system's own tools, once."""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from sample.real_speech.languages import Language

TOOLS = ("apt-get", "dpkg-deb")
PATIENCE_S = 600
# A machine without a network learns so in seconds; apt's own patience is minutes.
APT_OPTIONS = (
    "-o",
    "Acquire::Retries=1",
    "-o",
    "Acquire::http::Timeout=20",
    "-o",
    "Acquire::https::Timeout=20",
)


class PackagesMissingError(Exception):
    """The packages are not here and cannot be fetched; says why, and how a person can bring them."""


def unpacked(language: Language, folder: Path) -> Path:
    """The folder with both packages of a language, below ``folder``; fetched where it is not there yet.

    Raises PackagesMissingError where this machine has no such tools, or they do not bring the packages.
    """
    ready = folder / language.code
    if not ready.exists():
        missing = [tool for tool in TOOLS if shutil.which(tool) is None]
        if missing:
            raise PackagesMissingError(
                _how(language, ready, f"This machine has no {' and no '.join(missing)}.")
            )
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            whole = Path(temporary) / "unpacked"
            whole.mkdir()
            for package in language.packages:
                _fetch(language, ready, package, Path(temporary), whole)
            whole.rename(ready)  # there as a whole or not at all
    return ready


def _fetch(language: Language, ready: Path, package: str, folder: Path, whole: Path) -> None:
    try:
        _run(["apt-get", *APT_OPTIONS, "download", package], folder)
        (file,) = folder.glob(f"{package}_*.deb")
        _run(["dpkg-deb", "--extract", str(file), str(whole)], folder)
    except (subprocess.SubprocessError, OSError, ValueError) as error:
        raise PackagesMissingError(
            _how(language, ready, f"{package} was not to be had{_said(error)}.")
        ) from error


def _run(command: list[str], folder: Path) -> None:
    subprocess.run(
        command, cwd=folder, check=True, capture_output=True, text=True, errors="replace", timeout=PATIENCE_S
    )


def _said(error: Exception) -> str:
    """The tool's own reason, in one line."""
    if isinstance(error, subprocess.TimeoutExpired):
        return f" within {PATIENCE_S // 60} minutes"
    said = re.findall(r"^(?:E|dpkg-deb: error): (.*\S)", str(getattr(error, "stderr", "")), re.MULTILINE)
    return f" ({said[-1].rstrip('.')})" if said else ""


def _how(language: Language, ready: Path, reason: str) -> str:
    names = " ".join(language.packages)
    return (
        f"{reason} On a machine with Debian or Ubuntu, run `apt-get update` and `apt-get download {names}`, "
        f"unpack both files with `dpkg-deb --extract FILE {language.code}`, "
        f"and put the folder {language.code} here as {ready}."
    )
