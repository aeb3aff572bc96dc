"""Where the labels of a text lie in a recording: the likeliest CTC path, for a batch at once."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from codex_worker.errors import DataError


def best_paths(
    log_probs: Sequence[Tensor], labels: Sequence[Sequence[int]], blank_id: int
) -> list[np.ndarray]:
    """States `[frames]` of each Viterbi path over blank, label, blank, ... blank (2 x labels + 1 states).

    Graves et al. 2006, section 4.1, with maximum in place of sum; all states of a frame at once.

    Args:
        log_probs: `[frames, symbols]` of each recording, on any device.
        labels: of each recording.

    Raises:
        DataError: there are fewer frames than labels and the blanks between equal ones need.
    """
    frames = np.array([len(each) for each in log_probs])
    counts = np.array([2 * len(each) + 1 for each in labels])
    most, widest = int(frames.max(initial=0)), int(counts.max(initial=0))
    emissions = np.full((most, len(labels), widest), -np.inf, dtype=np.float32)
    # A label may follow the one before it without a blank between, unless they are equal.
    may_skip = np.zeros((len(labels), widest), dtype=bool)
    for row, (heard, text) in enumerate(zip(log_probs, labels, strict=True)):
        states = torch.full((2 * len(text) + 1,), blank_id)
        states[1::2] = torch.tensor(list(text), dtype=states.dtype)
        emissions[: len(heard), row, : len(states)] = heard[:, states.to(heard.device)].float().cpu().numpy()
        may_skip[row, 3 : len(states) : 2] = (states[3::2] != states[1:-2:2]).numpy()
    score = np.full((len(labels), widest), -np.inf)
    if most:
        score[:, :2] = emissions[0, :, :2]
    came_from = np.zeros((most, len(labels), widest), dtype=np.int8)
    last = score.copy()
    for frame in range(1, most):
        step = np.full_like(score, -np.inf)
        step[:, 1:] = score[:, :-1]
        skip = np.full_like(score, -np.inf)
        skip[:, 2:] = np.where(may_skip[:, 2:], score[:, :-2], -np.inf)
        further = np.maximum(score, step)
        came_from[frame] = np.where(skip > further, 2, step > score)
        score = np.maximum(further, skip) + emissions[frame]
        heard_now = frames > frame
        last[heard_now] = score[heard_now]
    rows = np.arange(len(labels))
    end, before_end = last[rows, counts - 1], last[rows, np.maximum(counts - 2, 0)]
    state = np.where(end >= before_end, counts - 1, counts - 2)
    if not np.isfinite(last[rows, state][frames > 0]).all():
        raise DataError("The text does not fit into the recording: there are fewer frames than letters.")
    paths = np.zeros((most, len(labels)), dtype=np.int64)
    for frame in range(most - 1, -1, -1):
        is_heard = frames > frame
        paths[frame] = np.where(is_heard, state, 0)
        state = np.where(is_heard, state - came_from[frame, rows, state], state)
    return [paths[:length, row] for row, length in enumerate(frames)]
