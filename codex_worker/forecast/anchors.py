"""The figures that forecasts rest on, each with its source. What is measured anew is put in here."""

from dataclasses import dataclass

from codex_worker.forecast.curves import Anchor, ErrorCurve

OMNILINGUAL = "Omnilingual ASR, results per language (github.com/facebookresearch/omnilingual-asr)"
MMS = "MMS: Scaling Speech Technology to 1,000+ Languages (Pratap et al. 2023, arXiv 2305.13516)"
ML_SUPERB = (
    "ML-SUPERB with 10 minutes of one language (Shi et al. 2023, arXiv 2305.10615; its leaderboard in arXiv "
    "2406.06371: 33 to 40 in 100 letters wrong with the pre-trained body frozen)"
)
_GUESS = f"an experienced guess for one reader of Bible text after {OMNILINGUAL} and {MMS}"
SOURCES = (OMNILINGUAL, MMS, ML_SUPERB)

FULL = ErrorCurve(
    "full",
    (
        # 39.7 is XLS-R 300M's, frozen, over many languages and voices. The better end for one reader is where
        # the line from five hours to one arrives.
        Anchor(1 / 6, 17, 40, ML_SUPERB),
        Anchor(1, 8, 15, _GUESS),
        Anchor(5, 4, 8, _GUESS),
        Anchor(10, 2, 5, _GUESS),
        Anchor(20, 1, 3, _GUESS),
        Anchor(40, 0.8, 2.3, OMNILINGUAL),  # the middle half of 326 languages with 30 to 50 hours
    ),
)
"""A pre-trained body, fine-tuned on one reader's recordings (`preset: full`)."""

_MEASURED = "this program's own trainings on real recordings of one reader (docs/performance.md)"


_NOT_MEASURED = "no training on less was measured: at best as with more, at worst next to nothing is read"


@dataclass(frozen=True)
class MeasuredTraining:
    """What a training of this program reached on real recordings that it had not heard."""

    preset: str
    hours: float
    percent: float  # of the letters wrong
    how: str


MEASURED = (
    MeasuredTraining("tiny", 0.3, 27.0, "English voice prompts: a job with every default, 2026-11-27, on E"),
    MeasuredTraining("tiny", 0.3, 13.3, "Russian voice prompts: a job with every default, 2026-11-27, on E"),
)
"""The forecasts have to hold these; whoever measures a recipe anew puts its figures here."""

TINY = ErrorCurve(
    "tiny",
    (
        Anchor(0.1, 5, 95, _NOT_MEASURED),
        # MEASURED, and as much room again below and above: two languages are not all.
        Anchor(0.3, 5, 42, _MEASURED),
    ),
)
"""The small network from random weights (`preset: tiny`)."""


@dataclass(frozen=True)
class Observed:
    """What one multilingual model reached for languages with so many hours of labelled speech."""

    hours: str
    languages: int
    median_percent: float
    middle_half: str


OBSERVED = (
    Observed("2-5", 72, 7.8, "2.8-24.9"),
    Observed("5-10 (mostly spontaneous speech)", 401, 18.5, "9.1-28.7"),
    Observed("10-20", 200, 2.7, "1.7-5.2"),
    Observed("20-30", 321, 1.6, "1.0-2.6"),
    Observed("30-50", 326, 1.4, "0.8-2.3"),
)
"""Computed from OMNILINGUAL's table: one model of 7 billion parameters, 1,683 languages."""
