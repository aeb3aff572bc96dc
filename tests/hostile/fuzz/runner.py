"""Reading made-up inputs one after the other; whatever does not end in a result or a sentence is unclean."""

import random
import resource
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from codex_worker.errors import WorkerError

MOST_CPU_S = 5.0
MOST_GROWTH_BYTES = 500 << 20


Make = Callable[[random.Random], bytes]


@dataclass(frozen=True)
class Kind:
    """One kind of input: how one is made from chance, and how it is read. `share` is its weight among all."""

    name: str
    share: int
    make: Make
    read: Callable[[bytes, Path], object]


class TooLong(BaseException):
    """Nothing that catches all errors may catch this one."""


@dataclass
class Tally:
    """How many inputs of each kind there were, and how they ended."""

    taken: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    unclean: list[str] = field(default_factory=list)

    def lines(self, kinds: Iterable[Kind]) -> Iterator[str]:
        """A table for people."""
        yield f"{'kind':<14}{'inputs':>9}{'refused':>9}{'taken':>9}"
        for kind in kinds:
            taken, refused = self.taken[kind.name], self.refused[kind.name]
            yield f"{kind.name:<14}{taken + refused:>9}{refused:>9}{taken:>9}"
        yield f"{len(self.unclean)} unclean ends"


def fuzz(
    kinds: list[Kind], indexes: Iterable[int], seed: int, folder: Path, say: Callable[[str], object]
) -> Tally:
    """Reads the inputs of these numbers; the same seed and number always make the same input."""
    tally = Tally()
    for index in indexes:
        chance = random.Random(f"{seed}:{index}")
        (kind,) = chance.choices(kinds, [each.share for each in kinds])
        data = kind.make(chance)
        complaint = _complaint(kind, data, folder, tally)
        if complaint:
            again = f"python -m tests.hostile.fuzz --seed {seed} --only {index}"
            tally.unclean.append(f"{kind.name}: {complaint}\n    again: {again}")
            say(tally.unclean[-1])
    return tally


def _complaint(kind: Kind, data: bytes, folder: Path, tally: Tally) -> str:
    before = _memory_bytes()
    try:
        with _cpu_limit(MOST_CPU_S):
            kind.read(data, folder)
        tally.taken[kind.name] += 1
    except WorkerError as error:
        tally.refused[kind.name] += 1
        try:
            check_sentence(error)
        except (AssertionError, UnicodeEncodeError) as wrong:
            return f"no sentence ({wrong}): {str(error)[:200]!r}"
    except TooLong:
        return f"more than {MOST_CPU_S:g} s for {len(data)} bytes\n{traceback.format_exc(limit=-4)}"
    except Exception as error:  # this is what is looked for
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {str(error)[:200]} ({Path(last.filename).name}, line {last.lineno})"
    grown = _memory_bytes() - before
    return f"{grown >> 20} MB more memory" if grown > MOST_GROWTH_BYTES else ""


def _memory_bytes() -> int:
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


@contextmanager
def _cpu_limit(seconds: float) -> Iterator[None]:
    """Raises TooLong after so much time of the processor, whatever else the machine does meanwhile."""

    def end(signal_number: int, frame: FrameType | None) -> None:
        raise TooLong

    before = signal.signal(signal.SIGPROF, end)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def check_sentence(error: WorkerError) -> None:
    """A refusal is for people: short, and of whole characters."""
    text = str(error)
    assert 10 <= len(text) <= 5000, f"a refusal of {len(text)} characters"
    assert "Traceback" not in text
    text.encode()
