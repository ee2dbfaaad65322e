"""Two tensors in, how far apart or how alike they are out; norms that differentiate at 0."""

from __future__ import annotations

import math

import numpy as np

from engine.arithmetic import where
from engine.creation import from_numpy
from engine.dispatch import broadcast_together, cast, rounded_once
from engine.division import flat_in
from engine.nn.functional.checks import misfit
from engine.tensor import Tensor


def safe_sqrt(x: Tensor) -> Tensor:
    """The square root, with gradient 0 at 0."""
    zero = x == 0
    return where(zero, 0.0, where(zero, 1.0, x).sqrt())


def p_norm(x: Tensor, p: float, dim: int, keepdim: bool = False) -> Tensor:
    """The ``p``-norm along ``dim``; its gradient at 0 is 0, as PyTorch's is."""
    if p == 2:
        return safe_sqrt((x * x).sum(dim, keepdim))
    size = x.abs()
    if p == 0:
        return flat_in(cast(size != 0, x.dtype).sum(dim, keepdim), size.sum(dim, keepdim))
    if p == -math.inf:
        return size.amin(dim, keepdim)
    if p == math.inf:
        return size.amax(dim, keepdim)
    if p == 1:
        return size.sum(dim, keepdim)
    zero = size == 0
    total = where(zero, 0.0, where(zero, 1.0, size) ** p).sum(dim, keepdim)
    empty = total == 0
    return where(empty, 0.0, where(empty, 1.0, total) ** (1.0 / p))


@rounded_once
def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """``input`` divided by its ``p``-norm along ``dim`` (at least ``eps``)."""
    return input / p_norm(input, p, dim, True).clamp(min=eps)


def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """The ``p``-norm of ``x1 - x2 + eps`` along the last axis."""
    return p_norm(x1 - x2 + eps, p, -1, keepdim)


def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """The ``p``-norms of the differences of every pair of rows: [n, d] -> [n (n - 1) / 2]."""
    if input.ndim != 2:
        raise misfit(f"pdist takes [n, d]: input {list(input.shape)}")
    if p < 0:
        raise misfit(f"pdist takes a p of at least 0, not {p}")
    first, second = np.triu_indices(int(input.shape[0]), 1)
    left, right = (input.index_select(0, from_numpy(places)) for places in (first, second))
    return p_norm(left - right, p, 1)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle along ``dim``; norms count as at least ``eps``."""
    x1, x2 = broadcast_together(x1, x2, op="cosine_similarity")
    left = p_norm(x1, 2.0, dim, True).clamp(min=eps)
    right = p_norm(x2, 2.0, dim, True).clamp(min=eps)
    return ((x1 / left) * (x2 / right)).sum(dim)
