"""Bars and columns as inline SVG, for pages that need nothing from outside."""

import html
import statistics
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

BAR_HEIGHT, LABEL_WIDTH, CHART_WIDTH = 22, 170, 640
COLUMN_CHART_HEIGHT = 130
MOST_BARS = 100
COLOUR = "#3b7ea1"
FAR, LEAST_SPREAD = 1.5, 0.01


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
    """How often each value occurs, in at most 24 columns; values far from all others at the edges."""
    finite = np.array([value for value in values if np.isfinite(value)])
    if not finite.size:
        return ""
    lowest, highest = usual_range(finite)
    shown = np.clip(finite, lowest, highest)
    counts, edges = np.histogram(shown, min(24, max(4, finite.size // 3)), (lowest, highest))
    below, above = int(np.sum(finite < lowest)), int(np.sum(finite > highest))
    words = [
        f"{start:.1f} to {end:.1f}: {count}"
        for start, end, count in zip(edges, edges[1:], counts, strict=False)
    ]
    words[0] += f" ({below} of them less, down to {finite.min():.1f})" if below else ""
    words[-1] += f" ({above} of them more, up to {finite.max():.1f})" if above else ""
    axis = (
        f'<text x="0" y="{COLUMN_CHART_HEIGHT - 4}">{_edge(lowest, below, "less")}</text>'
        f'<text x="{CHART_WIDTH}" y="{COLUMN_CHART_HEIGHT - 4}" text-anchor="end">'
        f"{_edge(highest, above, 'more')}</text>"
    )
    caption = f"{title}, the middle one {statistics.median(finite):.1f}"
    return _svg(caption, _drawn_columns(counts, words) + axis, COLUMN_CHART_HEIGHT)


def usual_range(values: NDArray[np.float64]) -> tuple[float, float]:
    """Where all values lie but for those far from the others: the range that an axis should show.

    Far is beyond the outer tenths by more than one and a half times the distance between them.
    """
    low, high = np.percentile(values, [10, 90])
    reach = FAR * max(float(high - low), LEAST_SPREAD * float(np.abs(values).max(initial=0.0)))
    usual = values[(values >= low - reach) & (values <= high + reach)]
    return float(usual.min()), float(usual.max())


def _drawn_columns(counts: NDArray[np.int64], words: Sequence[str]) -> str:
    step, base = CHART_WIDTH / len(counts), COLUMN_CHART_HEIGHT - 20
    drawn = []
    for index, (count, said) in enumerate(zip(counts, words, strict=True)):
        height = (base - 14) * count / (counts.max() or 1)
        box = (
            f'x="{index * step + 1:.1f}" y="{base - height:.1f}" width="{step - 2:.1f}" height="{height:.1f}"'
        )
        drawn.append(f'<rect {box} fill="{COLOUR}"><title>{said}</title></rect>')
    return "".join(drawn)


def _edge(value: float, beyond: int, word: str) -> str:
    return f"{value:.1f}" + (f" ({beyond} {word})" if beyond else "")


def _svg(title: str, content: str, height: int) -> str:
    size = f'viewBox="0 0 {CHART_WIDTH} {height}" width="{CHART_WIDTH}" height="{height}"'
    words = html.escape(title)
    return (
        f"<figure><figcaption>{words}</figcaption>"
        f'<svg {size} font-size="13" role="img" aria-label="{words}">{content}</svg></figure>'
    )
