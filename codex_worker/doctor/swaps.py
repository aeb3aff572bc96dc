"""Recordings that say another verse's text: told by comparing texts, so that even a poor reader can tell.

A reader that gets most letters wrong still finds a recording's own text likelier than others of its length.
So nothing is asked of it but an order; whether it knows enough for that, the project's recordings show.
"""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from codex_worker.data.pace import MIN_TO_COMPARE
from codex_worker.data.usable import letter_count
from codex_worker.doctor.examined import Examined
from codex_worker.doctor.finding import Finding, about
from codex_worker.text.error_rate import edit_distance

MOST_OTHERS, FEWEST_OTHERS = 12, 6  # texts that a recording is compared with
LIKE_LENGTH = 1.6  # longer or shorter ones by more than this are told by the pace
LEAST_UNLIKE = 0.5  # of the letters: of texts that differ in fewer nobody can tell which is said
SHORTEST_COMPARED = 20  # letters; single words are too alike
NEAR = 0.02  # of the logarithm of a letter's probability: texts that differ by less are equally likely
KNOWN_SHARE = 0.8  # of the recordings must prefer their own texts; a reader that knows fewer cannot tell
CLEARLY = 0.1  # of how much likelier a text that is known is than the next: alike texts are easily exchanged
FEW_SHARE = 0.05  # of all recordings: so many are named without more evidence


def others_to_try(texts: Mapping[str, str], chapters: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """For each cell the cells whose texts its recording is compared with: the nearest ones of like length.

    Those of its own chapter come first; texts that are nearly its own are left out. Cells with short
    texts have none.
    """
    letters = {key: letter_count(text) for key, text in texts.items()}
    judged = [key for key, count in letters.items() if count >= SHORTEST_COMPARED]
    place = {key: number for number, key in enumerate(judged)}

    def distance(key: str, other: str) -> tuple[bool, int]:
        return chapters[key] != chapters[other], abs(place[key] - place[other])

    found = {}
    for key in judged:
        like_length = [
            other
            for other in judged
            if other != key and letters[key] / LIKE_LENGTH <= letters[other] <= letters[key] * LIKE_LENGTH
        ]
        nearest = sorted(like_length, key=lambda other: distance(key, other))
        unlike = (other for other in nearest if _are_unlike(texts[key], texts[other]))
        found[key] = tuple(islice(unlike, MOST_OTHERS))
    return found


def _are_unlike(text: str, other: str) -> bool:
    one, two = text.casefold(), other.casefold()
    return edit_distance(one, two) >= LEAST_UNLIKE * max(len(one), len(two))


def exchanged(examined: Sequence[Examined]) -> Iterator[Finding]:
    """Pairs of recordings that prefer each other's text to all that they were compared with.

    With right recordings that would be two mistakes at once that fit together.
    """
    compared = {each.key: each for each in examined if is_compared(each)}
    best = {key: _preferred(each) for key, each in compared.items()}
    known = [each for key, each in compared.items() if best[key] == key]
    if not known or len(known) < KNOWN_SHARE * len(compared):
        return
    bar = CLEARLY * statistics.median(-_gain(each, _best_other(each)) for each in known)
    place = {key: number for number, key in enumerate(compared)}
    pairs = [
        (compared[key], compared[other])
        for key, other in best.items()
        if best.get(other) == key
        and place[key] < place[other]
        and _gain(compared[key], other) + _gain(compared[other], key) > 2 * bar
    ]
    yield from about(
        "exchanged",
        "",
        "{n} recordings seem to say each other's texts, in pairs. Listen, and exchange the two of a pair",
        [each.label for pair in pairs for each in pair],
    )


def misplaced(examined: Sequence[Examined]) -> list[str] | None:
    """Labels of recordings to which other texts are likelier than their own; None where nobody can tell.

    That is where too few could be compared, or the reader mistakes too many.
    """
    ranks = {each.label: _rank(each) for each in examined if is_compared(each)}
    bar = _odd_rank(list(ranks.values()))
    return None if bar is None else [label for label, rank in ranks.items() if rank >= bar]


def is_compared(each: Examined) -> bool:
    """Whether a recording's text was compared with enough others."""
    return each.key in each.likelihoods and len(each.likelihoods) > FEWEST_OTHERS


def _preferred(each: Examined) -> str:
    """The key of the text that a recording prefers; its own where another is hardly likelier."""
    best = _best_other(each)
    return best if _gain(each, best) > NEAR else each.key


def _best_other(each: Examined) -> str:
    return max(each.likelihoods.keys() - {each.key}, key=each.likelihoods.__getitem__)


def _gain(each: Examined, other: str) -> float:
    """How much likelier another text is than the recording's own."""
    return each.likelihoods[other] - each.likelihoods[each.key]


def _rank(each: Examined) -> int:
    """How many texts are likelier than the recording's own."""
    return sum(_gain(each, other) > NEAR for other in each.likelihoods)


def _odd_rank(ranks: Sequence[int]) -> int | None:
    """The rank from which a recording is odd; None where too few were compared, or the reader cannot tell.

    A wrong text stands anywhere among the others, and a mistake of the reader mostly near the top: where more
    stand from some rank on than the lower half of the ranks lets expect, most of them are the reader's.
    """
    if len(ranks) < MIN_TO_COMPARE or ranks.count(0) < KNOWN_SHARE * len(ranks):
        return None
    wrong = 2 * sum(2 * rank > MOST_OTHERS for rank in ranks)
    allowed = max(FEW_SHARE * len(ranks), 1.5 * wrong)
    return next(
        (bar for bar in range(1, MOST_OTHERS // 2 + 1) if sum(rank >= bar for rank in ranks) <= allowed), None
    )
