"""What a server's refs were when it was last asked, with what this worker has pushed since.

Nobody has to ask for what he has just pushed: an accepted push says what its refs are now.
"""

import threading
from collections.abc import Sequence

from codex_worker.git.ports import Heads, RefMove


class SeenHeads:
    """The refs as one worker knows them. Several threads may look and push at the same time.

    Looks are numbered in the order in which they began; an accepted push of the branch counts as one, because
    it proves what the head was.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun = 0
        self._number = 0
        self._heads: Heads | None = None

    @property
    def heads(self) -> Heads | None:
        """The refs; None where nobody has looked yet, or it is not known what a push did."""
        return self._heads

    @property
    def number(self) -> int:
        """Which look the refs are of: what was true before it began, it has seen."""
        return self._number

    @property
    def begun(self) -> int:
        """How many looks have begun."""
        return self._begun

    def begin(self) -> int:
        """The number of a look that begins now."""
        with self._lock:
            self._begun += 1
            return self._begun

    def saw(self, number: int, heads: Heads) -> None:
        """Notes what a look saw, unless a later one was quicker."""
        with self._lock:
            if number >= self._number:
                self._number, self._heads = number, heads

    def pushed(self, base: Heads, moves: Sequence[RefMove]) -> None:
        """Notes an accepted push that was built on `base`."""
        with self._lock:
            if any(move.ref == base.branch for move in moves):
                self._begun += 1
                self._number = self._begun
            self._heads = base.moved(moves)

    def moved(self, moves: Sequence[RefMove]) -> None:
        """Notes an accepted push of a lease, or of another worker's sign, alone."""
        with self._lock:
            if self._heads is not None:
                self._heads = self._heads.moved(moves)

    def forget(self) -> None:
        """Notes that it is not known what a push did."""
        with self._lock:
            self._heads = None
