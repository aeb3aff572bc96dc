"""What kind of sound a recording is: a voice, a voice that was cut flat, or no voice at all.

Thresholds are set so that clean speech is never taken for anything else, one-word verses included; what
they were measured on stands beside them.
"""

import numpy as np
from numpy.typing import NDArray

from codex_worker.audio.level import FRAME_S, MUTE_DB, NOTHING_DB, Samples, frame_length, frame_levels_db

FLAT_RUN = 3  # samples in a row at the clip's own peak; a single one is the top of a wave
FLAT_WITHIN = 0.999
FEWEST_FLAT_RUNS = 4
ACTIVE_DB = 15.0  # frames this far below the loudest one hold the voice
# Kurtosis of the voice's samples: 1 for a square wave, 1.5 for a tone, 1.8 and more for single clean words,
# 3.4 in the middle of them. A third of all samples cut flat gives 1.3 to 1.8, whatever codec came after it.
SQUARE_KURTOSIS, FLATTENED_KURTOSIS, HEAPED_KURTOSIS = 1.78, 2.25, 2.7
# How much more often a voice is near its peak than somewhat below it; a clean one becomes rarer and rarer.
FLATTENED_HEAP, HEAPED = 1.45, 1.25
FLATTENED_FROM_S = 0.45  # a shorter voice is a vowel or two, whose samples can lie as a tone's do
FULL_SCALE, FULL_SCALE_SHARE = 0.998, 0.0018  # of all samples; decoders cut there what codecs let overshoot
FULL_SCALE_FRAMES = 5  # fewer are one crack
STEADY_DB = 2.5  # between loud and quiet frames; white noise has 1, a tone 0, the steadiest letter (n) 3
STEADY_FROM_S = 0.6  # a vowel by itself is as steady for as long as that
CLICK_S = 0.06  # the longest stretch of sound in a recording of clicks; a syllable has 0.1 and more
CLICK_DB = 20.0
TONE_BINS = 4  # the strongest bins of a frame of 40 ms; one tone fills them
TONE_POWER = 0.995
TONE_S = 0.1  # shorter ones are in vowels, too
FRAMES_AT_ONCE = 1000
EDGE = 2  # frames on both sides of a click or a tone, into which codecs smear it


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


def is_flattened(voice: Samples, sample_rate: int) -> bool:
    """Whether much of a voice [N] was cut flat, also where a codec made the flat tops uneven again."""
    full = np.flatnonzero(np.abs(voice) >= FULL_SCALE)
    frames = np.unique(full // frame_length(sample_rate)).size
    if full.size > FULL_SCALE_SHARE * voice.size and frames >= FULL_SCALE_FRAMES:
        return True
    active = _active(voice, sample_rate)
    if active.size < FLATTENED_FROM_S * sample_rate:
        return False
    power = float(np.mean(np.square(active, dtype=np.float64)))
    kurtosis = float(np.mean(np.power(active, 4, dtype=np.float64))) / power**2
    if kurtosis >= HEAPED_KURTOSIS:
        return False
    return (
        kurtosis < SQUARE_KURTOSIS
        or (kurtosis < FLATTENED_KURTOSIS and _heap(active, 0.95) > FLATTENED_HEAP)
        or _heap(active, 0.98) > HEAPED
    )


def voice_in(samples: Samples, sample_rate: int) -> Samples | None:
    """What may be a voice in a sound [N]: all but clicks and tones that stand out; None where nothing may.

    A beep before the words or the click of a switch is louder than many a voice, so what is left without
    them is judged by its own loudness.
    """
    voice = _without_clicks_and_tones(samples, sample_rate)
    return voice if voice.size and not _is_steady(voice, sample_rate) else None


def _without_clicks_and_tones(samples: Samples, sample_rate: int) -> Samples:
    """The frames that are left when what is louder, and no voice, is taken away again and again."""
    levels = frame_levels_db(samples, sample_rate)
    is_pure = _pure_frames(samples, sample_rate, levels.size)
    shortest = round(CLICK_S / FRAME_S)
    left = np.ones(levels.size, bool)
    while (top := levels.max(where=left, initial=NOTHING_DB)) > MUTE_DB:
        loud = left & (levels > top - CLICK_DB)
        tones = _widened(_runs_of(loud & is_pure, round(TONE_S / FRAME_S)), EDGE) & loud
        if _run_lengths(loud & ~tones).max(initial=0) >= shortest:
            left &= ~tones
            return samples[np.repeat(left, frame_length(sample_rate))[: samples.size]]
        left &= ~_widened(loud, EDGE)
    return samples[:0]


def _is_steady(voice: Samples, sample_rate: int) -> bool:
    """Whether a sound is equally loud from its beginning to its end, as noise is and no voice."""
    levels = frame_levels_db(voice, sample_rate)
    top = levels.max()
    loud = np.flatnonzero(levels > top - CLICK_DB)
    inside = levels[loud[0] : loud[-1] + 1]
    low, high = np.percentile(inside, [10, 90])
    is_long = inside.size * FRAME_S >= STEADY_FROM_S
    return bool(is_long and low > top - CLICK_DB and high - low < STEADY_DB)


def _active(samples: Samples, sample_rate: int) -> Samples:
    """The samples of the loud frames."""
    levels = frame_levels_db(samples, sample_rate)
    active = np.repeat(levels > levels.max(initial=-np.inf) - ACTIVE_DB, frame_length(sample_rate))
    return samples[active[: samples.size]]


def _heap(voice: Samples, quantile: float) -> float:
    """How many samples are near a high level, for each that is somewhat below it."""
    sizes = np.abs(voice)
    level = float(np.quantile(sizes, quantile))
    near = float(np.mean(sizes >= 0.85 * level))
    below = float(np.mean(sizes >= 0.6 * level)) - near
    return near / max(below, 1e-6)


def _pure_frames(samples: Samples, sample_rate: int, count: int) -> NDArray[np.bool_]:
    """Whether each of so many frames, with the next one, has nearly all its power in a few bins, as tones."""
    frame = frame_length(sample_rate)
    pure = np.zeros(count, bool)
    if samples.size < 2 * frame:
        return pure
    pairs = np.lib.stride_tricks.sliding_window_view(samples, 2 * frame)[::frame]
    for start in range(0, len(pairs), FRAMES_AT_ONCE):
        some = pairs[start : start + FRAMES_AT_ONCE]
        windowed = (some - some.mean(axis=1, keepdims=True)) * np.hanning(2 * frame)
        spectra = np.abs(np.fft.rfft(windowed)) ** 2
        strongest = np.partition(spectra, -TONE_BINS, axis=1)[:, -TONE_BINS:].sum(axis=1)
        pure[start : start + len(some)] = strongest > TONE_POWER * np.maximum(spectra.sum(axis=1), 1e-20)
    return pure


def _runs_of(flags: NDArray[np.bool_], shortest: int) -> NDArray[np.bool_]:
    """The flags that stand in a row of at least so many."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    found = np.zeros(flags.size, bool)
    for start, end in edges.reshape(-1, 2):
        found[start:end] = end - start >= shortest
    return found


def _widened(flags: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """The flags, and so many more on both sides of them."""
    return np.convolve(flags, np.ones(2 * by + 1))[by:-by] > 0


def _run_lengths(flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Lengths of the stretches that are true."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    return edges[1::2] - edges[::2]
