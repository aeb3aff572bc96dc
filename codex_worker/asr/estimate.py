"""How many letters of a reading are right, estimated from what held-out readings of the same network showed.

The mean probability of the letters that were written does not see those that are missing ("your" read as "r"
had 0.97). So the share of right letters is learnt from several signs at once, by a logistic regression with
shares as its targets (Papke and Wooldridge 1996, "Econometric Methods for Fractional Response Variables").
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from codex_worker.asr.decoding.letters import LetterModel
from codex_worker.asr.evaluate import Prediction
from codex_worker.asr.evidence import Evidence
from codex_worker.errors import DataError
from codex_worker.text.error_rate import edit_distance

# On real speech 10 readings ranked others nearly as well as 41 (area under the curve 0.87 and 0.88, mean of
# 60 draws): mostly two numbers are learnt, how much all signs together count, and how many letters are right.
FEWEST_READINGS = 10
SIGNS = ("letter probability", "doubt", "surprise", "length", "pace")
MAX_NGRAMS = 20_000  # of the spelling: its frequent parts tell words from gibberish
MAX_JSON_CHARS = 2_000_000
_FOLDS = 5
# What speaks for a reading, and what against it. Some dozens of readings cannot tell how much each sign
# counts, and equal weights then judge better than fitted ones (Dawes 1979, "The robust beauty of improper
# linear models"). So all together are fitted first, and readings enough may part them.
_SPEAKS_FOR = (1.0, -1.0, -1.0, 1.0, 1.0)
_RIDGE_TOGETHER, _RIDGE_APART = 1.0, 40.0
_FURTHEST = 3.0  # standard deviations; nothing is known of signs beyond what was seen
_UPDATES = 30
_MOST_SIGHTINGS = 10**12
_LONGEST_NGRAM = 16
_START = "\x02" * 4


@dataclass(frozen=True)
class RightLetters:
    """The estimate that travels with a checkpoint."""

    centre: tuple[float, ...]  # of each sign
    spread: tuple[float, ...]
    weights: tuple[float, ...]  # the constant, then one for each sign
    spelling: LetterModel

    def share(self, evidence: Evidence, text: str) -> float:
        """The share of right letters (0 to 1) to be expected of a reading; 0 of an empty one."""
        if not text:
            return 0.0
        signs = _standard(np.array([_signs(evidence, text, self.spelling)]), self.centre, self.spread)
        return float(_shares(signs, np.array(self.weights))[0])

    def to_json(self) -> str:
        """Readable by `RightLetters.from_json`."""
        fields = {
            "signs": SIGNS,
            "centre": self.centre,
            "spread": self.spread,
            "weights": self.weights,
            "spelling": self.spelling.counts,
        }
        return json.dumps(fields, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "RightLetters":
        """Raises DataError when the JSON is no estimate, or one larger than any that is made here."""
        try:
            if len(text) > MAX_JSON_CHARS:
                raise ValueError("it is larger than any real one")
            fields = json.loads(text)
            if tuple(fields["signs"]) != SIGNS:
                raise ValueError("it goes by other signs")
            spread = _numbers(fields["spread"], len(SIGNS))
            if min(spread) <= 0:
                raise ValueError("a sign that does not vary")
            return cls(
                _numbers(fields["centre"], len(SIGNS)),
                spread,
                _numbers(fields["weights"], len(SIGNS) + 1),
                LetterModel(_counts(fields["spelling"])),
            )
        except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError) as error:
            raise DataError(
                f"The checkpoint's estimate of right letters cannot be read ({error!r:.200}); train a new "
                "model."
            ) from error


def learn_right_letters(
    readings: Sequence[Prediction], texts: Sequence[str]
) -> tuple[RightLetters | None, tuple[Prediction, ...]]:
    """The estimate, and the readings with the confidence that one learnt from the others gives them.

    Args:
        readings: of recordings that the network was not trained on.
        texts: of the language, none of them of these readings.

    Returns:
        None and the readings as they are where they are fewer than `FEWEST_READINGS`, or come without
        evidence.
    """
    known = [reading.evidence for reading in readings if reading.evidence is not None]
    if len(readings) < FEWEST_READINGS or len(known) < len(readings):
        return None, tuple(readings)
    spelling = LetterModel(dict(Counter(LetterModel.fit(texts).counts).most_common(MAX_NGRAMS)))
    signs = np.array(
        [_signs(one, reading.hypothesis, spelling) for one, reading in zip(known, readings, strict=True)]
    )
    right = np.array([_right(reading) for reading in readings])
    crossed: list[Prediction] = list(readings)
    folds = np.array([_fold(reading.reference) for reading in readings])
    for fold in range(_FOLDS):
        learn, judge = folds != fold, np.flatnonzero(folds == fold).tolist()
        if learn.sum() < FEWEST_READINGS // 2:
            learn = np.ones(len(readings), dtype=bool)  # nearly all are of one text
        estimate = _fit(signs[learn], right[learn], spelling)
        for place in judge:
            share = estimate.share(known[place], readings[place].hypothesis)
            crossed[place] = replace(readings[place], confidence=share)
    return _fit(signs, right, spelling), tuple(crossed)


def _right(reading: Prediction) -> float:
    """The share of right letters; a little less sure than it is, as of half a letter more."""
    letters = max(1, len(reading.reference))
    wrong = min(letters, edit_distance(reading.reference, reading.hypothesis))
    return 1.0 - (wrong + 0.5) / (letters + 1.0)


def _signs(evidence: Evidence, text: str, spelling: LetterModel) -> list[float]:
    """In the order of `SIGNS`; of everything that is counted, what a letter has of it."""
    letters = max(1, evidence.letters)
    history, surprise = _START, 0.0
    for letter in text:
        surprise -= spelling.log_prob(history, letter)
        history = history[1:] + letter
    return [
        evidence.certainty / letters,
        math.log1p(evidence.doubt / letters),
        surprise / max(1, len(text)),
        math.log1p(evidence.letters),
        math.log((evidence.letters + 1.0) / max(evidence.seconds, 0.1)),
    ]


def _fit(signs: np.ndarray, right: np.ndarray, spelling: LetterModel) -> RightLetters:
    """Weights by Newton's method; `signs [readings, signs]`, `right [readings]`."""
    centre = signs.mean(0)
    spread = np.where(signs.std(0) > 1e-6, signs.std(0), 1.0)
    # From weights for the constant, for all signs together and for each, to those for constant and signs.
    parts = np.eye(1 + signs.shape[1])
    parts = np.insert(parts, 1, [0.0, *_SPEAKS_FOR], axis=0)
    standard = np.insert(_standard(signs, centre, spread), 0, 1.0, axis=1)
    inputs = standard @ parts.T
    ridge = np.diag([1e-3, _RIDGE_TOGETHER, *[_RIDGE_APART] * signs.shape[1]])
    weights = np.zeros(inputs.shape[1])
    for _ in range(_UPDATES):
        shares = _shares(standard[:, 1:], weights @ parts)
        curvature = np.maximum(shares * (1.0 - shares), 1e-3)[:, None]
        slope = inputs.T @ (right - shares) - ridge @ weights
        weights = weights + np.linalg.solve(inputs.T @ (curvature * inputs) + ridge, slope)
    combined = (weights @ parts).tolist()
    return RightLetters(tuple(centre.tolist()), tuple(spread.tolist()), tuple(combined), spelling)


def _standard(signs: np.ndarray, centre: Any, spread: Any) -> np.ndarray:
    return np.clip((signs - np.asarray(centre)) / np.asarray(spread), -_FURTHEST, _FURTHEST)


def _shares(signs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-np.clip(weights[0] + signs @ weights[1:], -30.0, 30.0)))


def _fold(text: str) -> int:
    """Equal texts are in one fold, or the reading of one would judge another's."""
    return hashlib.sha256(text.encode()).digest()[0] % _FOLDS


def _numbers(values: Any, count: int) -> tuple[float, ...]:
    if not isinstance(values, list) or len(values) != count:
        raise ValueError("not as many numbers as there are signs")
    if not all(type(value) in (int, float) and math.isfinite(value) and abs(value) < 1e6 for value in values):
        raise ValueError("a number that is none")
    return tuple(map(float, values))


def _counts(table: Any) -> Mapping[str, int]:
    if not isinstance(table, dict) or len(table) > MAX_NGRAMS:
        raise ValueError("no table of counts, or too long a one")
    if not all(0 < len(ngram) <= _LONGEST_NGRAM for ngram in table):
        raise ValueError("a sequence of letters that is none")
    if not all(type(count) is int and 0 < count <= _MOST_SIGHTINGS for count in table.values()):
        raise ValueError("a count that is none")
    return table
