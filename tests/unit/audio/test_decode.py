import struct
import subprocess
import sys
import threading
from collections.abc import Generator
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from codex_worker.audio import decode as decoding
from codex_worker.audio import reader
from codex_worker.audio.decode import Clip, Recording, decode, decode_many, probe
from codex_worker.errors import DataError
from tests.support.noted import noted
from tests.support.present import present

from .made import CONTAINERS, alike, speech_like, sweep, write

RATE = 16_000
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The same six seconds in every container."""
    folder = tmp_path_factory.mktemp("files")
    return {kind: write(folder / f"sweep.{kind}", sweep(6.0, 44_100), 44_100) for kind in CONTAINERS}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_every_container_gives_the_same_sound(files, kind):
    recording = decode(files[kind], sample_rate=RATE)
    assert recording.sample_rate == RATE
    assert recording.samples.dtype == np.float32
    assert recording.duration_s == pytest.approx(6.0, abs=0.08)
    assert alike(sweep(6.0, RATE), recording.samples) > 0.98
    assert recording.notes == ()


@pytest.mark.parametrize("kind", CONTAINERS)
def test_half_a_file_is_never_taken_for_a_shorter_recording(files, kind, tmp_path):
    content = files[kind].read_bytes()
    for share in (0.5, 0.93):
        half = tmp_path / f"half.{kind}"
        half.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(DataError, match=r"cut off|damaged"):
            decode(half, sample_rate=RATE)


def test_a_browsers_webm_states_no_length_and_its_missing_end_is_noticed_all_the_same(tmp_path):
    live = write(tmp_path / "live.webm", sweep(6.0, 48_000), 48_000, options={"live": "1"})
    assert probe(live).duration_s is None
    assert decode(live, sample_rate=RATE).duration_s == pytest.approx(6.0, abs=0.05)
    content = live.read_bytes()
    live.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="last element is incomplete"):
        decode(live, sample_rate=RATE)


def test_a_recording_shorter_than_its_project_says_is_noticed(files):
    assert decode(files["aac"], sample_rate=RATE, expected_duration_s=6.0).duration_s > 5.9
    with pytest.raises(DataError, match=r"6\.0 of 9\.0 s are there \(as its project states\)"):
        decode(files["aac"], sample_rate=RATE, expected_duration_s=9.0)


def test_an_mp3_of_varying_bit_rate_without_a_header_is_not_suspected(tmp_path):
    silence_then_noise = np.concatenate(
        [np.zeros(44_100 * 4, np.float32), 0.3 * np.random.default_rng(0).standard_normal(44_100 * 2)]
    )
    path = tmp_path / "a.mp3"
    soundfile.write(path, silence_then_noise, 44_100, bitrate_mode="VARIABLE", compression_level=0.5)
    content = path.read_bytes()
    for mark in (b"Xing", b"Info"):
        content = content.replace(mark, b"\0\0\0\0")
    path.write_bytes(content)
    stated_s, found_s = probe(path).duration_s, decode(path, sample_rate=RATE).duration_s
    assert found_s == pytest.approx(6.0, abs=0.1)
    assert abs(present(stated_s) - 6.0) > 0.2, "the guess would have been wrong"


@pytest.mark.parametrize("kind", ["wav", "webm", "mp3", "flac", "m4a"])
def test_channels_are_averaged(tmp_path, kind):
    left = sweep(2.0, 48_000)
    path = write(tmp_path / f"stereo.{kind}", np.stack([left, np.zeros_like(left)]), 48_000)
    samples = decode(path, sample_rate=48_000).samples
    assert np.sqrt(np.mean(samples**2)) == pytest.approx(np.sqrt(np.mean((left / 2) ** 2)), rel=0.05)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_all_kinds_of_samples_have_the_same_level(tmp_path, subtype):
    soundfile.write(tmp_path / "a.wav", sweep(1.0, RATE), RATE, subtype=subtype)
    samples = decode(tmp_path / "a.wav", sample_rate=RATE).samples
    assert np.abs(samples - sweep(1.0, RATE)).max() < 0.01


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 96_000, 192_000])
def test_any_sample_rate_is_read(tmp_path, rate):
    soundfile.write(tmp_path / "a.wav", sweep(2.0, rate), rate)
    recording = decode(tmp_path / "a.wav", sample_rate=RATE)
    assert recording.samples.size == pytest.approx(2 * RATE, abs=2)
    assert alike(sweep(2.0, RATE), recording.samples, slack=20) > 0.99


def test_vorbis_is_read(tmp_path):
    with soundfile.SoundFile(tmp_path / "a.ogg", "w", 44_100, 1, "VORBIS", format="OGG") as file:
        for second in np.split(sweep(3.0, 44_100), 3):
            file.write(second)  # in one piece the library can crash
    assert decode(tmp_path / "a.ogg", sample_rate=RATE).duration_s == pytest.approx(3.0, abs=0.02)


@pytest.mark.parametrize("kind", CONTAINERS)
def test_a_clip_is_the_part_between_its_times(files, kind):
    whole = decode(files[kind], sample_rate=RATE).samples
    clip = decode(files[kind], sample_rate=RATE, start_s=2.0, end_s=3.5)
    assert clip.samples.size == pytest.approx(1.5 * RATE, abs=3)
    assert alike(whole[2 * RATE : int(3.5 * RATE)], clip.samples, slack=10) > 0.98


@pytest.mark.parametrize(
    ("kind", "options"),
    [("webm", {}), ("webm", {"live": "1"}), ("m4a", {}), ("mp3", {}), ("ogg", {})],
    ids=["webm", "live-webm", "m4a", "mp3", "ogg"],
)
def test_a_late_clip_of_a_long_recording_is_exact(tmp_path, kind, options):
    path = write(tmp_path / f"a.{kind}", sweep(20.0, 44_100), 44_100, options=options)
    whole = decode(path, sample_rate=RATE).samples
    clip = decode(path, sample_rate=RATE, start_s=15.25, end_s=16.75).samples
    expected = whole[int(15.25 * RATE) : int(16.75 * RATE)]
    assert clip.size == pytest.approx(expected.size, abs=3)
    assert alike(expected, clip, slack=10) > 0.97


def test_a_clip_that_ends_after_the_recording_says_so(files):
    clip = decode(files["wav"], sample_rate=RATE, start_s=5.0, end_s=9.0)
    assert clip.duration_s == pytest.approx(1.0, abs=0.01)
    assert clip.notes == ("the clip ends at 9.0 s, the recording at 6.0 s",)


def test_a_clip_outside_of_the_recording_is_an_error(files):
    with pytest.raises(DataError, match=r"no sound from 8.0 s on \(6.0 s in all\)"):
        decode(files["wav"], sample_rate=RATE, start_s=8.0, end_s=9.0)


@pytest.mark.parametrize(("start_s", "end_s"), [(3.0, 3.0), (3.0, 2.0), (-1.0, 2.0), (1e9, None)])
def test_impossible_clip_times_are_an_error(files, start_s, end_s):
    with pytest.raises(DataError, match="is not possible; correct its times"):
        decode(files["wav"], sample_rate=RATE, start_s=start_s, end_s=end_s)


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 12345\n"


@pytest.mark.parametrize("suffix", ["webm", "wav", "mp3", "m4a"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (POINTER, "is a git-lfs pointer"),
        (b"<html><body>Sign in</body></html>" * 20, "no recording that can be read|cut off"),
        (bytes(range(256)) * 40, "no recording that can be read|cut off|no sound|damaged"),
    ],
    ids=["empty", "pointer", "html", "bytes"],
)
def test_what_is_no_audio_is_said_in_words(tmp_path, suffix, content, message):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        decode(path, sample_rate=RATE)


def test_a_missing_file_is_said_in_words(tmp_path):
    with pytest.raises(DataError, match="cannot be read: No such file"):
        decode(tmp_path / "gone.wav", sample_rate=RATE)


def test_a_recording_without_a_single_sample_is_an_error(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(0), RATE)
    with pytest.raises(DataError, match=r"holds no sound|no recording"):
        decode(tmp_path / "a.wav", sample_rate=RATE)


def test_a_playlist_cannot_make_the_worker_open_other_files(tmp_path, files):
    (tmp_path / "inner.wav").write_bytes(files["wav"].read_bytes())
    (tmp_path / "concat.webm").write_text("ffconcat version 1.0\nfile inner.wav\n")
    with av.open(str(tmp_path / "concat.webm")) as container:
        assert container.format.name == "concat", "without the list of formats it would be followed"
    with pytest.raises(DataError, match="no recording that can be read"):
        decode(tmp_path / "concat.webm", sample_rate=RATE)


def test_a_name_that_looks_like_a_protocol_is_only_a_name(tmp_path, monkeypatch, files):
    monkeypatch.chdir(tmp_path)
    Path("concat:a.wav").write_bytes(files["wav"].read_bytes())
    assert decode(Path("concat:a.wav"), sample_rate=RATE).duration_s == pytest.approx(6.0, abs=0.01)


def test_a_head_with_impossible_rates_is_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", sweep(1.0, RATE), 100)
    with pytest.raises(DataError, match="claims 100 Hz"):
        decode(tmp_path / "a.wav", sample_rate=RATE)


def test_samples_that_are_no_numbers_become_silence_and_are_noted(tmp_path):
    samples = sweep(1.0, RATE)
    samples[5000:5010] = np.nan
    samples[6000] = np.inf
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    recording = decode(tmp_path / "a.wav", sample_rate=8_000)
    assert np.isfinite(recording.samples).all()
    assert recording.notes == ("samples that are no numbers were made silent",)
    assert np.abs(recording.samples[4000:]).max() > 0.4, "the rest is still there"


def test_too_loud_samples_stay_within_full_scale(tmp_path):
    soundfile.write(tmp_path / "a.wav", 4 * sweep(1.0, RATE), RATE, subtype="FLOAT")
    assert np.abs(decode(tmp_path / "a.wav", sample_rate=RATE).samples).max() == 1.0


def test_a_few_damaged_packets_cost_only_themselves(files, tmp_path):
    content = bytearray(files["aac"].read_bytes())
    middle = content.index(b"\xff\xf1", len(content) // 2)
    content[middle + 7 : middle + 60] = b"\xff" * 53
    (tmp_path / "a.aac").write_bytes(content)
    recording = decode(tmp_path / "a.aac", sample_rate=RATE)
    assert recording.duration_s == pytest.approx(6.0, abs=0.3)


def test_a_recording_longer_than_the_limit_is_refused_before_it_is_all_decoded(tmp_path, monkeypatch):
    path = write(tmp_path / "a.webm", np.zeros(48_000 * 60, np.float32), 48_000)
    decoded = []
    note = noted(reader.channels_of, lambda frame: decoded.append(frame.samples))
    monkeypatch.setattr(reader, "channels_of", note)
    with pytest.raises(DataError, match="longer than 10 s"):
        decode(path, sample_rate=RATE, max_duration_s=10.0)
    assert sum(decoded) / 48_000 < 11


@pytest.mark.slow
def test_a_long_recording_needs_little_more_memory_than_its_result(tmp_path):
    short = write(tmp_path / "short.flac", sweep(5.0, 44_100), 44_100)
    with soundfile.SoundFile(tmp_path / "long.flac", "w", 16_000, 2) as file:
        for _ in range(20):
            file.write(np.zeros((16_000 * 60, 2), np.int16))
    code = """
import resource, sys
from pathlib import Path
from codex_worker.audio.decode import decode
decode(Path(sys.argv[1]), sample_rate=8000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
recording = decode(Path(sys.argv[2]), sample_rate=8000)
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
assert abs(recording.duration_s - 1200) < 0.1
print(grown * 1024 / recording.samples.nbytes)
"""
    command = [sys.executable, "-c", code, short, tmp_path / "long.flac"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert float(result.stdout) < 1.6, "the file as samples at its own rate would be four times the result"


def test_many_files_come_in_order_and_a_bad_one_is_its_own_error(files, tmp_path):
    (tmp_path / "bad.wav").write_bytes(b"junk" * 100)
    clips = [
        Clip(files["wav"]),
        Clip(tmp_path / "bad.wav"),
        Clip(files["webm"], 1.0, 2.0),
        Clip(files["mp3"]),
    ]
    results = list(decode_many(clips * 3, sample_rate=RATE, workers=2))
    assert [clip for clip, _ in results] == clips * 3
    assert [isinstance(result, Recording) for _, result in results] == [True, False, True, True] * 3
    bad, part = results[1][1], results[2][1]
    assert isinstance(bad, DataError)
    assert isinstance(part, Recording)
    assert part.duration_s == pytest.approx(1.0, abs=0.01)


def test_a_slow_consumer_is_not_flooded(files, monkeypatch):
    started = []
    lock = threading.Lock()
    original = decoding.decode

    def counted(path, **options):
        with lock:
            started.append(path)
        return original(path, **options)

    monkeypatch.setattr(decoding, "decode", counted)
    results = decode_many([Clip(files["wav"])] * 50, sample_rate=RATE, workers=2)
    next(results)
    assert len(started) <= 4
    assert isinstance(results, Generator)
    results.close()
    assert len(started) <= 4


def test_probing_reads_the_head_only(files):
    info = probe(files["m4a"])
    assert (info.sample_rate, info.channels, info.codec) == (44_100, 1, "aac")
    assert info.duration_s == pytest.approx(6.0, abs=0.05)


@pytest.mark.parametrize("kind", ["wav", "flac", "webm", "mp3", "m4a"])
@pytest.mark.parametrize(
    ("second", "is_like_one_channel"),
    [(-1.0, True), (-0.95, True), (-0.5, True), (0.0, False), (1.0, True)],
    ids=["opposite", "nearly opposite", "half opposite", "muted", "the same"],
)
def test_channels_of_opposite_phase_do_not_cancel(tmp_path, kind, second, is_like_one_channel):
    sound = speech_like(3.0, RATE)
    found = decode(write(tmp_path / f"a.{kind}", [sound, second * sound], RATE), sample_rate=RATE).samples
    expected = sound.std() if is_like_one_channel else sound.std() / 2
    assert found.std() == pytest.approx(expected, rel=0.1)


def test_four_channels_that_cancel_leave_the_loudest_one(tmp_path):
    sound = speech_like(2.0, RATE)
    soundfile.write(tmp_path / "a.wav", np.stack([sound, -sound, 0.5 * sound, -0.5 * sound], 1), RATE)
    found = decode(tmp_path / "a.wav", sample_rate=RATE)
    assert found.samples.std() == pytest.approx(sound.std(), rel=0.05)
    assert "cancel" in found.notes[0]


def wav_with_format(tag: int) -> bytes:
    data = b"\0\1" * 8_000
    head = struct.pack("<HHIIHH", tag, 1, 16_000, 32_000, 2, 16)
    chunks = b"fmt " + struct.pack("<I", len(head)) + head + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


@pytest.mark.parametrize("tag", [0x9999, 0xFFFF, 0x0000])
def test_a_kind_of_sound_that_nobody_knows_costs_that_recording_only(tmp_path, tag):
    path, good = tmp_path / "unknown.wav", tmp_path / "good.wav"
    path.write_bytes(wav_with_format(tag))
    good.write_bytes(wav_with_format(1))
    for read in (probe, lambda path: decode(path, sample_rate=16_000)):
        with pytest.raises(DataError, match=r"unknown\.wav"):
            read(path)
    outcomes = [outcome for _, outcome in decode_many([Clip(path), Clip(good)], sample_rate=16_000)]
    assert isinstance(outcomes[0], DataError) and isinstance(outcomes[1], Recording)


@pytest.mark.parametrize(
    "error", [AttributeError("x"), RuntimeError("x"), ZeroDivisionError(), OSError(5, "io")]
)
def test_whatever_a_decoder_does_about_a_file_is_that_files_fault(tmp_path, monkeypatch, error):
    def broken(*_):
        raise error

    monkeypatch.setattr("codex_worker.audio.opened._info", broken)
    path = tmp_path / "good.wav"
    path.write_bytes(wav_with_format(1))
    ((_, outcome),) = decode_many([Clip(path)], sample_rate=16_000)
    assert isinstance(outcome, DataError) and type(error).__name__ in str(outcome)


@pytest.mark.parametrize("error", [MemoryError(), ImportError("no av")])
def test_want_of_memory_or_of_a_package_is_no_recordings_fault(tmp_path, monkeypatch, error):
    def broken(*_):
        raise error

    monkeypatch.setattr("codex_worker.audio.opened._info", broken)
    path = tmp_path / "good.wav"
    path.write_bytes(wav_with_format(1))
    with pytest.raises(type(error)):
        list(decode_many([Clip(path)], sample_rate=16_000))
