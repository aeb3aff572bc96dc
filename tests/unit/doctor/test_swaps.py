"""Texts of other recordings are found by order alone, as far as the reader knows its recordings."""

import numpy as np
import pytest

from codex_worker.audio.level import Levels
from codex_worker.doctor.examined import Examined
from codex_worker.doctor.findings import findings_of
from codex_worker.doctor.measures import VoiceMeasures
from codex_worker.doctor.swaps import MOST_OTHERS, exchanged, misplaced, others_to_try

COUNT = 60
SWAPPED = {10: 14, 14: 10, 30: 33, 33: 30}


def project(knows, says=None, seed=0, fit=None):
    """Recordings of a chapter as a reader that `knows` so much hears them; `says` are other verses' texts."""
    rng = np.random.default_rng(seed)
    heard = []
    for number in range(COUNT):
        said = (says or {}).get(number, number)
        nearest = sorted(range(COUNT), key=lambda other: abs(other - number))[: MOST_OTHERS + 1]
        likelihoods = {str(n): float(-3 + knows * (n == said) + 0.3 * rng.standard_normal()) for n in nearest}
        heard.append(
            Examined(
                key=str(number),
                label=f"MRK 1:{number}",
                book="MRK",
                text=f"abcdefghij abcdefghij {number}",
                duration_s=3.0,
                speech_s=3.0,
                levels=Levels(-23.0, -60.0, -20.0, 0.5),
                voice=VoiceMeasures(120.0, np.zeros(24)),
                sound=str(number),
                fit=fit,
                notes=(),
                likelihoods=likelihoods,
            )
        )
    return heard


def unlike(number):
    """A text of forty letters that is like no other number's."""
    return "".join(np.random.default_rng(number).choice(list("abcdefghijklmnop "), 40))


def labels(*numbers):
    return {f"MRK 1:{number}" for number in numbers}


def found_exchanged(heard):
    return {label for finding in exchanged(heard) for label in finding.cells}


@pytest.mark.parametrize("seed", range(5))
def test_recordings_that_changed_places_are_found(seed):
    heard = project(2.5, SWAPPED, seed)
    assert found_exchanged(heard) == labels(*SWAPPED)
    assert set(misplaced(heard) or ()) <= labels(*SWAPPED)


@pytest.mark.parametrize("seed", range(5))
def test_texts_of_verses_that_are_elsewhere_are_found(seed):
    heard = project(2.5, {5: 900, 25: 901, 45: 8}, seed)
    assert not found_exchanged(heard)
    found = set(misplaced(heard) or ())
    assert len(found & labels(5, 25, 45)) >= 2 and not found - labels(5, 25, 45)


@pytest.mark.parametrize("knows", [2.5, 4.0])
def test_where_all_is_right_nothing_is_found(knows):
    assert found_exchanged(project(knows)) == set()
    assert misplaced(project(knows)) == []


@pytest.mark.parametrize("knows", [0.0, 0.3])
@pytest.mark.parametrize("says", [{}, SWAPPED])
def test_a_reader_that_does_not_know_its_recordings_names_none(knows, says):
    heard = project(knows, says)
    assert found_exchanged(heard) == set()
    assert misplaced(heard) is None


def test_too_few_recordings_cannot_be_judged():
    assert misplaced(project(2.5, SWAPPED)[:5]) is None
    assert misplaced([]) is None
    assert list(exchanged([])) == []


@pytest.mark.parametrize(
    ("knows", "kinds"), [(2.5, {"exchanged", "mismatch"}), (0.0, {"poor-reader"})], ids=["order", "nothing"]
)
def test_a_poor_reader_is_asked_for_no_more_than_it_knows(knows, kinds):
    heard = project(knows, SWAPPED | {5: 900, 50: 901}, fit=0.2)
    found = {finding.kind for finding in findings_of(heard, [0] * COUNT, [], {}, 0.8)}
    assert found & {"exchanged", "mismatch", "poor-reader"} == kinds


def test_recordings_are_compared_with_texts_of_like_length_in_their_chapter_first():
    texts = {f"{chapter}:{verse}": unlike(8 * chapter + verse) for chapter in (1, 2) for verse in range(8)}
    texts |= {"1:99": "word", "1:98": "word " * 40, "1:97": texts["1:3"]}
    chapters = {key: key.split(":")[0] for key in texts}
    others = others_to_try(texts, chapters)
    assert "1:99" not in others and others["1:98"] == ()
    assert all(len(tried) <= MOST_OTHERS for tried in others.values())
    assert {key.split(":")[0] for key in others["1:3"][:7]} == {"1"}
    assert not {"1:3", "1:97", "1:98", "1:99"} & set(others["1:3"])


@pytest.mark.parametrize(
    ("text", "is_compared"),
    [
        ("Press seven to hear the next message again.", False),
        ("PRESS SEVEN TO HEAR THE NEXT MESSAGE!", False),
        ("Press nine to hear the last message again", False),
        ("Nobody of the others has come to us so far", True),
    ],
)
def test_a_recording_is_not_compared_with_a_text_that_sounds_like_its_own(text, is_compared):
    texts = {"1:1": "Press seven to hear the next message", "1:2": text}
    assert bool(others_to_try(texts, {"1:1": "1", "1:2": "1"})["1:1"]) == is_compared
