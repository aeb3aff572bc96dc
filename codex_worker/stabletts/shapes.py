"""The few shapes that batches are padded to where the work for each shape is recorded."""

from collections.abc import Sequence
from dataclasses import dataclass

FRAME_STEP, SYMBOL_STEP = 64, 32


@dataclass(frozen=True)
class BatchShape:
    """What a batch is padded to."""

    rows: int
    symbols: int
    frames: int
    reference: int  # frames of the part that the voice is heard from


class BatchShapes:
    """The shapes of a run's batches: each follows from the frames of the batch's longest utterance alone.

    So there are no more of them than steps up to the longest utterance; where these would be more than
    `most`, a step is wider.

    Args:
        sizes: frames and symbols of each utterance.
        most_rows: utterances of a batch at most.
        most_frames: frames of a padded batch at most, unless it has one utterance only.
        most: shapes at most.
    """

    def __init__(
        self, sizes: Sequence[tuple[int, int]], most_rows: int, most_frames: int, *, most: int
    ) -> None:
        self._sizes = sizes
        self._most_rows = min(most_rows, len(sizes))
        self._most_frames = most_frames
        steps = _rounded_up(max(frames for frames, _ in sizes), FRAME_STEP) // FRAME_STEP
        self._step = FRAME_STEP * -(-steps // most)

    def holding(self, longest: int) -> BatchShape:
        """The shape of batches whose longest utterance has so many frames."""
        frames = _rounded_up(longest, self._step)
        shortest = frames - self._step + 1  # of the batches that have this shape: they have the most rows
        rows = max(1, min(self._most_rows, self._most_frames // shortest))
        symbols = max(symbols for own, symbols in self._sizes if own <= frames)
        # A part is at most a third; all of an utterance that is too short to be cut.
        return BatchShape(
            rows, _rounded_up(symbols, SYMBOL_STEP), frames, _rounded_up(frames // 3, SYMBOL_STEP)
        )


def _rounded_up(count: int, step: int) -> int:
    return -(-count // step) * step
