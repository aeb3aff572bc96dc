"""Write the sample Codex project: `python -m sample.make_codex_project FOLDER`, with `--help` for more.

Everything in it is invented, and every run writes the same bytes and the same commit.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sample.books import write_books
from sample.notebooks import Json, Notebook, stable_uuid
from sample.project_files import project_files
from sample.sample_jobs import CHECKPOINT, CHECKPOINT_CONTENT, job_files, manifest, sample_jobs

REPOSITORY_NAME = "sample-project.git"
AUTHOR_NAME = "Maria"
AUTHOR_EMAIL = "maria@example.org"
COMMIT_DATE = "2026-01-02T00:00:00Z"


@dataclass(frozen=True)
class SampleProject:
    """A written project, and what a worker should make of its cells (all by cell id)."""

    folder: Path
    large_files: dict[str, bytes]
    """Contents of the LFS objects, by their SHA-256."""
    recorded: dict[str, str]
    """Cells with text and a usable recording, and the words said in it (lower case, no punctuation)."""
    unheard: dict[str, str]
    """Cells with a recording and no text, and the words said in it."""
    text_only: tuple[str, ...]
    """Cells with text and without a recording."""
    unusable: tuple[str, ...]
    """Cells with text and a recording that is deselected, or was never sent."""
    skipped: tuple[str, ...]
    """Cells that a worker neither learns from nor writes to."""


def make_project(
    folder: Path, jobs: Sequence[Mapping[str, Any]] = (), *, with_sample_jobs: bool = True
) -> SampleProject:
    """Write the project as it lies on a translator's disk; ``folder`` must be new or empty.

    The manifest lists the sample's own jobs, one in each state, where they are wanted, and then ``jobs``.
    Raises FileExistsError where ``folder`` has files in it.
    """
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty. Name a new folder for the sample project.")
    books = write_books()
    large_files: dict[str, bytes] = {}
    for book in books:
        _put(folder, f"files/target/{book.path}.codex", book.render())
        _put(folder, f".project/sourceTexts/{book.path}.source", book.render_source())
        large_files |= _put_takes(folder, book)
    for path, text in project_files().items():
        _put(folder, path, text)
    entries = list(jobs)
    if with_sample_jobs:
        entries = _sample_entries(books) + entries
        for path, text in job_files().items():
            _put(folder, path, text)
        large_files |= _put_pointer(folder, CHECKPOINT, CHECKPOINT_CONTENT)
    _put(folder, "gpu_jobs/manifest.yaml", manifest(entries))
    return SampleProject(
        folder,
        large_files,
        recorded={cell_id: words for book in books for cell_id, words in book.recorded.items()},
        unheard={cell_id: words for book in books for cell_id, words in book.unheard.items()},
        text_only=tuple(cell_id for book in books for cell_id in book.text_only),
        unusable=tuple(cell_id for book in books for cell_id in book.unusable),
        skipped=tuple(cell_id for book in books for cell_id in book.skipped),
    )


def make_repository(
    folder: Path, jobs: Sequence[Mapping[str, Any]], *, with_sample_jobs: bool = False
) -> Path:
    """Make a bare repository of the project in ``folder``, with ``jobs`` in its manifest; answer its path.

    Large files lie where git-lfs keeps those of a ``file://`` remote, in ``lfs/objects`` beside git's own.
    Raises FileExistsError where the repository is there already, and CalledProcessError where git fails.
    """
    bare = folder / REPOSITORY_NAME
    if bare.exists():
        raise FileExistsError(f"{bare} is there already. Remove it, or name another folder.")
    bare.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as temporary:
        tree = Path(temporary) / "tree"
        project = make_project(tree, jobs, with_sample_jobs=with_sample_jobs)
        _create(bare)
        _commit(bare, tree, index=Path(temporary) / "index")
    for oid, content in project.large_files.items():
        _put(bare, f"lfs/objects/{oid[:2]}/{oid[2:4]}/{oid}", content)
    return bare


def main() -> int:
    """Write the project, or a repository of it, where the command line says."""
    parser = argparse.ArgumentParser(description="Write the sample Codex project.")
    parser.add_argument("folder", type=Path, help="where to; a new or empty folder")
    parser.add_argument(
        "--repository", action="store_true", help=f"a bare repository, {REPOSITORY_NAME}, in it"
    )
    parser.add_argument(
        "--sample-jobs", action="store_true", help="with jobs in the manifest, one in each state"
    )
    options = parser.parse_args()
    if options.repository:
        print(make_repository(options.folder, [], with_sample_jobs=options.sample_jobs))
    else:
        print(make_project(options.folder, with_sample_jobs=options.sample_jobs).folder)
    return 0


def _put(folder: Path, path: str, content: str | bytes) -> None:
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))


def _put_takes(folder: Path, book: Notebook) -> dict[str, bytes]:
    """Pointers for git, and the bytes in the folder that git ignores, as after the editor's download."""
    large_files: dict[str, bytes] = {}
    for take in book.takes:
        path = f"{book.document}/{take.file_name}"
        _put(folder, f".project/attachments/files/{path}", take.content)
        large_files |= _put_pointer(folder, f".project/attachments/pointers/{path}", take.content)
    for take in book.awaiting_upload:
        _put(folder, f".project/attachments/pointers/{book.document}/{take.file_name}", b"")
    return large_files


def _put_pointer(folder: Path, path: str, content: bytes) -> dict[str, bytes]:
    oid = hashlib.sha256(content).hexdigest()
    _put(folder, path, f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n")
    return {oid: content}


def _sample_entries(books: Sequence[Notebook]) -> list[Json]:
    jonah = next(book for book in books if book.path == "JON")
    voice = f".project/attachments/pointers/{jonah.document}/{jonah.takes[0].file_name}"
    return sample_jobs(voice, wanted_cells=[stable_uuid("JON 1:2"), "MRK 1:4"])


def _create(bare: Path) -> None:
    # Without a template: no sample hooks, nothing of this machine's.
    _git("init", "--quiet", "--bare", "--template=", "--initial-branch=main", str(bare))
    for key in ("receive.advertisePushOptions", "uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"):
        _git("--git-dir", str(bare), "config", key, "true")


def _commit(bare: Path, tree: Path, index: Path) -> None:
    where = {"GIT_DIR": str(bare), "GIT_WORK_TREE": str(tree), "GIT_INDEX_FILE": str(index)}
    _git("add", "--all", ".", folder=tree, variables=where)
    written = _git("write-tree", variables=where)
    commit = _git("commit-tree", "-m", "Sample project", written, variables=where)
    _git("update-ref", "refs/heads/main", commit, variables=where)


def _git(*arguments: str, folder: Path | None = None, variables: Mapping[str, str] | None = None) -> str:
    """Run git untouched by this machine's settings: a git-lfs filter would look into our pointers."""
    environment = os.environ | {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": AUTHOR_NAME,
        "GIT_AUTHOR_EMAIL": AUTHOR_EMAIL,
        "GIT_AUTHOR_DATE": COMMIT_DATE,
        "GIT_COMMITTER_NAME": AUTHOR_NAME,
        "GIT_COMMITTER_EMAIL": AUTHOR_EMAIL,
        "GIT_COMMITTER_DATE": COMMIT_DATE,
    }
    finished = subprocess.run(
        ["git", *arguments],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=environment | dict(variables or {}),
    )
    return finished.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
