"""What of a text a model does not keep, counted and said in the same words for transcribers and voices."""

import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable

SHOWN = 20  # lines
LISTED = 100  # signs on one line


def loss_lines(lost: Iterable[Collection[str]], meaning: str, *, at_most: int = SHOWN) -> list[str]:
    """One line for each sign that was lost, the most frequent first; empty when nothing was.

    `lost` has the lost signs of each text, as often as they were lost; `meaning` says what became of one:
    "'·' (U+00B7 MIDDLE DOT) is not written: 12 times in 9 texts".
    """
    times: Counter[str] = Counter()
    texts: Counter[str] = Counter()
    for signs in lost:
        times.update(signs)
        texts.update(set(signs))
    ranked = sorted(times.items(), key=lambda item: (-item[1], item[0]))
    lines = [
        f"{describe(sign)} {meaning}: {_counted(count, 'time')} in {_counted(texts[sign], 'text')}"
        for sign, count in ranked[:at_most]
    ]
    rest = ranked[at_most:]
    if rest:
        together = sum(count for _, count in rest)
        lines.append(f"{len(rest)} more signs: each {meaning}; {_counted(together, 'time')} together")
    return lines


def listed_signs(counts: Counter[str]) -> str:
    """Signs with their counts, the most frequent first, on one line: `, (512) . (300)`, and how many more."""
    shown = " ".join(f"{sign} ({count})" for sign, count in counts.most_common(LISTED))
    return f"{shown} and {len(counts) - LISTED} more" if len(counts) > LISTED else shown


def describe(sign: str) -> str:
    """A sign that may be invisible, in words: 'c' (U+0063 LATIN SMALL LETTER C)."""
    if len(sign) != 1:
        return f"'{sign}'"
    shown = f"'{sign}' " if sign.isprintable() and not unicodedata.combining(sign) else ""
    return f"{shown}(U+{ord(sign):04X} {unicodedata.name(sign, 'unnamed')})"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
