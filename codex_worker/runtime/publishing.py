"""Writing an attempt's results to its project, with their large files."""

from collections.abc import Sequence
from pathlib import Path

from codex_worker.contract.records import ResumePointer
from codex_worker.git.lfs.cache import LfsCache
from codex_worker.git.lfs.pointer import pointer_for
from codex_worker.git.lfs.store import LfsStore
from codex_worker.queue.owned import OwnedJob
from handlers.base import CellResult, Published


class RepositoryPublishing:
    """Publishing over a claimed job and its project's large-file store."""

    def __init__(self, owned: OwnedJob, store: LfsStore, cache: LfsCache) -> None:
        self._owned = owned
        self._store = store
        self._cache = cache

    def cells(self, results: Sequence[CellResult]) -> Published:
        """Patches and their recordings."""
        from codex_worker.publish.cells import CellPublisher

        return CellPublisher(self._owned, self._store, self._cache).publish(results)

    def artifact(self, file: Path, folder: str) -> str:
        """A file of the job; answers its path in the repository."""
        from codex_worker.publish.artifacts import publish_artifact

        return publish_artifact(self._owned, self._store, file, folder)

    def resume(self, file: Path) -> None:
        """Uploads the state that the next attempt goes on from, and names it in the lease."""
        pointer = pointer_for(file)
        self._store.upload([(pointer, file)])
        self._owned.save_resume(ResumePointer(oid=pointer.oid, size=pointer.size))
