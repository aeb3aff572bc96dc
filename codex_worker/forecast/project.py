"""The whole forecast of a project: transcribers and a voice, hours and money where they are asked for."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from codex_worker.forecast.anchors import FULL, TINY
from codex_worker.forecast.cost import NOT_COUNTED as COST_NOT_COUNTED
from codex_worker.forecast.cost import Cost, TrainingWork, cost_at_pace, cost_of
from codex_worker.forecast.curves import duration
from codex_worker.forecast.probed import ProbeReport, ProbeRun
from codex_worker.forecast.situation import Situation
from codex_worker.forecast.transcriber import ErrorForecast, expect
from codex_worker.forecast.voice import VoiceForecast, expect_voice

WHAT = {
    FULL.name: "A transcriber from a pre-trained model (preset full)",
    TINY.name: "The small transcriber from nothing (preset tiny, no GPU needed)",
}
NOTHING = "There is nothing to forecast anything from: no recording with text can be used."
_TOO_LITTLE = "It may hardly learn to read. More recordings help most: an hour or more."


@dataclass(frozen=True)
class TranscriberForecast:
    """One way to train a transcriber: what it is likely to read, and what that costs where it is asked."""

    what: str
    errors: ErrorForecast
    cost: Cost | None = None

    def lines(self) -> Iterator[str]:
        """In sentences, the answer first."""
        yield f"{self.what}: {self.errors.letters_wrong}."
        if self.errors.may_not_read:
            yield _TOO_LITTLE
        if self.cost is not None:
            yield f"Training: {self.cost}."
        yield from (f"rests on: {line}" for line in self.errors.rests_on)
        if self.cost is not None:
            yield from (f"rests on: {line}" for line in self.cost.rests_on)


@dataclass(frozen=True)
class ProjectForecast:
    """What to expect of a project's recordings."""

    situation: Situation
    transcribers: tuple[TranscriberForecast, ...]
    voice: VoiceForecast
    probe: ProbeReport | None = None

    @property
    def headline(self) -> str:
        """What it is a forecast of."""
        voices = len(self.situation.hours_by_speaker)
        return (
            f"From {duration(self.situation.hours)} of usable recordings, "
            f"{'one voice (a guess)' if voices == 1 else f'{voices} voices (a guess)'}, "
            f"{self.situation.letters} different letters"
        )

    @property
    def not_counted(self) -> tuple[str, ...]:
        """What no figure is known for, each once."""
        lines = [line for each in self.transcribers for line in each.errors.not_counted]
        has_cost = any(each.cost is not None for each in self.transcribers)
        return tuple(dict.fromkeys([*lines, *(COST_NOT_COUNTED if has_cost else ())]))

    def lines(self) -> Iterator[str]:
        """For a terminal."""
        if self.probe is not None:
            yield from self.probe.lines()
        yield f"Forecast. {self.headline}:"
        for each in self.transcribers:
            first, *others = each.lines()
            yield first
            yield from (f"  {line}" for line in others)
        yield f"A voice: {self.voice.expectation}."
        yield from (f"  rests on: {line}" for line in self.voice.rests_on)
        yield from (f"not counted: {line}" for line in self.not_counted)


def forecast(
    situation: Situation,
    works: Mapping[str, TrainingWork] | None = None,
    price: float | None = None,
    probe: ProbeReport | None = None,
) -> ProjectForecast | None:
    """What to expect; None where there are no recordings.

    Args:
        works: what is to be trained, by the preset's name, where hours and money are asked for.
        price: of an hour of a GPU; None for the one that is assumed.
        probe: what short trainings on these recordings showed; it narrows the ranges.
    """
    if situation.hours <= 0:
        return None
    transcribers = []
    for curve in (FULL, TINY):
        work = (works or {}).get(curve.name)
        cost = None if work is None else cost_of(work, price)
        errors = expect(curve, situation)
        run = probe.best_of(curve.name) if probe else None
        if probe is not None and run is not None:
            errors = _narrowed(errors, probe, run, situation.hours)
            if cost is not None and run.updates:
                cost = cost_at_pace(run.seconds / run.updates, run.planned_updates, price)
        transcribers.append(TranscriberForecast(WHAT[curve.name], errors, cost))
    return ProjectForecast(situation, tuple(transcribers), expect_voice(situation), probe)


def _narrowed(errors: ErrorForecast, probe: ProbeReport, run: ProbeRun, hours: float) -> ErrorForecast:
    """The range after a probe, which still rests on what it rested on before."""
    before = errors.letters_wrong
    after = probe.narrowed(before, run, hours)
    said = "which was too short to tell more" if after == before else f"without it {before}"
    return replace(
        errors, letters_wrong=after, rests_on=(f"the probe of {run.base}, {said}", *errors.rests_on)
    )
