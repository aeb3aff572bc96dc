"""Change of sample rate, whole arrays at once."""

import numpy as np
from numpy.typing import NDArray


def resample(samples: NDArray[np.float32], from_rate: int, to_rate: int) -> NDArray[np.float32]:
    """Bring mono samples [N] from one rate (Hz) to another with soxr's high quality; [N * to / from]."""
    if from_rate == to_rate or samples.size == 0:
        return samples.astype(np.float32, copy=False)
    import soxr

    return soxr.resample(samples.astype(np.float32, copy=False), from_rate, to_rate)
