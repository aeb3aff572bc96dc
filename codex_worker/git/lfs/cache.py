"""The worker's own copy of LFS objects: by project and content, of bounded size, shared by its processes."""

import copy
import fcntl
import hashlib
import logging
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from codex_worker.errors import DataError
from codex_worker.git.lfs.objects import ObjectFolder, ObjectWriter
from codex_worker.git.lfs.pointer import Pointer, pointer_for

logger = logging.getLogger(__name__)

# Making room goes a little below the limit, so that not every new object looks through the whole folder.
_LOW_WATER_SHARE = 0.9
# Other processes add objects as well: after this share of the limit, count what is really there.
_RECOUNT_SHARE = 0.05
_ABANDONED_AFTER_S = 24 * 3600.0


@dataclass
class _Count:
    """Bytes in the folder when they were last counted, and what has been added since."""

    counted_bytes: int = 0
    added_bytes: int = 0


class LfsCache:
    """Objects under `folder`, together at most `max_bytes` but for what is held.

    Each project has its own (`of`): an oid is written in pointers that anybody may copy, so that it was
    fetched for one project is no reason to give it to another.

    Several processes may use one folder. The least recently used objects go first; what is inside a
    `hold` of a living process never goes, even where that exceeds the limit:

        with cache.hold(pointers):
            files = store.download(pointers, cache)
            ...  # the files stay until here
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self._objects = self._objects_of("")
        self._holds = folder / "holds"
        self._holds.mkdir(parents=True, exist_ok=True)
        self._remove_abandoned()
        self._count = _Count(sum(size for _, size, _ in self._listing()))

    def of(self, project: str) -> "LfsCache":
        """The part of this cache that belongs to the project at this address."""
        own = copy.copy(self)
        own._objects = self._objects_of(hashlib.sha256(project.encode()).hexdigest()[:16])
        return own

    def find(self, pointer: Pointer) -> Path | None:
        """The object's file, if it is here and still what the pointer names; counts as a use of it.

        A damaged one is removed, so that it is fetched again.
        """
        path = self._objects.find(pointer)
        try:
            if path is not None:
                os.utime(path)
                if pointer_for(path) != pointer:
                    logger.warning(
                        "The object %s in %s was changed: it is fetched again.", pointer.oid, self.folder
                    )
                    path.unlink()
                    return None
        except FileNotFoundError:
            return None  # another process made room just now
        return path

    @contextmanager
    def receive(self, pointer: Pointer) -> Iterator[ObjectWriter]:
        """Write an object: it is here at the end of the block, if its SHA-256 is right.

        Raises DataError for wrong content or an object larger than the whole cache, ResourceError for a
        full disk.
        """
        if pointer.size > self.max_bytes:
            raise DataError(
                f"The object {pointer.oid} has {pointer.size} bytes; "
                f"this worker keeps at most {self.max_bytes} bytes of large files."
            )
        with self._objects.receive(pointer) as writer:
            yield writer
        count = self._count
        count.added_bytes += pointer.size
        if (
            count.counted_bytes + count.added_bytes > self.max_bytes
            or count.added_bytes > _RECOUNT_SHARE * self.max_bytes
        ):
            self.make_room()

    def path_of(self, pointer: Pointer) -> Path:
        """Where the object is, or would be."""
        return self._objects.path_of(pointer)

    @contextmanager
    def hold(self, pointers: Iterable[Pointer]) -> Iterator[None]:
        """Keep these objects, here already or still to come, until the end of the block."""
        name = self._holds / secrets.token_hex(8)
        with self._locked():
            file = name.open("x")
            # The lock is what counts: it goes with its process, however that ends.
            fcntl.flock(file, fcntl.LOCK_EX)
            file.writelines(f"{pointer.oid}\n" for pointer in pointers)
            file.flush()
        try:
            yield
        finally:
            name.unlink(missing_ok=True)
            file.close()

    def make_room(self) -> None:
        """Remove the least recently used objects until the limit is kept, or only held ones are left."""
        with self._locked():
            held = self._held_oids()
            listing = self._listing()
            total_bytes = sum(size for _, size, _ in listing)
            if total_bytes > self.max_bytes:
                for _, size, path in sorted(listing):
                    if total_bytes <= _LOW_WATER_SHARE * self.max_bytes:
                        break
                    if path.name not in held:
                        path.unlink(missing_ok=True)
                        total_bytes -= size
            self._count.counted_bytes, self._count.added_bytes = total_bytes, 0
        if total_bytes > self.max_bytes:
            logger.warning(
                "The cache %s has %d bytes, more than its limit of %d: running jobs need them all.",
                self.folder, total_bytes, self.max_bytes,
            )  # fmt: skip

    def _objects_of(self, project: str) -> ObjectFolder:
        return ObjectFolder(self.folder / "objects" / f"project-{project}", self.folder / "incoming")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _held_oids(self) -> set[str]:
        held: set[str] = set()
        for path in self._holds.iterdir():
            try:
                file = path.open("r")
            except FileNotFoundError:
                continue  # its holder has just finished
            with file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    held.update(file.read().split())
                else:
                    path.unlink(missing_ok=True)  # its holder was killed
        return held

    def _listing(self) -> list[tuple[int, int, Path]]:
        """(last use in ns, size in bytes, path) of every object."""
        found = []
        for path in (self.folder / "objects").glob("project-*/??/??/*"):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue  # another process made room just now
            found.append((status.st_mtime_ns, status.st_size, path))
        return found

    def _remove_abandoned(self) -> None:
        """Half-written objects of workers that were killed; one that is being written is never this old."""
        if not self._objects.incoming.is_dir():
            return
        oldest_s = time.time() - _ABANDONED_AFTER_S
        for path in self._objects.incoming.iterdir():
            try:
                if path.stat().st_mtime < oldest_s:
                    path.unlink()
            except FileNotFoundError:
                continue  # another worker starting up removed it first
