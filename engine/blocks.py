"""Tensors in, larger ones built of them out: blocks, products of all with all, powers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations as choices, combinations_with_replacement
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.arithmetic import mul
from engine.dispatch import apply, cast, common_dtype, describe, known_sizes
from engine.dtypes import int64
from engine.errors import ShapeError, message
from engine.gathering import index_select
from engine.locate import user_location
from engine.parts import atleast_2d
from engine.rearrange import meshgrid
from engine.shaping import cat, flip, reshape, stack
from ir.types import is_float

if TYPE_CHECKING:
    from engine.tensor import Tensor

__all__ = ["block_diag", "cartesian_prod", "combinations", "kron", "vander"]


def block_diag(*tensors: Any) -> Tensor:
    """Matrices (vectors are rows) one after another on the diagonal of a matrix of zeros."""
    given: Any = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], list) else tensors
    for x in given:
        _at_most(x, 2, "block_diag")
    dtype = common_dtype(given)
    parts = [cast(atleast_2d(x), dtype) for x in given]
    width = sum(x.value.type.shape[1] for x in parts)
    rows: list[Tensor] = []
    before: Any = 0
    for x in parts:
        own = x.value.type.shape[1]
        room = {"low": (0, before), "high": (0, width - before - own), "interior": (0, 0)}
        rows.append(apply("pad", x, value=0, **room))
        before = before + own
    return cat(rows, 0)


def _at_most(x: Tensor, rank: int, op: str) -> None:
    if len(x.value.type.shape) > rank:
        text = f"{op}() takes tensors of at most {rank} dimensions, not {describe(x)}"
        raise ShapeError(message(user_location(), text))


def kron(x: Tensor, other: Tensor) -> Tensor:
    """The Kronecker product: every element of ``x`` times all of ``other``."""
    left, right = x.value.type.shape, other.value.type.shape
    rank = max(len(left), len(right))
    left = (*(1,) * (rank - len(left)), *left)
    right = (*(1,) * (rank - len(right)), *right)
    a = reshape(x, tuple(size for s in left for size in (s, 1)))
    b = reshape(other, tuple(size for s in right for size in (1, s)))
    return reshape(mul(a, b), tuple(s * r for s, r in zip(left, right, strict=True)))


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """All choices of one element from each vector, as rows; a single vector stays one."""
    for x in tensors:
        _at_most(x, 1, "cartesian_prod")
    if len(tensors) == 1:
        return tensors[0]
    return stack([reshape(x, (-1,)) for x in meshgrid(*tensors)], 1)


def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All choices of ``r`` elements of a vector, in order, as rows [count, r]."""
    if len(input.value.type.shape) != 1 or r < 0:
        text = f"combinations({describe(input)}, {r}) takes a vector and a count"
        raise ShapeError(message(user_location(), text))
    (size,) = known_sizes(input.value.type.shape)
    chosen = combinations_with_replacement if with_replacement else choices
    if r == 0:
        return input._beside(np.zeros(0, input.value.type.dtype))
    rows = np.array(list(chosen(range(size), r)), np.int64).reshape(-1, r)
    picked = index_select(input, 0, input._plain._from_array(rows.reshape(-1)))
    return reshape(picked, rows.shape)


def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """The powers of a vector [n] as columns [n, N], the highest first unless ``increasing``."""
    if len(x.value.type.shape) != 1 or (N is not None and N < 0):
        text = f"vander({describe(x)}, N={N}) takes a vector and a count"
        raise ShapeError(message(user_location(), text))
    base = x if is_float(x.value.type.dtype) else cast(x, int64)
    (count,) = known_sizes((base.value.type.shape[0] if N is None else N,))
    out = _powers(base, count)
    return out if increasing else flip(out, 1)


def _powers(base: Tensor, count: int) -> Tensor:
    columns: Sequence[Tensor] = [base**0]
    for _ in range(count - 1):
        columns = [*columns, mul(columns[-1], base)]
    rows = stack(columns, 1)
    return rows if count else rows[:, :0]
