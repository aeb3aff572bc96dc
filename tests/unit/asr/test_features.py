from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from codex_worker.asr import corpus
from codex_worker.asr.corpus import Sounds, examples_of, needs_of
from codex_worker.asr.features import (
    SAMPLE_RATE,
    FeatureCache,
    FeatureExtractor,
    content_key,
    log_mel,
    normalised_waveform,
)
from codex_worker.errors import DataError


def noise(seconds, seed=0):
    return (np.random.default_rng(seed).standard_normal(int(seconds * SAMPLE_RATE)) * 0.1).astype(np.float32)


@pytest.mark.parametrize("seconds", [0.08, 0.5, 1.013, 3.07])
def test_log_mel_is_what_transformers_computes_frame_by_frame(seconds):
    from transformers import SeamlessM4TFeatureExtractor

    expected = SeamlessM4TFeatureExtractor()(noise(seconds), sampling_rate=SAMPLE_RATE, return_tensors="np")
    rows = expected["input_features"][0][expected["attention_mask"][0] == 1]
    ours = log_mel(noise(seconds))
    assert ours.shape == rows.shape
    np.testing.assert_allclose(ours, rows, atol=2e-3)


def test_the_waveform_frontend_is_what_transformers_computes():
    from transformers import Wav2Vec2FeatureExtractor

    samples = noise(0.5) + 0.2
    expected = Wav2Vec2FeatureExtractor(do_normalize=True)(samples, sampling_rate=SAMPLE_RATE)[
        "input_values"
    ][0]
    np.testing.assert_allclose(normalised_waveform(samples), expected, atol=1e-4)


def test_input_rows_say_how_long_they_last():
    assert FeatureExtractor().input_seconds(len(log_mel(noise(2.0)))) == pytest.approx(2.0, abs=0.04)
    assert FeatureExtractor("waveform").input_seconds(32_000) == 2.0


@pytest.mark.parametrize(
    ("samples", "says"),
    [
        (np.zeros(16_000, np.float32), "silence"),
        (np.full(16_000, 0.5, np.float32), "silence"),
        (noise(0.02), "too short"),
        (np.zeros(0, np.float32), "too short"),
        (np.array([np.nan] * 16_000, np.float32), "not numbers"),
        (np.zeros((2, 16_000), np.float32), "one channel"),
    ],
)
@pytest.mark.parametrize("frontend", [FeatureExtractor(), FeatureExtractor("waveform")])
def test_recordings_without_speech_are_refused_with_the_reason(samples, says, frontend):
    with pytest.raises(DataError, match=says):
        frontend(samples)


def test_features_are_computed_once_and_then_read_from_disk(tmp_path):
    cache, calls = FeatureCache(tmp_path, 10**6), []

    def compute():
        calls.append(1)
        return np.ones((3, 160), np.float32)

    first = cache.get("key", FeatureExtractor(), compute)
    again = FeatureCache(tmp_path, 10**6).get("key", FeatureExtractor(), compute)
    assert len(calls) == 1
    np.testing.assert_array_equal(first, again)


def test_another_frontend_does_not_get_the_features_of_this_one(tmp_path):
    cache = FeatureCache(tmp_path, 10**6)
    cache.get("key", FeatureExtractor(), lambda: np.zeros((3, 160), np.float32))
    assert cache.get("key", FeatureExtractor("waveform"), lambda: np.ones(5, np.float32)).shape == (5,)


def test_the_cache_stays_within_its_limit_and_forgets_what_was_unused_longest(tmp_path):
    import os

    rows = np.ones((100, 160), np.float32)
    size = rows.astype(np.float16).nbytes + 128
    cache = FeatureCache(tmp_path, 3 * size)
    for place in range(3):
        cache.get(f"key{place}", FeatureExtractor(), lambda: rows)
        os.utime(tmp_path / f"key{place}-log_mel-1-2.safetensors", (place, place))
    cache.get("key0", FeatureExtractor(), lambda: pytest.fail("key0 was forgotten"))
    cache.get("key3", FeatureExtractor(), lambda: rows)
    kept = {path.name.split("-")[0] for path in tmp_path.glob("*.safetensors")}
    assert kept == {"key0", "key2", "key3"}


def test_threads_may_share_a_cache_that_is_always_full(tmp_path):
    rows = np.ones((10, 160), np.float32)
    cache = FeatureCache(tmp_path, 4 * (rows.astype(np.float16).nbytes + 128))
    with ThreadPoolExecutor(8) as pool:
        got = list(
            pool.map(
                lambda place: cache.get(f"key{place % 50}", FeatureExtractor(), lambda: rows), range(600)
            )
        )
    assert all(np.array_equal(one, rows) for one in got)
    # Entries that were being written while others left may stand beside those that fit.
    assert len(list(tmp_path.glob("*.safetensors"))) <= 4 + 8


def test_a_damaged_entry_costs_a_computation_and_not_the_job(tmp_path):
    cache = FeatureCache(tmp_path, 10**6)
    (tmp_path / "key-log_mel-1-2.safetensors").write_bytes(b"half a file")
    assert cache.get("key", FeatureExtractor(), lambda: np.ones((2, 160), np.float32)).shape == (2, 160)


def test_the_same_bytes_have_the_same_key_wherever_they_lie(tmp_path):
    (tmp_path / "a").write_bytes(b"sound")
    (tmp_path / "b").write_bytes(b"sound")
    (tmp_path / "c").write_bytes(b"other")
    assert content_key(tmp_path / "a") == content_key(tmp_path / "b") != content_key(tmp_path / "c")


def sample_clip():
    from tests.support.spoken import sample_utterances

    return sample_utterances("train")[0]


def prepared(folder, speeds, max_bytes=10**8):
    """One recording of the sample as a job prepares it, and its sounds."""
    clip = sample_clip()
    sounds = Sounds(FeatureExtractor(), FeatureCache(folder, max_bytes), speeds)
    examples, left_out = examples_of(
        [clip],
        learnt=str,
        written=str,
        needs=needs_of(str, sounds.frontend, lambda rows: rows, 40.0),
        sounds=sounds,
        workers=1,
    )
    assert not left_out
    return examples[0], sounds


def test_a_recording_is_decoded_once_for_all_the_speeds_of_a_training(tmp_path, monkeypatch):
    speeds = (0.95, 1.0, 1.05)
    example, sounds = prepared(tmp_path / "ahead", speeds)
    _, without = prepared(tmp_path / "without", ())
    expected = {speed: without.features(example, speed) for speed in speeds}
    monkeypatch.setattr(corpus, "read_samples", lambda *_: pytest.fail("it is decoded anew"))
    for speed in speeds:
        assert np.array_equal(sounds.features(example, speed), expected[speed]), speed


def test_speeds_that_do_not_fit_are_left_to_the_epoch_that_needs_them(tmp_path):
    _, roomy = prepared(tmp_path / "roomy", (0.95, 1.0, 1.05))
    size = max(path.stat().st_size for path in (tmp_path / "roomy").glob("*.safetensors"))
    example, sounds = prepared(tmp_path / "tight", (0.95, 1.0, 1.05), max_bytes=round(1.5 * size))
    assert [path.name for path in (tmp_path / "tight").glob("*.safetensors")] == [
        path.name for path in (tmp_path / "roomy").glob(f"{example.sound}-log_mel*")
    ]
    assert np.array_equal(sounds.features(example, 0.95), roomy.features(example, 0.95))
