"""Files of a job: models and samples as large files, reports as they are."""

import logging
from pathlib import Path, PurePosixPath

from codex_worker.contract.guards import MAX_FILE_BYTES
from codex_worker.contract.ids import check_repository_path
from codex_worker.contract.paths import job_folder
from codex_worker.contract.records import Attempt
from codex_worker.errors import DataError, SystemFault
from codex_worker.git.lfs.pointer import Pointer, pointer_for
from codex_worker.git.lfs.store import LfsStore
from codex_worker.git.ports import Snapshot
from codex_worker.publish.ledger import FOLDERS, file_line, needs_copy
from codex_worker.queue.owned import OwnedJob, PublishedChange

logger = logging.getLogger(__name__)

TEXT_SUFFIXES = frozenset({".csv", ".html", ".json", ".jsonl", ".md", ".svg", ".txt", ".yaml"})
# Archives are hidden by the editor's own .gitignore, so a clone would lose them.
ARCHIVES = frozenset({".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar"})
MAX_PLAIN_BYTES = 1_000_000


def publish_artifact(owned: OwnedJob, store: LfsStore, file: Path, folder: str) -> str:
    """Commits a file below the job's folder and answers its path there; the same bytes have one path.

    The path is `gpu_jobs/job_<id>/<folder>/<stem>-<attempt>[-k]<suffix>`, one that was never used. Small
    text is committed as it is, everything else goes to the large-file store first.

    Raises DataError for a file that is empty or of a kind that would be lost, LeaseLost where the job is
    not ours any more, and what the store and the server raise.
    """
    if folder not in FOLDERS:
        raise SystemFault(f"An artifact goes to one of {', '.join(FOLDERS)}, not to {folder!r}.")
    if file.suffix.lower() in ARCHIVES:
        raise DataError(f"{file.name} is an archive, which projects leave out of git; publish what is in it.")
    pointer = pointer_for(file)
    if pointer.size == 0:
        raise DataError(f"{file.name} is empty and cannot be published.")
    content = _plain_text(file, pointer) or _upload(store, file, pointer)
    expected = PurePosixPath(artifact_path(owned.attempt, file, folder))
    check_repository_path(str(expected))
    message = f"Job {owned.attempt.job_id}: {folder}/{file.name}"

    texts = [content] if needs_copy(content) else []

    def build(snapshot: Snapshot) -> PublishedChange[str]:
        path, again = str(expected), 1
        while (present := snapshot.read(path)) is not None:
            if present == content:  # an earlier try landed, or the handler published it before
                return PublishedChange({}, message, [file_line(path, content)], texts, path)
            again += 1
            path = str(expected.with_stem(f"{expected.stem}-{again}"))
        return PublishedChange({path: content}, message, [file_line(path, content)], texts, path)

    path = owned.publish(build)
    logger.info("Published %s (%.1f MB) as %s", file.name, pointer.size / 1e6, path)
    return path


def artifact_path(attempt: Attempt, file: Path, folder: str) -> str:
    """Where a file of an attempt comes to lie, unless another one of its name lies there."""
    return f"{job_folder(attempt.job_id)}/{folder}/{file.stem}-{attempt.name}{file.suffix}"


def _plain_text(file: Path, pointer: Pointer) -> bytes | None:
    """The file's bytes where it is small UTF-8 text that git may hold."""
    if file.suffix.lower() not in TEXT_SUFFIXES or pointer.size > min(MAX_PLAIN_BYTES, MAX_FILE_BYTES):
        return None
    content = file.read_bytes()
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text or text.startswith("\ufeff") else content


def _upload(store: LfsStore, file: Path, pointer: Pointer) -> bytes:
    store.upload([(pointer, file)])
    return pointer.render()
