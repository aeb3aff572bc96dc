"""The files of a commit, listed as a stream: a handful of trees can stand for billions of them."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from codex_worker.errors import DataError
from codex_worker.git.ports import Entry
from codex_worker.git.process import Git

logger = logging.getLogger(__name__)

# Files and folders below one folder; the largest project known has some 100,000.
MOST_ENTRIES = 300_000
MOST_LISTED_BYTES = 60_000_000
_CHUNK_BYTES = 65_536
MOST_REMEMBERED = 1000
_said: set[tuple[Path, str]] = set()
_NO_TEXT = re.compile("[\ud800-\udfff]")


def files_below(git: Git, commit: str, folder: str) -> list[Entry]:
    """All files below a folder, "" for all of the commit, sorted by path.

    A name that is no UTF-8 is passed over and told. Raises DataError where there are too many.
    """
    where = ["--", folder.rstrip("/") + "/"] if folder else []
    found: list[Entry] = []
    odd = 0
    # With the folders (-t), for trees of trees without any file say nothing else.
    with git.streaming("ls-tree", "-r", "-t", "-z", commit, *where) as output:
        for number, record in enumerate(_records(output, folder)):
            if number >= MOST_ENTRIES:
                raise DataError(f"{_named(folder)} holds more than {MOST_ENTRIES:,} files and is not read.")
            entry = entry_of(record)
            if entry is None:
                continue
            if _NO_TEXT.search(entry.path):
                odd += 1
            else:
                found.append(entry)
    if odd:
        _say(git, f"{_named(folder)} holds {odd} files whose names are no UTF-8; they are passed over.")
    return found


def entry_of(record: bytes) -> Entry | None:
    """The file that a line of `ls-tree -z` names; None for a folder, and for another repository."""
    meta, tab, path = record.partition(b"\t")
    if not tab:
        return None
    _, kind, oid = meta.split()
    return Entry(path.decode("utf-8", "surrogateescape"), oid.decode()) if kind == b"blob" else None


def _records(output: IO[bytes], folder: str) -> Iterator[bytes]:
    size, rest = 0, b""
    while chunk := output.read(_CHUNK_BYTES):
        size += len(chunk)
        if size > MOST_LISTED_BYTES:
            raise DataError(
                f"The names of the files in {_named(folder)} are longer than "
                f"{MOST_LISTED_BYTES // 1_000_000} MB together; it is not read."
            )
        *whole, rest = (rest + chunk).split(b"\0")
        yield from whole


def _say(git: Git, sentence: str) -> None:
    """Tells it once for each repository: each look lists the files again."""
    if (git.folder, sentence) not in _said:
        if len(_said) >= MOST_REMEMBERED:
            _said.clear()
        _said.add((git.folder, sentence))
        logger.warning("%s", sentence)


def _named(folder: str) -> str:
    return folder or "The project"
