"""Music instead of speech, or behind it: told from voices, and from what else stands still."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from codex_worker.audio.decode import decode
from codex_worker.audio.music import music_s
from codex_worker.doctor.checks import MUSIC_S
from tests.unit.audio.made import write

RATE = 16_000
SENTENCES = sorted((Path(__file__).parents[3] / "sample" / "recordings").iterdir())
RNG = np.random.default_rng(0)
CHORDS = [(262, 330, 392), (220, 262, 330), (175, 220, 262), (196, 247, 294)]


@cache
def sentence(number):
    return decode(SENTENCES[number], sample_rate=RATE).samples


def as_loud(samples, other, difference_db=0.0):
    """The first samples, so many decibels louder than the other ones."""
    gain = np.sqrt(np.mean(other**2) / np.mean(samples**2)) * 10 ** (difference_db / 20)
    return (samples * gain).astype(np.float32)


def plucked(chord, duration_s, decay_s):
    """Notes with an attack and partials, of which the high ones die away first."""
    times = np.arange(round(duration_s * RATE)) / RATE
    partials = [
        np.sin(2 * np.pi * hertz * number * times + number) * np.exp(-times * number / decay_s) / number
        for hertz in chord
        for number in range(1, 6)
    ]
    return np.minimum(times / 0.01, 1) * sum(partials)


def music(duration_s, chord_s=1.0, decay_s=1.0):
    count = int(np.ceil(duration_s / chord_s))
    played = np.concatenate([plucked(CHORDS[n % 4], chord_s, decay_s) for n in range(count)])
    return as_loud(played[: round(duration_s * RATE)], sentence(3))


def tones(samples, hertz):
    times = np.arange(samples.size) / RATE
    return sum(np.sin(2 * np.pi * each * times + each) for each in hertz)


def with_echo(samples):
    """As in a church."""
    echo = RNG.standard_normal(RATE) * 10 ** (-3 * np.arange(RATE) / RATE)
    return samples + as_loud(np.convolve(samples, echo)[: samples.size], samples, -3)


def beep(duration_s, hertz=440):
    return 0.2 * tones(np.zeros(round(duration_s * RATE)), [hertz])


@pytest.mark.parametrize("kind", ["wav", "webm", "mp3", "m4a"])
@pytest.mark.parametrize("duration_s", [4.0])
def test_music_is_told_in_every_format(tmp_path, kind, duration_s):
    path = write(tmp_path / f"a.{kind}", music(duration_s), RATE)
    assert music_s(decode(path, sample_rate=RATE).samples, RATE) >= MUSIC_S


@pytest.mark.parametrize(("chord_s", "decay_s"), [(0.8, 0.5), (1.0, 2.0), (2.0, 1.0), (2.5, 10.0)])
def test_slow_and_quick_music_is_told(chord_s, decay_s):
    assert music_s(music(8.0, chord_s, decay_s), RATE) >= MUSIC_S


SPOILT = {
    "music before the words": lambda words: np.append(music(3.0), words),
    "music after the words": lambda words: np.append(words, music(3.0)),
    "loud music behind the words": lambda words: words + music(words.size / RATE)[: words.size],
}


@pytest.mark.parametrize("how", SPOILT)
@pytest.mark.parametrize("number", [30])
def test_music_besides_the_words_is_told(how, number):
    assert music_s(SPOILT[how](sentence(number)), RATE) >= MUSIC_S


@pytest.mark.parametrize("number", range(0, 76, 8))
def test_words_are_no_music(number):
    assert music_s(sentence(number), RATE) < MUSIC_S / 2


NO_MUSIC = {
    "nothing": lambda words: words[:0],
    "one moment": lambda words: words[:100],
    "silence": lambda words: 0 * words,
    "noise": lambda words: RNG.standard_normal(words.size),
    "noise behind words": lambda words: words + as_loud(RNG.standard_normal(words.size), words, -10),
    "an echo": with_echo,
    "the hum of the mains": lambda words: words + as_loud(tones(words, range(50, 900, 50)), words, -20),
    "a buzz": lambda words: words + as_loud(tones(words, range(60, 3000, 120)), words, -10),
    "a whining machine": lambda words: words + as_loud(tones(words, [412, 1033, 2150]), words, -15),
    "a beep before words": lambda words: np.concatenate([beep(1.0), np.zeros(3000), words]),
    "a long beep": lambda words: np.concatenate([beep(4.0), np.zeros(3000), words]),
    "a beep of a phone's key": lambda words: np.concatenate([beep(0.5, 770) + beep(0.5, 1336), words]),
}


@pytest.mark.parametrize("other", NO_MUSIC)
@pytest.mark.parametrize("number", [3])
def test_what_else_stands_still_is_no_music(other, number):
    assert music_s(NO_MUSIC[other](sentence(number)).astype(np.float32), RATE) < MUSIC_S
