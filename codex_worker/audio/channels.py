"""The channels of a recording: their samples, and whether they cancel each other when they are mixed."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

CANCELLED_SHARE = 0.3  # of the power that unrelated channels would leave in their mean; less, and they cancel


class ChannelPowers:
    """How much of several channels is left in their mean: sums over all that was read, in bounded memory."""

    def __init__(self) -> None:
        self._count = 0
        self._sums = np.zeros((1, 2))  # [channels + 1, 2]: of the samples and of their squares, the mean last

    def add(self, channels: NDArray[np.float32]) -> None:
        """Take the next samples [channels, samples]."""
        if len(channels) == 1:
            return
        if len(self._sums) != len(channels) + 1:  # the first, or a file whose parts differ: the last counts
            self._count, self._sums = 0, np.zeros((len(channels) + 1, 2))
        finite = np.nan_to_num(channels, nan=0.0, posinf=0.0, neginf=0.0).astype(np.float64)
        signals = np.vstack((finite, finite.mean(axis=0)))
        self._sums += np.column_stack((signals.sum(axis=1), np.square(signals).sum(axis=1)))
        self._count += channels.shape[1]

    def louder_where_they_cancel(self) -> int | None:
        """The loudest channel where the mean loses what the channels have; None where it does not.

        The mean of n unrelated channels has the power of all of them over n squared, and so has that of one
        channel beside silent ones. A constant offset is no sound and does not count.
        """
        if not self._count:
            return None
        means = self._sums / self._count
        powers = np.maximum(means[:, 1] - means[:, 0] ** 2, 0.0)
        channels, mixed = powers[:-1], powers[-1]
        if mixed >= CANCELLED_SHARE * channels.sum() / len(channels) ** 2:
            return None
        return int(channels.argmax())


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
