"""What the network heard, without the symbols and frames that cannot matter to a search."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from codex_worker.asr.decoding.tables import Floats, Ints

MOST_SYMBOLS = 12  # of a frame, besides the blank
LEAST_PROBABILITY = 1e-3
SURE_BLANK = 0.995


@dataclass(frozen=True)
class HeardFrames:
    """The frames of one recording that hold more than a blank."""

    symbols: Ints  # [frames, symbols]
    probabilities: Floats  # [frames, symbols]; 0 for what is as good as impossible
    blank: Floats  # [frames]
    after_blank: np.ndarray  # [frames], whether frames before it that are surely blank were left out

    def __len__(self) -> int:
        return len(self.blank)


@torch.no_grad()
def heard_frames(log_probs: Sequence[Tensor], blank_id: int) -> list[HeardFrames]:
    """The likeliest symbols of CTC log probabilities `[frames, symbols]`, of a whole batch at once.

    Only these leave the device.
    """
    together = torch.cat(list(log_probs)).float()
    blank = together[:, blank_id].exp()
    others = together.clone()
    others[:, blank_id] = -torch.inf
    best = others.topk(min(MOST_SYMBOLS, others.shape[1] - 1), dim=-1)
    symbols, values = best.indices.cpu().numpy(), best.values.exp().double().cpu().numpy()
    values[values < LEAST_PROBABILITY] = 0.0
    blanks = blank.double().cpu().numpy()
    edges = np.cumsum([0, *map(len, log_probs)])
    return [
        _without_blanks(symbols[start:end], values[start:end], blanks[start:end])
        for start, end in pairwise(edges)
    ]


def _without_blanks(symbols: Ints, probabilities: Floats, blank: Floats) -> HeardFrames:
    kept = np.flatnonzero(blank < SURE_BLANK)
    before = np.concatenate(([-1], kept[:-1]))
    return HeardFrames(symbols[kept], probabilities[kept], blank[kept], kept - before > 1)
