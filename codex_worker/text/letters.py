"""Which marks are letters: one rule for transcribers and voices, decided by the project's own texts.

Letters, the signs on them, digits and private signs are always kept. Of a mark (`: ; = · " ! / * @ ׳` and the
like) the texts tell what it is, place by place. `'` and `-` are letters between two letters in any text.

1. *Between two letters* a mark is a letter where that happens at least 3 times, and makes up at least 5 in
   100 of the places where it stands beside a letter. What ends sentences and quotations (`. : ; ! ? "`) also
   stands there where a space is missing: between two words of the texts that are found so once, or before
   a capital. These may be half of its places at most. A full stop must stand in 2 different words, and there
   as often as elsewhere. A comma never is a letter.
2. *At the start of words* stand quotes and bullets, too. `' -` and `; : ! ? · * + # /` are letters where they
   belong to their words: at least 3 times, and more often than not, they stand at words that have them in
   more than half of their occurrences (of words that occur twice or more; `'so'` is no proof). So are `'` and
   `"` that open at least 3 times and close less than a tenth as often: quotes come in pairs. Other marks need
   3 places, and so do `* + # /` that are letters by 1.
3. *At the end of words* it is the same the other way round, but sentences end there: `; : ! ? ·` must be
   letters by 1 or 2, and belong to 2 different words that do not end a text. A full stop or comma at an edge
   never is a letter.

Beside a decimal digit only `'` and `-` stay (3:16 is a number), and a double hyphen is a dash. Between
letters of a script without spaces `, . : ; ! ? "` are what they are elsewhere: punctuation.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from codex_worker.text.casing import Casing, lower
from codex_worker.text.signs import (
    CURLY_QUOTES,
    DIGIT,
    LETTER,
    MARK,
    SPACE,
    kinds_of,
    needs_no_spaces,
    tidied,
)

ALWAYS_WITHIN = "'-"
LEAST = 3  # places
LEAST_SHARE = 0.05  # between letters, of all places beside a letter
MOSTLY = 0.5
UNPAIRED = 0.1  # closing to opening
SENTENCE_MARKS = ".:;!?"
STOPS_AT_END = ":;!?·"
QUOTES = "'\""
NOTES = "*+#/"
NEVER_AT_EDGES = ",."
PARTS_SENTENCES = ',.:;!?"'
_RUN = re.compile(r"[^a9 ]+")  # of kinds: what is neither letter nor digit nor space
CURLY = CURLY_QUOTES[0]
_QUOTES_OF_A_KIND = {"\u201a": "'"} | dict.fromkeys(CURLY_QUOTES, CURLY)


@dataclass(frozen=True)
class WordMarks:
    """The marks that are letters between two letters, at the start and at the end of words."""

    within: str = ALWAYS_WITHIN
    initial: str = ""
    final: str = ""

    def __or__(self, other: "WordMarks") -> "WordMarks":
        """What is a letter by one of the two."""
        return WordMarks(
            _united(self.within, other.within),
            _united(self.initial, other.initial),
            _united(self.final, other.final),
        )

    def describe(self) -> str:
        """For people: `' - = within words, and " at the start of words`."""
        places = {"within": self.within, "at the start of": self.initial, "at the end of": self.final}
        return ", and ".join(f"{' '.join(marks)} {place} words" for place, marks in places.items() if marks)

    def letters_of(self, text: str) -> list[bool]:
        """For each sign of a tidied text whether it belongs to a word: `[len(text)]`."""
        kinds = kinds_of(text)
        kept = [kind in (LETTER, DIGIT) for kind in kinds]
        for run in _RUN.finditer(kinds):
            start, end = run.span()
            if self._is_within(text, kinds, start, end):
                kept[start:end] = [True] * (end - start)
                continue
            before, after = _beside(kinds, start, end)
            if end - start == 1 and SPACE not in (before, after):
                continue  # no edge of a word
            last = start + _at_edge(text[start:end], before, self.final)
            first = end - _at_edge(text[start:end][::-1], after, self.initial)
            kept[start:last] = [True] * (last - start)
            kept[max(first, last) : end] = [True] * (end - max(first, last))
        return kept

    def unsure(self, text: str) -> list[str]:
        """The marks between two letters of a tidied text that are dropped although no sentence ends there."""
        kinds = kinds_of(text)
        if MARK not in kinds:
            return []
        kept = self.letters_of(text)
        return [
            text[at]
            for at, kind in enumerate(kinds)
            if kind == MARK
            and not kept[at]
            and text[at] not in PARTS_SENTENCES
            and _beside(kinds, at, at + 1) == (LETTER, LETTER)
        ]

    def _is_within(self, text: str, kinds: str, start: int, end: int) -> bool:
        run = text[start:end]
        before, after = _beside(kinds, start, end)
        if SPACE in (before, after) or "--" in run or any(mark not in self.within for mark in run):
            return False
        if DIGIT in (before, after):
            return all(mark in ALWAYS_WITHIN for mark in run)
        return not (_parts_sentences(text, start, end) and set(run) & set(PARTS_SENTENCES))


def learn_marks(texts: Iterable[str], casing: Casing = Casing.USUAL) -> WordMarks:
    """Find the marks that the texts use as letters, by the rule above."""
    seen = _Sightings(casing)
    for text in texts:
        seen.add(tidied(text))
    marks = sorted(seen.between.keys() | seen.edges[0].keys() | seen.edges[1].keys())
    within = ALWAYS_WITHIN + "".join(m for m in marks if m not in ALWAYS_WITHIN and seen.is_within(m))
    initial = "".join(m for m in marks if seen.is_initial(m, within))
    return WordMarks(within, initial, "".join(m for m in marks if seen.is_final(m, within + initial)))


@dataclass(frozen=True)
class _Between:
    """A mark between two letters, with the parts of the word on both sides, in lower case."""

    left: str
    right: str
    capital_follows: bool


@dataclass
class _Sightings:
    """Where marks stand in the texts."""

    casing: Casing
    words: Counter[str] = field(
        default_factory=Counter
    )  # by what stands from their first to their last letter
    between: dict[str, Counter[_Between]] = field(default_factory=dict)
    edges: tuple[dict[str, Counter[str]], dict[str, Counter[str]]] = field(default_factory=lambda: ({}, {}))
    ends_of_texts: dict[str, Counter[str]] = field(default_factory=dict)  # of the final ones, those there
    quotes: tuple[Counter[str], Counter[str]] = field(default_factory=lambda: (Counter(), Counter()))

    def add(self, text: str) -> None:
        """Take in one tidied text."""
        tokens = text.split()
        for number, token in enumerate(tokens):
            kinds = kinds_of(token)
            letters = [at for at, kind in enumerate(kinds) if kind in (LETTER, DIGIT)]
            if not letters:
                self._add_quotes(token, 1)
                continue
            first, last = letters[0], letters[-1] + 1
            bare = lower(token[first:last], self.casing)
            self.words[bare] += 1
            self._add_between(token, kinds)
            self._add_quotes(token[:first], 0)
            self._add_quotes(token[last:], 1)
            if token[first - 1 : first] == token[last : last + 1] and token[last : last + 1] in QUOTES:
                continue  # a word in quotes, or one without marks at its edges
            if first and kinds[first - 1] == MARK and kinds[first] == LETTER:
                self.edges[0].setdefault(token[first - 1], Counter())[bare] += 1
            if token[last:] and kinds[last] == MARK and kinds[last - 1] == LETTER:
                self.edges[1].setdefault(token[last], Counter())[bare] += 1
                if number == len(tokens) - 1:
                    self.ends_of_texts.setdefault(token[last], Counter())[bare] += 1

    def is_within(self, mark: str) -> bool:
        """By 1."""
        pairs = self.between.get(mark, Counter())
        places = pairs.total()
        beside = places + sum(side.get(mark, Counter()).total() for side in self.edges)
        words = {(pair.left, pair.right) for pair in pairs}
        run_together = sum(count for pair, count in pairs.items() if self._is_run_together(pair, count))
        return (
            mark != ","
            and places >= LEAST
            and places >= LEAST_SHARE * beside
            and (mark not in PARTS_SENTENCES or run_together <= MOSTLY * places)
            and (mark != "." or (places >= MOSTLY * beside and len(words) > 1))
        )

    def is_initial(self, mark: str, known: str) -> bool:
        """By 2; `known` are letters already."""
        return self._is_at_edge(mark, 0, known)

    def is_final(self, mark: str, known: str) -> bool:
        """By 3."""
        if mark in STOPS_AT_END:
            return mark in known and self._belongs_to_words(mark, 1, within_texts=True)
        return self._is_at_edge(mark, 1, known)

    def _is_at_edge(self, mark: str, side: int, known: str) -> bool:
        places = self.edges[side].get(mark, Counter()).total()
        if mark in NEVER_AT_EDGES or places < LEAST:
            return False
        if mark in QUOTES and self._pairs(mark, side) < UNPAIRED * self.quotes[side][mark]:
            return True
        if mark in f"'-{STOPS_AT_END}" or (mark in NOTES and mark not in known):
            return self._belongs_to_words(mark, side)
        return mark != '"'

    def _pairs(self, mark: str, side: int) -> int:
        """How many quotes close those that a mark would open (or open what it would close).

        Curly ones do where they are too many to be pairs themselves.
        """
        curly = self.quotes[1 - side][CURLY] - self.quotes[side][CURLY] if mark == '"' else 0
        return self.quotes[1 - side][mark] + max(0, curly)

    def _belongs_to_words(self, mark: str, side: int, *, within_texts: bool = False) -> bool:
        words = self.edges[side].get(mark, Counter())
        if within_texts:
            words = words - self.ends_of_texts.get(mark, Counter())
        told = {bare: count for bare, count in words.items() if self.words[bare] > 1}
        faithful = {bare: count for bare, count in told.items() if count > MOSTLY * self.words[bare]}
        count = sum(faithful.values())
        return (
            count >= LEAST and count > MOSTLY * sum(told.values()) and (not within_texts or len(faithful) > 1)
        )

    def _is_run_together(self, pair: _Between, count: int) -> bool:
        return pair.capital_follows or (count == 1 and {pair.left, pair.right} <= self.words.keys())

    def _add_between(self, token: str, kinds: str) -> None:
        for run in _RUN.finditer(kinds):
            start, end = run.span()
            mark = token[start]
            doubled = token[start:end] == 2 * mark and mark not in f"-{SENTENCE_MARKS},"
            if kinds[start] != MARK or not (end - start == 1 or doubled):
                continue
            if _beside(kinds, start, end) != (LETTER, LETTER):
                continue
            if mark in PARTS_SENTENCES and _parts_sentences(token, start, end):
                continue
            left = token[len(kinds[:start].rstrip(LETTER + DIGIT)) : start]
            right = token[end : len(token) - len(kinds[end:].lstrip(LETTER + DIGIT))]
            capital = left[-1].islower() and right[0].isupper()
            pair = _Between(lower(left, self.casing), lower(right, self.casing), capital)
            self.between.setdefault(mark, Counter())[pair] += 1

    def _add_quotes(self, run: str, side: int) -> None:
        for sign in run:
            self.quotes[side][_QUOTES_OF_A_KIND.get(sign, sign)] += 1


def _at_edge(run: str, beside: str, letters: str) -> int:
    """How many signs of a run, the one at the word first, belong to it: one, or more of it (`//gau`)."""
    if beside == SPACE or run[0] not in letters or (beside == DIGIT and run[0] not in ALWAYS_WITHIN):
        return 0
    return 1 if run[0] in f"{QUOTES}-" else len(run) - len(run.lstrip(run[0]))


def _beside(kinds: str, start: int, end: int) -> tuple[str, str]:
    """The kinds of the signs before and behind a stretch; a space at the ends of the text."""
    return kinds[start - 1] if start else SPACE, kinds[end] if end < len(kinds) else SPACE


def _parts_sentences(text: str, start: int, end: int) -> bool:
    return needs_no_spaces(text[start - 1]) or needs_no_spaces(text[end])


def _united(marks: str, more: str) -> str:
    return marks + "".join(mark for mark in more if mark not in marks)
