"""Heads that state a length which nobody knew yet, and heads that rightly promise more than there is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_worker.audio.decode import CutOff, decode, probe
from codex_worker.errors import DataError

from .heads import KINDS, RATE, chunk, wav
from .made import alike, sweep, write

SECONDS = 3.0
SAMPLES = (sweep(SECONDS, RATE) * 32767).astype("<i2").tobytes()
PLACEHOLDERS = [
    0,
    0x7FFFF000,
    0x7FFFFFFF,
    0x7FFFFFFF - 36,
    0x80000000,
    0xFFFFFFFF,
    0xFFFFFFFF - 36,
    0xFFFFFFFE,
    2_000_000_000,
    1_000_000_000,
    500_000_000,
    0x40000000,
    0x10000000,
    0x7FFFF000 - 36,
    1_234_567_890,
    123_456_789,
]


def read(path, content):
    path.write_bytes(content)
    return decode(path, sample_rate=RATE)


LONG = [(1 << 64) - 1, 1 << 62]
SOME = [0, 0x7FFFF000, 0xFFFFFFFF - 36, 1_234_567_890, *LONG]


@pytest.mark.parametrize(
    ("kind", "stated"),
    [("wav", each) for each in PLACEHOLDERS] + [(kind, each) for kind in KINDS for each in SOME],
)
def test_a_length_that_nobody_knew_yet_costs_no_sound(tmp_path, kind, stated):
    recording = read(tmp_path / "a", KINDS[kind](SAMPLES, stated, b""))
    assert recording.samples.size == SECONDS * RATE
    assert alike(sweep(SECONDS, RATE), recording.samples) > 0.999
    assert recording.notes == ()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stated_s", [0.1, 2.9])
def test_samples_that_go_on_behind_the_stated_end_are_read(tmp_path, kind, stated_s):
    recording = read(tmp_path / "a", KINDS[kind](SAMPLES, int(stated_s * RATE) * 2, b""))
    assert recording.samples.size == SECONDS * RATE


BEHIND = [b"LIST", b"id3 ", b"bext", b"zzzz"]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "au"])
@pytest.mark.parametrize("name", BEHIND)
@pytest.mark.parametrize("size", [31, 5000])
def test_chunks_behind_the_samples_are_no_sound(tmp_path, kind, name, size):
    behind = chunk(kind, name, bytes(range(1, 256)) * (size // 255) + b"\x55" * (size % 255))
    recording = read(tmp_path / "a", KINDS[kind](SAMPLES, len(SAMPLES), behind * 2))
    assert recording.samples.size == SECONDS * RATE


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "au"])
@pytest.mark.parametrize("stated", [0, 0x7FFFF000, 0xFFFFFFFF, 32_000], ids=hex)
def test_chunks_behind_the_samples_are_no_sound_where_the_length_is_not_known(tmp_path, kind, stated):
    behind = chunk(kind, b"LIST", b"INFOISFT\5\0\0\0abcde\0") + chunk(kind, b"id3 ", b"\x55" * 301)
    recording = read(tmp_path / "a", KINDS[kind](SAMPLES, stated, behind))
    assert recording.samples.size == SECONDS * RATE


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.93])
def test_a_file_that_is_cut_off_says_how_much_is_there(tmp_path, kind, share):
    content = KINDS[kind](SAMPLES, len(SAMPLES), b"")
    left_s = SECONDS - SECONDS * (1 - share)
    cut = content[: len(content) - round((SECONDS - left_s) * RATE) * 2]
    with pytest.raises(CutOff, match=rf"{left_s:.1f} of 3\.0 s are there"):
        read(tmp_path / "a", cut)


def test_a_head_cut_off_long_before_its_end_is_still_believed(tmp_path):
    minutes = 40 * 60 * RATE * 2
    with pytest.raises(CutOff, match=r"3\.0 of 2400\.0 s are there"):
        read(tmp_path / "a.wav", wav(SAMPLES, minutes))


@pytest.mark.parametrize("whole", [0, 0xFFFFFFFF, 0x7FFFFFFF, 36, 1000])
def test_the_length_of_the_whole_file_is_no_witness_against_whole_samples(tmp_path, whole):
    recording = read(tmp_path / "a.wav", wav(SAMPLES, len(SAMPLES), whole=whole))
    assert recording.samples.size == SECONDS * RATE


def test_a_file_that_ends_where_its_head_says_is_whole_whatever_is_said_of_its_samples(tmp_path):
    recording = read(tmp_path / "a.wav", wav(SAMPLES, 5 * 2 * RATE, whole=len(SAMPLES) + 36))
    assert recording.samples.size == SECONDS * RATE


def test_zeros_that_fill_a_file_up_are_no_part_of_it(tmp_path):
    recording = read(tmp_path / "a.wav", wav(SAMPLES, len(SAMPLES), b"\0" * 20_000))
    assert recording.samples.size == SECONDS * RATE


@pytest.mark.parametrize("tag", [b"ID3\4\0\0\0\0\2\0", b"TAG", b"APETAGEX"])
def test_a_tag_of_another_kind_of_file_is_no_sound(tmp_path, tag):
    recording = read(tmp_path / "a.wav", wav(SAMPLES, len(SAMPLES), tag + b"\x55" * 200))
    assert recording.samples.size == SECONDS * RATE


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_without_samples_says_that_there_is_no_sound(tmp_path, kind):
    with pytest.raises(DataError, match=r"holds no sound|no recording"):
        read(tmp_path / "a", KINDS[kind](b"", 0, b""))


def test_samples_in_an_order_that_would_be_read_as_noise_are_refused(tmp_path):
    with pytest.raises(DataError, match="RIFX"):
        read(tmp_path / "a.wav", b"RIFX" + wav(SAMPLES, len(SAMPLES))[4:])


def test_files_one_behind_another_are_read_whole_at_rates_of_their_own(tmp_path):
    low = write(tmp_path / "low.wav", sweep(1.0, 8_000), 8_000)
    high = write(tmp_path / "high.wav", np.stack([sweep(2.0, 44_100)] * 2), 44_100)
    both = tmp_path / "both.wav"
    both.write_bytes(low.read_bytes() + high.read_bytes())
    recording = decode(both, sample_rate=RATE)
    assert recording.duration_s == pytest.approx(3.0, abs=0.01)
    assert alike(sweep(2.0, RATE), recording.samples[RATE:]) > 0.99
    clip = decode(both, sample_rate=RATE, start_s=1.5, end_s=2.5)
    assert alike(sweep(2.0, RATE)[RATE // 2 : 3 * RATE // 2], clip.samples) > 0.99


def test_a_long_row_of_chunks_that_lead_nowhere_is_soon_done_with(tmp_path):
    behind = b"\x11" * 8 + b"LIST\0\0\0\0" * 130_000 + b"x" * 9
    assert read(tmp_path / "a.wav", wav(SAMPLES, 0, behind)).duration_s > SECONDS


@settings(max_examples=25, deadline=None)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    stated=st.one_of(
        st.sampled_from(PLACEHOLDERS), st.integers(1, len(SAMPLES) // 2 - 100).map(lambda n: 2 * n)
    ),
    seconds=st.integers(2, 12).map(lambda quarters: quarters / 4),
)
def test_no_stated_length_but_an_honest_one_changes_what_is_read(tmp_path_factory, kind, stated, seconds):
    samples = SAMPLES[: int(seconds * RATE) * 2]
    path = tmp_path_factory.mktemp("lengths") / "a"
    if stated in PLACEHOLDERS or stated < len(samples):
        assert read(path, KINDS[kind](samples, stated, b"")).samples.size == seconds * RATE
    else:
        path.write_bytes(KINDS[kind](samples, len(samples), b""))
        assert probe(path).sample_rate == RATE
