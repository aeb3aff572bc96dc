"""The rows behind a training chart, and their CSV as the plugin reads it."""

import csv
import io
import math
from collections.abc import Mapping, Sequence

_COUNTS = ("epoch", "run")
MAX_ROWS = 300  # the plugin draws every row; more points than pixels help nobody


class MetricsTable:
    """Rows of numbers by epoch, in fixed columns of which the first is `epoch`.

    A training that began anew has a second run with the same epochs: rows with another `run` are other rows.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = ("epoch", *(name for name in columns if name != "epoch"))
        self._rows: dict[tuple[float, float], dict[str, float]] = {}

    def add(self, row: Mapping[str, float | None]) -> None:
        """Take one epoch's row; an epoch of a run seen before is updated, so a resumed run may repeat rows.

        Numbers that are missing, not finite or not of a known column become blanks.

        Raises:
            ValueError: the row names no epoch.
        """
        epoch = row.get("epoch")
        if epoch is None or not math.isfinite(epoch):
            raise ValueError("a row of metrics needs its epoch")
        known = {
            name: float(value)
            for name, value in row.items()
            if name in self.columns and value is not None and math.isfinite(value)
        }
        self._rows.setdefault((known.get("run", 0.0), float(epoch)), {}).update(known)

    @property
    def rows(self) -> list[dict[str, float]]:
        """All rows, run by run, by rising epoch."""
        return [self._rows[place] for place in sorted(self._rows)]

    def render(self) -> bytes:
        """Write the CSV: a header, then at most `MAX_ROWS` rows spread evenly, the last one always there.

        Where not every epoch is validated, up to half of them are rows of validations.
        """
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        for row in _thinned(self.rows):
            writer.writerow([_number(name, row.get(name)) for name in self.columns])
        return text.getvalue().encode()


def _thinned(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    if len(rows) <= MAX_ROWS:
        return rows
    validated: list[int] = []
    others: list[int] = []
    for place, row in enumerate(rows[:-1]):
        (validated if any(name.startswith("val_") for name in row) else others).append(place)
    if not validated or not others:
        return [rows[place] for place in _spread(range(len(rows)), MAX_ROWS)]
    kept = _spread(validated, MAX_ROWS // 2)
    kept += _spread(others, MAX_ROWS - 1 - len(kept))
    return [rows[place] for place in sorted([*kept, len(rows) - 1])]


def _spread(places: Sequence[int], count: int) -> list[int]:
    """So many of the places at most, evenly, the first and the last of them."""
    if len(places) <= count:
        return list(places)
    return [places[round(position * (len(places) - 1) / (count - 1))] for position in range(count)]


def _number(name: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:g}" if name in _COUNTS else f"{value:.6f}"
