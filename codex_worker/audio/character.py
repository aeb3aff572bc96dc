"""What kind of sound a recording is: a voice, or no voice at all.

Thresholds are set so that clean speech is never taken for anything else, one-word verses included; what
they were measured on stands beside them.
"""

import numpy as np
from numpy.typing import NDArray

from codex_worker.audio.bands import unevenness_db
from codex_worker.audio.level import (
    FRAME_S,
    MUTE_DB,
    NOTHING_DB,
    Samples,
    frame_length,
    frame_levels_db,
    run_lengths,
)

STEADY_DB = 2.5  # between loud and quiet frames; white noise has 1, a tone 0, the steadiest letter (n) 3
STEADY_FROM_S = 0.6  # a vowel by itself is as steady for as long as that
ONE_SOUND_DB = 9.0  # of unevenness; a voice behind a limiter is as steady as noise, but not in each band
CLICK_S = 0.06  # the longest stretch of sound in a recording of clicks; a syllable has 0.1 and more
CLICK_DB = 20.0
TONE_BINS = 4  # the strongest bins of a frame of 40 ms; one tone fills them
TONE_POWER = 0.995
TONE_DB = 30.0  # below the loudest frame
HUM_HZ = 200.0
TONE_S = 0.1  # shorter ones are in vowels, too
FRAMES_AT_ONCE = 1000
EDGE = 2  # frames on both sides of a click or a tone, into which codecs smear it


def voice_in(samples: Samples, sample_rate: int) -> Samples | None:
    """What may be a voice in a sound [N]: all but clicks and tones that stand out; None where nothing may.

    A beep before the words or the click of a switch is louder than many a voice, so what is left without
    them is judged by its own loudness.
    """
    voice = _without_clicks_and_tones(samples, sample_rate)
    return voice if voice.size and not _is_steady(voice, sample_rate) else None


def is_one_sound(samples: Samples, sample_rate: int) -> bool:
    """Whether samples [N] hold one and the same sound, as noise, a tone or a held vowel, and no words."""
    return unevenness_db(samples, sample_rate) < ONE_SOUND_DB


def longest_beep_s(samples: Samples, sample_rate: int) -> float:
    """Seconds of the longest beep that stands out from samples [N]; a voice's vowels reach 0.12.

    Low tones are the hum of the mains rather than a beep.
    """
    levels = frame_levels_db(samples, sample_rate)
    loud = levels > levels.max(initial=NOTHING_DB) - TONE_DB
    beeps = loud & (_tone_hz(samples, sample_rate, levels.size) > HUM_HZ)
    return float(run_lengths(beeps).max(initial=0)) * FRAME_S


def _without_clicks_and_tones(samples: Samples, sample_rate: int) -> Samples:
    """The frames that are left when what is louder, and no voice, is taken away again and again."""
    levels = frame_levels_db(samples, sample_rate)
    is_pure = _tone_hz(samples, sample_rate, levels.size) > 0
    shortest = round(CLICK_S / FRAME_S)
    left = np.ones(levels.size, bool)
    while (top := levels.max(where=left, initial=NOTHING_DB)) > MUTE_DB:
        loud = left & (levels > top - CLICK_DB)
        tones = _widened(_runs_of(loud & is_pure, round(TONE_S / FRAME_S)), EDGE) & loud
        if run_lengths(loud & ~tones).max(initial=0) >= shortest:
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
    is_steady = is_long and low > top - CLICK_DB and high - low < STEADY_DB
    return bool(is_steady and is_one_sound(voice, sample_rate))


def _tone_hz(samples: Samples, sample_rate: int, count: int) -> NDArray[np.float64]:
    """The frequency of each of so many frames, with the next one, that has nearly all its power in a tone.

    0 for the others.
    """
    frame = frame_length(sample_rate)
    hertz = np.zeros(count)
    if samples.size < 2 * frame:
        return hertz
    pairs = np.lib.stride_tricks.sliding_window_view(samples, 2 * frame)[::frame]
    for start in range(0, len(pairs), FRAMES_AT_ONCE):
        some = pairs[start : start + FRAMES_AT_ONCE]
        windowed = (some - some.mean(axis=1, keepdims=True)) * np.hanning(2 * frame)
        spectra = np.abs(np.fft.rfft(windowed)) ** 2
        strongest = np.partition(spectra, -TONE_BINS, axis=1)[:, -TONE_BINS:].sum(axis=1)
        is_pure = strongest > TONE_POWER * np.maximum(spectra.sum(axis=1), 1e-20)
        peaks = spectra.argmax(axis=1) * sample_rate / (2 * frame)
        hertz[start : start + len(some)] = np.where(is_pure, np.maximum(peaks, 1.0), 0.0)
    return hertz


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
