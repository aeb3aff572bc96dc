"""Scripts without spaces between words, and whether a project's texts have words all the same."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain

import regex

from codex_worker.text.graphemes import letter_count, units

# Commonly written without spaces between words. Line_Break=SA ("complex context") is Unicode's name for the
# scripts of South East Asia that need a dictionary for it; the others are added by name.
_SYLLABIC = (
    r"\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Yi}\p{Script=Tangut}\p{Script=Nushu}"
)
_TIBETAN = r"\p{Script=Tibetan}"
_ALPHABETIC = (
    r"\p{Line_Break=SA}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}\p{Script=Tai_Le}"
    r"\p{Script=New_Tai_Lue}\p{Script=Tai_Tham}\p{Script=Tai_Viet}\p{Script=Javanese}\p{Script=Balinese}"
    r"\p{Script=Batak}\p{Script=Buginese}\p{Script=Makasar}\p{Script=Kawi}\p{Script=Rejang}"
)
UNSPACED = _SYLLABIC + _TIBETAN + _ALPHABETIC
"""The inside of a character class of module `regex`: letters of such scripts."""

# How long, in letters, words are at most where a text of the script has spaces between words and not between
# clauses. A sign of a syllabic script is more than a letter. What Tibetan parts are syllables, never words.
_LONGEST_WORDS: tuple[tuple[regex.Pattern[str], int], ...] = (
    (regex.compile(f"[{_SYLLABIC}]"), 3),
    (regex.compile(f"[{_TIBETAN}]"), 0),
    (regex.compile(f"[{_ALPHABETIC}]"), 6),
)
_LONGEST_ELSEWHERE = 30
_UNSPACED_LETTER = regex.compile(f"[{UNSPACED}]")
_LETTER = regex.compile(r"[\p{L}\p{M}\p{N}\p{Co}]")


def has_words(texts: Sequence[str]) -> bool:
    """Whether the spaces of these texts part words, so that words can be counted.

    In a script that is commonly written without them, spaces part clauses. But some projects write them
    between words: then the stretches between spaces are short. Punctuation should be gone from the texts.
    """
    signs = Counter(chain.from_iterable(texts))

    def count(kind: regex.Pattern[str]) -> int:
        return sum(times for sign, times in signs.items() if kind.match(sign))

    lengths: Counter[int] = Counter()
    for stretch, times in Counter(chain.from_iterable(text.split() for text in texts)).items():
        lengths[letter_count(stretch)] += times
    counts = [(count(own), longest) for own, longest in _LONGEST_WORDS]
    if 2 * sum(number for number, _ in counts) <= count(_LETTER):
        return _middle(lengths) <= _LONGEST_ELSEWHERE
    has_spaces = lengths.total() > sum(1 for text in texts if text.strip())
    return has_spaces and _middle(lengths) <= max(counts)[1]


def divisible(word: str) -> list[str]:
    """Where a stretch between two spaces is no word but a clause, the parts that it may be cut into; else
    itself.

    Joined they are the stretch, and no letter is parted from its marks.
    """
    is_clause = _UNSPACED_LETTER.search(word) or letter_count(word) > _LONGEST_ELSEWHERE
    return units(word) if is_clause else [word]


def _middle(lengths: Mapping[int, int]) -> int:
    """The length of the stretch that the middle one of all letters stands in; 0 without any.

    `lengths` says how many stretches there are of each length.
    """
    passed, half = 0, sum(length * times for length, times in lengths.items()) / 2
    for length in sorted(lengths):
        passed += length * lengths[length]
        if passed >= half:
            return length
    return 0
