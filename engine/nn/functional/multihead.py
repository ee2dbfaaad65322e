"""Sequences and projections in, what the heads have gathered from all places out."""

from __future__ import annotations

import math
from typing import Any

from engine.arithmetic import where
from engine.creation import zeros
from engine.nn.functional.activation import dropout
from engine.nn.functional.attention import safe_softmax
from engine.nn.functional.checks import misfit
from engine.nn.functional.linear import linear
from engine.products import matmul
from engine.shaping import cat
from engine.tensor import Tensor
from ir.types import is_float


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Attention in ``num_heads`` parts: [l, n, e], [s, n, k], [s, n, v] -> [l, n, e], [n, l, s].

    Masks as in ``nn.MultiheadAttention``; inputs of two axes are one sample. ``is_causal`` is a
    promise about ``attn_mask``, which must be given.
    """
    if is_causal and attn_mask is None:
        raise misfit("Need attn_mask if specifying the is_causal hint.")
    _check_inputs(query, key, value, embed_dim_to_check, num_heads)
    single = query.ndim == 2
    if single:
        query, key, value = (x.unsqueeze(1) for x in (query, key, value))
        padding = key_padding_mask
        key_padding_mask = None if padding is None else padding.unsqueeze(0)
    matrices: Any = (q_proj_weight, k_proj_weight, v_proj_weight)
    if not use_separate_proj_weight:
        matrices = _thirds(in_proj_weight)
    q, k, v = (
        linear(x, w, b)
        for x, w, b in zip((query, key, value), matrices, _thirds(in_proj_bias), strict=True)
    )
    q, k, v = _headed(q, k, v, num_heads, bias_k, bias_v, static_k, static_v, add_zero_attn)
    mask = _joined(attn_mask, key_padding_mask, q, k)
    out, weights = _mixed(q, k, v, mask, dropout_p if training else 0.0, need_weights)
    out = linear(out, out_proj_weight, out_proj_bias)
    if weights is not None and average_attn_weights:
        weights = weights.mean(1)
    if single:
        out = out.squeeze(1)
        weights = None if weights is None else weights.squeeze(0)
    return out, weights


def _mixed(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, p: float, plain: bool
) -> tuple[Tensor, Tensor | None]:
    """[n, heads, l, d] and the masks to [l, n, heads * d], with the weights if they are wanted."""
    scores = matmul(q * (1.0 / math.sqrt(q.shape[-1])), k.mT)
    scores = scores if mask is None else scores + mask
    # a query that may see nothing: NaN with the weights, zeros without, as in PyTorch
    weights = scores.softmax(-1) if plain or mask is None else safe_softmax(scores)
    weights = dropout(weights, p, p > 0.0)
    n, heads, length, width = q.shape
    out = matmul(weights, v).permute(2, 0, 1, 3).reshape(length, n, heads * width)
    return out, weights if plain else None


def _headed(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    heads: int,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    static_k: Tensor | None,
    static_v: Tensor | None,
    with_zero: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """[l, n, e] three times as [n, heads, l, e / heads], with the extra places for keys."""
    n, width = q.shape[1], q.shape[2] // heads
    if bias_k is not None and bias_v is not None:
        k = cat([k, bias_k.expand(1, n, bias_k.shape[-1])])
        v = cat([v, bias_v.expand(1, n, bias_v.shape[-1])])

    def split(x: Tensor, static: Tensor | None) -> Tensor:
        if static is not None:
            return static.reshape(n, heads, static.shape[1], static.shape[2])
        return x.reshape(x.shape[0], n, heads, x.shape[2] // heads).permute(1, 2, 0, 3)

    q, k, v = split(q, None), split(k, static_k), split(v, static_v)
    if with_zero:
        none = zeros(n, heads, 1, width, dtype=q.dtype)
        k, v = cat([k, none], 2), cat([v, none], 2)
    return q, k, v


def _joined(
    attn_mask: Tensor | None, padding: Tensor | None, q: Tensor, k: Tensor
) -> Tensor | None:
    """Both masks as one that is added to the scores [n, heads, l, s]."""
    n, heads, length, _ = q.shape
    size = k.shape[2]
    total = None
    if attn_mask is not None:
        if attn_mask.ndim not in (2, 3):
            raise misfit(f"attn_mask takes two or three axes, not {list(attn_mask.shape)}")
        total = _widened(_added(attn_mask, q), size)
        view = (n, heads) if attn_mask.ndim == 3 else (1, 1)
        total = total.reshape(*view, length, size)
    if padding is not None:
        hidden = _widened(_added(padding, q), size).reshape(n, 1, 1, size)
        total = hidden if total is None else total + hidden
    return total


def _widened(mask: Tensor, size: Any) -> Tensor:
    """With zeros for the keys that ``bias_k`` and ``add_zero_attn`` put at the end."""
    more = size - mask.shape[-1]
    if isinstance(more, int) and more > 0:
        return cat([mask, zeros(*mask.shape[:-1], more, dtype=mask.dtype)], -1)
    return mask


def _added(mask: Tensor, like: Tensor) -> Tensor:
    """A bool mask (True hides) as numbers to add; others as they are."""
    if mask.dtype.kind == "b":
        return where(mask, -math.inf, 0.0).to(like.dtype)
    if not is_float(mask.dtype):
        raise misfit(f"a mask holds bools or floats, not {mask.dtype}")
    return mask.to(like.dtype)


def _thirds(x: Tensor | None) -> tuple[Any, Any, Any]:
    if x is None:
        return None, None, None
    size = x.shape[0] // 3
    return x[:size], x[size : 2 * size], x[2 * size :]


def _check_inputs(query: Tensor, key: Tensor, value: Tensor, width: int, heads: int) -> None:
    shapes = f"query {list(query.shape)}, key {list(key.shape)}, value {list(value.shape)}"
    if query.ndim not in (2, 3) or key.ndim != query.ndim or value.ndim != query.ndim:
        raise misfit(f"attention takes two or three axes each: {shapes}")
    if query.shape[-1] != width or width % heads:
        raise misfit(f"attention of width {width} in {heads} heads: {shapes}")
    if tuple(key.shape[:-1]) != tuple(value.shape[:-1]):
        raise misfit(f"attention: key and value differ in length or batch: {shapes}")
