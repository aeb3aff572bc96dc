"""How sure a reading has to be before a person need not listen to it: learnt from held-out recordings."""

from collections.abc import Sequence
from itertools import pairwise

from codex_worker.asr.evaluate import Prediction
from codex_worker.text.error_rate import edit_distance

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


def stored_confidence(metadata_value: str | None) -> float:
    """What a checkpoint says is low; `LOW_CONFIDENCE` where it says nothing that can be meant."""
    try:
        value = float(metadata_value or "")
    except ValueError:
        return LOW_CONFIDENCE
    return value if 0.0 <= value <= 1.0 else LOW_CONFIDENCE
