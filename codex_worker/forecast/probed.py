"""What short trainings on a project's own recordings showed, and how far they narrow a forecast."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from codex_worker.forecast.curves import ErrorRange, duration, shown
from codex_worker.forecast.learning_curve import PowerLaw, fitted

SURE = 2.0  # standard errors
# A network with CTC writes next to nothing for its first hundreds of updates, whatever comes of it later.
# Above this it has not begun to read, and tells nothing.
NOT_READING_PERCENT = 90.0
# Of a training's updates. Before, its error rate mostly falls further than its curve shows, so that it only
# tells what will be reached at least; a learning rate that falls to nothing brings much at the end.
LATE = 0.5
FEWEST_READINGS = 3  # that a curve is drawn through


@dataclass(frozen=True)
class Measured:
    """Letters wrong in a hundred of the held-out recordings, and its standard error."""

    percent: float
    error: float

    def __str__(self) -> str:
        return f"{shown(self.percent)} ± {shown(SURE * self.error)} in 100 letters wrong"


@dataclass(frozen=True)
class ProbeReading:
    """What a run read of the held-out recordings after so long."""

    seconds: float
    updates: float
    percent: float


@dataclass(frozen=True)
class ProbeRun:
    """One short training."""

    base: str
    preset: str
    hours: float  # trained on
    seconds: float
    updates: int
    readings: tuple[ProbeReading, ...]
    end: Measured | None  # None where it failed
    trouble: str = ""
    planned_updates: int = 0  # of a whole training on all of the project's recordings

    def __str__(self) -> str:
        if self.end is None:
            return f"{self.base}: {self.trouble}"
        said = str(self.end) if self.reads else "has not begun to read"
        return (
            f"{self.base}: {said} after {_time(self.seconds)} ({self.updates:,} updates) on "
            f"{duration(self.hours)} of recordings"
        )

    @property
    def reads(self) -> bool:
        """Whether it came so far that it tells something."""
        return self.rank < NOT_READING_PERCENT

    @property
    def rank(self) -> float:
        """Smaller is better."""
        return math.inf if self.end is None else self.end.percent

    def after(self, seconds: float) -> float:
        """Letters wrong in a hundred when so much time was over: the last reading until then."""
        times = [each.percent for each in self.readings if each.seconds <= seconds]
        return self.rank if seconds >= self.seconds or not times else times[-1]

    @property
    def share_left(self) -> float:
        """Of a whole training's updates, what was not done."""
        return 1 - min(1.0, self.updates / max(1, self.planned_updates))

    @property
    def is_late(self) -> bool:
        """Whether it came near the end of a whole training."""
        return self.share_left <= 1 - LATE

    def expected(self) -> float:
        """Letters wrong in a hundred where this run's own curve leads to, at its planned end."""
        assert self.end is not None  # noqa: S101  only asked of runs that went through
        later = self.readings[len(self.readings) // 2 :]
        law = fitted([(each.updates, each.percent) for each in later])
        if law is None or len(later) < FEWEST_READINGS or self.updates <= 0:
            return self.end.percent
        share = max(1.0, self.planned_updates / self.updates)
        return min(self.end.percent, self.end.percent * share**-law.exponent)


@dataclass(frozen=True)
class ProbeReport:
    """A race over the same recordings for the same time, and the winner on parts of them."""

    machine: str  # for people
    held_out: int  # recordings
    race: tuple[ProbeRun, ...]
    parts: tuple[ProbeRun, ...] = ()

    @property
    def winner(self) -> ProbeRun:
        """The run that reads best."""
        return min(self.race, key=lambda run: run.rank)

    def best_of(self, preset: str) -> ProbeRun | None:
        """The best run of a preset that began to read."""
        runs = [run for run in self.race if run.preset == preset and run.reads]
        return min(runs, key=lambda run: run.rank, default=None)

    @property
    def law(self) -> PowerLaw | None:
        """Error rate against hours, by the winner's runs after the same time; None where too few read."""
        seconds = min((run.seconds for run in self.parts), default=0.0)
        rates = [(run.hours, run.after(seconds)) for run in (*self.parts, self.winner)]
        return fitted([(hours, percent) for hours, percent in rates if percent < NOT_READING_PERCENT])

    def narrowed(self, known: ErrorRange, run: ProbeRun, hours: float) -> ErrorRange:
        """A range for all of the `hours` that a project has, by a run of `best_of` and what was known before.

        An early run can only lower it: what was read after minutes will be read at the end. The better end
        moves where that was better already. A late run is believed before other people's figures.
        """
        assert run.end is not None  # noqa: S101  `best_of` gives none that failed
        more = max(1.0, hours / run.hours)
        law = self.law
        at_best = max(0.0, run.end.percent - SURE * run.end.error)
        likely = min(run.expected(), at_best)
        # The less of a training is done, the more may come that its curve does not show: half of the errors
        # may go where all is to come, none where nothing is.
        reached = likely * (more**-law.exponent if law else 1.0) / (1 + run.share_left)
        measured = min(100.0, run.end.percent + SURE * run.end.error)
        if run.is_late:
            return ErrorRange(min(reached, measured), measured)
        return ErrorRange(reached if at_best < known.low else known.low, min(known.high, measured))

    def lines(self) -> Iterator[str]:
        """In sentences: the runs, who won, and what more recordings would give."""
        yield f"Probe on {self.machine}, {self.held_out} recordings held out:"
        yield from (f"  {run}" for run in (*self.race, *self.parts))
        if not self.winner.reads:
            yield "  So the probe tells nothing of error rates: give it more minutes, such as --probe 30."
        elif len(self.race) > 1:
            yield f"  {self._who_won()}"
        if self.law is not None:
            yield f"  {self._more_recordings(self.law)}"
        elif self.parts:
            yield "  Too few of the parts have begun to read to say what more recordings would give."
        if self.winner.end is not None and self.winner.updates:
            yield f"  {self._whole_training()}"

    def _who_won(self) -> str:
        first, second = sorted(self.race, key=lambda run: run.rank)[:2]
        if first.end is None or second.end is None:
            return f"{first.base} is the only one that went through."
        margin = SURE * math.hypot(first.end.error, second.end.error)
        if second.end.percent - first.end.percent > margin:
            return f"{first.base} reads best after the same time."
        return (
            f"{first.base} reads best after the same time, but {second.base} is too close to tell: more "
            "minutes or more held-out recordings would."
        )

    def _more_recordings(self, law: PowerLaw) -> str:
        hours = self.winner.hours
        if law.exponent == 0:
            return "More recordings made no difference in so short a time."
        factor = 2**-law.exponent
        return (
            f"Twice the recordings ({duration(2 * hours)}) would leave about {shown(100 * factor)} of 100 "
            "errors, by these runs."
        )

    def _whole_training(self) -> str:
        run = self.winner
        hours = run.seconds / run.updates * run.planned_updates / 3600
        return (
            f"A whole training of {run.base} is up to {run.planned_updates:,} updates: at this pace "
            f"{duration(hours)} on this machine."
        )


def measured(errors: Sequence[int], letters: Sequence[int]) -> Measured:
    """The error rate over recordings with so many wrong letters of so many each.

    Its standard error is that of a ratio over recordings, as the letters of one are right or wrong together
    (Cochran, Sampling Techniques, 1977, section 6.3).
    """
    total, count = max(1, sum(letters)), len(letters)
    rate = sum(errors) / total
    spread = sum((wrong - rate * of) ** 2 for wrong, of in zip(errors, letters, strict=True))
    error = math.sqrt(spread * count / max(1, count - 1)) / total
    return Measured(100 * rate, 100 * error)


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} minutes"
