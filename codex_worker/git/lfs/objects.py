"""A folder of LFS objects in the layout of git-lfs (`aa/bb/<oid>`): verified on the way in, always whole."""

import errno
import hashlib
import logging
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from codex_worker.errors import DataError, ResourceError, SystemFault
from codex_worker.git.lfs.pointer import Pointer

logger = logging.getLogger(__name__)

BLOCK_BYTES = 1 << 20


class OtherObject(DataError):
    """What came is not what its pointer names."""


class ObjectWriter:
    """Takes an object's bytes; refuses the first one past the size that the pointer gives."""

    def __init__(self, pointer: Pointer, file: BinaryIO) -> None:
        self._pointer = pointer
        self._file = file
        self._digest = hashlib.sha256()
        self.written_bytes = 0

    def write(self, block: bytes) -> None:
        """Append a block. Raises OtherObject when the object is longer than its pointer says."""
        self.written_bytes += len(block)
        if self.written_bytes > self._pointer.size:
            raise OtherObject(
                f"The object {self._pointer.oid} is longer than its pointer says: {self._pointer.size} bytes."
            )
        self._digest.update(block)
        self._file.write(block)

    def verify(self) -> None:
        """Raise OtherObject unless exactly the bytes that the pointer names have arrived."""
        if self.written_bytes != self._pointer.size:
            raise OtherObject(
                f"The object {self._pointer.oid} has {self.written_bytes} bytes, "
                f"its pointer says {self._pointer.size}."
            )
        if self._digest.hexdigest() != self._pointer.oid:
            raise OtherObject(
                f"The object {self._pointer.oid} is damaged: its SHA-256 is {self._digest.hexdigest()}."
            )


class ObjectFolder:
    """Objects by oid under `folder`; `incoming` (same file system) holds what is still being written.

    With `durable`, an object is on the disk itself before it is visible, for stores that others rely on; with
    `as_open_as`, whoever may read and write that folder may do so with the objects, whatever this process's
    own files are like.
    """

    def __init__(
        self, folder: Path, incoming: Path, *, durable: bool = False, as_open_as: Path | None = None
    ) -> None:
        self.folder = folder
        self.incoming = incoming
        self._durable = durable
        self._mode = None if as_open_as is None else stat.S_IMODE(as_open_as.stat().st_mode)

    def path_of(self, pointer: Pointer) -> Path:
        """Where the object is, or would be."""
        return self.folder / pointer.oid[:2] / pointer.oid[2:4] / pointer.oid

    def find(self, pointer: Pointer) -> Path | None:
        """The object's file, if it is here with the right size."""
        path = self.path_of(pointer)
        try:
            size = path.stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None
        return path if size == pointer.size else None

    @contextmanager
    def receive(self, pointer: Pointer) -> Iterator[ObjectWriter]:
        """Write an object; it appears under its name at the end of the block, if its SHA-256 is right.

        Raises DataError for wrong content and ResourceError for a full disk; nothing is left behind then.
        """
        path = self.path_of(pointer)
        temporary = self.incoming / f"{pointer.oid}-{secrets.token_hex(6)}"
        with disk_errors(self.folder):
            self._make(self.incoming)
            self._make(path.parent)
            try:
                with temporary.open("xb") as file:
                    writer = ObjectWriter(pointer, file)
                    yield writer
                    writer.verify()
                    if self._durable:
                        file.flush()
                        os.fsync(file.fileno())
                if self._mode is not None:
                    temporary.chmod(self._mode & 0o666)
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)

    def _make(self, folder: Path) -> None:
        missing = [each for each in (folder, *folder.parents) if not each.exists()]
        for each in reversed(missing):
            each.mkdir(exist_ok=True)
            if self._mode is not None:
                each.chmod(self._mode)

    def copy_in(self, pointer: Pointer, source: Path) -> Path:
        """Copy a file in as this object. Raises DataError where the file is not what the pointer names."""
        with source.open("rb") as file, self.receive(pointer) as writer:
            while block := file.read(BLOCK_BYTES):
                writer.write(block)
        return self.path_of(pointer)


@contextmanager
def disk_errors(place: Path) -> Iterator[None]:
    """Turn the disk's own errors into ones that say what to do: full, or not writable."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise ResourceError(
                f"The disk is full: cannot write to {place}. Free some space there."
            ) from error
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            raise SystemFault(
                f"Cannot write to {place}: {error.strerror}. Give this user the right to."
            ) from error
        raise
