"""Tensors in, lengths and distances out: norms along axes, of matrices, and between rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.arithmetic import mul, rdiv, sub, where
from engine.dispatch import axes_of, axis_of, cast, describe, must_be_tensors
from engine.division import flat_in
from engine.errors import ShapeError, message
from engine.linalg.norms import matrix_norm, vector_norm
from engine.locate import user_location
from engine.reductions import Axes, sum as total
from engine.shaping import unsqueeze

if TYPE_CHECKING:
    from engine.tensor import Tensor

__all__ = ["cdist", "dist", "norm", "renorm"]


def norm(
    x: Tensor,
    p: float | str | None = "fro",
    dim: Axes = None,
    keepdim: bool = False,
    dtype: Any = None,
) -> Tensor:
    """The ``p``-norm of the elements along ``dim`` (of all for None); "fro" is the 2-norm.

    "nuc" is the nuclear norm of the matrix that lies on two dimensions.
    """
    if p == "nuc":
        plane = axes_of(dim, len(x.value.type.shape))
        return matrix_norm(x, p, plane, keepdim, dtype=dtype)
    if isinstance(p, str) and p != "fro":
        raise ShapeError(message(user_location(), f"norm(): unknown order {p!r}"))
    order = 2.0 if p is None or isinstance(p, str) else p
    return _length(x, order, dim, keepdim, dtype)


def _length(x: Tensor, p: float, dim: Axes, keepdim: bool = False, dtype: Any = None) -> Tensor:
    """``vector_norm``, where the count of what is not zero has a gradient of zero."""
    p = float(p)  # a number of a step's arguments, which the formula depends on
    out = vector_norm(x, p, dim, keepdim, dtype=dtype)
    return flat_in(out, cast(total(x, dim, keepdim), out.dtype)) if p == 0 else out


def dist(x: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The ``p``-norm of ``x - other``; 0-d."""
    must_be_tensors("dist", (x, other))
    return _length(sub(x, other), p, None)


def cdist(
    x1: Tensor,
    x2: Tensor,
    p: float = 2.0,
    compute_mode: str = "use_mm_for_euclid_dist_if_necessary",
) -> Tensor:
    """The ``p``-norms [..., m, n] between the rows of [..., m, d] and those of [..., n, d].

    Differences are always formed, so ``compute_mode`` has no effect.
    """
    left, right = x1.value.type.shape, x2.value.type.shape
    if len(left) < 2 or len(right) < 2 or left[-1] != right[-1] or p < 0:
        text = f"cdist({describe(x1)}, {describe(x2)}, p={p}): rows of one length, p at least 0"
        raise ShapeError(message(user_location(), text))
    return _length(sub(unsqueeze(x1, -2), unsqueeze(x2, -3)), p, -1)


def renorm(x: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """Slices of ``x`` along ``dim`` scaled down to a ``p``-norm of ``maxnorm``."""
    rank = len(x.value.type.shape)
    rule = "takes at least 2 dimensions" if rank < 2 else ""
    if p <= 0 or maxnorm < 0:
        rule = "the order must be positive, the largest norm not negative"
    if rule:
        raise ShapeError(message(user_location(), f"renorm({describe(x)}): {rule}"))
    axis = axis_of(dim, rank)
    length = vector_norm(x, p, [a for a in range(rank) if a != axis], True)
    long = length > maxnorm
    return mul(x, where(long, rdiv(where(long, length, 1.0) + 1e-7, float(maxnorm)), 1.0))
