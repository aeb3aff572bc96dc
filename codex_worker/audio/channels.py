"""The channels of a recording: their samples, and whether they cancel each other when they are mixed."""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

BANDS_HZ = (
    60.0,
    180.0,
    355.0,
    710.0,
    1400.0,
    2800.0,
    5600.0,
)  # octaves of speech; the last one goes to the top
BLOCKS_A_SECOND, MOMENTS_A_SECOND = 32, 4  # a word is longer than a moment
CANCELLED_SHARE = 0.3  # of the power that unrelated channels would leave in their mean; less, and they cancel
LOST_SHARE = 0.02  # of a recording's sound; a word of a verse is more
AS_CLEAN_DB = 6.0


class ChannelPowers:
    """How much of several channels is left in their mean, for each moment and each octave of speech.

    Channels can cancel for a while only, or (with a delay between them) at some frequencies only. Where they
    do, each of them holds the sound nearly as loud as the others, so that any one of them will serve.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._waiting: list[NDArray[np.float32]] = []
        self._waiting_count = 0
        self._moments: list[NDArray[np.float64]] = []  # [channels + 1, bands]: powers, those of the mean last
        self._blocks: list[NDArray[np.float64]] = []  # [channels, blocks]: powers

    def add(self, channels: NDArray[np.float32]) -> None:
        """Take the next samples [channels, samples]."""
        if len(channels) == 1:
            return
        if self._waiting and len(self._waiting[0]) != len(channels):
            self._measure()
        self._waiting.append(channels)
        self._waiting_count += channels.shape[1]
        if self._waiting_count >= self._rate // MOMENTS_A_SECOND:
            self._measure()

    def best_where_they_cancel(self) -> int | None:
        """The channel to take alone where the mean loses what the channels have; None where it does not.

        The mean of n unrelated channels has the power of all of them over n squared, and so has that of one
        channel beside silent ones. Of the cleanest channels the loudest is taken.
        """
        if self._waiting:
            self._measure()
        most = max((len(moment) for moment in self._moments), default=0)
        moments = np.array([moment for moment in self._moments if len(moment) == most])
        if not moments.size:
            return None
        powers, mixed = moments[:, :-1], moments[:, -1]
        together = powers.sum(axis=1)  # [moments, bands]
        is_lost = mixed < CANCELLED_SHARE * together / powers.shape[1] ** 2
        heard = together * BANDS_HZ  # in speech the higher octaves are weaker, and no less needed
        if heard[is_lost].sum() <= LOST_SHARE * heard.sum():
            return None
        blocks = np.concatenate([block for block in self._blocks if len(block) == most - 1], axis=1)
        loud, quiet = np.percentile(blocks, [90, 10], axis=1)
        clean_db = 10 * np.log10((loud + 1e-12) / (quiet + 1e-12))
        loudness = powers.sum(axis=(0, 2))
        return int(np.where(clean_db >= clean_db.max() - AS_CLEAN_DB, loudness, 0.0).argmax())

    def _measure(self) -> None:
        """Take what waits as a moment."""
        channels = np.concatenate(self._waiting, axis=1)
        self._waiting, self._waiting_count = [], 0
        finite = np.nan_to_num(channels, nan=0.0, posinf=0.0, neginf=0.0)
        signals = np.vstack((finite, finite.mean(axis=0)))
        size = self._rate // BLOCKS_A_SECOND
        padded = np.pad(signals, ((0, 0), (0, -signals.shape[1] % size)))
        blocks = padded.reshape(len(signals), -1, size) * np.hanning(size)
        powers = np.square(np.abs(np.fft.rfft(blocks, axis=2)))
        frequencies = np.fft.rfftfreq(size, 1 / self._rate)
        edges = np.searchsorted(frequencies, BANDS_HZ)
        bands = [powers[:, :, low:high].sum(axis=2) for low, high in pairwise([*edges, frequencies.size])]
        by_band = np.stack(bands, axis=2)  # [channels + 1, blocks, bands]
        self._moments.append(by_band.sum(axis=1))
        self._blocks.append(by_band[:-1].sum(axis=2))


def channels_of(frame: Any) -> NDArray[np.float32]:
    """The samples of a decoded frame; [channels, samples] float32."""
    values = frame.to_ndarray()
    channels = frame.layout.nb_channels
    if not frame.format.is_planar:
        values = values.reshape(-1, channels).T
    if values.dtype == np.uint8:
        scaled = (values.astype(np.float32) - 128.0) / 128.0
    elif np.issubdtype(values.dtype, np.integer):
        scaled = values.astype(np.float32) / -float(np.iinfo(values.dtype).min)
    else:
        scaled = values.astype(np.float32, copy=False)
    return np.asarray(scaled)
