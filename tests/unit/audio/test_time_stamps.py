"""Pauses, lost packets and late starts: silence is read where sound is missing, by the player's clock."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_worker.audio.decode import CutOff, TooLong, decode, probe
from codex_worker.audio.timeline import GAP_S, Stamp, Timeline, with_following
from codex_worker.errors import DataError

from .made import alike, sweep, write
from .stamped import CONTAINERS, restamped

RATE = 16_000
SOURCES = {"webm": "webm", "mka": "webm", "ogg": "ogg", "m4a": "m4a", "mp4": "m4a"}
OPTIONS = {"webm": {}, "mka": {}, "ogg": {"page_duration": "20000"}, "m4a": {}, "mp4": {}}


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    return {kind: write(folder / f"a.{kind}", sweep(3.0, 48_000), 48_000) for kind in ("webm", "ogg", "m4a")}


def is_sent(t):
    """Whether a phone sends this packet that has nothing to say from 1 to 2 s: one in 400 ms."""
    return not 1.0 <= t < 2.0 or round(t * 50) % 20 == 0


PATTERNS = {
    "pause": (lambda t: t if t < 1.5 else t + 4, 7.0),
    "two pauses": (lambda t: t + (t >= 1) + 2 * (t >= 2), 6.0),
    "late start": (lambda t: t + 5, 8.0),
    "late start and pause": (lambda t: t + 1 if t < 1.5 else t + 2, 5.0),
    "lost packets": (lambda t: None if 1.0 <= t < 1.1 or 2.0 <= t < 2.3 else t, 3.0),
    "nothing sent in silence": (lambda t: t if is_sent(t) else None, 3.0),
    "last word late": (lambda t: t if t < 2.9 else t + 3, 6.0),
    "no gap": (lambda t: t, 3.0),
    "unsteady": (lambda t: t + 0.004 * (round(t * 50) % 3), 3.0),
}


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_recording_is_as_long_as_its_player_says(tmp_path, sources, kind, pattern):
    move, length_s = PATTERNS[pattern]
    path = restamped(sources[SOURCES[kind]], tmp_path / f"a.{kind}", move, OPTIONS[kind])
    recording = decode(path, sample_rate=RATE, expected_duration_s=length_s)
    assert recording.duration_s == pytest.approx(length_s, abs=0.05)
    heard, right = is_loud(recording.samples), is_loud(expected(move, length_s))
    assert np.mean(heard == right[: heard.size]) >= 0.95


def is_loud(samples):
    """Whether there is sound, for each 20 ms."""
    return np.sqrt(np.mean(samples[: samples.size // 320 * 320].reshape(-1, 320) ** 2, axis=1)) > 0.1


def expected(move, length_s):
    """The sweep of three seconds, cut into packets of 20 ms that lie where they were moved to."""
    sound, frame = sweep(3.0, RATE), RATE // 50
    placed = np.zeros(int((length_s + 0.1) * RATE), np.float32)
    for at in range(0, sound.size, frame):
        moved = move(at / RATE)
        if moved is not None:
            begin = round(moved * RATE)
            placed[begin : begin + frame] = sound[at : at + frame][: placed.size - begin]
    return placed


@pytest.mark.parametrize("kind", SOURCES)
def test_silence_for_missing_sound_is_said_and_holds_nothing(tmp_path, sources, kind):
    path = restamped(sources[SOURCES[kind]], tmp_path / f"a.{kind}", PATTERNS["pause"][0], OPTIONS[kind])
    recording = decode(path, sample_rate=RATE)
    assert recording.notes == ("4.0 s for which it holds no sound are read as silence",)
    assert np.abs(recording.samples[int(1.6 * RATE) : int(5.4 * RATE)]).max() < 0.001
    assert np.abs(recording.samples[int(5.6 * RATE) :]).max() > 0.4


@pytest.mark.parametrize("kind", ["webm", "m4a", "ogg"])
@pytest.mark.parametrize(
    ("start_s", "end_s"), [(0.5, 1.0), (1.0, 6.0), (3.0, 5.0), (5.75, 6.5), (12.0, 13.0), (16.5, 18.0)]
)
def test_clips_are_cut_by_the_players_clock(tmp_path_factory, kind, start_s, end_s):
    folder = tmp_path_factory.getbasetemp()
    source, path = folder / f"long.{kind}", folder / f"long-paused.{kind}"
    if not path.exists():
        write(source, sweep(12.0, 48_000), 48_000)
        restamped(source, path, lambda t: t + 4 * (t >= 1.5) + 3 * (t >= 9), OPTIONS[kind])
    clip = decode(path, sample_rate=RATE, start_s=start_s, end_s=end_s)
    assert clip.samples.size == pytest.approx((end_s - start_s) * RATE, abs=3)
    whole = decode(path, sample_rate=RATE).samples[round(start_s * RATE) : round(end_s * RATE)]
    if np.abs(whole).max() < 0.001:
        assert np.abs(clip.samples).max() < 0.001
    else:
        assert alike(whole, clip.samples, slack=10) > 0.97


def test_a_clip_within_a_pause_is_silence_and_no_error(tmp_path, sources):
    path = restamped(sources["webm"], tmp_path / "a.webm", PATTERNS["pause"][0])
    clip = decode(path, sample_rate=RATE, start_s=2.0, end_s=3.0)
    assert clip.samples.size == RATE and not clip.samples.any()


@pytest.mark.parametrize("kind", ["webm", "m4a"])
def test_a_pause_of_hours_costs_no_memory(tmp_path, sources, kind):
    path = restamped(sources[kind], tmp_path / f"a.{kind}", lambda t: t if t < 1.5 else t + 36_000)
    with pytest.raises(DataError, match=r"36000 s without sound would follow after 1\.5 s"):
        decode(path, sample_rate=RATE)
    path = restamped(sources[kind], tmp_path / f"b.{kind}", lambda t: t if t < 1.5 else t + 3_000)
    with pytest.raises(TooLong, match="longer than 60 s"):
        decode(path, sample_rate=RATE, max_duration_s=60.0)


def test_an_ogg_stream_out_of_a_broadcast_begins_with_its_first_sample(tmp_path, sources):
    path = restamped(sources["ogg"], tmp_path / "a.ogg", lambda t: t + 36_000)
    assert decode(path, sample_rate=RATE).duration_s == pytest.approx(3.0, abs=0.05)


def test_a_webm_that_is_complete_and_states_more_ends_with_silence(tmp_path, sources):
    content = bytearray(sources["webm"].read_bytes())
    at = content.index(b"\x44\x89\x88") + 3
    content[at : at + 8] = struct.pack(">d", 5_000.0)
    (tmp_path / "a.webm").write_bytes(content)
    assert decode(tmp_path / "a.webm", sample_rate=RATE).duration_s == pytest.approx(5.0, abs=0.01)
    content[at : at + 8] = struct.pack(">d", 1e9)
    (tmp_path / "a.webm").write_bytes(content)
    assert decode(tmp_path / "a.webm", sample_rate=RATE).duration_s == pytest.approx(3.0, abs=0.01)


def test_a_recording_with_pauses_that_is_cut_off_says_so(tmp_path, sources):
    path = restamped(sources["webm"], tmp_path / "a.webm", PATTERNS["pause"][0])
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(CutOff, match=r"[56]\.\d of 7\.0 s are there"):
        decode(path, sample_rate=RATE)


def with_cluster_times(path, source, change):
    """A live webm with a packet in each cluster, whose times `change` gets and gives in milliseconds."""
    write(path, source, 48_000, options={"live": "1", "cluster_time_limit": "1"})
    content = bytearray(path.read_bytes())
    at, number = content.find(b"\x1f\x43\xb6\x75"), 0
    while at >= 0:
        time_at = at + 4 + 9 - content[at + 4].bit_length()  # behind the cluster's length of 1 to 8 bytes
        assert content[time_at] == 0xE7
        size = content[time_at + 1] & 0x7F
        old = int.from_bytes(content[time_at + 2 : time_at + 2 + size])
        new = change(number, old)
        if new < 1 << 8 * size:
            content[time_at + 2 : time_at + 2 + size] = new.to_bytes(size)
        at, number = content.find(b"\x1f\x43\xb6\x75", at + 4), number + 1
    path.write_bytes(content)
    assert number > 40
    return path


STRANGE = {
    "one wrong stamp ahead": lambda number, ms: 60_000 if number == 80 else ms,
    "one wrong stamp behind": lambda number, ms: 300 if number == 80 else ms,
    "all the same": lambda number, ms: min(ms, 255),
    "repeated": lambda number, ms: ms // 100 * 100,
    "anew in the middle": lambda number, ms: ms - 1_500 if ms >= 1_500 else ms,
    "backwards": lambda number, ms: ms if ms < 256 else max(0, 500 - ms),
}


@pytest.mark.parametrize("change", STRANGE.values(), ids=STRANGE.keys())
def test_stamps_that_are_no_gaps_change_nothing(tmp_path, change):
    path = with_cluster_times(tmp_path / "a.webm", sweep(3.0, 48_000), change)
    recording = decode(path, sample_rate=RATE)
    assert recording.duration_s == pytest.approx(3.0, abs=0.15)
    assert alike(sweep(3.0, RATE), recording.samples) > 0.95


def test_stamps_with_a_wrong_unit_are_no_clock(tmp_path, sources):
    path = restamped(sources["webm"], tmp_path / "a.webm", lambda t: 3 * t)
    assert probe(path).duration_s == pytest.approx(9.0, abs=0.1)
    recording = decode(path, sample_rate=RATE)
    assert recording.duration_s == pytest.approx(3.0, abs=0.05)
    assert alike(sweep(3.0, RATE), recording.samples) > 0.98
    assert "time stamps" in recording.notes[0]


FRAMES = st.lists(
    st.tuples(st.sampled_from([0.0, 0.0, 0.0, 0.005, 0.1, 0.5, 2.0]), st.sampled_from([0.02, 0.06, 0.0213])),
    min_size=1,
    max_size=60,
)


@given(frames=FRAMES, begin_s=st.sampled_from([0.0, 0.3, 7.0]), from_zero=st.booleans())
def test_any_time_stamps_that_grow_give_the_length_of_their_clock(frames, begin_s, from_zero):
    stamps, now_s = [], begin_s
    for gap_s, duration_s in frames:
        now_s += gap_s
        stamps.append(Stamp(now_s, duration_s))
        now_s += duration_s
    timeline = Timeline(from_zero=from_zero)
    gaps = [timeline.place(stamp, following) for stamp, following in with_following(stamps)]
    clock_s = now_s if from_zero else now_s - stamps[0].time_s
    assert abs(timeline.position_s - clock_s) <= GAP_S + 1e-6
    assert all(gap_s == 0 or gap_s > GAP_S for gap_s in gaps)
    assert timeline.position_s == pytest.approx(sum(gaps) + sum(duration_s for _, duration_s in frames))


@given(st.lists(st.one_of(st.none(), st.floats(-1e12, 1e12), st.just(float("nan"))), max_size=40))
def test_no_time_stamps_make_the_clock_run_backwards(times):
    timeline = Timeline(from_zero=True)
    for stamp, following in with_following([Stamp(time_s, 0.02) for time_s in times]):
        before_s = timeline.position_s
        assert timeline.place(stamp, following) >= 0
        assert timeline.position_s >= before_s + 0.02 - 1e-3


@settings(max_examples=12, deadline=None)
@given(
    gaps=st.lists(st.tuples(st.integers(2, 140), st.sampled_from([0.1, 0.26, 1.0, 3.0])), max_size=3),
    window=st.tuples(st.floats(0, 2.0), st.floats(0.1, 0.9)),
    kind=st.sampled_from(["webm", "ogg", "mka"]),
)
def test_any_pauses_give_the_players_length_and_any_clip_its_samples(
    tmp_path_factory, sources, gaps, window, kind
):
    def move(t):
        return t + sum(gap_s for number, gap_s in gaps if t >= number / 50 - 1e-6)

    path = restamped(sources[SOURCES[kind]], tmp_path_factory.mktemp("p") / f"a.{kind}", move, OPTIONS[kind])
    length_s = 3.0 + sum(gap_s for _, gap_s in gaps)
    assert decode(path, sample_rate=RATE).duration_s == pytest.approx(length_s, abs=0.05)
    start_s, lasting_s = window
    clip = decode(path, sample_rate=RATE, start_s=start_s, end_s=start_s + lasting_s)
    assert clip.samples.size == pytest.approx(lasting_s * RATE, abs=3)


def test_the_containers_of_these_tests_are_those_that_people_record():
    assert set(SOURCES) == set(CONTAINERS)
