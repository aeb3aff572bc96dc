"""What error rate to expect of a transcriber, as a range, and what the range rests on.

Where it isn't known how much something helps or harms, no factor is made up for it: the better end of the
range has it help fully, the worse end not at all.
"""

from dataclasses import dataclass

from codex_worker.forecast.curves import ErrorCurve, ErrorRange, duration
from codex_worker.forecast.situation import Situation

# Above it a reading helps nobody to write the verse down: about half of the letters have to be put right.
HARDLY_READS_PERCENT = 50.0
NOT_COUNTED = (
    "other speakers and other kinds of speech than these recordings (an experienced guess: two to four times "
    "as many letters wrong)",
    "decoding with a language model, which lowers error rates where there is much text",
)
FEW_WORDS = 100  # a story of some verses has more
LARGE_SCRIPT = 100  # different letters from which the figures, mostly of alphabets, say less


@dataclass(frozen=True)
class ErrorForecast:
    """A range, the sentences that say what it rests on, and what is left out of it."""

    letters_wrong: ErrorRange
    rests_on: tuple[str, ...]
    not_counted: tuple[str, ...]

    @property
    def may_not_read(self) -> bool:
        """Whether it may learn too little to be of use."""
        return self.letters_wrong.high >= HARDLY_READS_PERCENT


def expect(curve: ErrorCurve, situation: Situation) -> ErrorForecast:
    """The range for a project's recordings by published and measured figures alone.

    Raises UserError where there are no recordings.
    """
    whole = curve.at(situation.hours)
    sure = _sure_share(situation)
    # Each voice by itself, without what is noisy or said before: an hour of two voices is two half hours.
    voices = [hours for hours in situation.hours_by_speaker if hours > 0] or [situation.hours]
    alone = sum(hours * curve.at(hours * sure).high for hours in voices) / sum(voices)
    rare = 100 * situation.rare_share
    letters_wrong = ErrorRange(min(100.0, whole.low + rare), min(100.0, max(whole.high, alone) + rare))
    return ErrorForecast(letters_wrong, tuple(_rests_on(curve, situation)), tuple(_not_counted(situation)))


def _sure_share(situation: Situation) -> float:
    """Of the hours, what surely teaches something; a sixtieth is left so that there is a figure at all."""
    return max(1 / 60, (1 - situation.noisy_share) * (1 - situation.repeated_share))


def _rests_on(curve: ErrorCurve, situation: Situation) -> list[str]:
    lines = [f"{duration(situation.hours)} of usable recordings: {'; '.join(curve.sources(situation.hours))}"]
    lines += [beyond] if (beyond := curve.beyond(situation.hours)) else []
    voices = len(situation.hours_by_speaker)
    if voices > 1:
        lines.append(
            f"{voices} voices (a guess): the better end has each voice help the others fully, the worse end "
            "not at all"
        )
    if situation.noisy_share > 0:
        lines.append(
            f"noise in {_share(situation.noisy_share)} of the time: the better end counts it as clean, the "
            "worse end not at all"
        )
    if situation.repeated_share > 0:
        lines.append(
            f"{_share(situation.repeated_share)} of the time repeats a text that another recording has: the "
            "worse end leaves it out"
        )
    if situation.rare_share > 0:
        lines.append(
            f"{100 * situation.rare_share:.1g} in 100 letters are seen too seldom to be learnt; they are "
            "wrong at both ends"
        )
    return lines


def _not_counted(situation: Situation) -> list[str]:
    lines = list(NOT_COUNTED)
    if situation.letters >= LARGE_SCRIPT:
        lines.append(
            f"that the texts have {situation.letters} different letters: most figures are of alphabets, and "
            "so many need more recordings"
        )
    if situation.words is not None and situation.words < FEW_WORDS:
        lines.append(
            f"that the texts have only {situation.words} different words: the same ones are read better than "
            "this, and others worse"
        )
    if situation.noisy_share > 0:
        lines.append("how much worse noisy recordings are read than clean ones")
    return lines


def _share(share: float) -> str:
    return f"{max(1, round(100 * share))} %"
