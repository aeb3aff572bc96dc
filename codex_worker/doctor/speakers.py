"""A guess at who is speaking, from pitch and colour of sound. Another room can sound like another person."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from codex_worker.doctor.measures import VoiceMeasures

MOST_SPEAKERS = 6
MIN_RECORDINGS = 8
# Below this silhouette the groups overlap so much that they are one voice on different days.
CLEARLY_APART = 0.42
CLEARLY_BETTER = 0.05  # one group more has to be worth it
MIN_SHARE = 0.15  # smaller groups are mostly odd recordings of one person
COLOURS = 6
ODD_SEMITONES, ODD_SPREADS = 7.0, 4.5  # one person's single words go up to 6.5 from the middle
MAX_COMPARED = 400
STARTS = 8
# One semitone of pitch weighs like this many decibels of colour.
SEMITONE_DB = 1.5

Points = NDArray[np.float64]


def guess_speakers(voices: Sequence[VoiceMeasures]) -> list[int]:
    """A number from 0 for each voice, the most frequent speaker first; all 0 where one cannot tell.

    Groups by k-means on pitch (semitones) and the smooth part of the long-term spectrum; the number of
    groups is the one with the best silhouette (Rousseeuw 1987), if that is clear enough.
    """
    if len(voices) < MIN_RECORDINGS:
        return [0] * len(voices)
    points = _points(voices)
    best, best_score = np.zeros(len(voices), int), CLEARLY_APART - CLEARLY_BETTER
    for count in range(2, min(MOST_SPEAKERS, len(voices) // 4) + 1):
        groups = _k_means(points, count)
        sizes = np.bincount(groups, minlength=count)
        if sizes.min() < max(2, MIN_SHARE * len(voices)):
            continue
        score = _silhouette(points, groups)
        if score > best_score + CLEARLY_BETTER:
            best, best_score = groups, score
    order = {int(group): rank for rank, group in enumerate(np.argsort(-np.bincount(best), kind="stable"))}
    return [order[int(group)] for group in best]


def odd_voices(voices: Sequence[VoiceMeasures], speakers: Sequence[int]) -> list[int]:
    """Places of the recordings whose pitch is far from that of every speaker: perhaps another person's.

    Finds single ones, which are too few to be a group of their own.
    """
    pitch = np.array([voice.pitch_hz for voice in voices])
    groups = [pitch[np.array(speakers) == speaker] for speaker in set(speakers)]
    known = [12 * np.log2(group[np.isfinite(group)]) for group in groups]
    known = [group for group in known if group.size >= MIN_RECORDINGS]
    if not known:
        return []
    ranges = [(np.median(group), _odd_distance(group)) for group in known]
    semitones = 12 * np.log2(pitch)
    return [
        place
        for place, own in enumerate(semitones)
        if np.isfinite(own) and all(abs(own - middle) > distance for middle, distance in ranges)
    ]


def _odd_distance(semitones: NDArray[np.float64]) -> float:
    spread = 1.4826 * float(np.median(np.abs(semitones - np.median(semitones))))
    return max(ODD_SEMITONES, ODD_SPREADS * spread)


def _points(voices: Sequence[VoiceMeasures]) -> Points:
    """[voices, 1 + COLOURS]: pitch, and the first cosine terms of the colour, both in about decibels."""
    pitch = np.array([voice.pitch_hz for voice in voices])
    known = np.isfinite(pitch)
    middle = float(np.median(pitch[known])) if known.any() else 100.0
    semitones = 12 * np.log2(np.where(known, pitch, middle) / middle)
    colours = np.stack([voice.colour for voice in voices])
    bands = colours.shape[1]
    cosines = np.cos(np.pi * np.outer(np.arange(bands) + 0.5, np.arange(1, COLOURS + 1)) / bands)
    return np.column_stack([semitones * SEMITONE_DB, colours @ cosines * np.sqrt(2) / bands])


def _k_means(points: Points, count: int) -> NDArray[np.int64]:
    """The tightest groups of several starts (k-means++, Arthur & Vassilvitskii 2007); always the same."""
    generator = np.random.default_rng(0)
    found = [_k_means_from(points, _start(points, count, generator)) for _ in range(STARTS)]
    return min(found, key=lambda each: each[0])[1]


def _start(points: Points, count: int, generator: np.random.Generator) -> Points:
    centres = [points[generator.integers(len(points))]]
    while len(centres) < count:
        nearest = np.min([((points - centre) ** 2).sum(axis=1) for centre in centres], axis=0)
        chances = nearest + 1e-12
        centres.append(points[generator.choice(len(points), p=chances / chances.sum())])
    return np.stack(centres)


def _k_means_from(points: Points, means: Points) -> tuple[float, NDArray[np.int64]]:
    """Squared distances in all, and the group of each point."""
    for _ in range(50):
        distances = ((points[:, None] - means[None]) ** 2).sum(axis=2)
        groups = distances.argmin(axis=1)
        after = np.stack(
            [
                points[groups == k].mean(axis=0) if (groups == k).any() else mean
                for k, mean in enumerate(means)
            ]
        )
        if np.allclose(after, means):
            break
        means = after
    return float(distances.min(axis=1).sum()), groups


def _silhouette(points: Points, groups: NDArray[np.int64]) -> float:
    """The mean silhouette, of at most MAX_COMPARED points spread over all."""
    if len(points) > MAX_COMPARED:
        some = np.linspace(0, len(points) - 1, MAX_COMPARED).astype(int)
        points, groups = points[some], groups[some]
    distances = np.sqrt(((points[:, None] - points[None]) ** 2).sum(axis=2))
    scores = []
    for index, group in enumerate(groups):
        own = groups == group
        if own.sum() < 2:
            scores.append(0.0)
            continue
        inside = distances[index, own].sum() / (own.sum() - 1)
        outside = min(
            distances[index, groups == other].mean() for other in set(groups.tolist()) - {int(group)}
        )
        scores.append((outside - inside) / max(inside, outside, 1e-9))
    return float(np.mean(scores))
