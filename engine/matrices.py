"""Matrices in, what PyTorch computes of them in the package itself out: ``engine.svd``, ``qr``.

Each is a function of ``engine.linalg``, with the arguments and the results of its older spelling.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from engine.arithmetic import lt, masked_fill
from engine.creation import full, zeros
from engine.dispatch import broadcast_shape, describe
from engine.linalg import factoring, powers
from engine.linalg.approximation import pinv
from engine.linalg.checks import identity, matrices, one_batch, same_dtype, sides, squares
from engine.linalg.factoring import Packed, Triangles, unpacked
from engine.linalg.powers import matrix_exp, matrix_power, multi_dot
from engine.linalg.reflections import householder_product as orgqr
from engine.linalg.solving import det, inv as inverse, slogdet, solve_triangular, zero_pivot
from engine.products import fail, rank_of
from engine.shaping import transpose

if TYPE_CHECKING:
    from engine.tensor import Tensor

__all__ = [
    "chain_matmul",
    "cholesky",
    "cholesky_inverse",
    "cholesky_solve",
    "cross",
    "det",
    "inverse",
    "logdet",
    "lu",
    "lu_solve",
    "lu_unpack",
    "matrix_exp",
    "matrix_power",
    "orgqr",
    "pinverse",
    "qr",
    "slogdet",
    "svd",
    "triangular_solve",
]


class Singular(NamedTuple):
    """What ``svd`` gives: V itself, not transposed."""

    U: Tensor
    S: Tensor
    V: Tensor


class TriangularSolution(NamedTuple):
    """What ``triangular_solve`` gives: X, and A as it was given."""

    solution: Tensor
    cloned_coefficient: Tensor


def logdet(input: Tensor) -> Tensor:
    """The logarithm of the determinant of each matrix [..., n, n]; NaN where it is negative."""
    sign, size = slogdet(input)
    return masked_fill(size, lt(sign, 0), float("nan"))


def cholesky(input: Tensor, upper: bool = False) -> Tensor:
    """As ``linalg.cholesky``."""
    return factoring.cholesky(input, upper=upper)


def cholesky_solve(B: Tensor, L: Tensor, upper: bool = False) -> Tensor:
    """X of ``A X = B`` from the Cholesky factor of A."""
    squares(L, "cholesky_solve")
    same_dtype(B, L, "cholesky_solve")
    if matrices(B, "cholesky_solve")[-2] != L.shape[-1]:
        raise fail(f"cholesky_solve({describe(B)}, {describe(L)}): sizes differ")
    L, B = one_batch(transpose(L, -2, -1) if upper else L, B, "cholesky_solve")
    half = solve_triangular(L, B, upper=False)
    return solve_triangular(transpose(L, -2, -1), half, upper=True)


def cholesky_inverse(L: Tensor, upper: bool = False) -> Tensor:
    """The inverse of A from its Cholesky factor."""
    squares(L, "cholesky_inverse")
    return cholesky_solve(identity(L.detach(), "cholesky_inverse"), L, upper)


def qr(input: Tensor, some: bool = True) -> factoring.Orthogonal:
    """As ``linalg.qr``: reduced with ``some``, else complete."""
    return factoring.qr(input, "reduced" if some else "complete")


def svd(input: Tensor, some: bool = True, compute_uv: bool = True) -> Singular:
    """U, S and V (not transposed) of ``U diag(S) V^T``; reduced with ``some``.

    Without ``compute_uv``, U and V are zeros.
    """
    U, S, Vh = factoring.svd(input, not some)
    if compute_uv:
        return Singular(U, S, transpose(Vh, -2, -1))
    m, n = sides(input, "svd")
    batch = input.shape[:-2]
    return Singular(
        zeros((*batch, m, m), dtype=input.dtype), S, zeros((*batch, n, n), dtype=input.dtype)
    )


def pinverse(input: Tensor, rcond: float = 1e-15) -> Tensor:
    """As ``linalg.pinv``, with a limit relative to the largest singular value."""
    return pinv(input, rcond)


def chain_matmul(*matrices: Tensor) -> Tensor:
    """The product of the matrices, in the order of least work."""
    if any(rank_of(x) != 2 for x in matrices):
        raise fail("chain_matmul() takes matrices")
    return matrices[0] if len(matrices) == 1 else multi_dot(matrices)


def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """As ``linalg.cross``, along the first dimension of size 3 where none is named."""
    if dim is None:
        shape = broadcast_shape([input.value.type, other.value.type], "cross")
        found = [axis for axis, size in enumerate(shape) if size == 3]
        if not found:
            raise fail(f"cross({describe(input)}, {describe(other)}): no dimension of size 3")
        dim = found[0]
    return powers.cross(input, other, dim=dim)


def lu(A: Tensor, pivot: bool = True, get_infos: bool = False) -> Any:
    """As ``linalg.lu_factor``; with ``get_infos`` also the place of a zero pivot (0: none)."""
    packed = factoring.lu_factor(A, pivot=pivot)
    return (*packed, zero_pivot(A)) if get_infos else packed


def lu_solve(b: Tensor, LU_data: Tensor, LU_pivots: Tensor) -> Tensor:
    """As ``linalg.lu_solve``."""
    return factoring.lu_solve(LU_data, LU_pivots, b)


def lu_unpack(
    LU_data: Tensor, LU_pivots: Tensor, unpack_data: bool = True, unpack_pivots: bool = True
) -> Triangles:
    """P, L and U of what ``linalg.lu_factor`` gives; parts not asked for are empty."""
    matrices(LU_data, "lu_unpack")
    nothing = full((0,), 0.0, dtype=LU_data.dtype)
    found = unpacked(Packed(LU_data, LU_pivots))
    P = found.P if unpack_pivots else nothing
    return Triangles(P, found.L, found.U) if unpack_data else Triangles(P, nothing, nothing)


def triangular_solve(
    b: Tensor,
    A: Tensor,
    upper: bool = True,
    transpose: bool = False,
    unitriangular: bool = False,
) -> TriangularSolution:
    """As ``linalg.solve_triangular``, of A transposed where ``transpose`` says so."""
    matrices(A, "triangular_solve")
    matrix = A.mT if transpose else A
    found = solve_triangular(matrix, b, upper=upper != transpose, unitriangular=unitriangular)
    return TriangularSolution(found, A.clone())
