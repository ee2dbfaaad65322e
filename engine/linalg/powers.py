"""Matrices in, their powers, exponentials and chains of products out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from engine.arithmetic import where
from engine.creation import ones_like
from engine.dispatch import (
    axis_of,
    broadcast_shape,
    cast,
    common_dtype,
    describe,
    known_sizes,
)
from engine.dtypes import int64
from engine.errors import DTypeError, message
from engine.linalg.checks import identity, squares
from engine.linalg.solving import inv, solve
from engine.locate import user_location
from engine.products import fail, matmul, rank_of
from engine.rearrange import select
from engine.reductions import sum as total
from engine.shaping import reshape, squeeze, stack, unsqueeze

if TYPE_CHECKING:
    from engine.tensor import Tensor

# Coefficients of the Pade approximant of degree 13, and how large a norm it serves (Higham 2005).
_PADE = (
    64764752532480000.0, 32382376266240000.0, 7771770303897600.0, 1187353796428800.0,
    129060195264000.0, 10559470521600.0, 670442572800.0, 33522128640.0, 1323241920.0,
    40840800.0, 960960.0, 16380.0, 182.0, 1.0,
)  # fmt: skip
_SERVED = 5.371920351148152
_HALVINGS = 10


def matrix_power(A: Tensor, n: int) -> Tensor:
    """``A @ A @ ...``, n times; of the inverse for a negative n, the identity for 0."""
    shape = A.value.type.shape
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise fail(f"matrix_power({describe(A)}) takes square matrices")
    if n < 0:
        return matrix_power(inv(A), -n)
    out: Tensor | None = None
    while n:
        if n & 1:
            out = A if out is None else matmul(out, A)
        n >>= 1
        A = matmul(A, A) if n else A
    return identity(A, "matrix_power") if out is None else out


def matrix_exp(A: Tensor) -> Tensor:
    """The matrix exponential of each matrix, by scaling and squaring.

    A Pade approximant of ``A / 2^s``, squared s times; s is chosen for each matrix (up to 10: to
    norms of some 5000), so that a compiled step needs no other code for other values.
    """
    shape = squares(A, "matrix_exp")
    if shape[-1] == 0:
        return A.clone()
    size = total(A.detach().abs(), -2).amax(-1)
    scale = ones_like(size)
    for _ in range(_HALVINGS):
        scale = where(size > _SERVED * scale, scale * 2, scale)
    factor = unsqueeze(unsqueeze(scale, -1), -1)
    out = _pade(A / factor)
    for step in range(_HALVINGS):
        out = where(factor > 2**step, matmul(out, out), out)
    return out


def _pade(A: Tensor) -> Tensor:
    """The diagonal Pade approximant of degree 13 of the exponential."""
    b, one = _PADE, identity(A.detach(), "matrix_exp")
    two = matmul(A, A)
    four = matmul(two, two)
    six = matmul(four, two)
    odd = matmul(six, b[13] * six + b[11] * four + b[9] * two)
    odd = matmul(A, odd + b[7] * six + b[5] * four + b[3] * two + b[1] * one)
    even = matmul(six, b[12] * six + b[10] * four + b[8] * two)
    even = even + b[6] * six + b[4] * four + b[2] * two + b[0] * one
    return solve(even - odd, even + odd)


def multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    """The product of a chain of matrices, in the order of least work; vectors at both ends."""
    if len(tensors) < 2:
        raise fail("multi_dot() takes at least two tensors")
    chain, ends = list(tensors), (rank_of(tensors[0]) == 1, rank_of(tensors[-1]) == 1)
    chain[0] = unsqueeze(chain[0], 0) if ends[0] else chain[0]
    chain[-1] = unsqueeze(chain[-1], 1) if ends[1] else chain[-1]
    if any(rank_of(x) != 2 for x in chain):
        raise fail("multi_dot() takes matrices, and vectors at the ends only")
    for left, right in pairwise(chain):
        if left.shape[1] != right.shape[0]:
            raise fail(f"multi_dot(): {describe(left)} and {describe(right)} do not match")
    out = _in_order(chain, _order([x.shape[0] for x in chain] + [chain[-1].shape[1]]))
    out = squeeze(out, 0) if ends[0] else out
    return squeeze(out, -1) if ends[1] else out


def _order(sizes: Sequence[Any]) -> dict[tuple[int, int], int]:
    """Where to cut each part of a chain; in the middle of none where a size is symbolic."""
    count = len(sizes) - 1
    cost = {(i, i): 0 for i in range(count)}
    cut = {}
    known = [size if isinstance(size, int) else 1024 for size in sizes]
    for length in range(1, count):
        for i in range(count - length):
            j = i + length
            found = [
                (cost[i, k] + cost[k + 1, j] + known[i] * known[k + 1] * known[j + 1], k)
                for k in range(i, j)
            ]
            cost[i, j], cut[i, j] = min(found)
    return cut


def _in_order(chain: Sequence[Tensor], cut: dict[tuple[int, int], int]) -> Tensor:
    def part(i: int, j: int) -> Tensor:
        if i == j:
            return chain[i]
        return matmul(part(i, cut[i, j]), part(cut[i, j] + 1, j))

    return part(0, len(chain) - 1)


def vander(x: Tensor, *, N: int | None = None) -> Tensor:
    """The powers 0 to N - 1 of each element along a new last axis."""
    x = x if rank_of(x) else reshape(x, (1,))
    (count,) = known_sizes((x.shape[-1] if N is None else N,))
    if count <= 1:
        raise fail(f"vander() takes N > 1, not {count}")
    x = cast(x, int64) if x.dtype.kind in "bui" else x
    power, powers = ones_like(x), []
    for _ in range(count):
        powers.append(power)
        power = power * x
    return stack(powers, -1)


def cross(x: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """The cross product of vectors of 3 along ``dim``."""
    if rank_of(x) != rank_of(other):
        raise fail(f"cross({describe(x)}, {describe(other)}): the ranks differ")
    axis = axis_of(dim, rank_of(x))
    if x.shape[axis] != 3 or other.shape[axis] != 3:
        raise fail(f"cross({describe(x)}, {describe(other)}): dimension {dim} must have size 3")
    a = [select(x, axis, at) for at in range(3)]
    b = [select(other, axis, at) for at in range(3)]
    parts = [a[i - 2] * b[i - 1] - a[i - 1] * b[i - 2] for i in range(3)]
    return stack(parts, axis)


def vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """The sums of products along ``dim``; the other dimensions broadcast."""
    kind = common_dtype([x, y])
    shape = broadcast_shape([x.value.type, y.value.type], "vecdot")
    axis = axis_of(dim, len(shape))
    if kind.kind == "b" or x.dtype != y.dtype:
        text = f"vecdot({describe(x)}, {describe(y)}) takes numbers of one dtype"
        raise DTypeError(message(user_location(), text))
    if not rank_of(x) or not rank_of(y) or x.shape[dim] != y.shape[dim]:
        raise fail(f"vecdot({describe(x)}, {describe(y)}): sizes differ along {dim}")
    return total(x * y, axis, dtype=kind)
