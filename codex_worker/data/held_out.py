"""Holding recordings back, the same ones each time: whole chapters, whose material is like the rest.

Verses of one chapter are too alike to test on what was not learnt, so a chapter stands on one side only.
Chapters are taken in the order of a hash of their names, so that one that is added later moves few others;
chapters of other material (single words beside verses) are passed over. Where chapters are too few for that,
single recordings are held back, and a note says so.
"""

import hashlib
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

MIN_CHAPTERS = 4
TOLERANCE = 0.25  # of the share; a recording more or less is always allowed
# How much longer or shorter, and how much more or less alike, the held out ones may be than the rest.
ALIKE_MEDIAN, ALIKE_SPREAD = 1.3, 2.5
TYPICAL_MEDIANS = (1.8, 1.4, 1.2)  # how far from all a chapter's median may be; tried from wide to narrow
FEWEST_TO_COMPARE = 8  # recordings, on both sides
NOTE = "too few like chapters to hold whole ones back: single recordings are held back instead"


@dataclass(frozen=True)
class Item:
    """A recording to train on or to hold back; `length` in any unit, the same for all."""

    key: str
    chapter: str
    length: float


@dataclass(frozen=True)
class HeldOut:
    """The keys that are held back, for each share that was asked for, and what to tell people."""

    parts: tuple[frozenset[str], ...]
    notes: tuple[str, ...] = ()


def hold_out(items: Sequence[Item], shares: Sequence[float]) -> HeldOut:
    """For each share of the number of items, the keys that are held back; what is left is for training."""
    counts = [max(1.0, share * len(items)) if share else 0.0 for share in shares]
    if not any(counts):
        return HeldOut(tuple(frozenset() for _ in shares))
    chosen = _whole_chapters(_chapters(items), counts)
    if chosen is not None:
        return HeldOut(chosen)
    return HeldOut(_single_items(items, counts), (NOTE,))


Chapters = Mapping[str, Sequence[Item]]


def _chapters(items: Sequence[Item]) -> dict[str, list[Item]]:
    chapters: dict[str, list[Item]] = {}
    for item in items:
        chapters.setdefault(item.chapter, []).append(item)
    return chapters


def _whole_chapters(chapters: Chapters, counts: Sequence[float]) -> tuple[frozenset[str], ...] | None:
    """The chapters held back for each count; None where their sizes or their material forbid it."""
    if len(chapters) < MIN_CHAPTERS:
        return None
    rest = dict(chapters)
    parts = []
    for count in counts:
        taken = _take(rest, count) if count else []
        if taken is None:
            return None
        parts.append(frozenset(item.key for name in taken for item in rest.pop(name)))
    return tuple(parts) if rest else None


def _take(chapters: Chapters, count: float) -> list[str] | None:
    """Chapters of about so many items together that are like the others."""
    order = sorted(chapters, key=_hash)
    middle = _median(chapters, order)
    medians = {name: _median(chapters, [name]) for name in order}
    for factor in (*TYPICAL_MEDIANS, math.inf):
        typical = [name for name in order if _within(medians[name], middle, factor)]
        for taken in (_in_order(chapters, typical, count), _best_sum(chapters, typical, count)):
            if taken and len(taken) < len(order) and _alike(chapters, taken):
                return taken
    return None


def _in_order(chapters: Chapters, order: Sequence[str], count: float) -> list[str] | None:
    """The first ones whose sizes add up to the count."""
    taken: list[str] = []
    size = 0
    for name in order:
        if size + len(chapters[name]) <= count + _slack(count):
            taken.append(name)
            size += len(chapters[name])
        if size >= count - _slack(count):
            return taken
    return None


def _best_sum(chapters: Chapters, order: Sequence[str], count: float) -> list[str] | None:
    """The sum of sizes that is nearest to the count, of the first chapters that reach it."""
    most = math.floor(count + _slack(count))
    ways: dict[int, list[str]] = {0: []}
    for name in order:
        for size, names in sorted(ways.items(), reverse=True):
            bigger = size + len(chapters[name])
            if bigger <= most and bigger not in ways:
                ways[bigger] = [*names, name]
    size = min(ways, key=lambda size: (abs(size - count), size))
    return ways[size] if abs(size - count) <= _slack(count) else None


def _single_items(items: Sequence[Item], counts: Sequence[float]) -> tuple[frozenset[str], ...]:
    """One of every stretch of equally many items by length, so that all lengths are held back alike."""
    rest = sorted(items, key=lambda item: (item.length, _hash(item.key)))
    parts = []
    for count in counts:
        wanted = min(round(count), len(rest) - 1)
        edges = [round(at * len(rest) / wanted) for at in range(wanted + 1)] if wanted > 0 else [0]
        stretches = [rest[start:end] for start, end in pairwise(edges)]
        held = frozenset(min(stretch, key=lambda item: _hash(item.key)).key for stretch in stretches)
        rest = [item for item in rest if item.key not in held]
        parts.append(held)
    return tuple(parts)


def _alike(chapters: Chapters, taken: Sequence[str]) -> bool:
    """Whether the lengths of the taken ones are like those of the others, in the middle and in spread."""
    held = [item.length for name in taken for item in chapters[name]]
    rest = [item.length for name in chapters if name not in taken for item in chapters[name]]
    if min(len(held), len(rest)) < FEWEST_TO_COMPARE:
        return True
    return _within(statistics.median(held), statistics.median(rest), ALIKE_MEDIAN) and _within(
        _spread(held), _spread(rest), ALIKE_SPREAD
    )


def _spread(lengths: Sequence[float]) -> float:
    """The width of the middle half, not less than a tenth of the median: smaller differences mean nothing."""
    low, middle, high = statistics.quantiles(lengths, n=4)
    return max(high - low, 0.1 * middle)


def _within(one: float, other: float, factor: float) -> bool:
    return one <= other * factor and other <= one * factor


def _median(chapters: Chapters, names: Sequence[str]) -> float:
    return statistics.median(item.length for name in names for item in chapters[name])


def _slack(count: float) -> float:
    return max(1.0, TOLERANCE * count)


def _hash(name: str) -> tuple[str, str]:
    return hashlib.sha256(name.encode()).hexdigest(), name
