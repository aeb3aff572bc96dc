"""Every kind of file that the decoder knows, by its content; what it does not know is a sentence."""

import re
import struct
from fractions import Fraction

import av
import numpy as np
import pytest
import soundfile

from codex_worker.audio.decode import Clip, CutOff, Recording, decode, decode_many, probe
from codex_worker.errors import DataError

from .heads import KINDS, wav
from .made import alike, sweep, write

RATE = 16_000
# Ending: (FFmpeg's container, encoder, rate, channels). What the bundled encoders lack cannot be tested here:
# AMR wideband, Speex, WMA Pro and Lossless, AAC in CAF.
WRITTEN = {
    "caf": ("caf", "pcm_s16be", 44_100, 1),
    "alac.caf": ("caf", "alac", 44_100, 1),
    "amr": ("amr", "libopencore_amrnb", 8_000, 1),
    "3gp": ("3gp", "libopencore_amrnb", 8_000, 1),
    "3g2": ("3g2", "aac", 16_000, 1),
    "wma": ("asf", "wmav2", 44_100, 1),
    "wma1": ("asf", "wmav1", 44_100, 2),
    "mka": ("matroska", "libmp3lame", 44_100, 1),
    "flac.mka": ("matroska", "flac", 44_100, 2),
    "pcm.mka": ("matroska", "pcm_s16le", 16_000, 1),
    "aac": ("adts", "aac", 44_100, 1),
    "aiff": ("aiff", "pcm_s16be", 44_100, 1),
    "aifc": ("aiff", "pcm_mulaw", 8_000, 1),
    "au": ("au", "pcm_mulaw", 8_000, 1),
    "w64": ("w64", "pcm_s16le", 16_000, 2),
    "wv": ("wv", "wavpack", 44_100, 1),
    "tta": ("tta", "tta", 44_100, 1),
    "flv": ("flv", "aac", 44_100, 1),
    "avi": ("avi", "pcm_s16le", 16_000, 1),
    "ts": ("mpegts", "aac", 44_100, 1),
    "x-m4a": ("ipod", "aac", 44_100, 1),
    "m4b": ("ipod", "aac", 44_100, 2),
    "mov": ("mov", "pcm_s16le", 16_000, 1),
    "alac.m4a": ("mp4", "alac", 44_100, 1),
    "opus.mp4": ("mp4", "libopus", 48_000, 1),
    "ac3": ("ac3", "ac3", 48_000, 1),
    "adpcm.wav": ("wav", "adpcm_ms", 16_000, 1),
    "ima.wav": ("wav", "adpcm_ima_wav", 16_000, 1),
    "mp3.wav": ("wav", "libmp3lame", 44_100, 1),
    "alaw.wav": ("wav", "pcm_alaw", 8_000, 1),
    "g722.wav": ("wav", "g722", 16_000, 1),
    "mp2": ("mp2", "mp2", 44_100, 1),
    "oga": ("ogg", "flac", 44_100, 1),
    "opus": ("ogg", "libopus", 48_000, 2),
}


def encoded(path, container, encoder, rate, channels=1, seconds=2.0, options=None):
    """A sweep in any container that the bundled FFmpeg writes."""
    layout = {1: "mono", 2: "stereo"}[channels]
    with av.open(str(path), "w", format=container, options=options or {}) as output:
        stream = output.add_stream(encoder, rate=rate, layout=layout)
        stream.format = stream.codec_context.codec.audio_formats[0].name
        if encoder.startswith("wma"):
            stream.bit_rate = 64_000
        stream.codec_context.open()
        converter = av.AudioResampler(
            stream.format.name, layout, rate, stream.codec_context.frame_size or None
        )
        sound = np.ascontiguousarray(np.stack([sweep(seconds, rate)] * channels))
        frame = av.AudioFrame.from_ndarray(sound, format="fltp", layout=layout)
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
        for ready in [*converter.resample(frame), *converter.resample(None)]:
            output.mux(stream.encode(ready))
        output.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("kind", WRITTEN)
def test_every_kind_is_known_by_its_content_whatever_its_name_ends_with(tmp_path, kind):
    path = encoded(tmp_path / "recording.txt", *WRITTEN[kind])
    recording = decode(path, sample_rate=RATE)
    assert recording.duration_s == pytest.approx(2.0, abs=0.09)
    assert alike(sweep(2.0, RATE), recording.samples, slack=1500) > 0.93
    assert recording.notes == ()
    clip = decode(path, sample_rate=RATE, start_s=0.5, end_s=1.25)
    assert clip.samples.size == pytest.approx(0.75 * RATE, abs=3)


CUT = ["caf", "amr", "3gp", "mka", "aac", "aiff", "au", "w64", "wv", "tta", "flv", "m4b", "adpcm.wav", "oga"]


@pytest.mark.parametrize("kind", CUT)
def test_half_of_any_of_them_is_called_cut_off(tmp_path, kind):
    path = encoded(tmp_path / "a", *WRITTEN[kind])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 + 3])
    with pytest.raises(CutOff, match="is cut off"):
        decode(path, sample_rate=RATE)


def vorbis(path, rate, channels, seconds):
    with soundfile.SoundFile(path, "w", rate, channels, "VORBIS", format="OGG") as file:
        for part in np.array_split(np.stack([sweep(seconds, rate)] * channels, 1), int(seconds)):
            file.write(part)  # in one piece the library can crash
    return path


def fragmented(path, rate, channels, seconds):
    return encoded(path, "mp4", "aac", rate, channels, seconds, {"movflags": "frag_keyframe+empty_moov"})


def kind_of(container, encoder):
    def write_one(path, rate, channels, seconds):
        return encoded(path, container, encoder, rate, channels, seconds)

    return write_one


CHAINS = {
    "vorbis": (vorbis, (44_100, 1), (22_050, 2)),
    "opus": (kind_of("ogg", "libopus"), (48_000, 1), (48_000, 2)),
    "flac in ogg": (kind_of("ogg", "flac"), (44_100, 2), (16_000, 1)),
    "flac": (kind_of("flac", "flac"), (44_100, 1), (16_000, 2)),
    "mp3": (kind_of("mp3", "libmp3lame"), (44_100, 1), (44_100, 2)),
    "mp3 of two rates": (kind_of("mp3", "libmp3lame"), (44_100, 1), (22_050, 1)),
    "aac": (kind_of("adts", "aac"), (44_100, 1), (16_000, 2)),
    "webm": (kind_of("webm", "libopus"), (48_000, 1), (48_000, 1)),
    "mp4": (kind_of("mp4", "aac"), (44_100, 1), (48_000, 2)),
    "fragments": (fragmented, (44_100, 1), (44_100, 1)),
    "amr": (kind_of("amr", "libopencore_amrnb"), (8_000, 1), (8_000, 1)),
    "wav": (kind_of("wav", "pcm_s16le"), (8_000, 1), (44_100, 2)),
    "aiff": (kind_of("aiff", "pcm_s16be"), (8_000, 1), (44_100, 2)),
    "caf": (kind_of("caf", "pcm_s16be"), (8_000, 1), (44_100, 2)),
    "au": (kind_of("au", "pcm_s16be"), (8_000, 1), (44_100, 2)),
}


@pytest.mark.parametrize("kind", CHAINS)
def test_recordings_one_behind_another_in_a_file_are_read_whole(tmp_path, kind):
    write_one, first, second = CHAINS[kind]
    path = tmp_path / "both"
    parts = [write_one(tmp_path / "1", *first, 1.0), write_one(tmp_path / "2", *second, 2.0)]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    recording = decode(path, sample_rate=RATE)
    assert recording.duration_s == pytest.approx(3.0, abs=0.2)
    assert alike(sweep(2.0, RATE), recording.samples[RATE:], slack=3000) > 0.9
    clip = decode(path, sample_rate=RATE, start_s=0.5, end_s=2.5)
    assert clip.samples.size == pytest.approx(2 * RATE, abs=3)


def test_a_chain_whose_last_link_is_cut_off_says_so(tmp_path):
    first, second = vorbis(tmp_path / "1", 44_100, 1, 2.0), vorbis(tmp_path / "2", 22_050, 1, 2.0)
    path = tmp_path / "both.ogg"
    path.write_bytes(first.read_bytes() + second.read_bytes()[:-2_000])
    with pytest.raises(CutOff, match="its last page is incomplete"):
        decode(path, sample_rate=RATE)


def without_sound(path, kind):
    with av.open(str(path), "w", format=kind) as output:
        stream = output.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 64
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((96, 64), number, np.uint8), format="yuv420p")
            frame.pts = number
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path.read_bytes()


def unknown(tmp_path):
    """Name: (content, what is said of it)."""
    samples = bytes(range(256)) * 100
    webm = write(tmp_path / "a.webm", sweep(1.0, 48_000), 48_000).read_bytes()
    key = "00112233445566778899aabbccddeeff"
    options = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": key, "encryption_kid": key}
    encrypted = encoded(tmp_path / "e.mp4", "mp4", "aac", 44_100, options=options).read_bytes()
    m4a = write(tmp_path / "a.m4a", sweep(1.0, 44_100), 44_100).read_bytes()
    mulaw = encoded(tmp_path / "a.aifc", "aiff", "pcm_mulaw", 8_000).read_bytes()
    unknown_kind = "holds sound of a kind that is not known|no recording that can be read"
    au = KINDS["au"](samples, len(samples), b"")
    subtitles = b"1\n00:00:00,000 --> 00:00:01,000\nIn the beginning\n"
    return {
        "video": (without_sound(tmp_path / "v.mp4", "mp4"), "no sound in it .*video"),
        "video in matroska": (without_sound(tmp_path / "v.mkv", "matroska"), "no sound in it .*video"),
        "subtitles": (subtitles, "a text"),
        "webm of an unknown codec": (webm.replace(b"A_OPUS", b"A_OPUX"), unknown_kind),
        "webm of another type": (webm.replace(b"A_OPUS", b"S_TEXT"), "no sound in it"),
        "wav of an unknown codec": (wav(samples, len(samples)).replace(*wav_tag(0x9999)), unknown_kind),
        "caf of an unknown codec": (
            KINDS["caf"](samples, len(samples), b"").replace(b"lpcm", b"xxxx"),
            unknown_kind,
        ),
        "aifc of an unknown codec": (mulaw.replace(b"ulaw", b"qqqq"), unknown_kind),
        "au of an unknown codec": (au[:12] + struct.pack(">I", 99) + au[16:], unknown_kind),
        "encrypted": (encrypted, "is encrypted"),
        "bought in a shop": (m4a.replace(b"mp4a", b"drms"), "is encrypted"),
        "notes": (b"MThd\0\0\0\6\0\0\0\1\0\x60MTrk\0\0\0\4\0\xff\x2f\0", "no recording that can be read"),
    }


def wav_tag(tag):
    return b"fmt \x10\0\0\0\1\0", b"fmt \x10\0\0\0" + struct.pack("<H", tag)


def test_what_the_decoder_does_not_know_costs_that_recording_only_and_is_a_sentence(tmp_path):
    good = tmp_path / "good.wav"
    good.write_bytes(wav(b"\1\0" * RATE, 2 * RATE))
    for name, (content, said) in unknown(tmp_path).items():
        path = tmp_path / "recording.webm"
        path.write_bytes(content)
        outcomes = [outcome for _, outcome in decode_many([Clip(path), Clip(good)], sample_rate=RATE)]
        assert isinstance(outcomes[1], Recording)
        assert isinstance(outcomes[0], DataError), name
        assert re.search(said, str(outcomes[0])), name
        if name != "encrypted":  # a standard that hides it until the first packet
            with pytest.raises(DataError, match=said):
                probe(path)


@pytest.mark.parametrize("title", [b"\xe9t\xe9 \xff\xfe", b"\x80" * 30])
def test_a_title_in_another_encoding_is_no_fault_of_the_sound(tmp_path, title):
    samples = b"\1\0" * RATE
    info = b"INFOINAM" + struct.pack("<I", len(title)) + title
    before = b"LIST" + struct.pack("<I", len(info)) + info
    content = wav(samples, len(samples))
    (tmp_path / "a.wav").write_bytes(content[:12] + before + content[12:])
    assert decode(tmp_path / "a.wav", sample_rate=RATE).duration_s == 1.0


def test_the_first_stream_of_a_known_kind_is_read(tmp_path):
    path = tmp_path / "two.mka"
    with av.open(str(path), "w", format="matroska") as output:
        streams = [
            output.add_stream(codec, rate=48_000, layout="mono") for codec in ("pcm_s16le", "pcm_f32le")
        ]
        for stream in streams:
            stream.codec_context.open()
        for stream, level in zip(streams, (0.1, 0.4), strict=True):
            sound = np.full((1, 48_000), level, np.float32)
            frame = av.AudioFrame.from_ndarray(sound, format="flt", layout="mono")
            frame.sample_rate, frame.pts = 48_000, 0
            for ready in av.AudioResampler(stream.format.name, "mono", 48_000).resample(frame):
                output.mux(stream.encode(ready))
            output.mux(stream.encode(None))
    path.write_bytes(path.read_bytes().replace(b"A_PCM/INT/LIT", b"A_PCM/INT/XXX"))
    assert decode(path, sample_rate=RATE).samples[RATE // 2] == pytest.approx(0.4, abs=0.01)
