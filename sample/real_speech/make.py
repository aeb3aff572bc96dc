"""Make a language's project where it is not there yet, or is of other packages or another program."""

import fcntl
import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av

from sample.real_speech.languages import Language
from sample.real_speech.packages import unpacked
from sample.real_speech.project import write_project
from sample.real_speech.truth import Truth, fingerprint_in, read_truth, write_truth

SAMPLE = Path(__file__).parents[1]
PROGRAM = ("real_speech/*.py", "notebooks.py", "project_files.py", "repository.py", "sample_jobs.py")


@dataclass(frozen=True)
class RealProject:
    """A bare repository with real speech, and what is right about it."""

    repository: Path
    truth: Truth


def make_real_project(language: Language, folder: Path) -> RealProject:
    """The project of a language in ``folder``: ``real-en.git``, and ``truth-en.json`` beside it.

    Raises PackagesMissingError where the recordings are not to be had.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder / f".{language.code}.lock"):
        packages = unpacked(language, folder / "packages")
        repository, known = folder / f"real-{language.code}.git", folder / f"truth-{language.code}.json"
        fingerprint = _fingerprint(packages)
        if repository.exists() and fingerprint_in(known) == fingerprint:
            return RealProject(repository, read_truth(known))
        known.unlink(missing_ok=True)
        shutil.rmtree(repository, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            fresh = Path(temporary) / repository.name
            truth = write_project(fresh, packages, language, fingerprint)
            fresh.rename(repository)
        write_truth(known, truth)
        return RealProject(repository, truth)


def _fingerprint(packages: Path) -> str:
    """Of everything that decides what is made: another one means that it has to be made again."""
    digest = hashlib.sha256(av.__version__.encode())
    program = (path for pattern in PROGRAM for path in sorted(SAMPLE.glob(pattern)))
    for path in (*program, *sorted(packages.rglob("*"))):
        if path.is_file():
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Hold the file ``lock`` for the block: of several processes one makes something, the others wait."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
