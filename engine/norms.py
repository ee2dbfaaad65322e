"""Tensors in, lengths and distances out: norms along axes, of matrices, and between rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.arithmetic import add, le, mul, rdiv, sqrt, sub, where
from engine.dispatch import axes_of, axis_of, cast, describe, must_be_tensors, rounded_once
from engine.division import flat_in
from engine.errors import ShapeError, message
from engine.linalg.norms import matrix_norm, vector_norm
from engine.locate import user_location
from engine.products import matmul
from engine.reductions import Axes, sum as total
from engine.shaping import transpose, unsqueeze

if TYPE_CHECKING:
    from engine.tensor import Tensor

__all__ = ["cdist", "dist", "norm", "renorm"]
_FEW_ROWS = 25  # up to which distances are always those of differences
_BY_PRODUCTS = {
    "use_mm_for_euclid_dist_if_necessary": None,
    "use_mm_for_euclid_dist": True,
    "donot_use_mm_for_euclid_dist": False,
}


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

    2-norms come of products of matrices where m or n is above 25 ("..._if_necessary"), always
    ("use_mm_for_euclid_dist") or never ("donot_use_mm_for_euclid_dist"): far sooner, but of the
    distance of rows close to one another digits are lost. Symbolic sizes count as above 25.
    """
    if compute_mode not in _BY_PRODUCTS:
        modes = ", ".join(_BY_PRODUCTS)
        text = f"cdist(): compute_mode is one of {modes}, not {compute_mode!r}"
        raise ShapeError(message(user_location(), text))
    left, right = x1.value.type.shape, x2.value.type.shape
    if len(left) < 2 or len(right) < 2 or left[-1] != right[-1] or p < 0:
        text = f"cdist({describe(x1)}, {describe(x2)}, p={p}): rows of one length, p at least 0"
        raise ShapeError(message(user_location(), text))
    known = [size for size in (left[-2], right[-2]) if isinstance(size, int)]
    many = len(known) < 2 or max(known) > _FEW_ROWS
    asked = _BY_PRODUCTS[compute_mode]
    if p == 2 and left[-1] != 0 and (many if asked is None else asked):
        return _by_products(x1, x2)
    return _length(sub(unsqueeze(x1, -2), unsqueeze(x2, -3)), p, -1)


@rounded_once
def _by_products(x1: Tensor, x2: Tensor) -> Tensor:
    """The roots of ``x1**2 + x2**2 - 2 * x1 * x2``; rows without a distance have no gradient."""
    squares = [total(mul(x, x), -1) for x in (x1, x2)]
    product = matmul(mul(x1, -2.0), transpose(x2, -1, -2))
    out = add(add(product, unsqueeze(squares[0], -1)), unsqueeze(squares[1], -2))
    none = le(out.detach(), 0)
    return where(none, 0.0, sqrt(where(none, 1.0, out)))


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
