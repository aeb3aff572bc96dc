"""Samples of any rate gathered at one rate, in bounded memory."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


class GatheredSamples:
    """Gathers samples of any rate at one rate; about a second of them waits to be resampled together."""

    def __init__(self, sample_rate: int) -> None:
        self.had_invalid = False
        self.holds_decimals = False  # set where a file's own samples are decimal numbers
        self._sample_rate = sample_rate
        self._from_rate = 0
        self._resampler: Any = None
        self._waiting: list[NDArray[np.float32]] = []
        self._waiting_count = 0
        self._kept = bytearray()  # grows in place, where a list of arrays would need the memory twice

    def add(self, samples: NDArray[np.float32], rate: int) -> None:
        """Take the next samples, which may have another rate than those before."""
        import soxr

        if rate != self._from_rate:
            self._resample(last=True)
            self._resampler = soxr.ResampleStream(rate, self._sample_rate, 1, dtype="float32")
            self._from_rate = rate
        self._waiting.append(samples)
        self._waiting_count += samples.size
        if self._waiting_count >= rate:
            self._resample(last=False)

    def add_silence(self, count: int, rate: int) -> None:
        """Take so many samples of silence, a second of them at a time."""
        for at in range(0, count, rate):
            self.add(np.zeros(min(rate, count - at), np.float32), rate)

    def finish(self) -> NDArray[np.float32]:
        """Give everything within [-1, 1]: lossy codecs and resampling overshoot a little, which is cut.

        Files that hold decimal numbers may be much louder without any harm; they are turned down.
        """
        self._resample(last=True)
        samples = np.frombuffer(self._kept, np.float32)
        peak = max(float(samples.max(initial=0.0)), -float(samples.min(initial=0.0)))
        if self.holds_decimals and peak > 1.0:
            samples /= peak
        return np.clip(samples, -1.0, 1.0, out=samples)

    def _resample(self, *, last: bool) -> None:
        if self._resampler is None:
            return
        samples = np.concatenate(self._waiting) if self._waiting else np.empty(0, np.float32)
        if not np.isfinite(samples).all():
            samples = np.where(np.isfinite(samples), samples, np.float32(0.0))
            self.had_invalid = True
        self._kept += self._resampler.resample_chunk(samples, last=last).tobytes()
        self._waiting, self._waiting_count = [], 0
