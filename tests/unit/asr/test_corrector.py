import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_worker.asr.corrector import (
    Corrector,
    EditModel,
    LetterModel,
    aligned_edits,
    fit_corrector,
)
from tests.support.present import present

WORDS = ("kindon", "naman", "tokples", "wara", "maunten", "pikinini", "gutpela", "lotu", "haus", "singaut")


def sentences(count, seed):
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=5)) for _ in range(count)]


def misheard(text, seed):
    """A transcriber that mostly writes t for d, and now and then drops an n at the end of a word."""
    rng = random.Random(seed)
    text = "".join("t" if letter == "d" and rng.random() < 0.9 else letter for letter in text)
    return " ".join(w[:-1] if w.endswith("n") and rng.random() < 0.5 else w for w in text.split())


def fitted(pairs, texts):
    """The corrector and its report, where there has to be one."""
    corrector, report = fit_corrector(pairs, texts)
    return present(corrector), present(report)


@given(st.text("abc ", max_size=12), st.text("abc ", max_size=12))
def test_the_edits_of_a_reading_joined_are_the_text(reading, text):
    edits = aligned_edits(reading, text)
    assert len(edits) == len(reading) + 1
    assert "".join(edits) == text


def test_it_learns_what_is_misheard_and_says_by_how_much_it_helps():
    spoken = sentences(60, seed=1)
    pairs = [(misheard(text, place), text) for place, text in enumerate(spoken)]
    corrector, report = fitted(pairs, sentences(200, seed=2))
    assert report.kept
    assert report.cer_after < report.cer_before / 2
    assert f"{report.cer_before:.4f}" in report.sentence
    assert f"{report.cer_after:.4f}" in report.sentence
    assert corrector.correct("kinto wara") == "kindon wara"


def test_it_leaves_a_reading_alone_that_nothing_speaks_against():
    spoken = sentences(60, seed=1)
    corrector, _ = fitted([(misheard(t, p), t) for p, t in enumerate(spoken)], sentences(200, seed=2))
    fresh = sentences(20, seed=9)
    assert [corrector.correct(text) for text in fresh] == fresh


def test_a_corrector_that_does_not_help_is_not_kept():
    # Errors at random: nothing can be learnt from one half that helps the other.
    rng = random.Random(0)
    letters = "abcdefghijklmnopqrstuvwxyz"
    spoken = ["".join(rng.choices(letters, k=20)) for _ in range(30)]
    heard = ["".join(rng.choice(letters) if rng.random() < 0.2 else c for c in text) for text in spoken]
    corrector, report = fit_corrector(list(zip(heard, spoken, strict=True)), spoken[:1])
    report = present(report)
    assert corrector is None
    assert not report.kept
    assert report.cer_after >= report.cer_before


def test_the_error_rate_after_correction_is_not_that_of_what_it_was_fitted_on():
    # Each reading errs in its own way: fitted and judged on the same pairs, all would be put right.
    spoken = sentences(24, seed=3)
    pairs = [(text.replace(WORDS[p % 10], f"x{p}y"), text) for p, text in enumerate(spoken)]
    _, report = fit_corrector(pairs, [])
    assert present(report).cer_after > 0.0


@pytest.mark.parametrize("count", [0, 1, 19])
def test_too_few_readings_make_no_corrector(count):
    assert fit_corrector([(f"a{i}", f"b{i}") for i in range(count)], ["b"]) == (None, None)


def test_readings_that_are_all_the_same_are_no_reason_to_crash():
    corrector, report = fit_corrector([("ab", "ab")] * 40, ["ab"])
    assert (corrector, report) == (None, None)


def test_it_travels_as_json():
    spoken = sentences(40, seed=1)
    corrector, _ = fitted([(misheard(t, p), t) for p, t in enumerate(spoken)], sentences(50, seed=2))
    again = Corrector.from_json(corrector.to_json())
    readings = [misheard(text, place) for place, text in enumerate(sentences(10, seed=5))]
    assert [again.correct(r) for r in readings] == [corrector.correct(r) for r in readings]


def test_probabilities_of_letters_sum_to_one():
    model = LetterModel.fit(["kindon", "kin"])
    alphabet = {ngram for ngram in model.counts if len(ngram) == 1}
    for history in ("", "k", "kin", "zzz"):
        total = sum(2.718281828459045 ** model.log_prob(history, letter) for letter in alphabet)
        assert total == pytest.approx(1.0, abs=0.35)
        assert total <= 1.0


@given(st.text("abcé ", max_size=20))
def test_any_reading_can_be_corrected_and_comes_out_tidy(reading):
    corrector = Corrector(EditModel.fit([("ab", "aé")]), LetterModel.fit(["aé b"]), 0.3)
    text = corrector.correct(reading)
    assert text == " ".join(text.split())
