"""A language from all texts of a project, with weights that held-out recordings choose: kept if it helps."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TypeVar

import numpy as np

from codex_worker.asr.cross_fit import halves
from codex_worker.asr.decoding.beam import search
from codex_worker.asr.decoding.frames import HeardFrames
from codex_worker.asr.decoding.language import LanguageOf, LanguageWeights, ProjectLanguage, word_ends
from codex_worker.asr.vocabulary import Vocabulary
from codex_worker.text.error_rate import edit_distance

T = TypeVar("T")

logger = logging.getLogger(__name__)

ORDER = 8  # letters: most words with the space before them, and what ends the word before
FEWEST_TEXTS = 8  # different ones held out, or what is measured may be luck
MOST_RECORDINGS = 200  # held-out ones that are listened to again and again while weights are chosen
# What is tried: the weight of letters, of words, and the bonus as a share of what a letter costs on average.
_LETTERS = (0.2, 0.4, 0.7, 1.0)
_WORDS = (0.0, 0.3, 0.6)
_BONUS = (1.0, 1.3, 1.6)


@dataclass(frozen=True)
class HeldOutRecording:
    """What a network heard in a recording that it was not trained on, and what is said there."""

    heard: HeardFrames
    reference: str
    greedy: str  # how it reads without a language


@dataclass(frozen=True)
class LanguageReport:
    """Its worth on held-out recordings, cross-fitted: each is read with weights that it did not choose."""

    cer_greedy: float
    cer_beam: float
    recordings: int
    kept: bool
    readings: tuple[str, ...] = field(default=(), repr=False)  # cross-fitted, in the recordings' order

    @property
    def sentence(self) -> str:
        """For the log and the result."""
        verdict = "kept" if self.kept else "not kept, because it doesn't help"
        return (
            f"the project's language: validation CER {self.cer_greedy:.4f} without it, {self.cer_beam:.4f} "
            f"with it ({self.recordings} held-out recordings, none of whose texts it knows); {verdict}"
        )


def fit_language(
    recordings: Sequence[HeldOutRecording], texts: Sequence[str], vocabulary: Vocabulary, *, has_words: bool
) -> tuple[ProjectLanguage | None, LanguageReport | None]:
    """The language of `texts`, if cross-fitting says that reading with it lowers the error rate.

    Args:
        recordings: ones that the network was not trained on, as `judges` chooses them.
        texts: normalised. Those of the recordings must not be among them, or its worth would be flattered.
        has_words: whether spaces part words.

    Returns:
        The language (None when it doesn't help) and both error rates (None when there is too little).
    """
    if len({recording.reference for recording in recordings}) < FEWEST_TEXTS or not any(texts):
        return None, None
    language = ProjectLanguage.fit([text for text in texts if text], has_words=has_words, order=ORDER)
    references = [recording.reference for recording in recordings]
    tried = [LanguageWeights(), *_tried(language, references)]
    by_sound, *readings = _read_with_each(LanguageOf(language, vocabulary), tried, recordings, vocabulary)
    errors = np.array(
        [[edit_distance(*pair) for pair in zip(references, each, strict=True)] for each in readings]
    )
    cross_fitted = [""] * len(recordings)
    for learn, judge in halves(references):
        best = int(errors[:, learn].sum(axis=1).argmin())
        for place in judge:
            cross_fitted[place] = readings[best][place]
    before = _rate(references, [recording.greedy for recording in recordings])
    after = _rate(references, cross_fitted)
    # The search alone may find a better text than the best letters are; then it is not the language's worth.
    kept = after < min(before, _rate(references, by_sound))
    report = LanguageReport(before, after, len(recordings), kept, tuple(cross_fitted))
    logger.info(report.sentence)
    weights = tried[1 + int(errors.sum(axis=1).argmin())]
    return (language.weighed(weights) if kept else None), report


def judges(recordings: Sequence[T]) -> Sequence[T]:
    """Those of the held-out recordings that choose the weights: evenly from all of them, if very many."""
    return recordings[:: max(1, -(-len(recordings) // MOST_RECORDINGS))]


def _tried(language: ProjectLanguage, references: Sequence[str]) -> list[LanguageWeights]:
    """Of equal ones the earlier is chosen, which trusts the sound more."""
    surprise = language.letters.mean_surprise(references)
    words = _WORDS if language.words is not None else (0.0,)
    return [
        LanguageWeights(letters, word, letters * surprise * bonus)
        for letters, word, bonus in product(_LETTERS, words, _BONUS)
    ]


def _read_with_each(
    language: LanguageOf,
    tried: Sequence[LanguageWeights],
    recordings: Sequence[HeldOutRecording],
    vocabulary: Vocabulary,
) -> list[list[str]]:
    heard, ends = [recording.heard for recording in recordings], word_ends(vocabulary)
    return [
        [vocabulary.decode(labels) for labels in search(heard, language.tables(weights), ends)]
        for weights in tried
    ]


def _rate(references: Sequence[str], readings: Sequence[str]) -> float:
    errors = sum(edit_distance(*pair) for pair in zip(references, readings, strict=True))
    return errors / max(1, sum(map(len, references)))
