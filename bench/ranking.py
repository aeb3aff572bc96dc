"""Whether a list that begins with the least sure readings begins with the wrong ones."""

from collections.abc import Sequence

import numpy as np

WRONG = 0.2
"""Of the letters: a verse with more of them wrong is a wrong one, or the worst third where these are more."""


def wrong_verses(error_rates: Sequence[float]) -> np.ndarray:
    """Which verses `[N]` a person should find first: of a poor transcriber, all are a little wrong."""
    rates = np.asarray(error_rates, dtype=float)
    bar = max(WRONG, float(np.sort(rates)[-_third(len(rates))])) if len(rates) else WRONG
    return rates >= bar


def area_under_curve(confidences: Sequence[float], wrong: np.ndarray) -> float:
    """How probably a wrong verse is less sure than a right one (0.5 is chance); NaN without both."""
    sure = np.asarray(confidences, dtype=float)
    bad, good = sure[wrong][:, None], sure[~wrong][None]
    return float((bad < good).mean() + 0.5 * (bad == good).mean()) if bad.size and good.size else float("nan")


def found_in_third(confidences: Sequence[float], wrong: np.ndarray) -> float:
    """The share of the wrong verses in the least sure third of the list; NaN where none is wrong."""
    first = np.argsort(np.asarray(confidences, dtype=float), kind="stable")[: _third(len(wrong))]
    return float(wrong[first].sum() / wrong.sum()) if wrong.any() else float("nan")


def _third(count: int) -> int:
    return max(1, round(count / 3))
