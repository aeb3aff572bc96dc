"""Whether a voice was recorded too loud: the tops of its waves are cut flat, at any level, in any format.

After lossy coding flat tops ripple, so they are told by what cutting does to the whole: the samples crowd
near one level, and the loudest waves are all equally high. The thresholds lie beyond what 1,100 clean prompts
of two studio voices reach, single words included, as they are, through Opus, MP3 and AAC at 16 to 64 kbit/s,
and behind a radio station's limiter. What cuts softly (a tube, a limiter) leaves neither mark.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codex_worker.audio.character import is_one_sound
from codex_worker.audio.level import Samples, frame_length, frame_levels_db, run_lengths

FLAT_RUN = 3  # samples in a row at the clip's own peak; a single one is the top of a wave
FLAT_WITHIN = 0.999
FEWEST_FLAT_RUNS = 4
FULL_SCALE, FULL_SCALE_SHARE = 0.998, 0.0018  # of all samples; decoders cut there what codecs let overshoot
FULL_SCALE_FRAMES = 5  # fewer are one crack
ACTIVE_DB = 15.0  # frames this far below the loudest one hold the voice
WAVE_S = 0.01  # about one opening of the vocal folds
NEAR_TOP, ABOVE_NOUGHT, HIGH_WAVE = 0.8, 0.2, 0.7  # of a wave's own top; of the high waves' top
ONE_HEIGHT = 1.03  # the highest waves over those of the upper quarter
FLAT_CROWDING = 0.22  # waves that a limiter makes equally high stay pointed


@dataclass(frozen=True)
class _Bound:
    """What no clean voice of at least so many seconds reaches."""

    from_s: float
    kurtosis: float  # of its samples: 1 for a square wave, 1.5 for a tone, 3 and more for most voices
    crowding: float  # the share of a wave's samples that are near its top
    crowded_kurtosis: float


# A shorter voice is a vowel or two, whose samples can lie as a tone's do.
BOUNDS = (_Bound(1.0, 2.1, 0.38, 2.7), _Bound(0.45, 1.85, 0.45, 2.4))


def flat_share(samples: Samples) -> float:
    """The share of samples [N] in flat tops at the clip's own peak, each side by itself; 0 where few."""
    flat = runs = 0
    for side in (samples, -samples):
        peak = float(side.max(initial=0.0))
        if peak <= 0:
            continue
        lengths = run_lengths(side >= FLAT_WITHIN * peak)
        long = lengths[lengths >= FLAT_RUN]
        flat += int(long.sum())
        runs += long.size
    return flat / samples.size if runs >= FEWEST_FLAT_RUNS else 0.0


def is_flattened(voice: Samples, sample_rate: int) -> bool:
    """Whether much of a voice [N] was cut flat, also where a codec made the flat tops uneven again."""
    waves = _waves(voice, sample_rate)
    power = float(np.mean(np.square(waves))) if waves.size else 0.0
    if power <= 0:
        return False
    kurtosis = float(np.mean(np.power(waves, 4))) / power**2
    crowding = max(_crowding(waves), _crowding(-waves))
    is_beyond = any(
        kurtosis < bound.kurtosis or (crowding > bound.crowding and kurtosis < bound.crowded_kurtosis)
        for bound in BOUNDS
        if len(waves) * WAVE_S >= bound.from_s
    )
    return is_beyond and not is_one_sound(voice, sample_rate)


def has_ceiling(voice: Samples, sample_rate: int) -> bool:
    """Whether the loudest waves of a voice [N] are all cut at one height, on one side, or at full scale."""
    full = np.flatnonzero(np.abs(voice) >= FULL_SCALE)
    frames = np.unique(full // frame_length(sample_rate)).size
    if full.size > FULL_SCALE_SHARE * voice.size and frames >= FULL_SCALE_FRAMES:
        return True
    waves = _waves(voice, sample_rate)
    if len(waves) * WAVE_S < BOUNDS[-1].from_s:
        return False
    is_level = any(_are_of_one_height(side) for side in (waves, -waves))
    return is_level and not is_one_sound(voice, sample_rate)


def _waves(voice: Samples, sample_rate: int) -> NDArray[np.float64]:
    """The loud frames in pieces of WAVE_S: [pieces, samples]."""
    levels = frame_levels_db(voice, sample_rate)
    active = np.repeat(levels > levels.max(initial=-np.inf) - ACTIVE_DB, frame_length(sample_rate))
    loud = voice[active[: voice.size]].astype(np.float64)
    length = round(WAVE_S * sample_rate)
    return loud[: loud.size // length * length].reshape(-1, length)


def _are_of_one_height(waves: NDArray[np.float64]) -> bool:
    """Whether the tops of one side of the loudest waves are flat and equally high."""
    upper, highest = np.quantile(waves.max(axis=1), [0.75, 0.97])
    return bool(0 < highest < ONE_HEIGHT * upper) and _crowding(waves) > FLAT_CROWDING


def _crowding(waves: NDArray[np.float64]) -> float:
    """How many of the samples of one side of the high waves are near their own tops."""
    tops = waves.max(axis=1, initial=0.0)
    chosen = tops > HIGH_WAVE * np.quantile(tops, 0.9) if tops.size else tops > 0
    high, top = waves[chosen], tops[chosen, None]
    return float(np.sum(high >= NEAR_TOP * top)) / max(float(np.sum(high > ABOVE_NOUGHT * top)), 1.0)
