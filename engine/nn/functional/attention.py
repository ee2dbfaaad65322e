"""Queries, keys and values in, what each query attends to out."""

from __future__ import annotations

import math

import numpy as np

from engine.arithmetic import where
from engine.creation import from_numpy
from engine.dispatch import apply
from engine.nn.functional.activation import dropout
from engine.nn.functional.checks import misfit
from engine.products import matmul
from engine.rearrange import repeat_interleave
from engine.tensor import Tensor


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """``softmax(query @ key.T * scale + mask) @ value``: [..., l, e], [..., s, e], [..., s, v].

    A bool mask says what may be attended to; another is added. ``scale`` is ``1 / sqrt(e)``. A
    query that may see nothing gets zeros. With ``enable_gqa`` the queries' heads (axis -3) share
    fewer keys and values, in groups.
    """
    if enable_gqa:
        key, value = _shared(key, query), _shared(value, query)
    weights = attention_weights(query, key, attn_mask, is_causal, scale)
    return matmul(dropout(weights, dropout_p, dropout_p > 0), value)


def attention_weights(
    query: Tensor,
    key: Tensor,
    mask: Tensor | None = None,
    is_causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """What each query gives to each key: [..., l, s], rows sum to 1."""
    if is_causal and mask is not None:
        raise misfit("attention: a mask and is_causal exclude each other", "give one of them")
    scale = 1.0 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = matmul(query * scale, key.mT)
    if is_causal:
        length, size = (int(s) for s in scores.shape[-2:])
        mask = from_numpy(np.tri(length, size, dtype=bool))
    if mask is None:
        return scores.softmax(-1)
    if mask.dtype.kind != "b":
        return safe_softmax(scores + mask)
    return safe_softmax(where(mask, scores, -math.inf))


def safe_softmax(scores: Tensor) -> Tensor:
    """Softmax along the last axis; zeros where all of it is minus infinity, as in PyTorch: a query
    that may see nothing."""
    if 0 in tuple(scores.shape):
        return scores.softmax(-1)
    return apply("safe_softmax", scores, axes=(scores.ndim - 1,))


def _shared(x: Tensor, query: Tensor) -> Tensor:
    """Heads repeated in a row, as many times as it takes to have those of ``query``."""
    heads, wanted = int(x.shape[-3]), int(query.shape[-3])
    if heads == 0 or wanted % heads:
        raise misfit(f"attention: {wanted} heads of queries over {heads} of keys and values")
    return repeat_interleave(x, wanted // heads, -3)
