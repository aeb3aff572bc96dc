"""What a machine read or spoke may teach a transcriber: which of it, and how much. Rules only.

People's recordings with people's texts stay what everything is measured on: made examples are added to the
training part of a split that was made without them, and never come into any other.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from codex_worker.asr.corpus import Example, Split
from codex_worker.asr.transcribe import Transcript
from codex_worker.text.graphemes import letter_count

MADE_PER_HUMAN = 1.0
"""Seconds of each kind (readings, speech) at most, for every second of people's recordings with text.

Equal parts are what is shown to help: 250 hours of real and 250 of synthetic Hausa read as well as 500 real
ones; one to one helped Dholuo on some recordings and not on others; Chichewa gained 6.5 % of its word error
rate at one to two (DeRenzi et al. 2025, arXiv 2507.17578). From 24 minutes of Gronings, readings took off up
to 20.5 % and a voice 25.5 % of the word error rate (Bartelds et al., ACL 2023).
"""
MOST_ALIKE = 2
"""Made examples with the same text: a teacher that writes one thing for all it hears would teach that."""
MOST_SPOKEN = 5_000  # verses, about ten hours: what a job speaks before it trains


@dataclass(frozen=True)
class Chosen:
    """Keys of what is learnt from, the best first, and why others are not (key -> the end of a sentence)."""

    keys: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)


def choose_readings(
    transcripts: Sequence[Transcript], *, limit_s: float, longest_s: float, taken: Collection[str] = ()
) -> Chosen:
    """The readings to learn from: sure ones, the surest first, up to `limit_s` seconds together.

    Args:
        transcripts: readings by the teacher, whose learnt threshold says which are uncertain.
        longest_s: of one recording that is learnt from.
        taken: texts of held-out recordings, which nothing may give away.
    """
    ordered = sorted(transcripts, key=lambda one: (-one.confidence, one.key))
    choice = _Choice(limit_s, longest_s, taken)
    for one in ordered:
        reason = one.error
        if reason is None and not one.text:
            reason = "nothing was heard in it"
        if reason is None and one.is_uncertain:
            reason = f"the transcriber is not sure enough of it ({one.confidence:.2f})"
        choice.weigh(one.key, one.text, one.duration_s, reason)
    return choice.result


def choose_texts(
    texts: Mapping[str, str],
    *,
    letter_s: float,
    limit_s: float,
    longest_s: float,
    taken: Collection[str] = (),
) -> Chosen:
    """The texts to be spoken (by key), from everywhere in the project, about `limit_s` seconds together.

    Args:
        texts: normalised texts of cells without a recording.
        letter_s: seconds for a letter, as the project's people speak.
        longest_s: of one recording that is learnt from.
        taken: texts of held-out recordings, which nothing may give away.
    """
    choice = _Choice(limit_s, longest_s, taken)
    for key in sorted(texts, key=_hash):
        text = texts[key]
        reason = None if text else "its text holds no letters that are learnt"
        if reason is None and len(choice.result.keys) >= MOST_SPOKEN:
            reason = f"{MOST_SPOKEN} verses are spoken at most"
        choice.weigh(key, text, letter_s * letter_count(text), reason)
    return choice.result


def held_out_chapters(data: Split) -> frozenset[str]:
    """The chapters that are held out whole: no made example may come from them."""
    held = {example.utterance.chapter for example in (*data.validation, *data.test)}
    return frozenset(held - {example.utterance.chapter for example in data.train})


def held_out_texts(data: Split) -> frozenset[str]:
    """The normalised texts of what is held out."""
    return frozenset(example.text for example in (*data.validation, *data.test))


def with_made(data: Split, made: Sequence[Example]) -> Split:
    """The same split with made examples among those that are trained on.

    Raises ValueError where nothing is held out, or an example is not marked as made.
    """
    if not data.held_out:
        raise ValueError("whether made examples help can only be told by held-out recordings")
    if not all(example.utterance.is_made for example in made):
        raise ValueError("only examples that are marked as made by a machine may be added")
    return replace(data, train=(*data.train, *made))


class _Choice:
    """Takes what fits, in the order in which it comes."""

    def __init__(self, limit_s: float, longest_s: float, taken: Collection[str]) -> None:
        self._left_s = limit_s
        self._longest_s = longest_s
        self._taken = taken
        self._alike: Counter[str] = Counter()
        self._keys: list[str] = []
        self._left_out: dict[str, str] = {}

    @property
    def result(self) -> Chosen:
        """What was chosen so far."""
        return Chosen(tuple(self._keys), self._left_out)

    def weigh(self, key: str, text: str, seconds: float, reason: str | None) -> None:
        """Take one, unless there is a reason not to."""
        reason = reason or self._against(text, seconds)
        if reason is not None:
            self._left_out[key] = reason
            return
        self._keys.append(key)
        self._alike[text] += 1
        self._left_s -= seconds

    def _against(self, text: str, seconds: float) -> str | None:
        if text in self._taken:
            return "a recording that is held out has the same text"
        if self._alike[text] >= MOST_ALIKE:
            return f"{MOST_ALIKE} with the same text are learnt from already"
        if seconds > self._longest_s:
            return f"it takes longer than max_duration_seconds ({self._longest_s:g} s)"
        if seconds > self._left_s:
            return "more of them would outweigh people's recordings"
        return None


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
