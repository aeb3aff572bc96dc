"""What error rate so many hours usually give, so that nobody expects the impossible, or too little.

Medians over languages: computed from the per-language results that Meta published with Omnilingual ASR (one
multilingual model, 1,683 languages; github.com/facebookresearch/omnilingual-asr). Ranges for one reader's
Bible recordings: an experienced guess after those figures and after MMS (Pratap et al. 2023, arXiv
2305.13516: 1,107 languages with about 32 hours of New Testament reading each).
"""

from dataclasses import dataclass

SOURCES = (
    "Omnilingual ASR, results per language (github.com/facebookresearch/omnilingual-asr)",
    "MMS: Scaling Speech Technology to 1,000+ Languages (Pratap et al. 2023, arXiv 2305.13516)",
)


@dataclass(frozen=True)
class Expectation:
    """Characters wrong in a hundred, for a transcriber of one reader's recordings held back from training."""

    from_hours: float
    lowest: float | None
    highest: float | None

    def __str__(self) -> str:
        if self.lowest is None:
            return f"more than {self.highest:g} in 100 letters wrong"
        return f"{self.lowest:g} to {self.highest:g} in 100 letters wrong"


EXPECTATIONS = (
    Expectation(0.0, None, 15),
    Expectation(1.0, 8, 15),
    Expectation(5.0, 4, 8),
    Expectation(10.0, 2, 5),
    Expectation(20.0, 1, 3),
)


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


def expectation(hours: float) -> Expectation:
    """The row for so many hours of usable recordings."""
    return next(row for row in reversed(EXPECTATIONS) if hours >= row.from_hours)
