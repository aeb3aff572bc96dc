"""Monotonic alignment search as one kernel: a program for each utterance, which walks its frames once.

What `alignment.durations` finds, by the recurrence of Kim et al. 2020 (Glow-TTS, algorithm 1): the best path
to a symbol at a frame comes from the same symbol or from the one before it. The frames follow one another,
the symbols of a frame are handled at once.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

SYMBOLS_PER_WARP = 64
MOST_WARPS = 8


@torch.no_grad()
def durations_by_kernel(scores: Tensor, n_symbols: Tensor, n_frames: Tensor) -> Tensor:
    """Frames per symbol, int64 [B, Tx], of scores [B, Tx, Ty] and lengths [B] on the same device.

    Sums are doubles; a row of no frames has zeros. Nothing waits for the device, and nothing checks that a
    row has as many frames as symbols.
    """
    batch, width, height = scores.shape
    by_frame = scores.float().transpose(1, 2).contiguous()
    block = max(16, triton.next_power_of_2(width))
    sums = torch.empty(batch, 2, block + 1, device=scores.device, dtype=torch.float64)
    moved = torch.empty(batch, height, width, device=scores.device, dtype=torch.int8)
    found = torch.zeros(batch, width, device=scores.device, dtype=torch.int64)
    _search[(batch,)](
        by_frame,
        n_symbols,
        n_frames,
        sums,
        moved,
        found,
        width,
        height,
        BLOCK=block,
        num_warps=max(1, min(MOST_WARPS, block // SYMBOLS_PER_WARP)),
    )
    return found


@triton.jit
def _search(scores, n_symbols, n_frames, sums, moved, found, width, height, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    row = tl.program_id(0).to(tl.int64)
    symbols = tl.load(n_symbols + row).to(tl.int32)
    frames = tl.load(n_frames + row).to(tl.int32)
    symbol = tl.arange(0, BLOCK)
    real = symbol < symbols
    scores += row * height * width
    moved += row * height * width
    found += row * width
    sums += row * 2 * (BLOCK + 1)

    first = tl.load(scores + symbol, mask=real & (symbol == 0), other=0.0).to(tl.float64)
    best = tl.where(symbol == 0, first, float("-inf"))
    for frame in range(1, frames):
        # Each symbol needs its neighbour's sum. They meet in memory, in two places by turns: a slow thread
        # may still read one while a quick one writes the other.
        shared = sums + (frame % 2) * (BLOCK + 1)
        tl.store(shared + 1 + symbol, best)
        tl.debug_barrier()
        before = tl.load(shared + symbol, mask=symbol > 0, other=float("-inf"))
        comes = before > best  # of equal paths the one that stays: its symbol began earlier
        tl.store(moved + frame * width + symbol, comes.to(tl.int8), mask=real)
        own = tl.load(scores + frame * width + symbol, mask=real, other=0.0).to(tl.float64)
        best = tl.where(comes, before, best) + own
    tl.debug_barrier()

    at = symbols - 1
    lasts = frames * 0
    for back in range(0, frames):
        frame = frames - 1 - back
        begins = tl.load(moved + frame * width + at, mask=frame > 0, other=1) != 0
        lasts += 1
        tl.store(found + at, lasts.to(tl.int64), mask=begins)
        at = tl.where(begins, at - 1, at)
        lasts = tl.where(begins, 0, lasts)
