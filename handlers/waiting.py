"""Results that wait for their publication, noted in the job folder in case this process dies."""

import json
from collections.abc import Sequence
from pathlib import Path

from handlers.base import WAITING, CellResult


class WaitingResults:
    """A file of results, a line each. The supervisor publishes what it finds there after a crash."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self._path = self._folder / WAITING

    def append(self, result: CellResult) -> None:
        """One more result waits."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(self._line(result))

    def replace(self, results: Sequence[CellResult]) -> None:
        """Only these are still waiting."""
        partial = self._path.with_suffix(".part")
        partial.write_text("".join(self._line(result) for result in results), encoding="utf-8")
        partial.replace(self._path)

    def _line(self, result: CellResult) -> str:
        return json.dumps(result.to_dict(self._inside)) + "\n"

    def _inside(self, file: Path) -> str:
        return file.resolve().relative_to(self._folder).as_posix()
