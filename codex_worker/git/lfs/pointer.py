"""LFS pointers: the small text files that stand in git for recordings and models.

Format: the Git LFS pointer specification, https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from codex_worker.codex.pointer_text import MAX_OBJECT_BYTES, VERSION, named_by
from codex_worker.errors import DataError

_OID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, order=True)
class Pointer:
    """Names an object by the SHA-256 of its bytes (64 hex digits) and its size in bytes.

    Raises DataError where either is impossible, so that a pointer is always fit for a path.
    """

    oid: str
    size: int

    def __post_init__(self) -> None:
        if not _OID.fullmatch(self.oid):
            raise DataError(f"An LFS pointer names the object {self.oid[:80]!r}, which is not a SHA-256.")
        if not 0 <= self.size <= MAX_OBJECT_BYTES:
            raise DataError(f"The LFS pointer to {self.oid} gives an impossible size: {self.size} bytes.")

    def render(self) -> bytes:
        """The pointer file, byte for byte as git-lfs writes it."""
        return f"version {VERSION}\noid sha256:{self.oid}\nsize {self.size}\n".encode()


def parse_pointer(content: bytes) -> Pointer | None:
    """The pointer that a file's content is, or None where the content is something else or says two things.

    Reads what git-lfs reads (older version lines, extension lines, Windows line ends) and what shells and
    editors make of it: see `pointer_text`.
    """
    named = named_by(content)
    return None if named is None else Pointer(named.oid, named.size)


def pointer_for(path: Path) -> Pointer:
    """The pointer to a file's present content; reads the whole file, a block at a time."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return Pointer(digest.hexdigest(), file.tell())
