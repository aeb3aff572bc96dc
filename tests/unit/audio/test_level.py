import numpy as np
import pytest

from codex_worker.audio.level import even_level, find_pauses, loudness, measure, trim_silence
from codex_worker.audio.resample import resample

from .made import alike, speech_like, sweep

RATE = 16_000


def tone(frequency, level, duration_s=3.0, rate=48_000):
    t = np.arange(round(duration_s * rate)) / rate
    return (level * np.sin(2 * np.pi * frequency * t)).astype(np.float32)


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
def test_a_full_tone_of_997_hz_has_the_loudness_that_the_recommendation_states(rate):
    assert loudness(tone(997, 1.0, rate=rate), rate) == pytest.approx(-3.01, abs=0.06)


@pytest.mark.parametrize(
    # Values of the recommendation's own 48 kHz filters (its tables 1 and 2) at these frequencies.
    ("frequency", "gain_db"),
    [(25, -10.4), (100, -1.1), (500, 0.0), (2000, 3.0), (10_000, 4.0)],
)
def test_the_ear_is_weighted_as_the_recommendation_has_it(frequency, gain_db):
    flat = -0.691 + 10 * np.log10(0.1**2 / 2)
    assert loudness(tone(frequency, 0.1), 48_000) - flat == pytest.approx(k_gain_db(frequency), abs=0.15)
    assert k_gain_db(frequency) == pytest.approx(gain_db, abs=1.0)


def k_gain_db(frequency, rate=48_000):
    """Gain of the two digital filters whose coefficients ITU-R BS.1770 prints."""
    shelf = (
        [1.53512485958697, -2.69169618940638, 1.19839281085285],
        [1.0, -1.69065929318241, 0.73248077421585],
    )
    high_pass = ([1.0, -2.0, 1.0], [1.0, -1.99004745483398, 0.99007225036621])
    z = np.exp(-2j * np.pi * frequency / rate * np.arange(3))
    return sum(20 * np.log10(abs(np.dot(b, z) / np.dot(a, z))) for b, a in (shelf, high_pass))


def test_long_silence_does_not_make_speech_less_loud():
    speech = speech_like(3.0, RATE)
    with_silence = np.concatenate([speech, np.zeros(10 * RATE, np.float32)])
    assert loudness(with_silence, RATE) == pytest.approx(loudness(speech, RATE), abs=0.3)


@pytest.mark.parametrize("level", [0.01, 0.05, 0.3])
def test_all_recordings_come_to_the_same_loudness(level):
    even = even_level(speech_like(4.0, RATE, level=level, noise=0.0), RATE)
    assert loudness(even, RATE) == pytest.approx(-23.0, abs=0.1)
    assert even.dtype == np.float32


def test_a_click_keeps_the_level_down_and_is_not_clipped():
    speech = speech_like(4.0, RATE, level=0.01)
    speech[1000] = 0.9
    even = even_level(speech, RATE)
    assert np.abs(even).max() == pytest.approx(10 ** (-1 / 20), abs=1e-4)


def test_silence_is_not_amplified():
    for silence in (np.zeros(RATE, np.float32), np.full(RATE, 1e-6, np.float32), np.zeros(0, np.float32)):
        assert np.array_equal(even_level(silence, RATE), silence)


def test_silence_is_cut_from_both_ends_but_for_a_margin():
    samples = speech_like(4.0, RATE, pauses=[(0.0, 1.0), (2.0, 2.5), (3.5, 4.0)])
    trimmed = trim_silence(samples, RATE, margin_s=0.1)
    assert trimmed.size / RATE == pytest.approx(2.7, abs=0.05)
    assert np.array_equal(trimmed[:100], samples[round(0.9 * RATE) :][:100])


@pytest.mark.parametrize("noise", [0.0, 0.0005, 0.01])
def test_pauses_are_found_in_quiet_and_in_noisy_rooms(noise):
    pauses = [(0.0, 0.6), (1.5, 2.1), (3.0, 3.1), (4.2, 5.0)]
    found = find_pauses(speech_like(5.0, RATE, pauses, noise=noise), RATE)
    assert len(found) == 3, "0.1 s is no pause"
    for (start, end), (true_start, true_end) in zip(found, [pauses[0], pauses[1], pauses[3]], strict=True):
        assert start == pytest.approx(true_start, abs=0.05)
        assert end == pytest.approx(true_end, abs=0.05)


@pytest.mark.parametrize(
    "samples", [np.zeros(RATE, np.float32), tone(300, 0.5, rate=RATE)], ids=["silence", "tone"]
)
def test_a_recording_that_is_all_alike_stays_whole(samples):
    assert trim_silence(samples, RATE).size == samples.size


def test_silence_throughout_is_one_pause_and_sound_throughout_is_none():
    assert find_pauses(np.zeros(RATE, np.float32), RATE) == [(0.0, 1.0)]
    assert find_pauses(tone(300, 0.5, rate=RATE), RATE) == []
    assert find_pauses(np.zeros(0, np.float32), RATE) == []


def test_the_measures_tell_good_from_bad_recordings():
    good = measure(speech_like(5.0, RATE, [(1.0, 2.0)]), RATE)
    assert good.pause_s == pytest.approx(1.0, abs=0.05)
    assert good.signal_to_noise_db > 40

    noisy = measure(speech_like(5.0, RATE, [(1.0, 2.0)], noise=0.05), RATE)
    assert noisy.signal_to_noise_db < 20
    assert noisy.noise_floor_db == pytest.approx(20 * np.log10(0.05), abs=1.0)

    silent = measure(np.zeros(RATE, np.float32), RATE)
    assert (silent.speech_db, silent.loudness_lufs) == (-120.0, -120.0)
    assert measure(np.zeros(0, np.float32), RATE).speech_db == -120.0


@pytest.mark.parametrize(("from_rate", "to_rate"), [(48_000, 16_000), (16_000, 44_100), (44_100, 44_100)])
def test_resampling_keeps_the_sound_and_its_length(from_rate, to_rate):
    resampled = resample(sweep(2.0, from_rate), from_rate, to_rate)
    assert resampled.size == pytest.approx(2 * to_rate, abs=1)
    assert resampled.dtype == np.float32
    assert alike(sweep(2.0, to_rate), resampled, slack=2) > 0.999


def test_resampling_nothing_gives_nothing():
    assert resample(np.zeros(0, np.float32), 8_000, 16_000).size == 0
