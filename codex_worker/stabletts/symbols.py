"""The alphabet that the official StableTTS 1.1 weights were trained with, and how ids are laid out.

The order of `symbols.tsv` is the row order of `encoder.emb.weight`, so it never changes. Symbols that a
project adds get rows behind these.
"""

from collections.abc import Sequence
from functools import cache
from importlib.resources import files

BLANK_ID = 0
"""Stands between any two symbols and pads batches."""


@cache
def official_symbols() -> tuple[str, ...]:
    """The 401 symbols of the official weights; a symbol's place is its id."""
    table = files("codex_worker.stabletts").joinpath("symbols.tsv").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in table.splitlines()[1:]]
    return tuple("".join(chr(int(point[2:], 16)) for point in row[2].split()) for row in rows)


@cache
def official_ids() -> dict[str, int]:
    """Symbol to id."""
    return {symbol: number for number, symbol in enumerate(official_symbols())}


def intersperse(ids: Sequence[int]) -> list[int]:
    """Put a blank before, between and after the ids: length n becomes 2n + 1 (Glow-TTS, section 4)."""
    spaced = [BLANK_ID] * (2 * len(ids) + 1)
    spaced[1::2] = ids
    return spaced
