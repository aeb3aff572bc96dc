"""How sure a reading has to be before a person need not listen to it: learnt from held-out recordings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

from codex_worker.asr.estimate import RightLetters, learn_right_letters
from codex_worker.asr.evaluate import Prediction
from codex_worker.asr.evidence import Evidence
from codex_worker.text.error_rate import edit_distance

LOW, ESTIMATE = "low_confidence", "right_letters"
"""Where a checkpoint's metadata has the threshold, and how its readings' right letters are estimated."""

LOW_CONFIDENCE = 0.6  # where no readings were held back to learn it from
TOO_WRONG = 0.2  # of the letters
FEWEST_READINGS = 20


def low_confidence(predictions: Sequence[Prediction]) -> float:
    """The confidence (0 to 1) that parts readings with a fifth of their letters wrong from better ones best.

    A reading that is less sure than all held-out ones is unlike anything that was judged, so the answer is
    never below theirs. `LOW_CONFIDENCE` for too few readings.
    """
    if len(predictions) < FEWEST_READINGS:
        return LOW_CONFIDENCE
    ordered = sorted(predictions, key=lambda prediction: prediction.confidence)
    bad = [edit_distance(p.reference, p.hypothesis) >= TOO_WRONG * len(p.reference) for p in ordered]
    threshold, missed, alarms = ordered[0].confidence, sum(bad), 0
    fewest_mistakes = missed
    for is_bad, (reading, surer) in zip(bad, pairwise(ordered), strict=False):
        missed -= is_bad
        alarms += not is_bad
        if missed + alarms <= fewest_mistakes:
            fewest_mistakes = missed + alarms
            threshold = (reading.confidence + surer.confidence) / 2
    return threshold


def learnt_confidence(readings: Sequence[Prediction], texts: Sequence[str]) -> dict[str, str]:
    """What held-out readings teach, as metadata for the checkpoint; `texts` are others of the language."""
    if not readings:
        return {}
    estimate, judged = learn_right_letters(readings, texts)
    if estimate is None:
        return {LOW: f"{low_confidence(readings):.4f}"}
    # Too few to learn a threshold from: what it means by itself, then.
    threshold = low_confidence(judged) if len(judged) >= FEWEST_READINGS else 1.0 - TOO_WRONG
    return {LOW: f"{threshold:.4f}", ESTIMATE: estimate.to_json()}


@dataclass(frozen=True)
class Confidence:
    """How sure a checkpoint's readings are, and from when on that is enough."""

    threshold: float = LOW_CONFIDENCE
    estimate: RightLetters | None = None  # None: too few recordings were held back to learn it from

    @classmethod
    def stored(cls, metadata: Mapping[str, str]) -> Self:
        """What a checkpoint says. Raises DataError for an estimate that cannot be read."""
        estimate = metadata.get(ESTIMATE)
        return cls(
            stored_confidence(metadata.get(LOW)),
            None if estimate is None else RightLetters.from_json(estimate),
        )

    def of(self, evidence: Evidence, text: str) -> float:
        """From 0 to 1: the share of right letters to be expected; without an estimate, the mean probability
        of the letters that are there.
        """
        if self.estimate is not None:
            return self.estimate.share(evidence, text)
        return evidence.certainty / evidence.letters if evidence.letters else 0.0


def stored_confidence(metadata_value: str | None) -> float:
    """What a checkpoint says is low; `LOW_CONFIDENCE` where it says nothing that can be meant."""
    try:
        value = float(metadata_value or "")
    except ValueError:
        return LOW_CONFIDENCE
    return value if 0.0 <= value <= 1.0 else LOW_CONFIDENCE
