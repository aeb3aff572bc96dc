"""One commit in the cache repository."""

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from codex_worker.contract.limits import AT_ONCE_BYTES, most_bytes
from codex_worker.errors import CacheBroken
from codex_worker.git.blobs import Blobs
from codex_worker.git.ports import Entry
from codex_worker.git.process import Git
from codex_worker.git.trees import entry_of, files_below

T = TypeVar("T")

logger = logging.getLogger(__name__)

MOST_NAMED = 200  # paths of one command; for more of them their folder is listed
LONGEST_PATH = 4096

_NO_PATH = re.compile("[\0\ud800-\udfff]")  # no command can name it, and no listing does


class GitSnapshot:
    """The files of one commit; blobs are fetched when they are read."""

    def __init__(self, git: Git, blobs: Blobs, commit: str, renew: Callable[[str], None]) -> None:
        """`renew` makes a damaged cache anew, with this commit in it."""
        self.commit = commit
        self._renew = renew
        self._git = git
        self._blobs = blobs
        self._entries: dict[str, list[Entry]] = {}

    def files(self, prefix: str = "") -> list[Entry]:
        """All files below a folder, sorted by path. Raises DataError where there are too many."""
        if prefix not in self._entries:
            self._entries[prefix] = self._mended(lambda: files_below(self._git, self.commit, prefix))
        return self._entries[prefix]

    def existing(self, paths: Iterable[str]) -> set[str]:
        """Those of the paths that are files of this commit."""
        return set(self._find(list(paths)))

    def read(self, path: str) -> bytes | None:
        """A file's bytes; None where it isn't there."""
        return self.read_many([path]).get(path)

    def read_many(self, paths: Iterable[str]) -> dict[str, bytes]:
        """Several files with one request; those that aren't there, or are too large, are left out."""
        found = self._find(list(paths))
        contents = self.read_blobs(self._limits(found))
        self._say_what_is_too_large(found, contents.keys())
        return {path: contents[oid] for path, oid in found.items() if oid in contents}

    def read_each(self, paths: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """The same, one after another: all of them together may be larger than the memory."""
        found = self._find(list(paths))
        by_oid: dict[str, list[str]] = {}
        for path, oid in found.items():
            by_oid.setdefault(oid, []).append(path)
        read = set()
        limits = self._limits(found)
        self._mended(lambda: self._blobs.bring(limits))
        for oid, data in self._blobs.each(limits):
            read.add(oid)
            yield from ((path, data) for path in by_oid[oid])
        self._say_what_is_too_large(found, read)

    def read_blobs(self, limits: Mapping[str, int], *, at_once: int = AT_ONCE_BYTES) -> dict[str, bytes]:
        """Several blobs by their ids, with one request; those with more bytes than allowed are left out."""
        return self._mended(lambda: self._blobs.read(limits, at_once=at_once))

    def _mended(self, action: Callable[[], T]) -> T:
        """The action's answer, with a cache that is made anew where it turns out to be damaged."""
        try:
            return action()
        except CacheBroken:
            self._renew(self.commit)
            return action()

    def _limits(self, found: Mapping[str, str]) -> dict[str, int]:
        return {oid: most_bytes(path) for path, oid in found.items()}

    def _say_what_is_too_large(self, found: Mapping[str, str], read: Iterable[str]) -> None:
        there = set(read)
        for path in (path for path, oid in found.items() if oid not in there):
            logger.warning("%s is larger than %d MB and is not read.", path, most_bytes(path) // 1_000_000)

    def _find(self, paths: list[str]) -> dict[str, str]:
        """Those of the paths that are files: path -> blob id, in the order of the paths."""
        paths = [path for path in paths if _may_be_there(path)]
        if not paths:
            return {}
        if len(paths) > MOST_NAMED:
            listed = self.files(_common_folder(paths))
        else:
            # Not recursively: a folder may stand where a file is looked for.
            arguments = ["ls-tree", "-z", self.commit, "--", *paths]
            records = self._mended(lambda: self._git.local(*arguments)).split(b"\0")
            listed = [entry for record in records if (entry := entry_of(record))]
        there = {entry.path: entry.oid for entry in listed}
        return {path: there[path] for path in dict.fromkeys(paths) if path in there}


def _may_be_there(path: str) -> bool:
    """Whether a file of a commit can have this path; git takes some others for mistakes and says nothing."""
    is_whole = all(part not in {"", ".", ".."} for part in path.split("/"))
    return is_whole and len(path) <= LONGEST_PATH and not _NO_PATH.search(path)


def _common_folder(paths: Sequence[str]) -> str:
    first, last = min(paths).split("/")[:-1], max(paths).split("/")[:-1]
    common = next(
        (n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last))
    )
    return "/".join(first[:common])
