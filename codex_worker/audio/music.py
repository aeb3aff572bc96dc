"""Music in a recording, alone or behind a voice: told by tones that stand still.

An instrument keeps a note at one frequency until the next one; a voice that speaks glides all the time
(Minami et al. 1998, Video handling with music and speech detection; Seyerlehner et al. 2007, Automatic music
detection in television productions). Two tones must stand at once, so that a beep is no music. Tones that
are there in the quietest moments as well are the hum of the mains or of a machine.
"""

import numpy as np
from numpy.typing import NDArray

from codex_worker.audio.level import Samples

WINDOW_S, HOP_S = 0.128, 0.032  # long enough to tell neighbouring notes apart, and to blur what glides
LOWEST_HZ, HIGHEST_HZ = 150.0, 5_000.0
AROUND_HZ = 200.0  # a tone stands out from what is around it
STANDS_OUT_DB = 6.0
HEARD_DB = 50.0  # below the strongest tone; what is quieter is not looked at
STANDS_S = 0.6  # for which hardly a tone of a speaking voice stands still
AT_ONCE = 2
QUIETEST, HUMS = 1 / 3, 0.8  # shares of all moments, and of these
FRAMES_AT_ONCE = 1000
NO_AMPLITUDE = 1e-5

Flags = NDArray[np.bool_]
Levels = NDArray[np.float32]


def music_s(samples: Samples, sample_rate: int) -> float:
    """For how long mono samples [N] hold moments from which two tones or more stand still, in seconds.

    Professional speakers have up to 0.03, a robot's voice 0.13, a voice in a church that echoes for 1.5 s
    0.4. Music by itself mostly has 0.5 and more from 4 s on; behind a voice only where it is about as loud.
    """
    spectra = _spectra_db(samples, sample_rate)
    tones = _tones(spectra, round(AROUND_HZ * WINDOW_S))
    strongest = spectra.max(axis=1)
    quiet = strongest <= np.quantile(strongest, QUIETEST)
    standing = _standing(tones & (tones[quiet].mean(axis=0) <= HUMS), round(STANDS_S / HOP_S))
    # Flags side by side are of one tone.
    count = standing[:, 0] + (standing[:, 1:] & ~standing[:, :-1]).sum(axis=1)
    return float(np.sum(count >= AT_ONCE)) * HOP_S


def _spectra_db(samples: Samples, sample_rate: int) -> Levels:
    """[moments, frequencies] from LOWEST_HZ to HIGHEST_HZ, finer than the bands that tell words apart."""
    window, hop = round(WINDOW_S * sample_rate), round(HOP_S * sample_rate)
    padded = np.pad(samples, (0, max(0, window - samples.size)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]
    frequencies = np.fft.rfftfreq(window, 1 / sample_rate)
    inside = slice(*np.searchsorted(frequencies, [LOWEST_HZ, HIGHEST_HZ]))
    shape = np.hanning(window)
    found = [
        np.abs(np.fft.rfft(frames[start : start + FRAMES_AT_ONCE] * shape)[:, inside]).astype(np.float32)
        for start in range(0, len(frames), FRAMES_AT_ONCE)
    ]
    return np.asarray(20 * np.log10(np.concatenate(found) + np.float32(NO_AMPLITUDE)))


def _tones(spectra: Levels, around: int) -> Flags:
    """Where peaks are that stand out from so many bins around them; each with both its neighbours."""
    ends = np.pad(spectra, ((0, 0), (1, 1)), constant_values=np.inf)
    is_peak = (spectra >= ends[:, :-2]) & (spectra >= ends[:, 2:])
    half = around // 2
    sums = np.cumsum(np.pad(spectra, ((0, 0), (half + 1, half)), mode="edge"), axis=1, dtype=np.float64)
    means = (sums[:, 2 * half + 1 :] - sums[:, : -2 * half - 1]) / (2 * half + 1)
    tones = is_peak & (spectra > means + STANDS_OUT_DB) & (spectra > spectra.max() - HEARD_DB)
    wide = np.pad(tones, ((0, 0), (1, 1)))
    return np.asarray(wide[:, :-2] | tones | wide[:, 2:])


def _standing(tones: Flags, moments: int) -> Flags:
    """Where a tone is there for so many moments from here on; [moments, frequencies], fewer moments."""
    counts = np.cumsum(np.pad(tones, ((1, 0), (0, 0))), axis=0, dtype=np.int32)
    return np.asarray(counts[moments:] - counts[:-moments] == moments)
