import json

import numpy as np
import pytest

from codex_worker.asr.confidence import ESTIMATE, LOW, Confidence, learnt_confidence
from codex_worker.asr.estimate import FEWEST_READINGS, SIGNS, RightLetters, learn_right_letters
from codex_worker.asr.evaluate import Prediction
from codex_worker.asr.evidence import Evidence, evidence_of
from codex_worker.asr.words import Word
from codex_worker.errors import DataError
from codex_worker.text.error_rate import edit_distance

TEXTS = [
    f"{one} {two} {three}" for one in ("god", "he") for two in ("made", "saw") for three in ("all", "us")
]


def evidence(letters=10, probability=0.9, doubt=0.5, seconds=1.0):
    return Evidence(letters, letters * probability, doubt * letters, seconds)


def readings(count=60, seed=0):
    """Of a reader that is as sure of the letters that it writes, whether or not it passes others over."""
    chance = np.random.default_rng(seed)
    made = []
    for place in range(count):
        text = f"{TEXTS[place % len(TEXTS)]} {place}"
        passed_over = place % 3 == 0
        heard = text[: len(text) // 3] if passed_over else text
        doubt = chance.uniform(1.0, 2.0) if passed_over else chance.uniform(0.1, 0.3)
        found = evidence(len(heard.replace(" ", "")), chance.uniform(0.85, 0.95), doubt, len(text) / 12)
        made.append(Prediction(str(place), heard, text, found.certainty / found.letters, found))
    return made


def wrong(reading):
    return edit_distance(reading.reference, reading.hypothesis) / len(reading.reference)


def test_evidence_counts_frames_where_nothing_was_written():
    words = [Word("god", 0.0, 0.3, 0.9), Word("is", 0.4, 0.5, 0.6)]
    sure = evidence_of(words, [0.9, 0.8, 0.99], 0.02)
    passing_over = evidence_of(words, [0.9, 0.8, 0.99, 0.5], 0.02)
    assert sure.letters == 5
    assert sure.certainty == pytest.approx(3 * 0.9 + 2 * 0.6)
    assert passing_over.doubt - sure.doubt == pytest.approx(-np.log(0.5))
    assert passing_over.seconds == pytest.approx(0.08)
    assert np.isfinite(evidence_of(words, [0.0], 0.02).doubt)


def test_evidence_of_pieces_adds_up():
    assert Evidence(1, 0.5, 2.0, 3.0) + Evidence(2, 1.5, 1.0, 4.0) == Evidence(3, 2.0, 3.0, 7.0)


def test_missing_letters_lower_the_estimate_where_the_mean_probability_does_not_see_them():
    made = readings()
    estimate, judged = learn_right_letters(made, TEXTS)
    assert estimate is not None
    good = [one.confidence for one in judged if wrong(one) == 0]
    bad = [one.confidence for one in judged if wrong(one) > 0.5]
    assert min(good) > max(bad)
    plain_good = [one.confidence for one in made if wrong(one) == 0]
    plain_bad = [one.confidence for one in made if wrong(one) > 0.5]
    assert min(plain_good) < max(plain_bad), "or there is nothing to be learnt here"


@pytest.mark.parametrize(("count", "threshold"), [(FEWEST_READINGS, 0.8), (19, 0.8)])
def test_too_few_readings_for_a_threshold_leave_it_at_a_fifth_of_wrong_letters(count, threshold):
    stored = Confidence.stored(learnt_confidence(readings(count), TEXTS))
    assert stored.estimate is not None
    assert stored.threshold == pytest.approx(threshold)


def test_the_estimate_is_the_share_of_right_letters():
    estimate, judged = learn_right_letters(readings(200), TEXTS)
    assert estimate is not None
    errors = [one.confidence - (1 - wrong(one)) for one in judged]
    assert abs(float(np.mean(errors))) < 0.03
    assert all(0.0 <= one.confidence <= 1.0 for one in judged)


@pytest.mark.parametrize("count", [0, 1, 2, FEWEST_READINGS - 1])
def test_of_too_few_readings_no_estimate_is_learnt_and_the_plain_mean_stays(count):
    made = readings(count)
    assert learn_right_letters(made, TEXTS) == (None, tuple(made))
    assert ESTIMATE not in learnt_confidence(made, TEXTS)
    assert Confidence().of(evidence(10, 0.7), "god made us") == pytest.approx(0.7)
    assert Confidence().of(Evidence(), "") == 0.0


@pytest.mark.parametrize(
    "made",
    [
        [Prediction(str(i), "", "god made all", 0.0, Evidence(0, 0.0, 9.0, 1.0)) for i in range(30)],
        [Prediction(str(i), "god", "god", 0.9, evidence(3)) for i in range(30)],
        [Prediction(str(i), "x" * 40, "god", 0.9, evidence(40)) for i in range(30)],
        [Prediction(str(i), "神愛世人", "神愛世人", 0.9, evidence(4)) for i in range(30)],
    ],
    ids=["nothing heard", "one word, all right", "all wrong and too long", "no spaces"],
)
@pytest.mark.parametrize("texts", [[], ["god made all"]])
def test_readings_that_are_all_alike_give_an_estimate_that_can_be_used(made, texts):
    estimate, judged = learn_right_letters(made, texts)
    assert estimate is not None
    for one in judged:
        assert 0.0 <= one.confidence <= 1.0
    assert 0.0 <= estimate.share(evidence(5000, 0.0, 1e9, 1e-9), "q" * 5000) <= 1.0
    assert estimate.share(Evidence(), "") == 0.0


def test_an_estimate_is_the_same_after_it_was_stored():
    about = learnt_confidence(readings(), TEXTS)
    stored = Confidence.stored(about)
    estimate, _ = learn_right_letters(readings(), TEXTS)
    assert estimate is not None and stored.estimate is not None
    for found, text in ((evidence(), "god made us"), (evidence(3, 0.5, 4.0), "xqz")):
        assert stored.of(found, text) == pytest.approx(estimate.share(found, text))
    assert stored.threshold == pytest.approx(float(about[LOW]))


FIELDS = json.loads(learnt_confidence(readings(), TEXTS)[ESTIMATE])


@pytest.mark.parametrize(
    "damaged",
    [
        "no json",
        "[" * 100_000,
        "[]",
        " " * 3_000_000,
        json.dumps({**FIELDS, "signs": ["length"]}),
        json.dumps({**FIELDS, "weights": FIELDS["weights"][1:]}),
        json.dumps({**FIELDS, "weights": [float("nan"), *FIELDS["weights"][1:]]}),
        json.dumps({**FIELDS, "weights": [10**400, *FIELDS["weights"][1:]]}),
        json.dumps({**FIELDS, "spread": [0.0] * len(SIGNS)}),
        json.dumps({**FIELDS, "centre": ["0"] * len(SIGNS)}),
        json.dumps({**FIELDS, "spelling": []}),
        json.dumps({**FIELDS, "spelling": {"a": -1}}),
        json.dumps({**FIELDS, "spelling": {"a": 1.5}}),
        json.dumps({**FIELDS, "spelling": {"": 1}}),
        json.dumps({**FIELDS, "spelling": {"a" * 1000: 1}}),
        json.dumps({**FIELDS, "spelling": {f"{place:05}": 1 for place in range(30_000)}}),
    ],
    ids=lambda text: text[:12],
)
def test_an_estimate_that_cannot_be_meant_is_refused(damaged):
    with pytest.raises(DataError, match="estimate of right letters"):
        RightLetters.from_json(damaged)


@pytest.mark.parametrize("spelling", [{}, {"a": 1}, {"ab": 10**12}])
def test_any_counts_of_letters_give_a_number(spelling):
    estimate = RightLetters.from_json(json.dumps({**FIELDS, "spelling": spelling}))
    assert 0.0 <= estimate.share(evidence(), "god made us") <= 1.0
