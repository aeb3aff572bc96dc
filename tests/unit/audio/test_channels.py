"""Channels that cancel each other in whatever way: no word of a recording is lost when they are mixed."""

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_worker.audio.channels import ChannelPowers
from codex_worker.audio.decode import decode

from .made import speech_like

RATE = 16_000
BANDS = ((100, 400), (400, 1000), (1000, 2800), (2800, 7000))


def voice(seconds=6.0, seed=0):
    """Noise coloured like speech, in syllables, with pauses."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft(rng.standard_normal(round(seconds * RATE)))
    frequencies = np.fft.rfftfreq(round(seconds * RATE), 1 / RATE)
    spectrum *= (frequencies > 100) / np.maximum(frequencies, 300)
    sound = np.fft.irfft(spectrum, round(seconds * RATE))
    t = np.arange(sound.size) / RATE
    sound *= np.clip(np.sin(2 * np.pi * 3 * t) + 0.6, 0, 1) * ((t % 2) < 1.7)
    return (0.5 * sound / np.abs(sound).max()).astype(np.float32)


def band_powers(sound):
    spectrum = np.abs(np.fft.rfft(sound)) ** 2
    frequencies = np.fft.rfftfreq(sound.size, 1 / RATE)
    return [spectrum[(frequencies >= low) & (frequencies < high)].sum() for low, high in BANDS]


def phase_turned(sound, above_hz):
    """The same sound with the opposite phase above a frequency."""
    spectrum = np.fft.rfft(sound)
    spectrum[np.fft.rfftfreq(sound.size, 1 / RATE) > above_hz] *= -1
    return np.fft.irfft(spectrum, sound.size).astype(np.float32)


def noise(level, seed=1):
    return (level * np.random.default_rng(seed).standard_normal(6 * RATE)).astype(np.float32)


def partly(sound, begin_s, end_s):
    other = sound.copy()
    other[int(begin_s * RATE) : int(end_s * RATE)] *= -1
    return other


X = voice()
CANCELLING = {
    "opposite": [X, -X],
    "nearly opposite": [X, -0.9 * X],
    "opposite with a delay of 1 sample": [X, -np.roll(X, 1)],
    "opposite with a delay of 4 samples": [X, -np.roll(X, 4)],
    "opposite for the first half": [X, partly(X, 0, 3)],
    "opposite for one word": [X, partly(X, 4, 4.6)],
    "opposite above 1 kHz": [X, phase_turned(X, 1000)],
    "opposite with noise in one": [X, -X + noise(0.02)],
    "opposite with loud noise in one": [X, -X + noise(0.1)],
    "opposite with an offset": [X + 0.2, -X + 0.2],
    "opposite and cut flat": [X, -np.clip(X, -0.15, 0.15)],
    "two of four opposite": [X, -X, 0 * X, 0 * X],
    "surround": [X, -X, 0.5 * X, -0.5 * X, 0 * X, 0 * X],
}


@pytest.mark.parametrize("kind", CANCELLING)
def test_nothing_of_a_voice_is_lost_where_channels_cancel(tmp_path, kind):
    soundfile.write(tmp_path / "a.wav", np.stack(CANCELLING[kind], 1), RATE, subtype="FLOAT")
    recording = decode(tmp_path / "a.wav", sample_rate=RATE)
    assert any("cancel" in note for note in recording.notes)
    for found, right in zip(band_powers(recording.samples), band_powers(X), strict=True):
        assert found > 0.25 * right
    seconds = recording.samples.reshape(6, RATE).std(axis=1) / X.reshape(6, RATE).std(axis=1)
    assert seconds.min() > 0.5
    assert recording.samples[int(1.75 * RATE) : int(1.95 * RATE)].std() < 0.01, "the cleanest one is taken"


Y = voice(seed=5)
SOUND = {
    "the same": [X, X],
    "one is dead": [X, 0 * X],
    "one is faint": [X, 0.1 * X],
    "unrelated": [X, Y],
    "one is noise": [X, noise(0.05)],
    "one is cut flat": [X, np.clip(4 * X, -0.5, 0.5)],
    "one is faint and opposite": [X, -0.2 * X],
    "one has the first half, the other the second": [
        X * (np.arange(X.size) < 3 * RATE),
        X * (np.arange(X.size) >= 3 * RATE),
    ],
    "surround with the voice in the middle": [0 * X, 0 * X, X, 0 * X, 0 * X, 0 * X],
}


@pytest.mark.parametrize("kind", SOUND)
def test_channels_that_do_not_cancel_are_averaged(tmp_path, kind):
    channels = np.stack(SOUND[kind], 1)
    soundfile.write(tmp_path / "a.wav", channels, RATE, subtype="FLOAT")
    recording = decode(tmp_path / "a.wav", sample_rate=RATE)
    assert recording.notes == ()
    assert np.abs(recording.samples - channels.mean(axis=1)).max() < 1e-4


@pytest.mark.parametrize("kind", ["opposite", "opposite for the first half"])
def test_a_clip_is_judged_by_itself(tmp_path, kind):
    soundfile.write(tmp_path / "a.wav", np.stack(CANCELLING[kind], 1), RATE, subtype="FLOAT")
    clip = decode(tmp_path / "a.wav", sample_rate=RATE, start_s=0.5, end_s=2.5).samples
    assert clip.std() > 0.7 * X[RATE // 2 : 5 * RATE // 2].std()


@settings(max_examples=30, deadline=None)
@given(
    gain=st.floats(-1.0, 1.0),
    delay=st.integers(0, 12),
    share=st.floats(0.1, 1.0),
    count=st.sampled_from([2, 3, 6]),
)
def test_whatever_one_channel_is_to_the_other_the_voice_is_heard(gain, delay, share, count):
    turned = int(share * X.size)
    other = np.concatenate([gain * np.roll(X, delay)[:turned], X[turned:]])
    channels = np.stack([X, other, *[0 * X] * (count - 2)])
    powers = ChannelPowers(RATE)
    for at in range(0, X.size, 1000):
        powers.add(channels[:, at : at + 1000])
    best = powers.best_where_they_cancel()
    heard = channels.mean(axis=0) if best is None else channels[best]
    assert heard[: 2 * RATE].std() > 0.3 * X[: 2 * RATE].std() / count


def test_a_recording_shorter_than_a_block_is_judged_too():
    powers = ChannelPowers(RATE)
    sound = speech_like(0.01, RATE)
    powers.add(np.stack([sound, -sound]))
    assert powers.best_where_they_cancel() in {0, 1}
    assert ChannelPowers(RATE).best_where_they_cancel() is None
