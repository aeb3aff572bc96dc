"""Where a repository's LFS objects are kept: one interface, over HTTP or beside a repository on disk."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from codex_worker.errors import DataError, UserError
from codex_worker.git.lfs.cache import LfsCache
from codex_worker.git.lfs.objects import BLOCK_BYTES, ObjectFolder
from codex_worker.git.lfs.pointer import Pointer


@dataclass(frozen=True)
class TransferProgress:
    """How far a download or upload is; objects that were there already count as done."""

    done_objects: int
    total_objects: int
    done_bytes: int
    total_bytes: int


OnProgress = Callable[[TransferProgress], None]


class LfsStore(Protocol):
    """The LFS objects of one repository.

    `on_progress` is called after every object, in the calling thread; what it raises ends the transfer.
    """

    def download(
        self, pointers: Iterable[Pointer], cache: LfsCache, *, on_progress: OnProgress | None = None
    ) -> dict[Pointer, Path | DataError]:
        """Bring the objects into the cache; answer each pointer with its file or with what is wrong.

        Hold the pointers in the cache before, as long as the files are needed. Raises SystemFault where the
        store itself cannot be reached; what has arrived until then stays in the cache.
        """

    def upload(
        self, objects: Sequence[tuple[Pointer, Path]], *, on_progress: OnProgress | None = None
    ) -> None:
        """Put the files into the store, but for those that are there. Raises when one could not be."""

    def missing(self, pointers: Iterable[Pointer]) -> set[Pointer]:
        """Those of the pointers whose object the store does not have."""


@runtime_checkable
class StoreThatRemoves(LfsStore, Protocol):
    """A store that lets go of an object. Servers have no call for that: there it stays for ever."""

    def remove(self, pointer: Pointer) -> None:
        """Removes the object, if it is there. Raises OSError."""


class FileStore:
    """The store beside a repository on disk: `lfs/objects` in the git folder, as git-lfs has it for `file://`."""

    def __init__(self, repository: Path) -> None:
        inner = repository / ".git"
        git_folder = inner if inner.is_dir() else repository
        if not (git_folder / "HEAD").is_file():
            raise UserError(
                f"{repository} is not a git repository. Give the path of a repository, bare or not."
            )
        lfs = git_folder / "lfs"
        self._project = str(git_folder.resolve())
        self._objects = ObjectFolder(lfs / "objects", lfs / "tmp", durable=True, as_open_as=git_folder)

    def download(
        self, pointers: Iterable[Pointer], cache: LfsCache, *, on_progress: OnProgress | None = None
    ) -> dict[Pointer, Path | DataError]:
        """See LfsStore."""
        count = ProgressCount(wanted := list(dict.fromkeys(pointers)), on_progress)
        cache = cache.of(self._project)
        results: dict[Pointer, Path | DataError] = {}
        with cache.hold(wanted):
            for pointer in wanted:
                results[pointer] = cache.find(pointer) or self._copy_to(cache, pointer)
                count.add(pointer)
        return results

    def upload(
        self, objects: Sequence[tuple[Pointer, Path]], *, on_progress: OnProgress | None = None
    ) -> None:
        """See LfsStore."""
        count = ProgressCount([pointer for pointer, _ in objects], on_progress)
        for pointer, path in objects:
            if self._objects.find(pointer) is None:
                self._objects.copy_in(pointer, path)
            count.add(pointer)

    def missing(self, pointers: Iterable[Pointer]) -> set[Pointer]:
        """See LfsStore."""
        return {pointer for pointer in pointers if self._objects.find(pointer) is None}

    def remove(self, pointer: Pointer) -> None:
        """See StoreThatRemoves."""
        self._objects.path_of(pointer).unlink(missing_ok=True)

    def _copy_to(self, cache: LfsCache, pointer: Pointer) -> Path | DataError:
        source = self._objects.path_of(pointer)
        if not source.is_file():
            return not_uploaded(pointer)
        try:
            with source.open("rb") as file, cache.receive(pointer) as writer:
                while block := file.read(BLOCK_BYTES):
                    writer.write(block)
        except DataError as error:
            return error
        return cache.path_of(pointer)


class ProgressCount:
    """Adds up finished objects and tells `on_progress`."""

    def __init__(self, pointers: Sequence[Pointer], on_progress: OnProgress | None) -> None:
        self._on_progress = on_progress
        self._total_objects = len(pointers)
        self._total_bytes = sum(pointer.size for pointer in pointers)
        self._done_objects = 0
        self._done_bytes = 0

    def add(self, pointer: Pointer) -> None:
        """One more object is done."""
        self._done_objects += 1
        self._done_bytes += pointer.size
        if self._on_progress is not None:
            self._on_progress(
                TransferProgress(self._done_objects, self._total_objects, self._done_bytes, self._total_bytes)
            )


class NotUploaded(DataError):
    """The store has nothing by the id that a pointer names."""


def not_uploaded(pointer: Pointer) -> NotUploaded:
    """What a pointer whose object the store does not have means to a person."""
    return NotUploaded(
        "The file was not uploaded: whoever made it has to synchronise again. The project has a pointer to "
        f"{pointer.oid} ({pointer.size} bytes), but nothing of that name is on the server."
    )
