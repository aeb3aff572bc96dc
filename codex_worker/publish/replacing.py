"""Whether a cell's text or recording may give way, decided at the head as it was when the job chose."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property

from codex_worker.codex.cell import Cell, Names
from codex_worker.codex.choose import Selection
from codex_worker.codex.names import names_of
from codex_worker.codex.notebook import Notebook
from codex_worker.contract.guards import NOTEBOOKS
from codex_worker.contract.manifest import JobEntry
from codex_worker.contract.options import options_of
from codex_worker.errors import DataError, UserError
from codex_worker.git.ports import Snapshot

logger = logging.getLogger(__name__)

NOTEBOOKS_AT_ONCE = 8  # one request each time, and not all of a Bible in memory


def selection_of(entry: JobEntry) -> Selection:
    """The cells that a person asked for by name.

    An attempt begins with options that can be read; where somebody has spoilt them since, its kept results
    are still published, but replace nothing.
    """
    try:
        options = options_of(entry).inference
    except UserError as error:
        logger.warning("No cell counts as asked for by name: %s", error)
        return Selection()
    return Selection(options.include_verses, options.exclude_verses)


class MayReplace:
    """`Selection.explicit` for single cells of one commit, with the names that all its other cells have.

    All notebooks are read for that, but only where a cell with content is asked for by its reference: of a
    cell that is listed by its id, or not at all, the answer is known without them.
    """

    def __init__(self, selection: Selection, snapshot: Snapshot) -> None:
        self._selection = selection
        self._snapshot = snapshot

    def __call__(self, cell: Cell) -> bool:
        """True where a person asked for this very cell."""
        if not self._selection.explicit(cell):  # others' names could only take more away
            return False
        return self._selection.has_id_of(cell) or self._selection.explicit(replace(cell, among=self._names))

    @cached_property
    def _names(self) -> Names:
        return names_of(self._cells())

    def _cells(self) -> Iterator[Cell]:
        paths = [entry.path for entry in self._snapshot.files(NOTEBOOKS) if entry.path.endswith(".codex")]
        for start in range(0, len(paths), NOTEBOOKS_AT_ONCE):
            for path, data in self._snapshot.read_many(paths[start : start + NOTEBOOKS_AT_ONCE]).items():
                try:
                    yield from Notebook.parse(data, path).cells
                except DataError:
                    continue  # its cells could not be chosen either
