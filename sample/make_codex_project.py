"""Write the sample Codex project: `python -m sample.make_codex_project FOLDER`, with `--help` for more.

Everything in it is invented, and every run writes the same bytes and the same commit.
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sample.books import write_books
from sample.notebooks import Json, Notebook, stable_uuid
from sample.project_files import project_files
from sample.repository import commit_tree, put, put_pointer
from sample.sample_jobs import CHECKPOINT, CHECKPOINT_CONTENT, job_files, manifest, sample_jobs

REPOSITORY_NAME = "sample-project.git"


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
        put(folder, f"files/target/{book.path}.codex", book.render())
        put(folder, f".project/sourceTexts/{book.path}.source", book.render_source())
        large_files |= _put_takes(folder, book)
    for path, text in project_files().items():
        put(folder, path, text)
    entries = list(jobs)
    if with_sample_jobs:
        entries = _sample_entries(books) + entries
        for path, text in job_files().items():
            put(folder, path, text)
        large_files |= put_pointer(folder, CHECKPOINT, CHECKPOINT_CONTENT)
    put(folder, "gpu_jobs/manifest.yaml", manifest(entries))
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
    with tempfile.TemporaryDirectory() as temporary:
        tree = Path(temporary) / "tree"
        project = make_project(tree, jobs, with_sample_jobs=with_sample_jobs)
        commit_tree(bare, tree, project.large_files, message="Sample project")
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


def _put_takes(folder: Path, book: Notebook) -> dict[str, bytes]:
    """Pointers for git, and the bytes in the folder that git ignores, as after the editor's download."""
    large_files: dict[str, bytes] = {}
    for take in book.takes:
        path = f"{book.document}/{take.file_name}"
        put(folder, f".project/attachments/files/{path}", take.content)
        large_files |= put_pointer(folder, f".project/attachments/pointers/{path}", take.content)
    for take in book.awaiting_upload:
        put(folder, f".project/attachments/pointers/{book.document}/{take.file_name}", b"")
    return large_files


def _sample_entries(books: Sequence[Notebook]) -> list[Json]:
    jonah = next(book for book in books if book.path == "JON")
    voice = f".project/attachments/pointers/{jonah.document}/{jonah.takes[0].file_name}"
    return sample_jobs(voice, wanted_cells=[stable_uuid("JON 1:2"), "MRK 1:4"])


if __name__ == "__main__":
    sys.exit(main())
