"""Which positions of a padded batch are real."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Padding:
    """The lengths of a batch of sequences, and masks for [B, T, C] tensors and for attention keys.

    Both masks are None when no row is padded: then nothing needs clearing and attention takes its fastest
    path.
    """

    lengths: tuple[int, ...]
    size: int
    mask: Tensor | None  # [B, T, 1] of 0 and 1
    keys: Tensor | None  # [B, 1, 1, T] bool, True where a key may be attended to

    @classmethod
    def of(
        cls,
        lengths: Tensor | Sequence[int],
        size: int,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> "Padding":
        """Describe rows of `lengths` real positions in tensors of `size` positions.

        Lengths on the CPU cost nothing; lengths on a GPU are fetched, which waits for it once.
        """
        counts = tuple(int(n) for n in (lengths.tolist() if isinstance(lengths, Tensor) else lengths))
        if min(counts) < 1 or max(counts) > size:
            raise ValueError(f"lengths {counts} do not fit a batch of {size} positions")
        if min(counts) == size:
            return cls(counts, size, None, None)
        real = torch.arange(size)[None, :] < torch.tensor(counts)[:, None]
        real = real.to(device, non_blocking=True)
        return cls(counts, size, real[:, :, None].to(dtype), real[:, None, None, :])

    @property
    def total(self) -> int:
        """Real positions in the whole batch."""
        return sum(self.lengths)

    def clear(self, x: Tensor) -> Tensor:
        """Return x [B, T, C] with zeros behind each row's end."""
        return x if self.mask is None else x * self.mask

    def to(self, dtype: torch.dtype) -> "Padding":
        """The same padding with a mask for tensors of another type."""
        if self.mask is None or self.mask.dtype == dtype:
            return self
        return replace(self, mask=self.mask.to(dtype))

    def repeated(self, times: int) -> "Padding":
        """The padding of a batch that holds these rows several times over."""
        return Padding(
            self.lengths * times,
            self.size,
            None if self.mask is None else self.mask.repeat(times, 1, 1),
            None if self.keys is None else self.keys.repeat(times, 1, 1, 1),
        )
