"""A voice that was recorded too loud is told at any level and in any format, and a clean loud one is not."""

from pathlib import Path

import numpy as np
import pytest

from codex_worker.audio.decode import decode
from codex_worker.audio.overdrive import flat_share, has_ceiling, is_flattened
from tests.unit.audio.made import write

RATE = 16_000
SENTENCES = sorted((Path(__file__).parents[3] / "sample" / "recordings").iterdir())
# Formats with bit rates (kbit/s) that recorders and messengers use.
CODED: list[tuple[str, int | None]] = [
    ("wav", None),
    ("flac", None),
    ("webm", 32),
    ("webm", 64),
    ("mp3", 48),
    ("mp3", 64),
    ("m4a", 64),
]
# What is left of flat tops at the lowest rates is told of people's voices, not of the sample's robots.
LOW_RATES: list[tuple[str, int | None]] = [("webm", 16), ("mp3", 32), ("m4a", 32)]


def voice(seed=0, duration_s=3.0):
    """So much of the sample's sentences, its highest peak at full scale."""
    spoken = [decode(path, sample_rate=RATE).samples for path in SENTENCES[seed : seed + 3]]
    sound = np.concatenate(spoken)[RATE // 5 :][: round(duration_s * RATE)]
    return sound / np.abs(sound).max()


def overdriven(sound, gain, level=1.0, lowest=-1.0):
    """Turned up so many times and cut flat; `lowest` is where the other side is cut."""
    return level * np.clip(gain * sound, lowest, 1.0)


def limited(sound, threshold=0.08):
    """As a radio station sends it: equally loud throughout, by a gain that follows within milliseconds."""
    length = 48
    tops = np.array([np.abs(sound[at : at + length]).max() for at in range(0, sound.size, length)])
    held = np.array([tops[max(0, at - 4) : at + 2].max() for at in range(tops.size)])
    gain = threshold / np.maximum(held, threshold)
    smooth = np.interp(np.arange(sound.size), np.arange(tops.size) * length + length / 2, gain)
    return sound * smooth / np.abs(sound * smooth).max()


def through(tmp_path, samples, kind, kbit):
    """The samples as they come out of a file of this kind."""
    path = write(tmp_path / f"a.{kind}", samples, RATE, bit_rate=kbit and 1000 * kbit)
    return decode(path, sample_rate=RATE).samples


def verdict(samples):
    """The worst that can be said."""
    if flat_share(samples) > 0.05 or is_flattened(samples, RATE):
        return "overdriven"
    return "in places" if flat_share(samples) > 0.001 or has_ceiling(samples, RATE) else "clean"


@pytest.mark.parametrize(("kind", "kbit"), CODED)
@pytest.mark.parametrize("level", [1.0, 0.98, 0.8, 0.3, 0.05])
def test_a_voice_that_is_cut_flat_is_told_at_any_level_in_any_format(tmp_path, kind, kbit, level):
    assert verdict(through(tmp_path, overdriven(voice(), 16, level), kind, kbit)) == "overdriven"


@pytest.mark.parametrize(("kind", "kbit"), [("wav", None), ("webm", 32), ("mp3", 64), ("m4a", 64)])
@pytest.mark.parametrize("side", [1, -1])
def test_one_side_of_the_waves_is_enough(tmp_path, kind, kbit, side):
    sound = side * overdriven(side * voice(), 16, 0.5, lowest=-3.0)
    assert verdict(through(tmp_path, sound, kind, kbit)) != "clean"


@pytest.mark.parametrize(("kind", "kbit"), CODED + LOW_RATES)
@pytest.mark.parametrize("loud", [lambda sound: sound, limited], ids=["as it is", "limited"])
@pytest.mark.parametrize("seed", [0, 30])
def test_a_clean_voice_is_not_overdriven_however_loud(tmp_path, kind, kbit, loud, seed):
    assert verdict(through(tmp_path, 0.8 * loud(voice(seed)), kind, kbit)) == "clean"


@pytest.mark.parametrize("duration_s", [0.1, 0.3, 0.6])
@pytest.mark.parametrize("seed", range(0, 60, 12))
def test_a_single_clean_word_is_not_overdriven(duration_s, seed):
    sound = voice(seed)
    length = round(duration_s * RATE)
    loudest = int(np.convolve(sound**2, np.ones(length), "valid").argmax())
    assert verdict(sound[loudest : loudest + length]) == "clean"


def vowel(hertz, formants, overtones=30, duration_s=1.5):
    """A sung vowel: overtones that are strong near the formants."""
    t = np.arange(round(duration_s * RATE)) / RATE
    sound = np.zeros(t.size)
    for number in range(1, overtones + 1):
        strength = sum(1 / (1 + ((number * hertz - formant) / 120) ** 2) for formant in formants)
        sound += strength * np.sin(2 * np.pi * number * hertz * t + number**2 / overtones)
    return 0.9 * sound / np.abs(sound).max()


@pytest.mark.parametrize("hertz", [90, 130, 220, 330])
@pytest.mark.parametrize("formants", [(300, 870), (300, 2300), (700, 1200), (500, 1800)])
def test_a_sung_vowel_is_not_overdriven(hertz, formants):
    assert verdict(vowel(hertz, formants)) == "clean"


@pytest.mark.parametrize("share", [0.01, 0.02])
@pytest.mark.parametrize("level", [1.0, 0.6])
def test_peaks_that_are_cut_here_and_there_are_a_remark(share, level):
    sound = voice()
    assert verdict(overdriven(sound, 1 / np.quantile(np.abs(sound), 1 - share), level)) == "in places"


@pytest.mark.parametrize(
    "samples", [np.zeros(0), np.zeros(RATE), np.full(RATE, 0.5), np.ones(3), np.ones(200)]
)
def test_hardly_any_sound_breaks_nothing(samples):
    assert not is_flattened(samples.astype(np.float32), RATE)
    has_ceiling(samples.astype(np.float32), RATE)
