"""Files below a folder in which somebody hostile writes: opened once, part by part, following no link.

A path that was checked may lead elsewhere a moment later; a descriptor stays what it is. Every function
raises OSError for what is not there, leads out, or is of another kind.
"""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Not waiting for the other end of a pipe that was put in a file's place.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@contextmanager
def opened(root: Path, parts: Sequence[str]) -> Iterator[int]:
    """The descriptor of a plain file."""
    with _folder(root, parts[:-1]) as folder:
        file = os.open(parts[-1], _FILE, dir_fd=folder)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise OSError(errno.EINVAL, "is no plain file")
        yield file
    finally:
        os.close(file)


def bring(source: Path, root: Path, parts: Sequence[str], user: int | None = None) -> None:
    """Moves a file to its place; missing folders are made. They and it are the user's, where one is given.

    What is there already is replaced, were it a link; a folder is not.
    """
    with _folder(root, parts[:-1], make=True, user=user) as folder:
        if user is not None:
            os.chown(source, user, user, follow_symlinks=False)
        os.rename(source, parts[-1], dst_dir_fd=folder)


def remove(root: Path, parts: Sequence[str]) -> None:
    """Removes a file or link, where it is there."""
    with suppress(FileNotFoundError), _folder(root, parts[:-1]) as folder:
        os.unlink(parts[-1], dir_fd=folder)


def ends_of(file: int, most_bytes: int) -> bytes:
    """A file's content; where it is longer than that, its first line and as many of its last as fit."""
    size = os.fstat(file).st_size
    if size <= most_bytes:
        return os.pread(file, most_bytes, 0)
    head = os.pread(file, most_bytes // 2, 0).partition(b"\n")
    tail = os.pread(file, most_bytes // 2, size - most_bytes // 2).partition(b"\n")[2]
    return head[0] + head[1] + tail


@contextmanager
def _folder(
    root: Path, parts: Sequence[str], *, make: bool = False, user: int | None = None
) -> Iterator[int]:
    descriptor = os.open(root, _FOLDER)
    try:
        for part in parts:
            inner = _made(descriptor, part, user) if make else os.open(part, _FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def _made(parent: int, name: str, user: int | None) -> int:
    try:
        os.mkdir(name, dir_fd=parent)
    except FileExistsError:
        return os.open(name, _FOLDER, dir_fd=parent)
    made = os.open(name, _FOLDER, dir_fd=parent)
    if user is not None:
        os.fchown(made, user, user)
    return made
