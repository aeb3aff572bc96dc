"""How loud, how silent, how clean: measures of a recording, and what evens them out.

Loudness follows Recommendation ITU-R BS.1770-5 (K-weighting, blocks of 400 ms, gates at -70 and -10 LU).
Its filters are applied here to the spectrum of each block, which agrees with filtering in time within
a few hundredths of a decibel for speech and needs no filter for each sample rate.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codex_worker.audio.bands import HOP_S, band_powers

Samples = NDArray[np.float32]

FRAME_S = 0.02
SILENCE_DB = -75.0  # quieter than this is silence in any recording
BLOCK_S = 0.4
ABSOLUTE_GATE_LUFS = -70.0
RELATIVE_GATE_LU = -10.0
TARGET_LUFS = -23.0  # EBU R 128
PEAK_LIMIT_DB = -1.0
MOST_GAIN_DB = 30.0  # more would only lift the noise
NOTHING_DB = -120.0
# A recording is silent whose loudest tenth of a second is quieter than this, unless it stands out from what
# is around it as a voice does; a muted microphone leaves even less.
SILENT_DB, STANDS_OUT_DB, MUTE_DB = -55.0, 15.0, -70.0
LOUDEST_S = 0.1
EMPTY_DB = -110.0  # digital silence
OFFSET_RESTS_DB, BELOW_OFFSET_DB = (
    -45.0,
    20.0,
)  # AAC's rests of an offset are this far below it and below full
QUIETEST_DB = 2.5  # the quietest moments of a noise are so much below it
PAUSE_SPREAD_DB = 3.5  # and its loudest so much above


@dataclass(frozen=True)
class Levels:
    """Measures of one recording. Decibels are relative to full scale."""

    loudness_lufs: float
    noise_floor_db: float  # what never falls silent, each band of the spectrum by itself
    speech_db: float  # the level of the loudest tenth
    pause_s: float  # in which that noise is heard by itself

    @property
    def signal_to_noise_db(self) -> float:
        """How far the speech stands above the noise."""
        return self.speech_db - self.noise_floor_db


def measure(samples: Samples, sample_rate: int) -> Levels:
    """Measure mono samples [N].

    The noise is measured band by band: a word without a pause is never quiet as a whole, yet its bands are,
    the low ones in an s and the high ones in an o. So only what fills every band for all the time is noise.
    """
    if samples.size == 0:
        return Levels(NOTHING_DB, NOTHING_DB, NOTHING_DB, 0.0)
    powers = band_powers(samples, sample_rate)
    whole_db = _decibels(powers.sum(axis=1))
    floor_db = min(_decibels(np.percentile(powers, 5, axis=0).sum()) + QUIETEST_DB, whole_db.max())
    return Levels(
        loudness_lufs=loudness(samples, sample_rate),
        noise_floor_db=float(floor_db),
        speech_db=float(np.percentile(whole_db, 90)),
        pause_s=float(np.sum(whole_db < floor_db + PAUSE_SPREAD_DB)) * HOP_S,
    )


def loudest_db(samples: Samples, sample_rate: int) -> float:
    """The level that mono samples [N] reach for a tenth of a second in all, without any constant offset.

    A quarter of the frames where the recording is shorter; a single crack in silence is none.
    """
    frames = frame_levels_db(samples, sample_rate, centred=True)
    if frames.size == 0:
        return NOTHING_DB
    wanted = max(1, min(round(LOUDEST_S / FRAME_S), frames.size // 4))
    return float(np.partition(frames, -wanted)[-wanted])


def is_silent(samples: Samples, sample_rate: int) -> bool:
    """Whether nothing can be heard: a muted microphone, rounding noise, or a constant offset."""
    loudest = loudest_db(samples, sample_rate)
    if loudest < MUTE_DB or _is_rest_of_offset(samples, loudest):
        return True
    if loudest >= SILENT_DB:
        return False
    frames = frame_levels_db(samples, sample_rate, centred=True)
    # Frames without anything are pauses that were put there: whatever is heard stands out from them.
    around = float(np.percentile(frames[frames > EMPTY_DB], 10))
    return loudest - around < STANDS_OUT_DB


def _is_rest_of_offset(samples: Samples, loudest: float) -> bool:
    """Whether what is heard can be what a lossy codec makes of a constant offset."""
    offset_db = 20 * np.log10(max(abs(float(samples.mean(dtype=np.float64))), 1e-6))
    return bool(loudest < OFFSET_RESTS_DB and loudest < offset_db - BELOW_OFFSET_DB)


def loudness(samples: Samples, sample_rate: int) -> float:
    """Integrated loudness in LUFS; -120 for silence. Shorter than a block, the whole is one block."""
    powers = np.fromiter(_block_powers(samples, sample_rate), np.float64)
    powers = powers[_lufs(powers) > ABSOLUTE_GATE_LUFS]
    if powers.size == 0:
        return NOTHING_DB
    powers = powers[_lufs(powers) > _lufs(powers.mean()) + RELATIVE_GATE_LU]
    return float(_lufs(powers.mean()))


def even_level(
    samples: Samples,
    sample_rate: int,
    *,
    target_lufs: float = TARGET_LUFS,
    peak_limit_db: float = PEAK_LIMIT_DB,
) -> Samples:
    """Bring a recording to the target loudness by one gain for all of it; its peak stays below the limit.

    Silence stays as it is, and nothing is amplified by more than 30 dB.
    """
    present = loudness(samples, sample_rate)
    if present <= ABSOLUTE_GATE_LUFS:
        return samples
    gain_db = min(target_lufs - present, MOST_GAIN_DB)
    gain = min(10 ** (gain_db / 20), 10 ** (peak_limit_db / 20) / float(np.abs(samples).max()))
    return (samples * np.float32(gain)).astype(np.float32, copy=False)


def trim_silence(samples: Samples, sample_rate: int, *, margin_s: float = 0.1) -> Samples:
    """Cut silence from both ends, but for a margin; a recording without speech stays whole."""
    start, end = sounding(samples, sample_rate, margin_s=margin_s)
    return samples[start:end]


def sounding(samples: Samples, sample_rate: int, *, margin_s: float = 0.1) -> tuple[int, int]:
    """The samples `[start, end)` between the silences of both ends, and a margin; all where none sounds."""
    frames = frame_levels_db(samples, sample_rate)
    loud = np.flatnonzero(frames >= _silence_threshold_db(frames))
    if loud.size == 0:
        return 0, samples.size
    frame, margin = frame_length(sample_rate), round(margin_s * sample_rate)
    start, end = loud[0] * frame - margin, (loud[-1] + 1) * frame + margin
    return max(0, int(start)), min(int(end), samples.size)


def find_pauses(samples: Samples, sample_rate: int, *, min_pause_s: float = 0.2) -> list[tuple[float, float]]:
    """Find silences of at least `min_pause_s`, those at both ends included; (start, end) in seconds."""
    frames = frame_levels_db(samples, sample_rate)
    silent = np.concatenate(([False], frames < _silence_threshold_db(frames), [False]))
    edges = np.flatnonzero(silent[1:] != silent[:-1]) * frame_length(sample_rate) / sample_rate
    end_s = samples.size / sample_rate
    pauses = ((float(start), min(float(end), end_s)) for start, end in edges.reshape(-1, 2))
    return [(start, end) for start, end in pauses if end - start >= min_pause_s - 1e-9]


def frame_length(sample_rate: int) -> int:
    """Samples in a frame."""
    return max(1, round(FRAME_S * sample_rate))


def frame_levels_db(samples: Samples, sample_rate: int, *, centred: bool = False) -> NDArray[np.float64]:
    """RMS level of each frame of 20 ms, `centred` around its mean; the last one may be shorter."""
    if samples.size == 0:
        return np.empty(0)
    starts = np.arange(0, samples.size, frame_length(sample_rate))
    counts = np.diff(np.append(starts, samples.size))
    power = np.add.reduceat(np.square(samples), starts, dtype=np.float64) / counts
    if centred:
        power -= (np.add.reduceat(samples, starts, dtype=np.float64) / counts) ** 2
    return _decibels(power)


def run_lengths(flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Lengths of the stretches that are true."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    return edges[1::2] - edges[::2]


def _decibels(power: NDArray[np.float64] | float) -> NDArray[np.float64]:
    return np.asarray(10 * np.log10(np.maximum(power, 10 ** (NOTHING_DB / 10))))


def _silence_threshold_db(frames_db: NDArray[np.float64]) -> float:
    """Between the noise and the speech: 6 dB over the one, unless that is less than 15 dB below the other."""
    if frames_db.size == 0:
        return SILENCE_DB
    noise, speech = np.percentile(frames_db, [5, 95])
    return float(max(SILENCE_DB, speech - 40.0, min(noise + 6.0, speech - 15.0)))


def _block_powers(samples: Samples, sample_rate: int) -> Iterator[float]:
    """Mean squares of K-weighted blocks of 400 ms that overlap by three quarters."""
    length = min(samples.size, round(BLOCK_S * sample_rate))
    if length == 0:
        return
    window = np.hanning(length + 2)[1:-1]
    weights = _k_weighting(np.fft.rfftfreq(length, 1 / sample_rate).astype(np.float64))
    weights[1 : (length + 1) // 2] *= 2  # each of these stands for a negative frequency as well
    weights /= length * np.sum(window**2)
    for start in range(0, samples.size - length + 1, max(1, length // 4)):
        spectrum = np.fft.rfft(samples[start : start + length] * window)
        yield float(np.sum(weights * np.abs(spectrum) ** 2))


def _k_weighting(frequencies_hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Power response of BS.1770's two filters: a shelf for the head, and a high pass.

    The recommendation gives coefficients for 48 kHz; these are the analogue filters behind them.
    """
    shelf_s = 1j * frequencies_hz / 1681.974450955533
    high = 10 ** (3.999843853973347 / 20)
    middle = high**0.4996667741545416
    quality = 0.7071752369554196
    shelf = (high * shelf_s**2 + middle * shelf_s / quality + 1) / (shelf_s**2 + shelf_s / quality + 1)
    pass_s = 1j * frequencies_hz / 38.13547087602444
    high_pass = pass_s**2 / (pass_s**2 + pass_s / 0.5003270373238773 + 1)
    return np.asarray(np.abs(shelf * high_pass) ** 2)


def _lufs(power: NDArray[np.float64] | float) -> NDArray[np.float64]:
    return np.asarray(-0.691 + 10 * np.log10(np.maximum(power, 1e-20)))
