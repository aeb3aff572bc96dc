"""Recordings that are decoded once and read again: the same samples, the same errors, within a limit."""

from pathlib import Path

import numpy as np
import pytest

from codex_worker.audio import kept as keeping
from codex_worker.audio.decode import CutOff, TooLong, decode
from codex_worker.audio.encode import encode
from codex_worker.audio.kept import KeptRecordings
from codex_worker.errors import DataError


@pytest.fixture
def recording(tmp_path) -> Path:
    sound = (np.sin(np.arange(44_100) / 20) / 2).astype(np.float32)
    encode(sound, 44_100, tmp_path / "a.wav", "wav")
    return tmp_path / "a.wav"


@pytest.fixture
def decodings(monkeypatch) -> list[Path]:
    seen: list[Path] = []

    def noted(path, **terms):
        seen.append(path)
        return decode(path, **terms)

    monkeypatch.setattr(keeping, "decode", noted)
    return seen


@pytest.fixture
def kept(tmp_path) -> KeptRecordings:
    return KeptRecordings(tmp_path / "decoded", 44_100, max_bytes=1 << 20)


def test_the_second_reading_is_the_first_ones_to_the_bit(recording, kept, decodings):
    first = kept.decode(recording, sample_rate=44_100)
    second = kept.decode(recording, sample_rate=44_100)
    assert np.array_equal(first.samples, second.samples) and first.notes == second.notes
    assert np.array_equal(first.samples, decode(recording, sample_rate=44_100).samples)
    assert len(decodings) == 1


def test_another_rate_is_made_of_the_same_samples(recording, kept, decodings):
    slow = kept.decode(recording, sample_rate=16_000)
    assert slow.sample_rate == 16_000 and slow.samples.size == 16_000
    direct = decode(recording, sample_rate=16_000).samples
    assert np.abs(slow.samples - direct).max() < 1e-3
    kept.decode(recording, sample_rate=44_100)
    assert len(decodings) == 1


def test_clips_of_one_file_are_told_apart(recording, kept):
    first = kept.decode(recording, sample_rate=44_100, end_s=0.5)
    second = kept.decode(recording, sample_rate=44_100, start_s=0.5)
    whole = kept.decode(recording, sample_rate=44_100)
    assert np.array_equal(np.concatenate([first.samples, second.samples]), whole.samples)


@pytest.mark.parametrize(
    ("before", "terms", "error"),
    [
        ({}, {"max_duration_s": 0.5}, TooLong),
        ({}, {"expected_duration_s": 3.0}, CutOff),
        ({"expected_duration_s": 1.0}, {"expected_duration_s": 3.0}, CutOff),
    ],
)
def test_stricter_terms_are_held_to_the_file_again(recording, kept, before, terms, error):
    kept.decode(recording, sample_rate=44_100, **before)
    for _ in range(2):
        with pytest.raises(error):
            kept.decode(recording, sample_rate=44_100, **terms)
    assert kept.decode(recording, sample_rate=44_100).samples.size


def test_what_was_held_to_stricter_terms_serves_laxer_ones(recording, kept, decodings):
    kept.decode(recording, sample_rate=44_100, expected_duration_s=1.0, max_duration_s=2.0)
    kept.decode(recording, sample_rate=44_100)
    assert len(decodings) == 1


def test_a_file_that_cannot_be_decoded_is_tried_once(tmp_path, kept, decodings):
    (tmp_path / "a.wav").write_bytes(b"no sound at all")
    for _ in range(2):
        with pytest.raises(DataError):
            kept.decode(tmp_path / "a.wav", sample_rate=16_000)
    assert len(decodings) == 1


def test_what_does_not_fit_is_decoded_each_time(recording, tmp_path, decodings):
    kept = KeptRecordings(tmp_path / "decoded", 44_100, max_bytes=4 * 44_100 - 1)
    for _ in range(2):
        assert kept.decode(recording, sample_rate=44_100).samples.size == 44_100
    assert len(decodings) == 2 and not any((tmp_path / "decoded").iterdir())


def test_a_kept_file_that_is_damaged_costs_one_decoding(recording, tmp_path, kept):
    whole = kept.decode(recording, sample_rate=44_100)
    for file in (tmp_path / "decoded").iterdir():
        file.write_bytes(file.read_bytes()[:100])
    assert np.array_equal(kept.decode(recording, sample_rate=44_100).samples, whole.samples)


def test_a_full_disk_costs_room_and_not_the_job(recording, tmp_path, kept, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    for _ in range(2):
        assert kept.decode(recording, sample_rate=44_100).samples.size == 44_100


def test_nothing_is_left_on_disk(recording, tmp_path):
    with KeptRecordings(tmp_path / "decoded", 44_100, max_bytes=1 << 20) as kept:
        kept.decode(recording, sample_rate=44_100)
    assert not (tmp_path / "decoded").exists()
