"""Relative-key attention for Wav2Vec2-BERT that never builds a tensor per pair of positions and channel."""

import torch
from torch import nn
from torch.nn.functional import dropout as dropped
from torch.nn.functional import pad, scaled_dot_product_attention
from transformers.models.wav2vec2_bert.modeling_wav2vec2_bert import Wav2Vec2BertSelfAttention


class RelativeKeyAttention(Wav2Vec2BertSelfAttention):
    """The parent's mathematics and parameters, in another order of work.

    Shaw et al. 2018 (section 3.1) with clamped distances: a query meets at most left + right + 1 different
    distance embeddings. The parent gathers an embedding for every pair, `[L, L, D]`, and multiplies later;
    here each query is multiplied with the few embeddings, `[B, H, L, left + right + 1]`, and the products are
    laid out by a shifted view.
    """

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        relative_position_embeddings: torch.Tensor | None = None,
        **kwargs: object,
    ) -> tuple[torch.Tensor, None]:
        """`hidden_states [B, L, C]` -> `[B, L, C]`; masks as transformers' sdpa and eager paths make them."""
        batch, length, _ = hidden_states.shape
        shape = (batch, length, self.num_heads, self.head_size)
        query = self.linear_q(hidden_states).view(shape).transpose(1, 2)
        key = self.linear_k(hidden_states).view(shape).transpose(1, 2)
        value = self.linear_v(hidden_states).view(shape).transpose(1, 2)
        bias = self._distance_bias(query * self.scaling)
        if attention_mask is not None and attention_mask.dtype == torch.bool:
            bias = bias.masked_fill(~attention_mask, torch.finfo(bias.dtype).min)
        elif attention_mask is not None:
            bias = bias + attention_mask
        dropout = self.dropout.p if self.training else 0.0
        if bias.requires_grad and bias.device.type == "cpu":
            # No fused kernel gives a bias its gradient here, and the fallback for that does more than this.
            scores = torch.baddbmm(
                bias.flatten(0, 1), query.flatten(0, 1), key.flatten(0, 1).mT, alpha=self.scaling
            )
            weights = dropped(scores.softmax(-1), dropout)
            attended = (weights @ value.flatten(0, 1)).view_as(query)
        else:
            attended = scaled_dot_product_attention(query, key, value, attn_mask=bias, dropout_p=dropout)
        return self.linear_out(attended.transpose(1, 2).reshape(batch, length, -1)), None

    def _distance_bias(self, query: torch.Tensor) -> torch.Tensor:
        """`[B, H, L, D]` -> `[B, H, L, L]`: query i times the embedding of the clamped distance j - i."""
        batch, heads, length, _ = query.shape
        left = min(self.left_max_position_embeddings, length - 1)
        right = min(self.right_max_position_embeddings, length - 1)
        centre = self.left_max_position_embeddings
        embeddings = self.distance_embedding.weight[centre - left : centre + right + 1].to(query.dtype)
        near = query @ embeddings.T
        before = near[..., :1].expand(-1, -1, -1, length - 1 - left)
        after = near[..., -1:].expand(-1, -1, -1, length - 1 - right)
        by_distance = torch.cat([before, near, after], dim=-1)  # distances -(L-1) .. L-1
        # Row i starts at distance -i: rows of 2L, read on in steps of 2L - 1, are shifted by one each.
        flat = pad(by_distance, (0, 1)).reshape(batch, heads, -1)[..., length - 1 : -1]
        return flat.unfold(-1, length, 2 * length - 1)


def use_fast_attention(model: nn.Module) -> int:
    """Give every relative-key attention of a Wav2Vec2-BERT this forward pass; returns how many there were."""
    layers = [
        module
        for module in model.modules()
        if type(module) is Wav2Vec2BertSelfAttention and module.position_embeddings_type == "relative_key"
    ]
    for layer in layers:
        layer.__class__ = RelativeKeyAttention
    return len(layers)
