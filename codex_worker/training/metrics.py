"""The rows behind a training chart, and their CSV as the plugin reads it."""

import csv
import io
import math
from collections.abc import Mapping, Sequence

MAX_ROWS = 300  # the plugin draws every row; more points than pixels help nobody


class MetricsTable:
    """Rows of numbers by epoch, in fixed columns of which the first is `epoch`."""

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = ("epoch", *(name for name in columns if name != "epoch"))
        self._rows: dict[float, dict[str, float]] = {}

    def add(self, row: Mapping[str, float | None]) -> None:
        """Take one epoch's row; an epoch seen before is updated, so a resumed run may repeat rows.

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
        self._rows.setdefault(float(epoch), {}).update(known)

    @property
    def rows(self) -> list[dict[str, float]]:
        """All rows, by rising epoch."""
        return [self._rows[epoch] for epoch in sorted(self._rows)]

    def render(self) -> bytes:
        """Write the CSV: a header, then at most `MAX_ROWS` rows spread evenly, the last one always there."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        for row in _thinned(self.rows):
            writer.writerow([_number(name, row.get(name)) for name in self.columns])
        return text.getvalue().encode()


def _thinned(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    if len(rows) <= MAX_ROWS:
        return rows
    last = len(rows) - 1
    return [rows[round(position * last / (MAX_ROWS - 1))] for position in range(MAX_ROWS)]


def _number(name: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:g}" if name == "epoch" else f"{value:.6f}"
