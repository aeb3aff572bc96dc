"""Sounds and files that tests make with code."""

from fractions import Fraction

import av
import numpy as np

# name: (FFmpeg's container, encoder, sample type, rate)
CONTAINERS = {
    "webm": ("webm", "libopus", "flt", 48_000),
    "ogg": ("ogg", "libopus", "flt", 48_000),
    "opus": ("ogg", "libopus", "flt", 48_000),
    "wav": ("wav", "pcm_s16le", "s16", 22_050),
    "mp3": ("mp3", "libmp3lame", "fltp", 44_100),
    "m4a": ("ipod", "aac", "fltp", 44_100),
    "mp4": ("mp4", "aac", "fltp", 48_000),
    "flac": ("flac", "flac", "s16", 44_100),
    "aac": ("adts", "aac", "fltp", 32_000),
}


def sweep(duration_s, rate):
    """A tone that rises from 200 to 2,000 Hz: every moment of it sounds different."""
    t = np.arange(round(duration_s * rate)) / rate
    phase = 2 * np.pi * (200 * t + 900 * t * t / duration_s)
    return (0.5 * np.sin(phase)).astype(np.float32)


def speech_like(duration_s, rate, pauses=(), noise=0.0005, level=0.3, seed=0):
    """Noise-filled bursts, silent but for faint noise in `pauses` (start, end in seconds)."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(duration_s * rate)) / rate
    voiced = np.ones(t.size)
    for start, end in pauses:
        voiced[(t >= start) & (t < end)] = 0.0
    tone = np.sin(2 * np.pi * 180 * t) + 0.5 * np.sin(2 * np.pi * 1200 * t)
    syllables = 0.6 + 0.4 * np.sin(2 * np.pi * 4 * t)
    return (level * voiced * syllables * tone + noise * rng.standard_normal(t.size)).astype(np.float32)


def write(path, channels, rate, kind=None, options=None, bit_rate=None):
    """Write [channels, N] or [N] samples with PyAV as the kind of file that `path` is named."""
    container_name, encoder, sample_type, to_rate = CONTAINERS[kind or path.suffix[1:]]
    channels = np.atleast_2d(channels).astype(np.float32)
    layout = {1: "mono", 2: "stereo"}[channels.shape[0]]
    with av.open(str(path), "w", format=container_name, options=options or {}) as container:
        stream = container.add_stream(encoder, rate=to_rate, layout=layout)
        stream.format = sample_type
        if bit_rate is not None:
            stream.bit_rate = bit_rate
        stream.codec_context.open()
        converter = av.AudioResampler(sample_type, layout, to_rate, stream.codec_context.frame_size or None)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(channels), format="fltp", layout=layout)
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
        for ready in [*converter.resample(frame), *converter.resample(None)]:
            container.mux(stream.encode(ready))
        container.mux(stream.encode(None))
    return path


def alike(one, other, slack=900):
    """Correlation of two signals at the best shift of up to `slack` samples; 1 for the same sound."""
    length = min(one.size, other.size)
    one, other = one[:length].astype(np.float64), other[:length].astype(np.float64)
    padded = 2 * length
    products = np.fft.irfft(np.fft.rfft(one, padded).conj() * np.fft.rfft(other, padded), padded)
    near = np.concatenate([products[: slack + 1], products[-slack:]])
    return float(near.max() / (np.linalg.norm(one) * np.linalg.norm(other) + 1e-12))
