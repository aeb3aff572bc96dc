"""The distance bias of a Wav2Vec2-BERT inside torch's flex attention: a way that was measured and not taken.

It saves the memory of the bias and no time (docs/decisions/0030). It stays here to be measured again.
"""

from typing import Any

import torch
from torch import nn
from torch.nn.attention.flex_attention import flex_attention

from codex_worker.asr.networks.w2v2bert_attention import RelativeKeyAttention


class FlexibleAttention(RelativeKeyAttention):
    """The parent's mathematics; the kernel looks up each pair's product of query and distance by itself."""

    attend: Any = staticmethod(flex_attention)

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        relative_position_embeddings: torch.Tensor | None = None,
        **kwargs: object,
    ) -> tuple[torch.Tensor, None]:
        """`hidden_states [B, L, C]` -> `[B, L, C]`; a bool mask `[B, 1, 1 or L, L]` of padding, or none."""
        batch, length, _ = hidden_states.shape
        shape = (batch, length, self.num_heads, self.head_size)
        query, key, value = (
            layer(hidden_states).view(shape).transpose(1, 2)
            for layer in (self.linear_q, self.linear_k, self.linear_v)
        )
        left, right = self.left_max_position_embeddings, self.right_max_position_embeddings
        near = (query * self.scaling) @ self.distance_embedding.weight.to(query.dtype).T
        if attention_mask is None:
            heard = torch.ones(batch, length, dtype=torch.bool, device=query.device)
        else:
            heard = attention_mask[:, 0, -1]  # padding is the same for every query

        def with_distance(
            score: torch.Tensor, row: torch.Tensor, head: torch.Tensor, at: torch.Tensor, to: torch.Tensor
        ) -> torch.Tensor:
            distance = torch.clamp(to - at, -left, right) + left
            return torch.where(heard[row, to], score + near[row, head, at, distance].float(), float("-inf"))

        attended = self.attend(query, key, value, score_mod=with_distance, scale=self.scaling)
        return self.linear_out(attended.transpose(1, 2).reshape(batch, length, -1)), None


def use_flex_attention(model: nn.Module, *, is_compiled: bool) -> int:
    """Give the relative-key attentions of a network this forward pass; returns how many there were."""
    layers = [module for module in model.modules() if isinstance(module, RelativeKeyAttention)]
    for layer in layers:
        layer.__class__ = FlexibleAttention
        if is_compiled:
            layer.attend = torch.compile(flex_attention)
    return len(layers)
