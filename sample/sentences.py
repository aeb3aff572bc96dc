"""Simple sentences over 28 words, chosen so that each voice says each word about equally often.

A sentence is ``[number] subject verb [adjective] object [adverb]`` with at most two of the optional words, so
it has three to five words. Every sentence has a subject, a verb and an object; the seven optional words share
about one place in each, so all 28 words can occur equally often.
"""

import hashlib
import itertools
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

SUBJECTS = ("women", "brothers", "children", "kings", "friends", "shepherds", "people")
VERBS = ("see", "carry", "hear", "want", "give", "keep", "find")
OBJECTS = ("bread", "water", "fish", "oil", "stones", "songs", "light")
NUMBERS = ("two", "seven")
ADJECTIVES = ("good", "new", "warm")
ADVERBS = ("today", "again")
WORDS = SUBJECTS + VERBS + OBJECTS + NUMBERS + ADJECTIVES + ADVERBS
LENGTHS = (3, 4, 5)

Words = tuple[str, ...]


@dataclass(frozen=True)
class Utterance:
    """One sentence, and the voice that says it."""

    words: Words
    voice: str


def choose(count: int, voices: Sequence[str], already_chosen: Collection[Utterance] = ()) -> list[Utterance]:
    """Choose ``count`` sentences, none of them among ``already_chosen``, with the voices taking turns.

    Greedy: the next sentence is the one whose words this voice has said least often, then whose pairs of
    neighbouring words are rarest. A hash breaks ties, so the choice is the same on every machine.
    """
    taken = {utterance.words for utterance in already_chosen}
    candidates = [words for words in sorted(_sentences(), key=_shuffle_key) if words not in taken]
    said: Counter[tuple[str, str]] = Counter()
    pairs: Counter[Words] = Counter()
    chosen = []
    for position in range(count):
        voice = voices[position % len(voices)]
        length = LENGTHS[position // len(voices) % len(LENGTHS)]

        def cost(words: Words, voice: str = voice) -> tuple[int, int]:
            # Squared, so that one word said too often costs more than several said once.
            return (
                sum((said[word, voice] + 1) ** 2 - said[word, voice] ** 2 for word in words),
                sum(pairs[pair] for pair in itertools.pairwise(words)),
            )

        words = min((words for words in candidates if len(words) == length), key=cost)
        candidates.remove(words)
        said.update((word, voice) for word in words)
        pairs.update(itertools.pairwise(words))
        chosen.append(Utterance(words, voice))
    return chosen


def _sentences() -> Iterator[Words]:
    numbers, adjectives, adverbs = (("", *words) for words in (NUMBERS, ADJECTIVES, ADVERBS))
    for slots in itertools.product(numbers, SUBJECTS, VERBS, adjectives, OBJECTS, adverbs):
        words = tuple(word for word in slots if word)
        if len(words) in LENGTHS:
            yield words


def _shuffle_key(words: Words) -> str:
    return hashlib.sha256(" ".join(words).encode()).hexdigest()
