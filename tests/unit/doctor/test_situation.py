"""What a forecast needs is counted from the recordings, and shown on the page."""

import numpy as np
import pytest

from codex_worker.doctor.examine import examine
from codex_worker.doctor.page import data_page
from codex_worker.doctor.situation import situation_of
from tests.unit.doctor.test_doctor import good, recorded_with, sample, sample_report  # noqa: F401 - fixtures


def test_noise_and_repeated_texts_are_shares_of_the_time(tmp_path):
    noisy = good(2) + 0.1 * np.random.default_rng(1).standard_normal(good(2).size)
    sounds = {"one": good(1), "two": noisy, "three": good(3), "four": good(4)}
    texts = dict.fromkeys(sounds, "The same words.") | {"four": "the same WORDS", "two": "Other words."}
    found = situation_of(examine(recorded_with(tmp_path, sounds, texts)))
    assert found.recordings == 4
    assert found.noisy_share == pytest.approx(0.25)
    assert found.repeated_share == pytest.approx(0.5)
    assert found.letters == len(set("thesamewordsotherwords"))
    assert found.words == 4
    assert found.rare_share == 0


def test_letters_too_seldom_to_be_learnt_are_a_share_of_all_letters(tmp_path):
    texts = {"one": "abcd " * 2000, "two": "ab ž"}
    found = situation_of(examine(recorded_with(tmp_path, {"one": good(1, 600.0), "two": good(2)}, texts)))
    assert found.rare_share == pytest.approx(1 / 8003)


def test_two_voices_have_their_hours(sample_report):  # noqa: F811
    found = situation_of(sample_report)
    assert len(found.hours_by_speaker) == 2
    assert found.hours_by_speaker[0] >= found.hours_by_speaker[1]
    assert sum(found.hours_by_speaker) == pytest.approx(found.hours)


def test_the_page_says_what_can_be_expected_of_both_models(sample_report):  # noqa: F811
    page = data_page(sample_report, "sample")
    section = page.split("What can be expected")[1].split("<h2>")[0]
    for expected in ("in 100 letters wrong", "2 voices (a guess)", "A voice:", "Not counted", "rests on"):
        assert expected in section
