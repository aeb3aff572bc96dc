"""Beeps, and voices of other people: told from clean recordings of one person."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from codex_worker.audio.character import longest_beep_s
from codex_worker.audio.decode import decode
from codex_worker.audio.resample import resample
from codex_worker.doctor.checks import BEEP_S, TWO_VOICES_SEMITONES
from codex_worker.doctor.measures import VoiceMeasures, measure_voice
from codex_worker.doctor.speakers import odd_voices
from tests.unit.audio.made import write

RATE = 16_000
SENTENCES = sorted((Path(__file__).parents[3] / "sample" / "recordings").iterdir())
LETTERS = np.arange(6 * RATE) / RATE


@cache
def sentence(number):
    return decode(SENTENCES[number], sample_rate=RATE).samples


def beep(duration_s, hertz, level=0.4):
    return (level * np.sin(2 * np.pi * hertz * LETTERS[: round(duration_s * RATE)])).astype(np.float32)


def higher(samples, semitones):
    """As a smaller person says it: higher, and somewhat faster."""
    return resample(samples, RATE, round(RATE * 2 ** (-semitones / 12)))


def said_by_one(number):
    """Two sentences of one of the two robots, who take turns."""
    return np.concatenate([sentence(number), sentence(number + 2)])


@pytest.mark.parametrize("kind", ["wav", "webm", "mp3", "m4a"])
@pytest.mark.parametrize("hertz", [400, 1000, 2500])
@pytest.mark.parametrize("duration_s", [0.25, 1.0])
def test_a_beep_before_the_words_is_heard_in_every_format(tmp_path, kind, hertz, duration_s):
    sound = np.concatenate([beep(duration_s, hertz), np.zeros(RATE // 5, np.float32), sentence(3)])
    samples = decode(write(tmp_path / f"a.{kind}", sound, RATE), sample_rate=RATE).samples
    assert BEEP_S < longest_beep_s(samples, RATE) < duration_s + 0.1


@pytest.mark.parametrize("number", range(0, 76, 6))
def test_words_are_no_beep(number):
    assert longest_beep_s(sentence(number), RATE) < BEEP_S


def test_the_hum_of_the_mains_is_no_beep():
    hum = 0.1 * np.sin(2 * np.pi * 50 * LETTERS[: sentence(3).size])
    assert longest_beep_s((sentence(3) + hum).astype(np.float32), RATE) < BEEP_S


@pytest.mark.parametrize("number", range(0, 70, 6))
def test_one_person_has_one_voice_from_beginning_to_end(number):
    whole = np.concatenate([said_by_one(number), said_by_one(number + 4)])
    assert measure_voice(whole, RATE).turn_semitones < TWO_VOICES_SEMITONES


@pytest.mark.parametrize("number", range(0, 48, 12))
@pytest.mark.parametrize("semitones", [8, 12])
def test_another_person_who_goes_on_is_noticed(number, semitones):
    both = np.concatenate([said_by_one(number), higher(said_by_one(number + 4), semitones)])
    assert measure_voice(both, RATE).turn_semitones > TWO_VOICES_SEMITONES


def voices(*pitches):
    return [VoiceMeasures(pitch, np.zeros(24)) for pitch in pitches]


USUAL = [200 * 2 ** (step / 36) for step in range(-6, 7)]


@pytest.mark.parametrize(
    ("others", "odd"),
    [
        ([], []),
        ([120.0], [13]),
        ([390.0, 100.0], [13, 14]),
        ([260.0], []),  # somewhat higher, as when one asks
        ([float("nan")], []),  # whispered
    ],
)
def test_a_recording_in_another_pitch_than_all_others_is_odd(others, odd):
    measured = voices(*USUAL, *others)
    assert odd_voices(measured, [0] * len(measured)) == odd


def test_a_second_speaker_is_not_odd():
    measured = voices(*USUAL, *[pitch / 2 for pitch in USUAL])
    assert odd_voices(measured, [0] * len(USUAL) + [1] * len(USUAL)) == []
    assert odd_voices(voices(*USUAL[:3], 90.0), [0] * 4) == []  # too few to tell
