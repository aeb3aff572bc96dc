"""Bars and columns as inline SVG, for pages that need nothing from outside."""

import html
import statistics
from collections.abc import Mapping, Sequence

import numpy as np

BAR_HEIGHT, LABEL_WIDTH, CHART_WIDTH = 22, 170, 640
COLUMN_CHART_HEIGHT = 130
MOST_BARS = 100
COLOUR = "#3b7ea1"


def bars(title: str, values: Mapping[str, float]) -> str:
    """Horizontal bars, one for each name."""
    highest = max(values.values(), default=0) or 1
    rows = []
    for row, (name, value) in enumerate(list(values.items())[:MOST_BARS]):
        y = row * BAR_HEIGHT
        width = (CHART_WIDTH - LABEL_WIDTH - 70) * value / highest
        box = f'x="{LABEL_WIDTH}" y="{y + 3}" width="{width:.1f}" height="{BAR_HEIGHT - 6}"'
        rows.append(
            f'<text x="{LABEL_WIDTH - 8}" y="{y + 15}" text-anchor="end">{html.escape(name[:22])}</text>'
            f'<rect {box} fill="{COLOUR}"/>'
            f'<text x="{LABEL_WIDTH + width + 6:.1f}" y="{y + 15}">{value:.1f}</text>'
        )
    return _svg(title, "".join(rows), BAR_HEIGHT * len(rows))


def columns(title: str, values: Sequence[float]) -> str:
    """How often each value occurs, in at most 24 columns."""
    finite = [value for value in values if np.isfinite(value)]
    if not finite:
        return ""
    counts, edges = np.histogram(finite, bins=min(24, max(4, len(finite) // 3)))
    step = CHART_WIDTH / len(counts)
    base = COLUMN_CHART_HEIGHT - 20
    highest = counts.max() or 1
    drawn = []
    for index, count in enumerate(counts):
        height = (base - 14) * count / highest
        box = (
            f'x="{index * step + 1:.1f}" y="{base - height:.1f}" width="{step - 2:.1f}" height="{height:.1f}"'
        )
        words = f"{edges[index]:.1f} to {edges[index + 1]:.1f}: {count}"
        drawn.append(f'<rect {box} fill="{COLOUR}"><title>{words}</title></rect>')
    axis = (
        f'<text x="0" y="{base + 16}">{edges[0]:.1f}</text>'
        f'<text x="{CHART_WIDTH}" y="{base + 16}" text-anchor="end">{edges[-1]:.1f}</text>'
    )
    return _svg(
        f"{title}, the middle one {statistics.median(finite):.1f}", "".join(drawn) + axis, COLUMN_CHART_HEIGHT
    )


def _svg(title: str, content: str, height: int) -> str:
    size = f'viewBox="0 0 {CHART_WIDTH} {height}" width="{CHART_WIDTH}" height="{height}"'
    words = html.escape(title)
    return (
        f"<figure><figcaption>{words}</figcaption>"
        f'<svg {size} font-size="13" role="img" aria-label="{words}">{content}</svg></figure>'
    )
