"""Which positions of a padded batch are real."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Padding:
    """The lengths of a batch of sequences, and masks for [B, T, C] tensors and for attention keys.

    Both masks are None when no row is padded: then nothing needs clearing and attention takes its fastest
    path. Where the lengths lie on a device only (`on_device`), there are always masks, and nothing about
    them waits for the device.
    """

    lengths: tuple[int, ...]  # () where the device alone knows them
    size: int
    mask: Tensor | None  # [B, T, 1] of 0 and 1
    keys: Tensor | None  # [B, 1, 1, T] bool, True where a key may be attended to
    known_there: Tensor | None = None  # [B] int64: the lengths that the device alone knows

    @classmethod
    def of(
        cls,
        lengths: Tensor | Sequence[int],
        size: int,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> "Padding":
        """Describe rows of `lengths` real positions in tensors of `size` positions.

        Lengths on a GPU stay there. Raises ValueError where lengths known here do not fit.
        """
        if isinstance(lengths, Tensor) and lengths.device.type != "cpu":
            return cls.on_device(lengths, size, dtype)
        counts = tuple(int(n) for n in (lengths.tolist() if isinstance(lengths, Tensor) else lengths))
        if min(counts) < 1 or max(counts) > size:
            raise ValueError(f"lengths {counts} do not fit a batch of {size} positions")
        if min(counts) == size:
            return cls(counts, size, None, None)
        real = torch.arange(size)[None, :] < torch.tensor(counts)[:, None]
        real = real.to(device, non_blocking=True)
        return cls(counts, size, real[:, :, None].to(dtype), real[:, None, None, :])

    @classmethod
    def on_device(cls, lengths: Tensor, size: int, dtype: torch.dtype = torch.float32) -> "Padding":
        """Describe rows of lengths [B] that nobody fetches; nothing checks that they fit.

        A row of length 0 only fills the batch: it may attend to its first position, so that it stays finite,
        and counts for nothing.
        """
        places = torch.arange(size, device=lengths.device)[None, :]
        real, seen = places < lengths[:, None], places < lengths.clamp_min(1)[:, None]
        return cls((), size, real[:, :, None].to(dtype), seen[:, None, None, :], lengths)

    def counts(self, device: torch.device) -> Tensor:
        """The lengths as a tensor [B] on the device."""
        if self.known_there is not None:
            return self.known_there
        return torch.tensor(self.lengths).to(device, non_blocking=True)

    @property
    def total(self) -> Tensor:
        """Real positions in the whole batch, 0-dim."""
        return torch.tensor(sum(self.lengths)) if self.known_there is None else self.known_there.sum()

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
            None if self.known_there is None else self.known_there.repeat(times),
        )
