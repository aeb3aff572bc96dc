"""What kind of sound a recording is: a voice, a voice that was cut flat, or no voice at all.

Thresholds are set so that clean speech is never taken for anything else, one-word verses included; what
they were measured on stands beside them.
"""

import numpy as np
from numpy.typing import NDArray

from codex_worker.audio.level import Samples, frame_levels_db

FLAT_RUN = 3  # samples in a row at the clip's own peak; a single one is the top of a wave
FLAT_WITHIN = 0.999
FEWEST_FLAT_RUNS = 4
ACTIVE_DB = 15.0  # frames this far below the loudest one hold the voice
# Kurtosis of the voice's samples: 1 for a square wave, 1.5 for a tone, 1.8 and more for single clean words,
# 3.4 in the middle of them. A third of all samples cut flat gives 1.3 to 1.8, whatever codec came after it.
SQUARE_KURTOSIS, FLATTENED_KURTOSIS, HEAPED_KURTOSIS = 1.78, 2.25, 2.7
# How much more often a voice is near its peak than somewhat below it; a clean one becomes rarer and rarer.
FLATTENED_HEAP, HEAPED = 1.45, 1.25
FULL_SCALE, FULL_SCALE_SHARE = 0.998, 0.0018  # of all samples; decoders cut there what codecs let overshoot
STEADY_DB = 2.5  # between loud and quiet frames; white noise has 1, a tone 0, the steadiest letter (n) 3
STEADY_FROM_S = 0.4
CLICK_S = 0.06  # the longest stretch of sound in a recording of clicks; a syllable has 0.1 and more
CLICK_DB = 20.0
TONE_BINS = 4  # the strongest bins of a frame of 40 ms; one tone fills them
TONE_POWER, TONE_SHARE = 0.995, 0.7


def flat_share(samples: Samples) -> float:
    """The share of samples [N] in flat tops at the clip's own peak, each side by itself; 0 where few."""
    flat = runs = 0
    for side in (samples, -samples):
        peak = float(side.max(initial=0.0))
        if peak <= 0:
            continue
        lengths = _run_lengths(side >= FLAT_WITHIN * peak)
        long = lengths[lengths >= FLAT_RUN]
        flat += int(long.sum())
        runs += long.size
    return flat / samples.size if runs >= FEWEST_FLAT_RUNS else 0.0


def is_flattened(samples: Samples, sample_rate: int) -> bool:
    """Whether much of a voice [N] was cut flat, also where a codec made the flat tops uneven again."""
    voice = _active(samples, sample_rate)
    if voice.size == 0:
        return False
    power = float(np.mean(np.square(voice, dtype=np.float64)))
    if power <= 0:
        return False
    if float(np.mean(np.abs(samples) >= FULL_SCALE)) > FULL_SCALE_SHARE:
        return True
    kurtosis = float(np.mean(np.power(voice, 4, dtype=np.float64))) / power**2
    if kurtosis >= HEAPED_KURTOSIS:
        return False
    return (
        kurtosis < SQUARE_KURTOSIS
        or (kurtosis < FLATTENED_KURTOSIS and _heap(voice, 0.95) > FLATTENED_HEAP)
        or _heap(voice, 0.98) > HEAPED
    )


def is_speech(samples: Samples, sample_rate: int) -> bool:
    """Whether a sound [N] may be a voice: not one steady noise or tone, not tones only, not clicks only."""
    levels = frame_levels_db(samples, sample_rate)
    loud = levels > levels.max(initial=-np.inf) - CLICK_DB
    first, last = int(loud.argmax()), len(loud) - int(loud[::-1].argmax())
    seconds = samples.size / max(1, len(levels)) / sample_rate
    if _run_lengths(loud).max(initial=0) * seconds < CLICK_S:
        return False
    inside = levels[first:last]
    low, high = np.percentile(inside, [10, 90])
    if inside.size * seconds >= STEADY_FROM_S and high - low < STEADY_DB:
        return False
    return not _is_tones(samples, sample_rate)


def _active(samples: Samples, sample_rate: int) -> Samples:
    """The samples of the loud frames."""
    levels = frame_levels_db(samples, sample_rate)
    frame = -(-samples.size // max(1, levels.size))
    active = np.repeat(levels > levels.max(initial=-np.inf) - ACTIVE_DB, frame)[: samples.size]
    return samples[active]


def _heap(voice: Samples, quantile: float) -> float:
    """How many samples are near a high level, for each that is somewhat below it."""
    sizes = np.abs(voice)
    level = float(np.quantile(sizes, quantile))
    near = float(np.mean(sizes >= 0.85 * level))
    below = float(np.mean(sizes >= 0.6 * level)) - near
    return near / max(below, 1e-6)


def _is_tones(samples: Samples, sample_rate: int) -> bool:
    """Whether nearly all loud frames have their power in a few bins of the spectrum, as beeps have."""
    frame = round(0.04 * sample_rate)
    if samples.size < frame:
        return False
    frames = np.lib.stride_tricks.sliding_window_view(samples, frame)[:: frame // 2]
    power = np.einsum("ij,ij->i", frames, frames, dtype=np.float64)
    loud = frames[power > power.max() * 10 ** (-CLICK_DB / 10)]
    loud = loud[:: max(1, len(loud) // 400)]
    spectra = np.abs(np.fft.rfft((loud - loud.mean(axis=1, keepdims=True)) * np.hanning(frame))) ** 2
    strongest = np.partition(spectra, -TONE_BINS, axis=1)[:, -TONE_BINS:].sum(axis=1)
    pure = strongest > TONE_POWER * np.maximum(spectra.sum(axis=1), 1e-20)
    return bool(pure.mean() > TONE_SHARE)


def _run_lengths(flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Lengths of the stretches that are true."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    return edges[1::2] - edges[::2]
