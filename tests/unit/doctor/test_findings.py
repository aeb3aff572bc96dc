"""What is worth a look: rules over all recordings, from measures that are made up."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codex_worker.audio.decode import decode
from codex_worker.audio.level import Levels, measure
from codex_worker.data.faults import Fault
from codex_worker.data.project import SkippedCell
from codex_worker.doctor.examined import Examined
from codex_worker.doctor.findings import CHECKS, findings_of
from codex_worker.doctor.measures import VoiceMeasures
from tests.unit.audio.made import speech_like

RATE = 16_000
SENTENCES = sorted((Path(__file__).parents[3] / "sample" / "recordings").iterdir())
CLEAN = Levels(-23.0, -60.0, -20.0, 0.5)
LETTERS = "abcdefghij"


def verse(number, letters=30, speech_s=3.0, fit=None, levels=CLEAN, faults=(), **more):
    text = (LETTERS * 10)[:letters]
    values = {
        "key": str(number),
        "label": f"MRK 1:{number}",
        "book": "MRK",
        "text": f"{text} {number}",
        "duration_s": speech_s,
        "speech_s": speech_s,
        "levels": levels,
        "voice": VoiceMeasures(120.0, np.zeros(24)),
        "sound": str(number),
        "fit": fit,
        "notes": (),
        "faults": faults,
    }
    return Examined(**{**values, **more})


def found_in(verses, reader_cer=None, left_out=()):
    found = findings_of(verses, [0] * len(verses), left_out, {}, reader_cer)
    return {finding.kind: finding for finding in found}


def with_fits(*fits):
    return [verse(number, fit=fit) for number, fit in enumerate(fits, start=1)]


@pytest.mark.parametrize(
    ("fits", "reader_cer", "kind"),
    [
        ([0.9] * 12, 0.1, None),
        ([None] * 12, 0.6, "poor-reader"),  # it was not even asked
        ([0.9] * 12, 0.51, "poor-reader"),
        ([0.3] * 12, None, "poor-reader"),  # it says nothing of itself, and fits nothing
        ([0.3] * 10 + [0.0] * 2, 0.2, "poor-reader"),
        ([None] * 12, None, None),
    ],
)
def test_a_poor_reader_names_no_verse_and_is_said_to_be_one(fits, reader_cer, kind):
    found = found_in(with_fits(*fits), reader_cer)
    assert {"mismatch", "poor-reader"} & set(found) == ({kind} if kind else set())


@pytest.mark.parametrize(
    ("fits", "reader_cer", "odd"),
    [
        ([0.9, 0.88, 0.92] * 5 + [0.3], 0.1, [16]),
        ([0.9, 0.88, 0.92] * 5 + [0.75], 0.1, []),  # a little worse is not odd
        ([0.9, 0.7, 0.6, 0.8, 0.95] * 3 + [0.5], 0.1, []),  # nor is it where they differ anyway
        ([0.6, 0.58, 0.62] * 5 + [0.1, 0.55], 0.45, [16]),  # a middling reader: the others are the measure
        ([0.9, 0.9, 0.3], 0.1, [3]),  # few: its own errors are
        ([0.9, 0.9, 0.46], 0.1, []),
    ],
)
def test_only_fits_far_below_the_others_are_odd(fits, reader_cer, odd):
    found = found_in(with_fits(*fits), reader_cer).get("mismatch")
    assert (found.cells if found else ()) == tuple(f"MRK 1:{number}" for number in odd)


def test_a_poor_reader_is_not_blamed_on_texts_that_fit_nowhere_else():
    found = found_in(with_fits(*[0.9] * 11, 0.1), 0.5)
    assert found["mismatch"].cells == ("MRK 1:12",)


@pytest.mark.parametrize(
    ("pauses", "noise", "is_noisy"),
    [
        ([(1.0, 1.6)], 0.05, True),
        ([(1.0, 1.6)], 0.0005, False),
    ],
)
def test_noise_is_judged_only_where_a_pause_lets_it_be_heard(pauses, noise, is_noisy):
    levels = measure(speech_like(2.4, RATE, pauses, noise=noise), RATE)
    assert ("noise" in found_in([verse(1, levels=levels)])) is is_noisy


WHITE = np.random.default_rng(1).standard_normal(10 * RATE)
NOISES: dict[str, np.ndarray] = {
    "none": WHITE,
    "white": WHITE,
    "rushing": np.convolve(WHITE, np.ones(4), "same"),
}


@pytest.mark.parametrize("kind", NOISES)
@pytest.mark.parametrize("seed", range(0, 70, 14))
@pytest.mark.parametrize("below_db", [5, 8, 30])
def test_noise_is_heard_under_a_voice_and_not_where_there_is_none(kind, seed, below_db):
    samples = decode(SENTENCES[seed], sample_rate=RATE).samples
    noise = NOISES[kind][: samples.size]
    strength = 0 if kind == "none" else samples.std() / noise.std() * 10 ** (-below_db / 20)
    levels = measure((samples + strength * noise).astype(np.float32), RATE)
    assert ("noise" in found_in([verse(1, levels=levels)])) is (kind != "none" and below_db < 10)


@pytest.mark.parametrize("path", SENTENCES[::8], ids=lambda path: path.name)
def test_a_clean_word_without_a_pause_is_not_noisy(path):
    samples = decode(path, sample_rate=RATE).samples
    middle = samples[samples.size // 2 - round(0.3 * RATE) :][: round(0.6 * RATE)]
    assert "noise" not in found_in([verse(1, levels=measure(middle, RATE))])


def test_a_single_word_whose_letters_differ_much_is_not_noisy():
    levels = Levels(-23.0, -32.0, -20.0, pause_s=0.08)
    assert "noise" not in found_in([verse(1, levels=levels)])


@pytest.mark.parametrize("letters", [1, 2, 5, 9])
@pytest.mark.parametrize("speech_s", [0.3, 3.0])
def test_single_words_are_said_as_people_like(letters, speech_s):
    verses = [verse(number) for number in range(1, 13)]
    single = verse(99, letters, speech_s, text=LETTERS[:letters])
    assert not {"pace-fast", "pace-slowly"} & set(found_in([*verses, single]))


@pytest.mark.parametrize(
    ("letters", "speech_s", "kind"),
    [
        (10, 6.0, "pace-slowly"),
        (10, 1.0, None),
        (30, 1.0, "pace-fast"),
        (30, 3.2, None),
        (30, 7.0, "pace-slowly"),
    ],
)
def test_a_text_of_ten_letters_and_more_has_a_pace(letters, speech_s, kind):
    verses = [verse(number, 20 + number, 2.0 + 0.1 * number) for number in range(1, 13)]
    found = found_in([*verses, verse(99, letters, speech_s, text=(LETTERS * 3)[:letters])])
    assert {"pace-fast", "pace-slowly"} & set(found) == ({kind} if kind else set())
    if kind:
        assert found[kind].cells == ("MRK 1:99",)


SPOILT: dict[str, dict[str, Any]] = {
    "long": {"duration_s": 31.0, "speech_s": 31.0},
    "noise": {"levels": Levels(-23.0, -30.0, -20.0, 0.5)},
    "quiet": {"levels": Levels(-45.0, -80.0, -45.0, 0.5)},
    "loud": {"levels": Levels(-9.0, -60.0, -6.0, 0.5)},
    "silence": {"duration_s": 9.0},
    "beep": {"beep_s": 0.3},
    "music": {"music_s": 2.0},
    "two-voices": {"voice": VoiceMeasures(120.0, np.zeros(24), turn_semitones=4.0)},
    "damage": {"notes": ("2 damaged packets left out",)},
    "peaks_cut": {"faults": (Fault.PEAKS_CUT,)},
    "mismatch": {"fit": 0.1},
    "pace-slowly": {"speech_s": 9.0, "duration_s": 9.0},
}


def test_every_check_of_single_recordings_has_a_case_here():
    assert {check.kind for check in CHECKS} <= set(SPOILT)


@pytest.mark.parametrize("kind", SPOILT)
@pytest.mark.parametrize("count", [1, 2])
def test_sentences_have_a_singular_and_a_plural(kind, count):
    good = [verse(number, fit=0.9) for number in range(1, 21)]
    bad = [verse(100 + number, **{"fit": 0.9, **SPOILT[kind]}) for number in range(count)]
    found = found_in([*good, *bad])[kind]
    assert len(found.cells) == count
    assert found.sentence.startswith("1 recording " if count == 1 else "2 recordings ")
    words = found.sentence.split()
    plural = {"are", "have", "do", "their", "them", "They", "texts"}
    singular = {"is", "has", "does", "its"}
    assert words[2] in (singular if count == 1 else plural)
    assert not (plural if count == 1 else singular) & set(words[:9]) - {"do", "text"}


@pytest.mark.parametrize("fault", Fault)
def test_a_fault_of_one_recording_is_told_in_the_singular(fault):
    left_out = [SkippedCell("a", "MRK 2:1", "MRK", "why", fault=fault)]
    assert found_in([verse(1)], left_out=left_out)[fault.value].sentence == fault.counted(1)


@pytest.mark.parametrize(
    ("speech_s", "breaks_off", "is_named"),
    [
        (1.9, True, True),  # short for its text, though not so short as to be odd by that alone
        (1.9, False, False),
        (3.0, True, False),  # stopped with the last word, as quick people do
        (2.6, True, False),
    ],
)
def test_a_recording_that_breaks_off_is_named_where_it_is_short_for_its_text(speech_s, breaks_off, is_named):
    others = [verse(number, letters, 0.3 + letters / 11) for number, letters in enumerate(range(20, 40), 2)]
    found = found_in([verse(1, speech_s=speech_s, breaks_off=breaks_off), *others])
    assert ("breaks-off" in found) == is_named
    assert "pace-fast" not in found


def test_a_single_word_that_breaks_off_is_no_alarm():
    others = [verse(number, letters, 0.3 + letters / 11) for number, letters in enumerate(range(20, 40), 2)]
    assert "breaks-off" not in found_in([verse(1, letters=3, speech_s=0.2, breaks_off=True), *others])


def compared(count, says_its_own=True):
    """Recordings of sentences; a reader finds their own texts, or others', the likeliest."""
    keys = [f"k{place}" for place in range(20)]
    return [
        verse(
            number,
            key=f"k{number}",
            fit=0.9,
            likelihoods={key: -0.5 if (key == f"k{number}") == says_its_own else -4.0 for key in keys},
        )
        for number in range(count)
    ]


@pytest.mark.parametrize(
    ("fit", "reader_cer", "is_named"),
    [
        (0.1, 0.25, False),  # a word that the reader has not learnt
        (0.1, 0.05, True),
        (0.0, 0.25, True),  # too short for its text, whoever reads
        (0.9, 0.05, False),
    ],
)
def test_of_single_words_only_a_good_reader_is_believed(fit, reader_cer, is_named):
    found = found_in([*compared(20), verse(30, letters=6, speech_s=0.9, fit=fit)], reader_cer)
    assert ("mismatch" in found) == is_named


def test_a_text_that_is_likelier_than_all_others_fits_however_badly_the_reader_knows_it():
    known = compared(20)
    unheard = [replace(each, fit=0.2) for each in known[:4]]
    assert "mismatch" not in found_in([*unheard, *known[4:]], 0.2)
