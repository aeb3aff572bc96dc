"""Writing an attempt's results to its project, with their large files."""

from collections.abc import Sequence
from pathlib import Path

from codex_worker.contract.records import ResumePointer
from codex_worker.git.lfs.pointer import pointer_for
from codex_worker.git.lfs.store import LfsStore
from codex_worker.publish.artifacts import publish_artifact
from codex_worker.publish.cells import CellPublisher
from codex_worker.queue.owned import OwnedJob
from handlers.base import CellResult, Published


class RepositoryPublishing:
    """Publishing over a claimed job and its project's large-file store."""

    def __init__(self, owned: OwnedJob, store: LfsStore) -> None:
        self._owned = owned
        self._store = store
        self._cells = CellPublisher(owned, store)

    def cells(self, results: Sequence[CellResult]) -> Published:
        """Patches and their recordings."""
        return self._cells.publish(results)

    def artifact(self, file: Path, folder: str) -> str:
        """A file of the job; answers its path in the repository."""
        return publish_artifact(self._owned, self._store, file, folder)

    def resume(self, file: Path) -> None:
        """Uploads the state that the next attempt goes on from, and names it in the lease."""
        pointer = pointer_for(file)
        self._store.upload([(pointer, file)])
        self._owned.save_resume(ResumePointer(oid=pointer.oid, size=pointer.size))
