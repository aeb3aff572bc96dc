"""Batches of utterances of like length, bounded by their padded size instead of their number."""

import math
import random
from collections.abc import Sequence


def batches_by_length(
    lengths: Sequence[float],
    *,
    max_total: float,
    max_items: int | None = None,
    seed: int | None = None,
    shuffle: bool = False,
) -> list[list[int]]:
    """Group items so that the longest of a batch times its count stays within `max_total`.

    Padding is what a batch really costs, so items of like length share one. Nothing is dropped: an
    item longer than `max_total` becomes a batch of its own.

    Args:
        lengths: one length for each item (frames, seconds or tokens; the unit of `max_total`).
        max_total: the largest padded total of a batch.
        max_items: the largest number of items in a batch; None for no limit.
        seed: makes the shuffle repeatable; required with `shuffle`. Give each epoch its own.
        shuffle: mix batches of near-equal lengths anew and put the batches in random order.
            Without it the batches go from short to long.

    Returns:
        Indices into `lengths`, each exactly once.

    Raises:
        ValueError: a limit that nothing can satisfy, or a shuffle that could not be repeated.
    """
    if max_total <= 0 or (max_items is not None and max_items < 1):
        raise ValueError(f"max_total {max_total} and max_items {max_items} must be positive")
    if shuffle and seed is None:
        raise ValueError("a shuffle needs a seed, or a resumed run would see other batches")
    rng = random.Random(seed)
    order = sorted(range(len(lengths)), key=lambda index: (_sort_length(lengths[index], shuffle, rng), index))
    batches: list[list[int]] = []
    longest = 0.0
    for index in order:
        widened = max(longest, lengths[index])
        count = len(batches[-1]) + 1 if batches else math.inf
        if widened * count <= max_total and (max_items is None or count <= max_items):
            batches[-1].append(index)
            longest = widened
        else:
            batches.append([index])
            longest = lengths[index]
    if shuffle:
        rng.shuffle(batches)
    return batches


def _sort_length(length: float, shuffle: bool, rng: random.Random) -> float:
    """Blur the length by up to 5 %, so that an item meets other neighbours in every epoch."""
    return length * rng.uniform(0.95, 1.05) if shuffle else length
