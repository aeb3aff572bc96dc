"""Where in the spectrum a sound's power lies, moment by moment."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Powers = NDArray[np.float64]

BANDS = 20
LOWEST_HZ, HIGHEST_HZ = 100.0, 7_000.0
WINDOW_S, HOP_S = 0.04, 0.02
NO_POWER = 1e-12
LOUD_DB = 20.0  # moments within this of the loudest one
FRAMES_AT_ONCE = 2000


def band_powers(samples: NDArray[np.float32], sample_rate: int) -> Powers:
    """Mean squares of mono samples [N] in bands of equal width by ear: [moments, BANDS], one each 20 ms."""
    window, hop = round(WINDOW_S * sample_rate), round(HOP_S * sample_rate)
    padded = np.pad(samples, (0, max(0, window - samples.size)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]
    shape, bands = _window(window), _bands(window, sample_rate)
    some = (frames[start : start + FRAMES_AT_ONCE] for start in range(0, len(frames), FRAMES_AT_ONCE))
    return np.concatenate([np.square(np.abs(np.fft.rfft(part * shape))) @ bands for part in some])


def unevenness_db(samples: NDArray[np.float32], sample_rate: int) -> float:
    """How much the bands of a sound's loud moments rise and fall: the middle one of all bands.

    Noise, a tone or one held vowel reach up to 7; words have 10 and more, however they were distorted.
    """
    powers = np.maximum(band_powers(samples, sample_rate), NO_POWER)
    whole = powers.sum(axis=1)
    levels = 10 * np.log10(powers[whole > whole.max() * 10 ** (-LOUD_DB / 10)])
    low, high = np.percentile(levels, [10, 90], axis=0)
    return float(np.median(high - low))


@lru_cache(maxsize=8)
def _window(length: int) -> NDArray[np.float64]:
    """A raised cosine that keeps a signal's mean square in the sum over the spectrum's positive half."""
    shape = np.hanning(length)
    return np.asarray(shape * np.sqrt(2 / (length * np.sum(shape**2))))


@lru_cache(maxsize=8)
def _bands(length: int, sample_rate: int) -> NDArray[np.float64]:
    """[frequencies, BANDS]: 1 where a frequency belongs to a band."""
    frequencies = np.fft.rfftfreq(length, 1 / sample_rate)
    edges = np.geomspace(LOWEST_HZ, min(HIGHEST_HZ, sample_rate / 2), BANDS + 1)
    band = np.digitize(frequencies, edges) - 1
    return (band[:, None] == np.arange(BANDS)[None]).astype(np.float64)
