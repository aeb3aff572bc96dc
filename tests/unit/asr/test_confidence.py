from dataclasses import replace

import pytest
import torch

from codex_worker.asr.checkpoint import TranscriberCheckpoint
from codex_worker.asr.confidence import (
    LOW_CONFIDENCE,
    learnt_confidence,
    low_confidence,
    stored_confidence,
)
from codex_worker.asr.evaluate import Prediction
from codex_worker.asr.evidence import Evidence
from codex_worker.asr.networks.build import TINY_FRONTEND, build_model, tiny_config
from codex_worker.asr.transcribe import Transcriber
from codex_worker.asr.vocabulary import build_vocabulary


def readings(*confidences_and_wrong_letters):
    """Readings of ten letters each, so many of them wrong."""
    return [
        Prediction(str(place), "x" * wrong + "a" * (10 - wrong), "a" * 10, confidence)
        for place, (confidence, wrong) in enumerate(confidences_and_wrong_letters)
    ]


def test_the_threshold_parts_readings_with_a_fifth_of_their_letters_wrong_from_better_ones():
    bad = [(0.30 + place / 100, 2 + place % 8) for place in range(10)]
    good = [(0.80 + place / 100, place % 2) for place in range(20)]
    assert low_confidence(readings(*good, *bad)) == pytest.approx((0.39 + 0.80) / 2)


def test_a_few_sure_but_wrong_readings_do_not_make_all_uncertain():
    good = [(0.70 + place / 100, 0) for place in range(20)]
    threshold = low_confidence(readings((0.4, 10), *good, (0.95, 10), (0.96, 0)))
    assert threshold == pytest.approx((0.4 + 0.7) / 2)


def test_where_all_is_read_well_only_what_is_less_sure_than_ever_is_uncertain():
    assert low_confidence(readings(*[(0.7 + place / 100, 0) for place in range(25)])) == pytest.approx(0.7)


def test_of_too_few_readings_nothing_is_learnt():
    assert low_confidence(readings((0.9, 9), (0.95, 9))) == LOW_CONFIDENCE
    assert low_confidence([]) == LOW_CONFIDENCE


@pytest.mark.parametrize(
    ("stored", "expected"),
    [("0.75", 0.75), (None, 0.6), ("much", 0.6), ("nan", 0.6), ("7", 0.6), ("-1", 0.6)],
)
def test_a_checkpoint_says_what_is_low_if_it_can_be_meant(stored, expected):
    assert stored_confidence(stored) == expected


@pytest.mark.parametrize(("stored", "uncertain"), [("0.0", False), ("1.0", True)])
def test_a_transcript_is_uncertain_below_what_its_checkpoint_says(stored, uncertain):
    vocabulary = build_vocabulary(["god made all"])
    torch.manual_seed(0)
    model = build_model(tiny_config(vocabulary))
    with torch.no_grad():
        model.lm_head.bias[vocabulary.encode("g")] = 5.0  # whatever is said, it hears a letter
    checkpoint = TranscriberCheckpoint(model, vocabulary, TINY_FRONTEND, metadata={"low_confidence": stored})
    heard = Transcriber(checkpoint, device="cpu").transcribe_samples([torch.randn(16_000).numpy() / 10])[0]
    assert heard.text == "g"
    assert heard.is_uncertain is uncertain


def test_a_transcript_is_as_sure_as_its_checkpoint_estimates_and_its_words_as_their_letters():
    vocabulary = build_vocabulary(["god made all"])
    torch.manual_seed(0)
    model = build_model(tiny_config(vocabulary))
    with torch.no_grad():
        model.lm_head.bias[vocabulary.encode("g")] = 5.0
    found = Evidence(3, 2.7, 3.0, 1.0)
    made = [Prediction(str(place), "god", "godly", 0.9, found) for place in range(30)]
    metadata = learnt_confidence(made, ["god made all"])
    samples = [torch.randn(16_000).numpy() / 10]
    plain = Transcriber(TranscriberCheckpoint(model, vocabulary, TINY_FRONTEND), device="cpu")
    learnt = Transcriber(replace(plain.checkpoint, metadata=metadata), device="cpu")
    (before,), (after,) = plain.transcribe_samples(samples), learnt.transcribe_samples(samples)
    assert after.words == before.words
    assert before.confidence == pytest.approx(before.words[0].confidence)
    assert after.confidence == pytest.approx(0.6, abs=0.15), "three letters of five were right"
