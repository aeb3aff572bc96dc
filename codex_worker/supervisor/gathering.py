"""What became of each recording that was asked for: its file, or a sentence and a kind that say why not."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from codex_worker.codex.alike import FilesByName, TwoAlike
from codex_worker.errors import DataError, clause
from codex_worker.git.lfs.objects import OtherObject
from codex_worker.git.lfs.pointer import parse_pointer
from codex_worker.git.lfs.store import NotUploaded
from codex_worker.job.api import Absence, Fetched

logger = logging.getLogger(__name__)


@dataclass
class Gathering:
    """The recordings that are found, and those that are not, by the paths that were asked for."""

    found: dict[str, Path] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    absences: dict[str, Absence] = field(default_factory=dict)

    def lacks(self, path: str, absence: Absence, sentence: str) -> None:
        """A recording that cannot be had, and why."""
        self.missing[path] = sentence
        self.absences[path] = absence

    def refused(self, path: str, error: DataError) -> None:
        """A recording that the large-file store did not give."""
        if isinstance(error, NotUploaded):
            self.lacks(path, Absence.NOT_ON_SERVER, str(error))
        elif isinstance(error, OtherObject):
            self.lacks(
                path,
                Absence.OTHER_ON_SERVER,
                "The recording on the server is not the one that its pointer names: restore the pointer from "
                f"the project's history, or record it again. {clause(error)}.",
            )
        else:
            self.lacks(path, Absence.NOT_FETCHED, str(error))

    def meant(self, paths: Iterable[str], files: FilesByName) -> dict[str, str]:
        """The files that these paths mean; a path that could mean two of them is missing."""
        found = {}
        for path in paths:
            try:
                file = files.meant_by(path)
            except TwoAlike as error:
                self.lacks(path, Absence.TWO_ALIKE, str(error))
                continue
            if file is not None:
                found[path] = file
        return found

    def fetched(self) -> Fetched:
        """The answer."""
        return Fetched(self.found, self.missing, self.absences)


def say_what_was_spoilt(contents: Mapping[str, bytes]) -> None:
    """Tells of pointers that are read although git-lfs would not write them so: people can mend them."""
    odd = [
        path for path, data in contents.items() if not data.startswith(b"version ") and parse_pointer(data)
    ]
    if odd:
        one = len(odd) == 1
        logger.warning(
            "%d LFS pointer%s with a byte-order mark, in UTF-16, after blank lines or with a merge conflict "
            "of equal sides; the worker reads %s, other programs may not. The first is %s.",
            len(odd), " begins" if one else "s begin", "it" if one else "them", odd[0],
        )  # fmt: skip
