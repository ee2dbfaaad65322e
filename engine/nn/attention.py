"""Sequences in, sequences in which every place has looked at the others out."""

from __future__ import annotations

from typing import Any

from engine.arithmetic import where
from engine.creation import empty, zeros
from engine.nn import functional as F, init
from engine.nn.functional.attention import attention_weights
from engine.nn.functional.checks import misfit
from engine.nn.linear import Linear
from engine.nn.module import Module
from engine.nn.parameter import Parameter
from engine.shaping import matmul
from engine.tensor import Tensor


class MultiheadAttention(Module):
    """Attention in ``num_heads`` parts of the width: [l, n, e] (``batch_first``: [n, l, e]).

    One width for queries, keys and values. PyTorch's masks: a True is *not* attended to.
    Gives the output and the weights (None unless ``need_weights``).
    """

    in_proj_weight: Parameter
    in_proj_bias: Parameter | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        *,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if embed_dim <= 0 or num_heads <= 0 or embed_dim % num_heads:
            raise ValueError("embed_dim must be divisible by num_heads, and both positive")
        self.embed_dim, self.num_heads, self.dropout = embed_dim, num_heads, dropout
        self.head_dim, self.batch_first = embed_dim // num_heads, batch_first
        self.in_proj_weight = Parameter(empty(3 * embed_dim, embed_dim, dtype=dtype))
        made = Parameter(zeros(3 * embed_dim, dtype=dtype)) if bias else None
        self.register_parameter("in_proj_bias", made)
        self.out_proj = Linear(embed_dim, embed_dim, bias, dtype=dtype)
        init.xavier_uniform_(self.in_proj_weight)
        if self.out_proj.bias is not None:
            init.zeros_(self.out_proj.bias)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        if query.ndim != 3 or query.shape[-1] != self.embed_dim:
            raise misfit(
                f"MultiheadAttention({self.embed_dim}) got query {list(query.shape)}",
                f"it takes three axes, the last of {self.embed_dim}",
            )
        if is_causal and attn_mask is None:
            raise misfit("MultiheadAttention: is_causal needs attn_mask", "as in PyTorch")
        parts = (query, key, value)
        if not self.batch_first:
            query, key, value = (x.transpose(0, 1) for x in parts)
        q, k, v = (self._heads(x, at) for at, x in enumerate((query, key, value)))
        mask = self._mask(attn_mask, key_padding_mask, q)
        weights = attention_weights(q, k, mask)
        dropped = F.dropout(weights, self.dropout, self.training)
        n, length = query.shape[:2]
        mixed = matmul(dropped, v).transpose(1, 2).reshape(n, length, self.embed_dim)
        out = self.out_proj(mixed)
        out = out if self.batch_first else out.transpose(0, 1)
        if not need_weights:
            return out, None
        return out, dropped.mean(1) if average_attn_weights else dropped

    def _heads(self, x: Tensor, at: int) -> Tensor:
        """[n, l, e] through its third of the projection as [n, heads, l, e / heads]."""
        rows = slice(at * self.embed_dim, (at + 1) * self.embed_dim)
        bias = None if self.in_proj_bias is None else self.in_proj_bias[rows]
        x = F.linear(x, self.in_proj_weight[rows], bias)
        return x.reshape(x.shape[0], x.shape[1], self.num_heads, self.head_dim).transpose(1, 2)

    def _mask(
        self, attn_mask: Tensor | None, padding: Tensor | None, like: Tensor
    ) -> Tensor | None:
        """Both masks as one that is added to the scores [n, heads, l, s]."""
        total = None
        if attn_mask is not None:
            total = _added(attn_mask, like)
            if attn_mask.ndim == 3:
                total = total.reshape(-1, self.num_heads, *attn_mask.shape[1:])
        if padding is not None:
            hidden = _added(padding, like)
            hidden = hidden.reshape(padding.shape[0], 1, 1, padding.shape[1])
            total = hidden if total is None else total + hidden
        return total


def _added(mask: Tensor, like: Tensor) -> Tensor:
    """A bool mask (True hides) as numbers to add; others as they are."""
    if mask.dtype.kind != "b":
        return mask
    return where(mask, -float("inf"), 0.0).to(like.dtype)
