"""The contents of a cache repository: fetched when they are read, and only where they are small enough.

git is asked for a size before any byte is read. What is not here yet has no size that git could tell, so its
fetch is bounded by what comes over the line; unpacked it lies on the disk and in nobody's memory.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence

from codex_worker.contract.limits import AT_ONCE_BYTES, RECORD_BYTES
from codex_worker.errors import CacheBroken, DataError
from codex_worker.git.process import Git

logger = logging.getLogger(__name__)

MOST_AT_A_TIME = 20_000  # objects of one fetch


class Blobs:
    """Reads blobs. What is larger than its limit is left out, and told once."""

    def __init__(self, git: Git) -> None:
        self._git = git
        self._too_large: set[str] = set()  # could not even be fetched

    def read(self, limits: Mapping[str, int], *, at_once: int = AT_ONCE_BYTES) -> dict[str, bytes]:
        """Several blobs by their ids, with one request; `limits` is how many bytes each may have.

        Raises DataError where they are larger than `at_once` together, CacheBroken where one is not here.
        """
        sizes = self._sizes(limits)
        if sum(sizes.values()) > at_once:
            raise DataError(
                f"{len(sizes)} files hold more than {at_once // 1_000_000} MB together and are not read."
            )
        return dict(self._contents(list(sizes)))

    def each(self, limits: Mapping[str, int]) -> Iterator[tuple[str, bytes]]:
        """The same, one after another, however large they are together."""
        yield from self._contents(list(self._sizes(limits)))

    def bring(self, limits: Mapping[str, int]) -> None:
        """Fetches those that are not here yet. Raises as `read` does."""
        self._sizes(limits)

    def commits(self, oids: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Commits that are here, as git keeps them; what is none, or larger than a record, is left out."""
        sized = self._listed(oids)
        yield from self._contents(
            [oid for oid, (kind, size) in sized.items() if kind == "commit" and size <= RECORD_BYTES]
        )

    def _sizes(self, limits: Mapping[str, int]) -> dict[str, int]:
        """The sizes of those that can be read."""
        if not limits:
            return {}
        wanted = [oid for oid in limits if oid not in self._too_large]
        present = self._present(wanted)
        self._bring([oid for oid in wanted if oid not in present])
        sizes: dict[str, int] = {}
        for oid, (kind, size) in self._listed([oid for oid in wanted if oid not in self._too_large]).items():
            # Whoever makes trees by hand can call anything a file.
            if kind == "blob" and size <= limits[oid]:
                sizes[oid] = size
            else:
                logger.debug("The %s %s has %d bytes and is not read.", kind, oid, size)
        return sizes

    def _listed(self, oids: Sequence[str]) -> dict[str, tuple[str, int]]:
        """The kind and size of objects that are here."""
        found: dict[str, tuple[str, int]] = {}
        listed = self._git.local(
            "cat-file", "--batch-check=%(objectname) %(objecttype) %(objectsize)",
            stdin="".join(f"{oid}\n" for oid in oids).encode(),
        )  # fmt: skip
        for line in listed.decode().splitlines():
            oid, kind, *size = line.split()
            if kind == "missing":
                raise CacheBroken(f"git has no object {oid} in {self._git.folder}.")
            found[oid] = kind, int(size[0])
        return found

    def _present(self, oids: Sequence[str]) -> set[str]:
        """Which blobs are here; asking git directly would make it fetch the others one by one."""
        every = ("--batch-all-objects", "--unordered", "--batch-check=%(objectname)")
        wanted = set(oids)
        with self._git.streaming("cat-file", *every) as output:
            return {oid for line in output if (oid := line.decode().strip()) in wanted}

    def _bring(self, oids: Sequence[str]) -> None:
        """Fetches blobs; where that is too much, in halves, so that one that is too large costs no other."""
        if not oids:
            return
        came = self._git.fetch_at_most(
            MOST_AT_A_TIME, "--no-tags", "--no-write-fetch-head", "--filter=blob:none", "--stdin", "origin",
            stdin="\n".join(oids).encode(), settings=["fetch.negotiationAlgorithm=noop"],
        )  # fmt: skip
        if came:
            return
        if len(oids) == 1:
            self._too_large.add(oids[0])
            logger.warning("The blob %s of %s is too large to be fetched.", oids[0], self._git.folder)
            return
        self._bring(oids[: len(oids) // 2])
        self._bring(oids[len(oids) // 2 :])

    def _contents(self, oids: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        if not oids:
            return
        with self._git.streaming(
            "cat-file", "--batch", stdin="".join(f"{oid}\n" for oid in oids).encode()
        ) as output:
            for oid in oids:
                header = output.readline().split()
                if len(header) != 3:
                    raise CacheBroken(f"git has no blob {oid} in {self._git.folder}.")
                data = output.read(int(header[2]))
                output.read(1)  # the line end behind it
                yield oid, data
