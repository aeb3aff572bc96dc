"""Halves of held-out recordings that judge each other: what one chooses is tried on the other."""

import hashlib
from collections.abc import Sequence


def halves(texts: Sequence[str]) -> list[tuple[list[int], list[int]]]:
    """Both ways of (places to learn from, places to judge) that a hash decides; equal texts stay together."""
    order = sorted(range(len(texts)), key=lambda place: hashlib.sha256(texts[place].encode()).hexdigest())
    middle = len(order) // 2
    while 0 < middle < len(order) and texts[order[middle]] == texts[order[middle - 1]]:
        middle += 1
    return [(order[:middle], order[middle:]), (order[middle:], order[:middle])]
