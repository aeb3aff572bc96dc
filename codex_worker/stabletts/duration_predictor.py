"""How many frames each symbol lasts, predicted from the encoded text and the speaker."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codex_worker.stabletts.configuration import ModelSettings
from codex_worker.stabletts.dropout import dropout
from codex_worker.stabletts.layers import Conv
from codex_worker.stabletts.padding import Padding

P_DROPOUT = 0.5
SMALLEST_DURATION = 1e-8  # keeps the logarithm of an unused symbol finite


class DurationPredictor(nn.Module):
    """Two convolutions with layer norms (FastSpeech 2's variance predictor), trained on log durations."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        hidden, width = settings.hidden_channels, settings.filter_channels
        self.conv1 = Conv(hidden, width, settings.kernel_size)
        self.norm1 = nn.LayerNorm(width)
        self.conv2 = Conv(width, width, settings.kernel_size)
        self.norm2 = nn.LayerNorm(width)
        self.proj = Conv(width, 1)
        self.cond = Conv(settings.gin_channels, hidden)

    def forward(self, hidden: Tensor, speaker: Tensor, padding: Padding) -> Tensor:
        """Predict log durations in frames [B, Tx], float32, from hidden [B, Tx, C], given no gradient."""
        dtype = hidden.dtype
        with torch.autocast(hidden.device.type, enabled=False):
            typed = padding.to(dtype)
            x = hidden.detach() + self.cond(speaker.detach()[:, None].to(dtype))
            for conv, norm in ((self.conv1, self.norm1), (self.conv2, self.norm2)):
                x = F.relu(conv(typed.clear(x)))
                x = F.layer_norm(x, x.shape[-1:], norm.weight.to(dtype), norm.bias.to(dtype), norm.eps)
                x = dropout(x, P_DROPOUT, self.training)
            return padding.clear(self.proj(x.float()))[:, :, 0]


def duration_loss(predicted: Tensor, durations: Tensor, padding: Padding) -> Tensor:
    """Mean squared difference of log durations over the real symbols; both tensors [B, Tx]."""
    difference = predicted - torch.log(durations + SMALLEST_DURATION)
    return padding.clear(difference.square()[:, :, None]).sum() / padding.total


def predicted_frames(log_durations: Tensor, padding: Padding, length_scale: float) -> Tensor:
    """Turn log durations [B, Tx] into whole frames per symbol [B, Tx], at least one frame a row.

    Each symbol takes whole frames before scaling; scaled ends are rounded so that the total is right.
    """
    symbol = padding.clear(log_durations.exp()[:, :, None])[:, :, 0].ceil() * length_scale
    ends = symbol.cumsum(-1)
    frames = symbol.sum(-1, keepdim=True).clamp_min(1).floor()
    ends = torch.minimum(ends.ceil(), frames)
    ends[:, -1:] = frames  # the one frame of a text whose durations are all zero
    return torch.diff(ends, dim=-1, prepend=torch.zeros_like(frames)).long()
