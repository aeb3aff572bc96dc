"""The convolution module of Wav2Vec2-BERT without transposed copies, and its causal depthwise convolution."""

import torch
from torch import nn
from torch.nn.functional import conv1d, conv2d, glu, linear, pad
from transformers.models.wav2vec2_bert.modeling_wav2vec2_bert import Wav2Vec2BertConvolutionModule

# Torch's gradient of a channels-last depthwise convolution is slow from about this many channels on.
WIDE = 512


class ChannelsLastConvolution(Wav2Vec2BertConvolutionModule):
    """The parent's mathematics and parameters; frames stay `[B, T, C]`, channels beside each other.

    A convolution with a kernel of one frame is a matrix product, and a depthwise convolution multiplies
    neighbouring channels at once.
    """

    def forward(
        self, hidden_states: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """`hidden_states [B, T, C]` -> `[B, T, C]`; frames masked with 0 are not heard."""
        normalised = self.layer_norm(hidden_states)
        if attention_mask is not None:
            normalised = normalised.masked_fill(~attention_mask.bool().unsqueeze(-1), 0.0)
        gated = glu(_each_frame(self.pointwise_conv1, normalised), dim=-1)
        mixed = causal_depthwise(gated, self.depthwise_conv.weight)
        active = self.activation(self.depthwise_layer_norm(mixed))
        return self.dropout(_each_frame(self.pointwise_conv2, active))


def causal_depthwise(frames: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Each channel of `frames [B, T, C]` convolved with its `weight [C, 1, K]` over the K frames so far."""
    channels, _, width = weight.shape
    padded = pad(frames, (0, 0, width - 1, 0)).transpose(1, 2)
    if torch.is_grad_enabled() and channels >= WIDE:
        return conv1d(padded, weight, groups=channels).transpose(1, 2)
    # [B, C, 1, T] with channels beside each other in memory is torch's channels-last layout of an image.
    return conv2d(padded.unsqueeze(2), weight.unsqueeze(2), groups=channels).squeeze(2).transpose(1, 2)


def use_fast_convolution(model: nn.Module) -> int:
    """Give every convolution module of a Wav2Vec2-BERT this forward pass; returns how many there were."""
    modules = [module for module in model.modules() if type(module) is Wav2Vec2BertConvolutionModule]
    for module in modules:
        module.__class__ = ChannelsLastConvolution
    return len(modules)


def _each_frame(layer: nn.Conv1d, frames: torch.Tensor) -> torch.Tensor:
    return linear(frames, layer.weight.squeeze(-1))
