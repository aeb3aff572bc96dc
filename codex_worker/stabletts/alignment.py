"""Which symbol each frame belongs to: monotonic alignment search (Kim et al. 2020, Glow-TTS, section 2.2)."""

import logging
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module

import torch
from torch import Tensor

from codex_worker.errors import DataError, clause
from codex_worker.stabletts.padding import Padding

logger = logging.getLogger(__name__)

Kernel = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(scores [B, Tx, Ty], symbols [B], frames [B]) to frames per symbol [B, Tx], all on one device."""


def check_alignable(symbols: Sequence[int], frames: Sequence[int]) -> None:
    """Raise DataError where a recording has fewer frames than its text has symbols."""
    for row, (n_symbols, n_frames) in enumerate(zip(symbols, frames, strict=True)):
        if n_frames < n_symbols:
            raise DataError(
                f"Recording {row + 1} of the batch has {n_frames} mel frames for {n_symbols} symbols, blanks "
                "counted: it is shorter than its text needs. Check that recording and text belong together, "
                "or leave it out."
            )


@torch.no_grad()
def alignment_scores(mean: Tensor, mel: Tensor) -> Tensor:
    """Score every symbol for every frame, [B, Tx, Ty], from mean frames [B, Tx, M] and mel [B, Ty, M].

    The log likelihood of a unit Gaussian without the terms that depend on the frame alone: they add the same
    to every path, and only cost digits.
    """
    mean, mel = mean.float(), mel.float()
    bias = -0.5 * mean.square().sum(-1, keepdim=True)
    return torch.baddbmm(bias, mean, mel.transpose(1, 2))


@torch.no_grad()
def durations(scores: Tensor, symbols: Padding, frames: Padding) -> Tensor:
    """Find the monotonic path of greatest score; return frames per symbol, int64 [B, Tx].

    `scores` is [B, Tx, Ty]. Every symbol lasts a frame at least; among equal paths a symbol begins as early
    as it can. Sums are doubles, which hold those of float32 scores exactly. A row of no symbols and no frames
    has zeros. Raises DataError where a row has fewer frames than symbols, if the lengths are known here.

    On a GPU all of it is one kernel, where that can be used.
    """
    check_alignable(symbols.lengths, frames.lengths)
    if scores.is_cuda and (kernel := proven_kernel(scores.device)) is not None:
        return kernel(scores, symbols.counts(scores.device), frames.counts(scores.device))
    return durations_by_symbol(scores, symbols, frames)


@cache
def proven_kernel(device: torch.device) -> Kernel | None:
    """The kernel, once it has found what the plain code finds on a small batch; None where it has not.

    It needs triton, which comes with torch for CUDA, and that needs a C compiler when a kernel first runs.
    """
    try:
        kernel: Kernel = import_module("codex_worker.stabletts.alignment_kernel").durations_by_kernel
        scores = torch.arange(2 * 5 * 12, device=device).view(2, 5, 12).remainder(7).float()  # some are equal
        lengths = torch.tensor([5, 3], device=device), torch.tensor([12, 7], device=device)
        found = kernel(scores, *lengths)
        wrong = not torch.equal(found, durations_by_symbol(scores, *map(Padding.on_device, lengths, (5, 12))))
    except Exception as error:  # whatever a compiler or a driver says; the plain code needs neither
        logger.warning("Recordings are aligned without a kernel of their own, more slowly: %s", clause(error))
        return None
    if wrong:
        logger.warning("The kernel that aligns recordings computes wrongly here; the slower way is used")
        return None
    return kernel


def durations_by_symbol(scores: Tensor, symbols: Padding, frames: Padding) -> Tensor:
    """Find what `durations` does in plain torch.

    For each symbol, the best frame to begin at is a running maximum over frames, so the search takes as many
    steps as there are symbols; the frames are handled at once.
    """
    batch, n_symbols, n_frames = scores.shape
    scores = scores.double()
    if frames.mask is not None:
        scores = scores * frames.mask.transpose(1, 2)
    until = scores.cumsum(-1)  # the score of a symbol over all frames up to this one
    before = until - scores
    gain = torch.empty_like(scores)  # best score of beginning the symbol by this frame, less `before`
    arrival = scores.new_full((batch, n_frames), float("-inf"))
    arrival[:, 0] = 0.0
    for symbol in range(n_symbols):
        torch.cummax(arrival - before[:, symbol], dim=-1, out=(gain[:, symbol], _ignored(gain)))
        arrival = torch.full_like(arrival, float("-inf"))
        arrival[:, 1:] = (gain[:, symbol] + until[:, symbol])[:, :-1]
    return _lengths_of_best_path(_latest_beginnings(gain), symbols, frames)


def _ignored(like: Tensor) -> Tensor:
    return torch.empty(0, dtype=torch.int64, device=like.device)


def _latest_beginnings(gain: Tensor) -> Tensor:
    """For each symbol and last frame, where it begins: the last frame at which its running maximum rose."""
    rose = torch.ones_like(gain, dtype=torch.bool)
    torch.gt(gain[..., 1:], gain[..., :-1], out=rose[..., 1:])
    positions = torch.arange(gain.shape[-1], device=gain.device)
    return torch.where(rose, positions, 0).cummax(-1).values


def _lengths_of_best_path(beginnings: Tensor, symbols: Padding, frames: Padding) -> Tensor:
    """Walk back from each row's last symbol and frame."""
    batch, n_symbols, _ = beginnings.shape
    result = torch.zeros(batch, n_symbols, dtype=torch.int64, device=beginnings.device)
    last_symbol = symbols.counts(beginnings.device) - 1
    last_frame = (frames.counts(beginnings.device) - 1).clamp_min(0)
    for symbol in range(n_symbols - 1, -1, -1):
        begin = beginnings[:, symbol].gather(1, last_frame[:, None])[:, 0]
        real = last_symbol >= symbol
        result[:, symbol] = torch.where(real, last_frame - begin + 1, 0)
        last_frame = torch.where(real, begin - 1, last_frame).clamp_min(0)
    return result


def expand(values: Tensor, frames_per_symbol: Tensor, n_frames: int) -> Tensor:
    """Repeat values [B, Tx, C] over their frames [B, Tx]: [B, n_frames, C], zero behind each row's end."""
    ends = frames_per_symbol.cumsum(-1)
    positions = torch.arange(n_frames, device=values.device).expand(values.shape[0], -1).contiguous()
    symbol = torch.searchsorted(ends, positions, right=True)
    real = (positions < ends[:, -1:])[:, :, None]
    index = symbol.clamp_max(values.shape[1] - 1)[:, :, None].expand(-1, -1, values.shape[-1])
    return values.gather(1, index) * real
