import numpy as np
import pytest

from codex_worker.audio.decode import decode, probe
from codex_worker.audio.encode import FORMATS, PEAK_LIMIT, encode
from codex_worker.codex.attachments import WRITABLE_EXTENSIONS
from codex_worker.errors import DataError, UserError

from .made import alike, speech_like, sweep


def test_what_can_be_written_is_what_the_editor_plays():
    assert FORMATS.keys() == WRITABLE_EXTENSIONS


@pytest.mark.parametrize("audio_format", FORMATS)
def test_every_format_comes_back_as_the_same_sound(tmp_path, audio_format):
    sound = sweep(3.0, 44_100)
    encoded = encode(sound, 44_100, tmp_path / f"a.{audio_format}", audio_format)
    back = decode(encoded.path, sample_rate=44_100)
    assert back.duration_s == pytest.approx(3.0, abs=0.03)
    assert encoded.duration_s == pytest.approx(3.0, abs=0.001)
    assert alike(sound, back.samples) > 0.98
    assert encoded.size_bytes == encoded.path.stat().st_size
    info = probe(encoded.path)
    assert (
        (info.sample_rate, info.channels)
        == (encoded.sample_rate, encoded.channels)
        == (encoded.sample_rate, 1)
    )


def test_a_minute_of_speech_is_as_small_as_its_format_allows(tmp_path):
    sound = speech_like(10.0, 44_100)
    rates = {name: encode(sound, 44_100, tmp_path / f"a.{name}", name).bitrate_kbps for name in FORMATS}
    assert rates["wav"] == pytest.approx(44.1 * 16, rel=0.01)
    assert all(20 < rates[name] < 110 for name in ("webm", "ogg", "mp3", "m4a")), rates


@pytest.mark.parametrize("audio_format", FORMATS)
@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 24_000])
def test_other_sample_rates_are_written_as_well(tmp_path, audio_format, rate):
    encoded = encode(sweep(1.0, rate), rate, tmp_path / f"a.{audio_format}", audio_format)
    assert encoded.sample_rate >= rate
    assert decode(encoded.path, sample_rate=rate).duration_s == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("audio_format", FORMATS)
def test_the_same_sound_is_the_same_file(tmp_path, audio_format):
    one, other = (
        encode(sweep(1.5, 44_100), 44_100, tmp_path / f"{name}.{audio_format}", audio_format).path
        for name in ("one", "other")
    )
    assert one.read_bytes() == other.read_bytes()


def test_a_very_short_sound_is_written(tmp_path):
    for audio_format in FORMATS:
        encoded = encode(sweep(0.01, 44_100), 44_100, tmp_path / f"a.{audio_format}", audio_format)
        assert decode(encoded.path, sample_rate=44_100).samples.size >= 400


def test_too_loud_a_sound_is_turned_down_and_not_clipped(tmp_path):
    loud = 5 * sweep(1.0, 44_100)
    path = encode(loud, 44_100, tmp_path / "a.wav", "wav").path
    back = decode(path, sample_rate=44_100).samples
    assert np.abs(back).max() == pytest.approx(PEAK_LIMIT, abs=0.001)
    assert np.abs(back - loud * PEAK_LIMIT / 2.5).max() < 0.001


@pytest.mark.parametrize("audio_format", ["flac", "opus", "", "../wav"])
def test_a_format_that_the_editor_does_not_know_is_refused(tmp_path, audio_format):
    with pytest.raises(UserError, match="choose one of webm, ogg, wav, mp3, m4a"):
        encode(sweep(1.0, 44_100), 44_100, tmp_path / "a.xyz", audio_format)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(0, np.float32), "no sound to write"),
        (np.zeros((2, 100), np.float32), "no sound to write"),
        (np.array([0.0, np.nan], np.float32), "no numbers"),
    ],
)
def test_what_is_no_sound_leaves_no_file(tmp_path, samples, message):
    with pytest.raises(DataError, match=message):
        encode(samples, 44_100, tmp_path / "a.webm", "webm")
    assert list(tmp_path.iterdir()) == []


def test_a_failure_while_writing_leaves_the_old_file_alone(tmp_path, monkeypatch):
    path = tmp_path / "a.wav"
    path.write_bytes(b"old")

    def fail(samples, rate, partial, form):
        partial.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("codex_worker.audio.encode._write", fail)
    with pytest.raises(OSError, match="No space left"):
        encode(sweep(1.0, 44_100), 44_100, path, "wav")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
