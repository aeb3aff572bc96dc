"""Resume states on a project's server: a large file that the lease names, and that goes when it is of no use.

A folder beside a repository on disk lets objects be removed; servers have no call for it, and keep them.
"""

import logging
from pathlib import Path

from codex_worker.contract.paths import job_folder
from codex_worker.contract.records import ResumePointer
from codex_worker.errors import LeaseLost
from codex_worker.git.lfs.pointer import Pointer, parse_pointer, pointer_for
from codex_worker.git.lfs.store import LfsStore, StoreThatRemoves
from codex_worker.queue.owned import OwnedJob

logger = logging.getLogger(__name__)


class CarriedStates:
    """What one attempt carries, and what earlier ones of its job carried.

    A handler may publish the very bytes that it saves as its state. So only an object that came as a state is
    ever removed, and none of a size that this attempt has published, or that a file of the job points to.
    """

    def __init__(self, owned: OwnedJob, store: LfsStore) -> None:
        self._owned = owned
        self._store = store
        self._published_sizes: set[int] = set()

    def is_published(self, file: Path) -> None:
        """A file is about to be published."""
        self._published_sizes.add(file.stat().st_size)

    def save(self, file: Path, epochs: float) -> None:
        """Uploads a state, names it in the lease, and removes the one that the lease named before.

        Raises what the store and the server raise, and LeaseLost.
        """
        pointer, before = pointer_for(file), self._owned.resume
        comes_new = isinstance(self._store, StoreThatRemoves) and bool(self._store.missing([pointer]))
        self._store.upload([(pointer, file)])
        number = self._owned.attempt.number
        carried = ResumePointer(
            oid=pointer.oid,
            size=pointer.size,
            attempt=number,
            epochs=epochs,
            came_as_state=comes_new or None,
        )
        try:
            self._owned.save_resume(carried)
        except LeaseLost:
            self._remove(carried)
            raise
        if before is not None and before.oid != carried.oid:
            self._remove(before)

    def forget(self) -> None:
        """The job is over: nobody goes on from its state."""
        if self._owned.resume is not None:
            self._remove(self._owned.resume)

    def _remove(self, carried: ResumePointer) -> None:
        store = self._store
        if not carried.came_as_state or not isinstance(store, StoreThatRemoves):
            return
        if carried.size not in self._published_sizes and not self._is_pointed_to(carried.oid):
            store.remove(Pointer(carried.oid, carried.size))

    def _is_pointed_to(self, oid: str) -> bool:
        snapshot = self._owned.repository.snapshot()
        paths = [entry.path for entry in snapshot.files(job_folder(self._owned.attempt.job_id))]
        found = (parse_pointer(data) for data in snapshot.read_many(paths).values())
        return any(pointer is not None and pointer.oid == oid for pointer in found)
