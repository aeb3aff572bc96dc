"""One rule says which recordings are usable, for what, in every format that recordings come in."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from codex_worker.asr.features import log_mel
from codex_worker.audio.decode import Clip, Recording, decode
from codex_worker.audio.resample import resample
from codex_worker.data.faults import Fault, Purpose
from codex_worker.data.usable import Limits, Needs, hear, judge, least_speech_s
from codex_worker.errors import DataError
from tests.support.present import present
from tests.unit.audio.made import write

RATE = 16_000
HERE = Path(__file__)
EVERY_FORMAT = ("wav", "flac", "webm", "mp3", "m4a")
SENTENCES = sorted((Path(__file__).parents[3] / "sample" / "recordings").iterdir())
RNG = np.random.default_rng(5)


def voice(duration_s, seed=0):
    """So much of the sample's sentences, from its `seed`-th on."""
    spoken = [decode(path, sample_rate=RATE).samples for path in SENTENCES[seed : seed + 3]]
    return np.concatenate(spoken)[RATE // 5 :][: round(duration_s * RATE)]


def tone(duration_s, hertz=440.0):
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(round(duration_s * RATE)) / RATE)).astype(np.float32)


def fault_of(samples, purpose=Purpose.TRAINING, limits=None):
    heard = judge(Recording(np.asarray(samples, np.float32), RATE), HERE, limits)
    found = heard.against(purpose)
    return found.fault if found else None


def overdriven(level, gain=16.0):
    sound = voice(3.0)
    return np.clip(sound * gain * level / np.abs(sound).max(), -level, level)


CLICKS = np.where(np.arange(3 * RATE) % 4000 < 6, 0.8, 0.0)
BEEPS = tone(3.0, 1000) * (np.arange(3 * RATE) % 8000 < 3000)


@pytest.mark.parametrize("duration_s", [0.4, 0.9, 3.0])
@pytest.mark.parametrize("level", [1.0, 0.1, 0.03])
@pytest.mark.parametrize("seed", range(3))
def test_a_clean_voice_is_usable_however_short_or_quiet(duration_s, level, seed):
    heard = judge(Recording(voice(duration_s, seed) * np.float32(level), RATE), HERE, Limits(0.1))
    assert heard.faults == ()


def at_level(sound, level_db):
    """A sound whose mean power is so many decibels below full scale, in 16 bits."""
    return np.round(32767 * sound * 10 ** (level_db / 20) / np.sqrt(np.mean(sound**2))) / 32767


def telephone(sound):
    """8 kHz, 300 to 3,400 Hz, in the 8 bits of the mu-law."""
    narrow = resample(sound, RATE, 8_000)
    spectrum, hertz = np.fft.rfft(narrow), np.fft.rfftfreq(narrow.size, 1 / 8_000)
    narrow = np.fft.irfft(np.where((hertz > 300) & (hertz < 3_400), spectrum, 0), narrow.size).astype(
        np.float32
    )
    coded = np.round(127 * np.sign(narrow) * np.log1p(255 * np.abs(narrow)) / np.log(256)) / 127
    return resample((np.sign(coded) * (256 ** np.abs(coded) - 1) / 255).astype(np.float32), 8_000, RATE)


def whispered(sound):
    """The same spectra with noise for a voice."""
    step, window = 256, np.hanning(512)
    whole = np.zeros(sound.size + 512)
    for start in range(0, sound.size - 512, step):
        sizes = np.abs(np.fft.rfft(sound[start : start + 512] * window))
        whole[start : start + 512] += window * np.fft.irfft(sizes * np.exp(2j * np.pi * RNG.random(257)))
    return whole[: sound.size]


def loudest(sound, duration_s):
    """The loudest stretch: a word, or a vowel of one."""
    length = round(duration_s * RATE)
    start = int(np.convolve(sound**2, np.ones(length), "valid").argmax())
    return sound[start : start + length]


def silence(duration_s):
    return np.zeros(round(duration_s * RATE))


CRACK = np.tile([1.0, -1.0], 20)
UNUSUAL = {
    "20 s of faint noise before it": lambda sound: np.append(1e-4 * RNG.standard_normal(20 * RATE), sound),
    "two minutes of silence around it": lambda s: np.concatenate([silence(60), loudest(s, 0.4), silence(60)]),
    "10 s of silence in it": lambda s: np.concatenate([s[: RATE // 2], silence(10), s[RATE // 2 :]]),
    "at -50 dB": lambda sound: at_level(sound, -50),
    "at -60 dB": lambda sound: at_level(sound, -60),
    "an offset": lambda sound: 0.3 + 0.5 * sound,
    "an offset much larger than it": lambda sound: 0.2 + at_level(sound, -45),
    "a word of 0.4 s": lambda sound: loudest(sound, 0.4),
    "a vowel of 0.15 s": lambda sound: loudest(sound, 0.15),
    "by telephone": telephone,
    "whispered": whispered,
    "over a loud hum": lambda s: s + 0.1 * np.sin(2 * np.pi * 50 * np.arange(s.size) / RATE),
    "in as much noise": lambda s: s + np.sqrt(np.mean(s**2)) * RNG.standard_normal(s.size),
    "in 8 bits": lambda sound: np.round(127 * sound) / 127,
    "one crack in it": lambda sound: np.concatenate([sound, CRACK, sound]),
    "quiet, after the click of a switch": lambda s: np.concatenate([CRACK, silence(1), at_level(s, -45)]),
    "after a beep": lambda sound: np.append(tone(1.0, 1000), sound),
    "after a long loud beep": lambda s: np.concatenate([3 * tone(4.0, 1000), silence(0.5), s]),
}


@pytest.mark.parametrize("seed", range(0, 40, 8))
@pytest.mark.parametrize("kind", UNUSUAL)
def test_real_speech_is_never_refused(kind, seed):
    assert fault_of(UNUSUAL[kind](voice(2.0, seed)), limits=Limits(0.05)) is None


@pytest.mark.parametrize(
    ("name", "channels", "subtype"),
    [
        ("one channel is dead", lambda sound: np.stack([sound, 0 * sound]), "PCM_16"),
        ("24 bits", lambda sound: sound, "PCM_24"),
        ("numbers over full scale", lambda sound: 3 * sound / np.abs(sound).max(), "FLOAT"),
        ("8 bits", lambda sound: sound, "PCM_U8"),
    ],
)
def test_speech_is_used_whatever_a_wav_file_holds(tmp_path, name, channels, subtype):
    soundfile.write(tmp_path / "a.wav", channels(voice(3.0)).T, RATE, subtype)
    assert hear(Clip(tmp_path / "a.wav"), sample_rate=RATE).against(Purpose.TRAINING) is None


@pytest.mark.parametrize("count", [1, 10, 160, 800])
def test_a_file_of_a_few_samples_is_refused_and_breaks_nothing(count):
    assert fault_of(voice(1.0)[:count], limits=Limits(0.2)) is not None


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(RATE),
        RNG.integers(-1, 2, 40_000) / 32767,
        0.01 + RNG.integers(0, 2, 40_000) / 32767,
        np.full(RATE, 0.3),
        1e-4 * RNG.standard_normal(RATE),
        1e-3 * RNG.standard_normal(RATE),
        np.arange(3 * RATE) == RATE,
    ],
    ids=["zeros", "one bit", "offset with rounding", "offset", "muted at -80 dB", "faint noise", "one crack"],
)
def test_what_nobody_can_hear_is_silent_for_every_purpose(samples):
    assert {fault_of(samples, purpose) for purpose in Purpose} == {Fault.SILENT}


MUTED = {
    "zeros": np.zeros(2 * RATE),
    "one bit": RNG.integers(-1, 2, 2 * RATE) / 32767,
    "offset with rounding": 0.01 + RNG.integers(0, 2, 2 * RATE) / 32767,
    "noise at -60 dB": 1e-3 * RNG.standard_normal(2 * RATE),
    "noise with a gap": 1e-3 * RNG.standard_normal(2 * RATE) * (np.arange(2 * RATE) // RATE == 0),
    "hum": 1.4e-3 * np.sin(2 * np.pi * 50 * np.arange(2 * RATE) / RATE),
}


@pytest.mark.parametrize("kind", EVERY_FORMAT)
@pytest.mark.parametrize("muted", MUTED)
def test_a_muted_microphone_is_silent_for_both_models_in_every_format(tmp_path, kind, muted):
    path = write(tmp_path / f"a.{kind}", MUTED[muted].astype(np.float32), RATE)
    for purpose in Purpose:
        heard = hear(Clip(path), sample_rate=RATE)
        assert present(heard.against(purpose)).fault is Fault.SILENT
    with pytest.raises(DataError, match="silence"):
        log_mel(present(heard.recording).samples)


def test_opposite_channels_leave_no_rest_that_is_taken_for_speech(tmp_path):
    sound = voice(3.0)
    for kind in ("webm", "mp3"):
        path = write(tmp_path / f"a.{kind}", np.stack([sound, -sound]), RATE)
        assert hear(Clip(path), sample_rate=RATE).against(Purpose.TRAINING) is None


def test_a_clip_of_a_pause_is_silent(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.concatenate([voice(2.0), np.zeros(2 * RATE)]), RATE)
    found = hear(Clip(path, 2.5, 3.5), sample_rate=RATE).against(Purpose.READING)
    assert present(found).fault is Fault.SILENT


@pytest.mark.parametrize("kind", EVERY_FORMAT)
@pytest.mark.parametrize(
    "samples",
    [tone(3.0), 0.1 * RNG.standard_normal(3 * RATE), CLICKS, BEEPS],
    ids=["tone", "white noise", "clicks", "beeps"],
)
def test_tones_noise_and_clicks_are_no_speech(tmp_path, kind, samples):
    path = write(tmp_path / f"a.{kind}", samples, RATE)
    found = hear(Clip(path), sample_rate=RATE).against(Purpose.READING)
    assert present(found).fault is Fault.NOT_SPEECH


@pytest.mark.parametrize("kind", EVERY_FORMAT)
@pytest.mark.parametrize("level", [1.0, 0.98, 0.8, 0.3])
def test_an_overdriven_voice_is_not_learnt_from_and_read_with_a_remark(tmp_path, kind, level):
    heard = hear(Clip(write(tmp_path / f"a.{kind}", overdriven(level), RATE)), sample_rate=RATE)
    assert present(heard.against(Purpose.TRAINING)).fault is Fault.OVERDRIVEN
    assert heard.against(Purpose.READING) is None
    assert [found.fault for found in heard.remarks(Purpose.READING)] == [Fault.OVERDRIVEN]


@pytest.mark.parametrize("kind", EVERY_FORMAT)
def test_no_format_makes_a_clean_voice_look_overdriven(tmp_path, kind):
    assert hear(Clip(write(tmp_path / f"a.{kind}", voice(3.0), RATE)), sample_rate=RATE).faults == ()


def test_peaks_that_are_cut_here_and_there_are_a_remark():
    sound = voice(3.0)
    level = np.quantile(np.abs(sound), 0.985)
    heard = judge(Recording(np.clip(sound, -level, level), RATE), HERE)
    assert heard.against(Purpose.TRAINING) is None
    assert [found.fault for found in heard.remarks(Purpose.TRAINING)] == [Fault.PEAKS_CUT]


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (Limits(least_s=2.5), None),
        (Limits(least_s=3.5), Fault.TOO_SHORT),
        (Limits(longest_s=2.5), Fault.TOO_LONG),
        (Limits(longest_s=1.0), Fault.TOO_LONG),
        (Needs(lambda text: None).limits("?!"), Fault.NO_LETTERS),
    ],
)
def test_a_recording_is_long_enough_for_its_text_and_not_too_long(limits, expected):
    assert fault_of(voice(3.0), limits=limits) is expected


def test_marks_above_letters_take_no_time():
    assert least_speech_s("בְּרֵאשִׁית") == least_speech_s("בראשית")
    assert least_speech_s("Ja") < 0.2
    assert least_speech_s("...") == 0


@pytest.mark.parametrize(
    ("content", "expected_s", "fault"),
    [
        (None, None, Fault.MISSING),
        (b"", None, Fault.NO_SOUND),
        (b"no sound at all", None, Fault.NO_SOUND),
        (b"\x1a\x45 no sound \xff", None, Fault.UNREADABLE),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n", None, Fault.SPOILT_POINTER),
        ("whole", 6.0, Fault.CUT_OFF),
        ("half", None, Fault.CUT_OFF),
    ],
)
def test_what_cannot_be_decoded_is_known_by_its_code(tmp_path, content, expected_s, fault):
    path = tmp_path / "a.wav"
    if isinstance(content, str):
        write(path, voice(3.0), RATE)
    if content == "half":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    if isinstance(content, bytes):
        path.write_bytes(content)
    heard = hear(Clip(path, expected_duration_s=expected_s), sample_rate=RATE)
    assert {present(heard.against(purpose)).fault for purpose in Purpose} == {fault}
    assert str(tmp_path) not in heard.faults[0].sentence


@pytest.mark.parametrize("fault", Fault)
def test_one_recording_is_and_several_are(fault):
    assert fault.counted(1).startswith("1 recording ")
    assert fault.counted(2).startswith("2 recordings ")
    assert fault.heading


@pytest.mark.parametrize("rate", [16_000, 22_050, 44_100])
def test_the_verdict_does_not_depend_on_the_rate_that_a_model_reads(tmp_path, rate):
    sounds = {"good": voice(3.0), "loud": overdriven(0.9), "tone": tone(2.0), "none": np.zeros(RATE)}
    found = {}
    for name, samples in sounds.items():
        heard = hear(Clip(write(tmp_path / f"{name}.flac", samples, RATE)), sample_rate=rate)
        found[name] = [each.fault for each in heard.faults]
    assert found == {
        "good": [],
        "loud": [Fault.OVERDRIVEN],
        "tone": [Fault.NOT_SPEECH],
        "none": [Fault.SILENT],
    }
