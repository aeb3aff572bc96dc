"""Results on their way into the project while the job computes: per chapter, or every five minutes.

with Publication(callbacks.scanner.publish_cells, chapters=[c.chapter for c in cells.chosen]) as publication:
    for cell in cells.chosen:
        publication.add(cell.chapter, speak(cell))
print(publication.applied, publication.dropped)
"""

import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from codex_worker.job.api import WAITING, CellResult

logger = logging.getLogger(__name__)

# A result that waits is noticed this late at most, where no other comes after it.
LOOK_EVERY_S = 10.0

R = TypeVar("R")
R_contra = TypeVar("R_contra", contravariant=True)


class BatchOutcome(Protocol):
    """What became of a batch of results, by their indexes in it."""

    @property
    def applied(self) -> Sequence[int]:
        """Those that are in the project now."""

    @property
    def dropped(self) -> Mapping[int, str]:
        """Those that were left alone, and why."""


class Publish(Protocol[R_contra]):
    """Commits a batch of results; a job's `scanner.publish_cells`."""

    def __call__(self, results: Sequence[R_contra], /) -> BatchOutcome:
        """Returns when the results are in the project."""


class Journal(Protocol[R_contra]):
    """Notes on disk of what waits, for whoever publishes it should this process die."""

    def append(self, result: R_contra, /) -> None:
        """One more waits."""

    def replace(self, results: Sequence[R_contra], /) -> None:
        """Only these wait."""


@dataclass(frozen=True)
class Pacing:
    """When waiting results are due: with the end of a chapter, after a time, or when they are many."""

    interval_s: float = 300.0
    max_waiting: int = 500

    def is_due(self, waiting: int, waited_s: float, *, has_whole_chapter: bool) -> bool:
        """`waited_s` is how long the oldest of the waiting results has been there."""
        if waiting == 0:
            return False
        return has_whole_chapter or waited_s >= self.interval_s or waiting >= self.max_waiting


class Publication(Generic[R]):
    """Publishes in a thread of its own, so that the GPU does not wait for uploads.

    Leaving the block publishes what is left, also when the job was stopped or failed inside it. An error
    of publishing is raised by the next `add`, or at the end. `chapters` names the chapter of every cell
    that is to come. Results may come faster than they can be published: what waits goes together.
    """

    def __init__(
        self,
        publish: Publish[R],
        chapters: Iterable[str],
        *,
        journal: Journal[R] | None = None,
        pacing: Pacing | None = None,
        clock: Callable[[], float] = time.monotonic,
        on_answer: Callable[[Sequence[R], BatchOutcome], None] = lambda results, answer: None,
    ) -> None:
        self.applied: list[R] = []
        self.dropped: list[tuple[R, str]] = []
        self._publish = publish
        self._journal = journal
        self._pacing = pacing or Pacing()
        self._clock = clock
        self._on_answer = on_answer
        self._to_come = Counter(chapters)
        self._waiting: list[R] = []
        self._oldest_s = 0.0
        self._has_whole_chapter = False
        self._changed = threading.Condition()
        self._is_closing = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="publication", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join()
        if self._error is None:
            return
        if error is None:
            raise self._error
        logger.error("The last results could not be published either: %s", self._error)

    def add(self, chapter: str, result: R | None) -> None:
        """Takes the result of one cell of a chapter; None for a cell that came to none."""
        with self._changed:
            if self._error is not None:
                raise self._error
            if result is not None:
                if not self._waiting:
                    self._oldest_s = self._clock()
                self._waiting.append(result)
                if self._journal is not None:
                    self._journal.append(result)
            self._to_come[chapter] -= 1
            self._has_whole_chapter |= self._to_come[chapter] == 0
            self._changed.notify()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not (self._is_closing or self._is_due()):
                    self._changed.wait(LOOK_EVERY_S)
                batch, self._waiting = self._waiting, []
                self._has_whole_chapter = False
                is_last = self._is_closing
            try:
                self._publish_batch(batch)
            except BaseException as error:  # raised again where the results come from
                with self._changed:
                    self._error = error
                return
            if is_last:
                return

    def _is_due(self) -> bool:
        waited_s = self._clock() - self._oldest_s
        return self._pacing.is_due(len(self._waiting), waited_s, has_whole_chapter=self._has_whole_chapter)

    def _publish_batch(self, batch: Sequence[R]) -> None:
        if not batch:
            return
        answer = self._publish(batch)
        if self._journal is not None:
            with self._changed:
                self._journal.replace(self._waiting)
        self.applied += [batch[index] for index in answer.applied]
        self.dropped += [(batch[index], why) for index, why in answer.dropped.items()]
        self._on_answer(batch, answer)


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
