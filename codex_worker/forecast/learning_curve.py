"""A power law through a few measured error rates: straight where both axes are logarithms."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

STEEPEST = 1.0  # twice as much halves the errors: the curves that forecasts rest on fall no faster


@dataclass(frozen=True)
class PowerLaw:
    """`percent = factor * amount ** -exponent`; the amount is of hours, or of updates."""

    factor: float
    exponent: float

    def at(self, amount: float) -> float:
        """Letters wrong in a hundred for so much of it."""
        return min(100.0, self.factor * amount**-self.exponent)


def fitted(points: Sequence[tuple[float, float]]) -> PowerLaw | None:
    """Least squares in logarithms through `(amount, percent)`; it never rises and never falls too steeply.

    None where there are no two different amounts. Nothing wrong at all counts as half a letter in a hundred.
    """
    logs = [(math.log(amount), math.log(max(percent, 0.5))) for amount, percent in points if amount > 0]
    if len({x for x, _ in logs}) < 2:
        return None
    middle_x = sum(x for x, _ in logs) / len(logs)
    middle_y = sum(y for _, y in logs) / len(logs)
    slope = sum((x - middle_x) * (y - middle_y) for x, y in logs) / sum((x - middle_x) ** 2 for x, _ in logs)
    exponent = min(STEEPEST, max(0.0, -slope))
    return PowerLaw(math.exp(middle_y + exponent * middle_x), exponent)
