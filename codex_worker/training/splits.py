"""Holding back whole chapters, the same ones each time: verses of one chapter are too alike to test on."""

import hashlib
from collections.abc import Mapping, Sequence

# A group that would overshoot its share by more than this is passed over for a smaller one.
MOST_OF_A_SHARE = 1.5
MIN_GROUPS = 4


def hold_out(sizes: Mapping[str, float], shares: Sequence[float]) -> list[list[str]]:
    """For each share of the total size, the groups that are held back for it; what is left is for training.

    Groups are taken in the order of a hash of their names, so that one that is added later moves the others
    from one side to the other no more than it must.
    """
    total = sum(sizes.values())
    order = sorted(sizes, key=lambda name: (hashlib.sha256(name.encode()).hexdigest(), name))
    held: list[list[str]] = []
    for share in shares:
        taken, order = _take(order, sizes, share * total)
        held.append(taken)
    return held


def can_hold_out_groups(sizes: Mapping[str, float], share: float) -> bool:
    """Whether there are groups enough, and one small enough, to hold this share back in whole groups."""
    if len(sizes) < MIN_GROUPS:
        return False
    return min(sizes.values()) <= MOST_OF_A_SHARE * share * sum(sizes.values())


def _take(order: Sequence[str], sizes: Mapping[str, float], wanted: float) -> tuple[list[str], list[str]]:
    taken: list[str] = []
    rest: list[str] = []
    size = 0.0
    for name in order:
        if size < wanted and size + sizes[name] <= MOST_OF_A_SHARE * wanted:
            taken.append(name)
            size += sizes[name]
        else:
            rest.append(name)
    return taken, rest
