"""Whether a recording stops while somebody speaks, on people's recordings in every kind of file."""

from pathlib import Path

import numpy as np
import pytest

from codex_worker.audio.breaking_off import breaks_off
from codex_worker.audio.decode import decode
from codex_worker.audio.level import frame_levels_db, measure
from sample.real_speech.encoding import encode

RATE = 16_000
RECORDINGS = sorted((Path(__file__).parents[3] / "sample" / "recordings").iterdir())
EXTENSIONS = ("wav", "webm", "mp3", "m4a", "ogg")


def stops(samples):
    return breaks_off(samples, RATE, measure(samples, RATE))


def cut_in_a_vowel(samples):
    """Up to the loudest moment of the second third: somebody speaks there at full voice."""
    levels = frame_levels_db(samples, RATE)
    third = levels.size // 3
    loudest = third + int(np.argmax(levels[third : 2 * third]))
    return samples[: round((loudest + 1) * 0.02 * RATE)]


def test_a_whole_recording_does_not_break_off():
    assert [path.name for path in RECORDINGS if stops(decode(path, sample_rate=RATE).samples)] == []


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_one_that_was_stopped_in_a_word_does_whatever_file_it_is_kept_in(extension, tmp_path):
    whole = decode(RECORDINGS[0], sample_rate=RATE).samples
    file = tmp_path / f"take.{extension}"
    file.write_bytes(encode(cut_in_a_vowel(whole), extension))
    assert stops(decode(file, sample_rate=RATE).samples)


@pytest.mark.parametrize("gain", [0.01, 0.1, 0.9])
def test_how_loud_the_recording_is_does_not_matter(gain):
    stopped = cut_in_a_vowel(decode(RECORDINGS[1], sample_rate=RATE).samples)
    assert stops(stopped / np.abs(stopped).max() * np.float32(gain))


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(0, np.float32),
        np.zeros(RATE, np.float32),
        np.full(RATE, 0.2, np.float32),
        np.random.default_rng(0).normal(0, 0.1, 2 * RATE).astype(np.float32),
        np.array([0.5], np.float32),
    ],
    ids=["nothing", "silence", "an offset", "noise", "one sample"],
)
def test_what_is_no_speech_never_does(samples):
    assert not stops(samples)


def test_noise_behind_a_whole_sentence_is_no_voice_that_breaks_off():
    whole = decode(RECORDINGS[0], sample_rate=RATE).samples
    noise = np.random.default_rng(0).normal(0, whole.std() * 10 ** (-8 / 20), whole.size)
    assert not stops(whole + noise.astype(np.float32))
