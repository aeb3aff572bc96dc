"""What can be heard in one recording: its levels, the pitch of the voice, the colour of its sound."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codex_worker.audio.level import Levels, measure

Samples = NDArray[np.float32]

BANDS = 24
LOWEST_BAND_HZ, HIGHEST_BAND_HZ = 100.0, 7_000.0
FRAME_S, HOP_S = 0.04, 0.02
LOWEST_PITCH_HZ, HIGHEST_PITCH_HZ = 60.0, 400.0
MIN_PERIODICITY = 0.5  # of the autocorrelation's peak; a vowel has 0.7 and more
MAX_PITCH_FRAMES = 400
TURN_FRAMES, TURN_STEP = 40, 5  # of vowels on both sides of a turn; between places where one is looked for


@dataclass(frozen=True)
class VoiceMeasures:
    """A voice as far as simple measures tell. `pitch_hz` is NaN where nothing is sung or spoken aloud."""

    pitch_hz: float  # the middle one of its vowels
    colour: NDArray[np.float64]  # [BANDS] dB above their mean: the long-term spectrum, free of loudness
    turn_semitones: float = 0.0  # how far the pitch leaves its range at some moment and stays outside


def measure_voice(samples: Samples, sample_rate: int) -> VoiceMeasures:
    """Median pitch by autocorrelation, and the long-term average spectrum of the louder half; mono [N]."""
    frame, hop = round(FRAME_S * sample_rate), round(HOP_S * sample_rate)
    if samples.size < frame:
        return VoiceMeasures(float("nan"), np.zeros(BANDS))
    frames = np.lib.stride_tricks.sliding_window_view(samples, frame)[::hop]
    energy = np.einsum("ij,ij->i", frames, frames, dtype=np.float64)
    loud = frames[energy >= np.median(energy)]
    if loud.shape[0] > MAX_PITCH_FRAMES:
        loud = loud[np.linspace(0, loud.shape[0] - 1, MAX_PITCH_FRAMES).astype(int)]
    spectra = np.abs(np.fft.rfft(loud * np.hanning(frame), 2 * frame)) ** 2
    pitches = _pitches_hz(spectra, frame, sample_rate)
    return VoiceMeasures(
        float(np.median(pitches)) if pitches.size else float("nan"),
        _colour(spectra.mean(axis=0), sample_rate),
        _turn(12 * np.log2(pitches)),
    )


def measure_all(samples: Samples, sample_rate: int) -> tuple[Levels, VoiceMeasures]:
    """Everything there is to measure."""
    return measure(samples, sample_rate), measure_voice(samples, sample_rate)


def _turn(semitones: NDArray[np.float64]) -> float:
    """How far the middle halves of what is before and after some moment are apart; 0 where they overlap.

    One person's melody rises and falls through the same range all the time; another person has another range.
    """
    places = range(TURN_FRAMES, semitones.size - TURN_FRAMES + 1, TURN_STEP)
    gaps = [0.0]
    for place in places:
        low, high = np.percentile(semitones[:place], [25, 75])
        low_after, high_after = np.percentile(semitones[place:], [25, 75])
        gaps.append(float(max(low - high_after, low_after - high)))
    return max(gaps)


def _pitches_hz(spectra: NDArray[np.float64], frame: int, sample_rate: int) -> NDArray[np.float64]:
    """Of the frames that are clearly periodic, in order; from [frames, bins] power spectra."""
    correlation = np.fft.irfft(spectra)[:, :frame]
    # A shorter overlap correlates less by itself; without this, every pitch comes out too high.
    correlation = correlation / (1.0 - np.arange(frame) / frame)
    shortest = int(sample_rate / HIGHEST_PITCH_HZ)
    longest = min(int(sample_rate / LOWEST_PITCH_HZ), frame * 3 // 4)
    section = correlation[:, shortest:longest]
    peaks = section.argmax(axis=1)
    power = np.maximum(correlation[:, 0], 1e-20)
    periodicity = section[np.arange(len(section)), peaks] / power
    inside = (peaks > 0) & (peaks < section.shape[1] - 1)
    clear = (periodicity > MIN_PERIODICITY) & inside
    return np.asarray(sample_rate / (peaks[clear] + shortest))


def _colour(spectrum: NDArray[np.float64], sample_rate: int) -> NDArray[np.float64]:
    """Band levels in dB, equally wide on a logarithmic scale, minus their mean."""
    frequencies = np.fft.rfftfreq(2 * (spectrum.size - 1), 1 / sample_rate)
    highest = min(HIGHEST_BAND_HZ, sample_rate / 2)
    edges = np.geomspace(LOWEST_BAND_HZ, highest, BANDS + 1)
    band = np.digitize(frequencies, edges) - 1
    inside = (band >= 0) & (band < BANDS)
    power = np.bincount(band[inside], weights=spectrum[inside], minlength=BANDS)
    count = np.maximum(np.bincount(band[inside], minlength=BANDS), 1)
    levels = 10 * np.log10(np.maximum(power / count, 1e-12))
    return np.asarray(levels - levels.mean())
