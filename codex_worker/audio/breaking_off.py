"""Whether a recording stops while somebody speaks: its last sound is as loud as the others."""

import numpy as np

from codex_worker.audio.level import Levels, Samples, frame_length

ENDING_DB = 60.0  # below the peak is nothing any more
PADDING_S = 0.08  # that codecs put behind the last sample; who waits for longer has said all
SHORTEST_S = 0.2
# Of 850 prompts by two speakers, whole ones end 20 dB below their speech in the middle, and seven of them
# less than 18; those that were cut in the middle of a word end at most 12 below.
LOUD_END_DB = 18.0
OVER_NOISE_DB = 12.0  # a recording that ends in noise as loud as its pauses does not break off


def breaks_off(samples: Samples, sample_rate: int, levels: Levels) -> bool:
    """Whether the last 20 ms of mono samples [N] are about as loud as the speech before them."""
    if samples.size < SHORTEST_S * sample_rate:
        return False
    centred = samples - samples.mean()
    heard = np.flatnonzero(np.abs(centred) > np.abs(centred).max() * 10 ** (-ENDING_DB / 20))
    end = int(heard[-1]) + 1 if heard.size else 0
    if end < samples.size - PADDING_S * sample_rate:
        return False
    last = centred[max(0, end - frame_length(sample_rate)) : end]
    end_db = 10 * np.log10(max(float(np.mean(np.square(last, dtype=np.float64))), 1e-12))
    return bool(end_db > levels.speech_db - LOUD_END_DB and end_db > levels.noise_floor_db + OVER_NOISE_DB)
