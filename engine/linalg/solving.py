"""Square matrices in, inverses, solutions of linear systems and determinants out.

LAPACK computes them, through NumPy, in a compiled step between its kernels. LinAlgError (a
RuntimeError) tells of a matrix that allows no result; a step that raises it leaves all state as
it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from engine.arithmetic import eq, where
from engine.creation import arange, zeros
from engine.dispatch import apply, cast, describe
from engine.dtypes import int32
from engine.linalg.checks import column, matrices, one_batch, same_dtype, sides, squares
from engine.products import fail, rank_of
from engine.rearrange import diagonal
from engine.reductions import amin
from engine.shaping import reshape, squeeze, transpose, unsqueeze
from ir.dims import product

if TYPE_CHECKING:
    from engine.tensor import Tensor


class Inverse(NamedTuple):
    """What ``inv_ex`` gives: ``info`` 0, or the place of a zero pivot, from 1."""

    inverse: Tensor
    info: Tensor


class Solution(NamedTuple):
    """What ``solve_ex`` gives: ``info`` as of ``inv_ex``."""

    result: Tensor
    info: Tensor


class SignLog(NamedTuple):
    """What ``slogdet`` gives."""

    sign: Tensor
    logabsdet: Tensor


def inv(A: Tensor) -> Tensor:
    """The inverse of each matrix of ``[..., n, n]``; LinAlgError where one is singular."""
    squares(A, "inv")
    return apply("inverse", A, check=True)


def zero_pivot(A: Tensor) -> Tensor:
    """0, or the place from 1 of the first zero on the diagonal of U."""
    n = min(sides(A, "lu"))
    if n == 0:
        return zeros(A.value.type.shape[:-2], dtype=int32)
    pivots = diagonal(apply("lu", A.detach()), 0, -2, -1)[..., :n]
    first = amin(where(eq(pivots, 0), arange(1, n + 1), n + 1), -1)
    return cast(where(eq(first, n + 1), 0, first), int32)


def inv_ex(A: Tensor, *, check_errors: bool = False) -> Inverse:
    """As ``inv``, with ``info`` in place of an error; a singular matrix gives NaN."""
    squares(A, "inv_ex")
    return Inverse(apply("inverse", A, check=check_errors), zero_pivot(A))


def _right_side(A: Tensor, B: Tensor, name: str) -> tuple[Tensor, Tensor, bool]:
    """``A`` and ``B`` as matrices over one batch, and whether ``B`` was vectors."""
    shape = squares(A, name)
    same_dtype(A, B, name)
    given = B.value.type.shape
    vectors = len(given) == 1 or (rank_of(A) - 1 == len(given) and given == shape[:-1])
    B = unsqueeze(B, -1) if vectors else B
    if rank_of(B) < 2 or B.value.type.shape[-2] != shape[-1]:
        raise fail(f"{name}({describe(A)}, {describe(B)}): the right side does not match")
    return *one_batch(A, B, name), vectors


def _solved(A: Tensor, B: Tensor, left: bool, check: bool, name: str) -> Tensor:
    if not left:
        same_dtype(A, B, name)
        if rank_of(B) < 2:
            raise fail(f"{name}({describe(A)}, {describe(B)}): vectors stand on the right only")
        if B.value.type.shape[-1] != squares(A, name)[-1]:
            raise fail(f"{name}({describe(A)}, {describe(B)}): sizes differ")
        A, B = one_batch(transpose(A, -2, -1), transpose(B, -2, -1), name)
        return transpose(apply("solve", A, B, check=check), -2, -1)
    A, B, vectors = _right_side(A, B, name)
    out = apply("solve", A, B, check=check)
    return squeeze(out, -1) if vectors else out


def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """X of ``A X = B`` (or ``X A = B``), for vectors or matrices B; LinAlgError if singular."""
    return _solved(A, B, left, True, "solve")


def solve_ex(A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False) -> Solution:
    """As ``solve``, with ``info`` in place of an error."""
    return Solution(_solved(A, B, left, check_errors, "solve_ex"), zero_pivot(A))


def solve_triangular(
    A: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Tensor:
    """X of ``A X = B`` (or ``X A = B``) where A is triangular; its other half is not read."""
    shape = squares(A, "solve_triangular")
    same_dtype(A, B, "solve_triangular")
    if rank_of(B) < 2 or B.value.type.shape[-2 if left else -1] != shape[-1]:
        raise fail(f"solve_triangular({describe(A)}, {describe(B)}): sizes differ")
    A, B = one_batch(A, B, "solve_triangular")
    if left:
        return apply("triangular_solve", A, B, upper=upper, unit=unitriangular)
    A, B = transpose(A, -2, -1), transpose(B, -2, -1)
    out = apply("triangular_solve", A, B, upper=not upper, unit=unitriangular)
    return transpose(out, -2, -1)


def det(A: Tensor) -> Tensor:
    """The determinant of each matrix of ``[..., n, n]``; singular ones have gradients too."""
    squares(A, "det")
    return apply("det", A)


def slogdet(A: Tensor) -> SignLog:
    """The determinant's sign, and the logarithm of its absolute value."""
    squares(A, "slogdet")
    both = apply("slogdet", A)
    return SignLog(column(both, 0), column(both, 1))


def tensorinv(A: Tensor, ind: int = 2) -> Tensor:
    """The inverse of the map from the axes after the first ``ind`` to those."""
    if ind <= 0:
        raise fail(f"tensorinv() takes a positive ind, not {ind}")
    shape = A.value.type.shape
    head, tail = shape[:ind], shape[ind:]
    flat = reshape(A, (product(head), product(tail)))
    matrices(flat, "tensorinv")
    return reshape(inv(flat), (*tail, *head))


def tensorsolve(A: Tensor, B: Tensor, dims: tuple[int, ...] | None = None) -> Tensor:
    """X of ``tensordot(A, X, X.ndim) = B``; ``dims`` of A go last first."""
    if dims is not None:
        rank = rank_of(A)
        moved = [d % rank for d in dims]
        order = [*(a for a in range(rank) if a not in moved), *moved]
        A = A.permute(*order)
    rest = A.value.type.shape[rank_of(B) :]
    flat = reshape(A, (product(B.value.type.shape), product(rest)))
    return reshape(solve(flat, reshape(B, (-1,))), rest)
