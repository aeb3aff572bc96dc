"""Samples as files, written as editors and phones write them; not by the code that they are to test."""

import io
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np

from sample.real_speech.corpus import RATE, Samples


@dataclass(frozen=True)
class Form:
    """FFmpeg's container and encoder, its rate in Hz, its kind of samples, its bits a second."""

    container: str
    encoder: str
    rate: int
    samples: str
    bit_rate: int | None = None


FORMS = {
    "webm": Form("webm", "libopus", 48_000, "s16", 32_000),
    "wav": Form("wav", "pcm_s16le", RATE, "s16"),
    "mp3": Form("mp3", "libmp3lame", 24_000, "s16p", 48_000),
    "m4a": Form("mp4", "aac", 44_100, "fltp", 64_000),
    "ogg": Form("ogg", "libopus", 48_000, "s16", 64_000),
}
FORWARD_ONLY = {"webm"}


class _Pipe(io.RawIOBase):
    """A file as a browser's recorder writes it: never going back, so that WebM says no length."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, content: object) -> int:
        self._parts.append(bytes(content))  # type: ignore[call-overload]
        return len(self._parts[-1])

    def getvalue(self) -> bytes:
        return b"".join(self._parts)


def encode(samples: Samples, extension: str) -> bytes:
    """Mono samples [N] at 16 kHz as a file of one of FORMS; the same samples give the same bytes."""
    form = FORMS[extension]
    target = _Pipe() if extension in FORWARD_ONLY else io.BytesIO()
    # Without bitexact the containers get random identities.
    with av.open(target, "w", format=form.container, options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream(form.encoder, rate=form.rate, layout="mono")
        stream.codec_context.flags |= av.codec.context.Flags.bitexact
        stream.format = form.samples
        if form.bit_rate is not None:
            stream.bit_rate = form.bit_rate
        stream.codec_context.open()
        resampler = av.AudioResampler(
            form.samples, "mono", form.rate, stream.codec_context.frame_size or None
        )
        for frame in [*resampler.resample(_frame(samples)), *resampler.resample(None)]:
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return target.getvalue()


def _frame(samples: Samples) -> av.AudioFrame:
    whole = (np.clip(samples, -1, 1) * 32_767).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(whole[None], format="s16", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
    return frame
