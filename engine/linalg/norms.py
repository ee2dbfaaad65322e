"""Vectors and matrices in, their norms out.

Gradients at points without one are PyTorch's: zero at the origin, shared by equal maxima.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING, Any

from engine.arithmetic import abs, eq, mul, ne, pow, sqrt, where
from engine.dispatch import axis_of, cast, describe, rounded_once
from engine.dtypes import as_dtype
from engine.errors import DTypeError, message
from engine.linalg.checks import floats
from engine.linalg.factoring import svdvals
from engine.locate import user_location
from engine.products import fail, rank_of
from engine.rearrange import movedim
from engine.reductions import Axes, amax, amin, axes_from, count_along, sum as total
from engine.shaping import reshape
from ir.types import is_float

if TYPE_CHECKING:
    from engine.tensor import Tensor

# Which axis of the matrix is summed before the largest or smallest sum is taken.
_SUMMED = {1: -2, -1: -2, inf: -1, -inf: -1}


def _prepared(x: Tensor, dtype: Any, name: str) -> Tensor:
    floats(x, name)
    if dtype is None:
        return x
    wanted, kind = as_dtype(dtype), x.value.type.dtype
    if not is_float(wanted) or kind.itemsize > wanted.itemsize:
        text = f"{name}({describe(x)}) cannot be computed as {wanted}"
        raise DTypeError(message(user_location(), text))
    return cast(x, wanted)


def vector_norm(
    x: Tensor, ord: Any = 2, dim: Axes = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """``sum(|x|^ord)^(1/ord)`` along ``dim`` (all elements for None).

    ``ord`` inf and -inf: the largest and smallest ``|x|``; 0: how many are not zero.
    """
    if isinstance(ord, str):
        raise fail(f"vector_norm() takes a number as ord, not {ord!r}")
    ord = float(ord)
    x = _prepared(x, dtype, "vector_norm")
    if ord == 0:
        return total(where(ne(x, 0), 1.0, mul(x, 0)), dim, keepdim)
    if count_along(x, axes_from(x, dim)) == 0:
        if ord == inf or ord < 0:
            raise fail(f"vector_norm({describe(x)}): the norm {ord} of nothing is not defined")
        return total(x, dim, keepdim)
    if ord in (inf, -inf):
        return (amax if ord > 0 else amin)(abs(x), dim, keepdim)
    if ord == 1:
        return total(abs(x), dim, keepdim)
    return _rooted(x, ord, dim, keepdim)


@rounded_once
def _rooted(x: Tensor, ord: float, dim: Axes, keepdim: bool) -> Tensor:
    squares, edge = ord == 2, 0.0 if ord > 0 else inf
    flat = eq(x.detach(), 0)
    safe = x if squares or not x.requires_grad else where(flat, 1.0, x)
    powers = mul(x, x) if squares else pow(abs(safe), ord)
    powers = powers if safe is x else where(flat, edge, powers)
    out = total(powers, dim, keepdim)
    none = eq(out.detach(), edge)
    if not x.requires_grad:
        return sqrt(out) if squares else pow(out, 1 / ord)
    held = where(none, 1.0, out)
    return where(none, 0.0, sqrt(held) if squares else pow(held, 1 / ord))


def matrix_norm(
    A: Tensor,
    ord: Any = "fro",
    dim: Sequence[int] = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: Any = None,
) -> Tensor:
    """A norm of the matrices that lie on ``dim``.

    ``ord``: "fro" (elements), "nuc" (singular values), inf, 1 (rows, columns), 2 (the largest
    singular value), and -inf, -1, -2 (the smallest).
    """
    A = _prepared(A, dtype, "matrix_norm")
    ord = ord if isinstance(ord, str) else float(ord)
    rank = rank_of(A)
    if rank < 2 or isinstance(dim, int) or len(dim) != 2:
        raise fail(f"matrix_norm({describe(A)}) takes two dimensions of a tensor, not {dim}")
    first, last = (axis_of(d, rank) for d in dim)
    if first == last:
        raise fail(f"matrix_norm({describe(A)}): the dimensions {tuple(dim)} are one")
    if ord == "fro":
        return vector_norm(A, 2, (first, last), keepdim)
    if ord not in ("nuc", 2, -2, *_SUMMED):
        raise fail(f"matrix_norm() has no norm {ord!r}")
    out = _picked(movedim(A, (first, last), (-2, -1)), ord)
    if not keepdim:
        return out
    return reshape(out, tuple(1 if a in (first, last) else s for a, s in enumerate(A.shape)))


def _picked(A: Tensor, ord: Any) -> Tensor:
    """A norm of the last two axes."""
    if ord == "nuc":
        return total(svdvals(A), -1)
    sums = total(abs(A), _SUMMED[ord]) if ord in _SUMMED else svdvals(A)
    if ord > 0:
        return total(sums, -1) if sums.shape[-1] == 0 else amax(sums, -1)
    return amin(sums, -1)


def norm(
    A: Tensor, ord: Any = None, dim: Axes = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """A matrix norm over two dimensions (or of a matrix with ``ord``), else a vector norm."""
    if ord is None:
        return vector_norm(A, 2, dim, keepdim, dtype=dtype)
    two = dim is not None and not isinstance(dim, int) and len(dim) == 2
    if dim is None and rank_of(A) > 2:
        raise fail(f"norm({describe(A)}): with ord, dim names one or two dimensions")
    if two or (dim is None and rank_of(A) == 2) or isinstance(ord, str):
        plane: Any = dim if dim is not None else (-2, -1)
        return matrix_norm(A, ord, plane, keepdim, dtype=dtype)
    return vector_norm(A, ord, dim, keepdim, dtype=dtype)
