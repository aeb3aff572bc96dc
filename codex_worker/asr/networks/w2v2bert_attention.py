"""Relative-key attention for Wav2Vec2-BERT that never builds a tensor per pair of positions and channel."""

import torch
from torch import nn
from torch.nn.functional import dropout as dropped
from torch.nn.functional import scaled_dot_product_attention
from transformers.models.wav2vec2_bert.modeling_wav2vec2_bert import Wav2Vec2BertSelfAttention

# A bias of at most so many numbers is made at a time on a CPU: it stays in the caches, and the memory
# allocator hands the same pages out again instead of fetching fresh ones from the kernel.
_CPU_BIAS_NUMBERS = 2_000_000
_FEWEST_ROWS = 32


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
        rows = length
        if query.device.type == "cpu":
            rows = max(_FEWEST_ROWS, _CPU_BIAS_NUMBERS // (batch * self.num_heads * length))
        if rows >= length:  # no loop: a compiled pass would be made for its number of turns
            joined = self._attend(query, key, value, attention_mask, 0)
        else:
            parts = [
                self._attend(query[:, :, start : start + rows], key, value, attention_mask, start)
                for start in range(0, length, rows)
            ]
            joined = torch.cat(parts, dim=2)
        return self.linear_out(joined.transpose(1, 2).reshape(batch, length, -1)), None

    def _attend(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor | None,
        start: int,
    ) -> torch.Tensor:
        """What the queries `[B, H, N, D]` from position `start` on attend to, `[B, H, N, D]`."""
        bias = self._distance_bias(query * self.scaling, start, key.shape[2])
        if mask is not None:
            mask = mask if mask.shape[-2] == 1 else mask[..., start : start + query.shape[2], :]
            if mask.dtype != torch.bool:
                bias = bias + mask
            elif bias.requires_grad:
                bias = bias.masked_fill(~mask, torch.finfo(bias.dtype).min)
            else:
                bias = bias.masked_fill_(~mask, torch.finfo(bias.dtype).min)
        dropout = self.dropout.p if self.training else 0.0
        if bias.requires_grad and bias.device.type == "cpu":
            # No fused kernel gives a bias its gradient here, and the fallback for that does more than this.
            scores = torch.baddbmm(
                bias.flatten(0, 1), query.flatten(0, 1), key.flatten(0, 1).mT, alpha=self.scaling
            )
            weights = dropped(scores.softmax(-1), dropout)
            return (weights @ value.flatten(0, 1)).view_as(query)
        return scaled_dot_product_attention(query, key, value, attn_mask=bias, dropout_p=dropout)

    def _distance_bias(self, query: torch.Tensor, start: int, length: int) -> torch.Tensor:
        """`[B, H, N, D]` -> `[B, H, N, L]`: query i (`start` + i of all) times its distance to each key."""
        count = query.shape[2]
        left = min(self.left_max_position_embeddings, start + count - 1)
        right = min(self.right_max_position_embeddings, length - 1 - start)
        centre = self.left_max_position_embeddings
        embeddings = self.distance_embedding.weight[centre - left : centre + right + 1].to(query.dtype)
        near = query @ embeddings.T
        if near.device.type == "cuda" and not near.requires_grad:
            return _gathered(near, start, length, left, right)
        return _laid_out(near, start, length, left, right)


def _gathered(near: torch.Tensor, start: int, length: int, left: int, right: int) -> torch.Tensor:
    """Products by distance, `[B, H, N, left + right + 1]`, as `[B, H, N, L]`, each at its key.

    The quickest way on a GPU, but for its gradient, a slow scatter.
    """
    at = torch.arange(length, device=near.device)
    columns = (at - at[start : start + near.shape[2], None]).clamp(-left, right) + left
    return near.gather(-1, columns.expand(*near.shape[:2], *columns.shape))


def _laid_out(near: torch.Tensor, start: int, length: int, left: int, right: int) -> torch.Tensor:
    """The same by a shifted view, whose gradient is quick."""
    count = near.shape[2]
    before = near[..., :1].expand(-1, -1, -1, start + count - 1 - left)
    # One column more than there are distances: read on in steps of one less, each row is shifted by one.
    after = near[..., -1:].expand(-1, -1, -1, length - start - right)
    by_distance = torch.cat([before, near, after], dim=-1)  # -(start + N - 1) .. L - 1 - start, and one
    shifted = by_distance.flatten(2)[..., count - 1 : -1].unflatten(-1, (count, count + length - 1))
    return shifted[..., :length]


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
