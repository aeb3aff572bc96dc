"""Mono samples into the five kinds of files that the editor plays."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from codex_worker.audio.resample import resample
from codex_worker.errors import DataError, UserError

PEAK_LIMIT = 0.98  # lossy codecs overshoot, and players clip what passes 1


@dataclass(frozen=True)
class AudioFormat:
    """How a format is written: FFmpeg's container and encoder, and a bit rate that serves one voice."""

    container: str
    encoder: str
    mime_type: str
    sample_type: str
    bit_rate: int | None
    sample_rates: tuple[int, ...] | None  # None: any


FORMATS = {
    "webm": AudioFormat("webm", "libopus", "audio/webm", "flt", 48_000, (48_000,)),
    "ogg": AudioFormat("ogg", "libopus", "audio/ogg", "flt", 48_000, (48_000,)),
    "wav": AudioFormat("wav", "pcm_s16le", "audio/wav", "s16", None, None),
    "mp3": AudioFormat(
        "mp3", "libmp3lame", "audio/mpeg", "fltp", 96_000, (16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
    ),
    "m4a": AudioFormat(
        "ipod", "aac", "audio/mp4", "fltp", 96_000, (16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
    ),
}


@dataclass(frozen=True)
class Encoded:
    """A written file, as an attachment's metadata describes it."""

    path: Path
    mime_type: str
    sample_rate: int
    channels: int
    duration_s: float
    size_bytes: int
    bitrate_kbps: float


def encode(samples: NDArray[np.float32], sample_rate: int, path: Path, audio_format: str) -> Encoded:
    """Write mono samples [N] to `path`, whole or not at all.

    Too loud a signal is turned down as a whole, never clipped. The same samples give the same bytes.

    Args:
        audio_format: webm, ogg (both Opus), wav (16 bits), mp3 or m4a (AAC).

    Raises:
        UserError: another format.
        DataError: no samples, or samples that are no numbers.
    """
    form = FORMATS.get(audio_format.lower())
    if form is None:
        raise UserError(f"audio format {audio_format!r} is not known; choose one of {', '.join(FORMATS)}")
    if samples.ndim != 1 or samples.size == 0:
        raise DataError(f"{path.name}: there is no sound to write (shape {samples.shape})")
    if not np.isfinite(samples).all():
        raise DataError(f"{path.name}: the sound has samples that are no numbers; nothing was written")
    rate = _nearest_rate(sample_rate, form.sample_rates)
    ready = _within_peak(resample(samples, sample_rate, rate))
    partial = path.with_name(f"partial-{path.name}")
    try:
        _write(ready, rate, partial, form)
        size_bytes = partial.stat().st_size
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    duration_s = samples.size / sample_rate
    return Encoded(
        path=path,
        mime_type=form.mime_type,
        sample_rate=rate,
        channels=1,
        duration_s=duration_s,
        size_bytes=size_bytes,
        bitrate_kbps=size_bytes * 8 / duration_s / 1000,
    )


def _nearest_rate(wanted: int, possible: tuple[int, ...] | None) -> int:
    """The lowest rate that loses nothing, or the highest there is."""
    if possible is None:
        return wanted
    return min((rate for rate in possible if rate >= wanted), default=max(possible))


def _within_peak(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    peak = float(np.abs(samples).max())
    return samples * np.float32(PEAK_LIMIT / peak) if peak > PEAK_LIMIT else samples


def _write(samples: NDArray[np.float32], rate: int, path: Path, form: AudioFormat) -> None:
    import av

    # Without `bitexact` the muxers write random identifiers, and equal sound would be different files.
    with av.open(
        str(path.absolute()), "w", format=form.container, options={"fflags": "+bitexact"}
    ) as container:
        stream = container.add_stream(form.encoder, rate=rate, layout="mono")
        stream.codec_context.flags |= av.codec.context.Flags.bitexact
        stream.format = form.sample_type
        if form.bit_rate is not None:
            stream.bit_rate = form.bit_rate
        stream.codec_context.open()
        converter = av.AudioResampler(form.sample_type, "mono", rate, stream.codec_context.frame_size or None)
        for at in range(0, samples.size, rate):
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(samples[None, at : at + rate], np.float32), format="flt", layout="mono"
            )
            frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), at
            for ready in converter.resample(frame):
                container.mux(stream.encode(ready))
        for ready in converter.resample(None):
            container.mux(stream.encode(ready))
        container.mux(stream.encode(None))
