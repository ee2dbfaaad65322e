"""Matrices in, their factors out: Cholesky, LU, QR, eigenvalues, singular values.

Signs of vectors are LAPACK's, as in PyTorch; where values repeat, vectors are not unique and
their gradients are not defined.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, NoReturn

from engine.arithmetic import eq, where
from engine.creation import arange, eye
from engine.dispatch import apply, cast, expand_to, known_sizes
from engine.dtypes import int32, int64
from engine.errors import Unsupported, message
from engine.gathering import gather
from engine.linalg.checks import (
    column,
    columns,
    matrices,
    one_batch,
    row,
    rows,
    same_dtype,
    sides,
    squares,
)
from engine.linalg.solving import solve_triangular, zero_pivot
from engine.locate import user_location
from engine.products import fail, matmul
from engine.rearrange import narrow
from engine.shaping import transpose, unsqueeze

if TYPE_CHECKING:
    from engine.tensor import Tensor
    from ir.types import DType


class Cholesky(NamedTuple):
    """What ``cholesky_ex`` gives: ``info`` 0, or the order of a minor that is not positive."""

    L: Tensor
    info: Tensor


class Orthogonal(NamedTuple):
    """What ``qr`` gives."""

    Q: Tensor
    R: Tensor


class Eigen(NamedTuple):
    """What ``eigh`` gives: values in ascending order, vectors as columns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class Singular(NamedTuple):
    """What ``linalg.svd`` gives: values in descending order."""

    U: Tensor
    S: Tensor
    Vh: Tensor


class Triangles(NamedTuple):
    """What ``lu`` gives."""

    P: Tensor
    L: Tensor
    U: Tensor


class Packed(NamedTuple):
    """What ``lu_factor`` gives: L and U in one matrix, and the row exchanges, from 1."""

    LU: Tensor
    pivots: Tensor


class PackedInfo(NamedTuple):
    """What ``lu_factor_ex`` gives: as ``lu_factor``, and where U has a zero."""

    LU: Tensor
    pivots: Tensor
    info: Tensor


def _lower(A: Tensor, upper: bool) -> Tensor:
    return transpose(A, -2, -1) if upper else A


def cholesky(A: Tensor, *, upper: bool = False) -> Tensor:
    """L of ``A = L L^T`` (or its transpose) for symmetric positive-definite matrices."""
    squares(A, "cholesky")
    return _lower(apply("cholesky", _lower(A, upper), check=True), upper)


def cholesky_ex(A: Tensor, *, upper: bool = False, check_errors: bool = False) -> Cholesky:
    """As ``cholesky``, with ``info`` in place of an error; a failed matrix gives NaN."""
    squares(A, "cholesky_ex")
    lower = _lower(A, upper)
    found = _lower(apply("cholesky", lower, check=check_errors), upper)
    return Cholesky(found, apply("cholesky_info", lower.detach()))


def qr(A: Tensor, mode: str = "reduced") -> Orthogonal:
    """Q (orthogonal columns) and R (upper triangular) of ``A = Q R``.

    ``mode``: "reduced", "complete" (square Q; no gradient for tall A), "r" (an empty Q).
    """
    if mode not in ("reduced", "complete", "r"):
        raise fail(f"qr() has the modes reduced, complete and r, not {mode!r}")
    shape = matrices(A, "qr")
    source = A.detach() if mode == "r" else A
    packed = apply("qr", source, full=mode == "complete")
    Q, R = rows(packed, 0, shape[-2]), rows(packed, shape[-2], shape[-1])
    if mode == "r":
        Q = A.detach().new_zeros(0)
    return Orthogonal(Q, transpose(R, -2, -1))


def svd(A: Tensor, full_matrices: bool = True) -> Singular:
    """U, S and Vh of ``A = U diag(S) Vh``; square U and Vh with ``full_matrices``."""
    m, n = sides(A, "svd")
    packed = apply("svd", A, full=full_matrices)
    k = min(m, n)
    left, right = (m, n) if full_matrices else (k, k)
    U, V = columns(rows(packed, 0, m), 0, left), columns(rows(packed, m + 1, n), 0, right)
    return Singular(U, narrow(row(packed, m), -1, 0, k), transpose(V, -2, -1))


def svdvals(A: Tensor) -> Tensor:
    """The singular values in descending order."""
    matrices(A, "svdvals")
    return svd(A, False).S


def _half(UPLO: str, name: str) -> bool:
    if UPLO.upper() not in ("L", "U"):
        raise fail(f"{name}() takes UPLO 'L' or 'U', not {UPLO!r}")
    return UPLO.upper() == "U"


def eigh(A: Tensor, UPLO: str = "L") -> Eigen:
    """Eigenvalues and vectors of symmetric matrices, of which one half is read."""
    n = squares(A, "eigh")[-1]
    packed = apply("eigh", _lower(A, _half(UPLO, "eigh")))
    return Eigen(column(packed, 0), columns(packed, 1, n))


def eigvalsh(A: Tensor, UPLO: str = "L") -> Tensor:
    """The eigenvalues of symmetric matrices, ascending."""
    squares(A, "eigvalsh")
    _half(UPLO, "eigvalsh")
    return eigh(A, UPLO).eigenvalues


def eig(A: Tensor) -> NoReturn:
    """Not here: the result is complex.

    Differs from PyTorch: it raises Unsupported, as the result is complex.
    """
    raise _complex("eig")


def eigvals(A: Tensor) -> NoReturn:
    """Not here: the result is complex.

    Differs from PyTorch: it raises Unsupported, as the result is complex.
    """
    raise _complex("eigvals")


def _complex(name: str) -> Unsupported:
    text = f"linalg.{name}() gives complex numbers, which are not offered"
    return Unsupported(message(user_location(), text, "symmetric matrices have linalg.eigh()"))


def lu_factor(A: Tensor, *, pivot: bool = True) -> Packed:
    """L and U of ``A = P L U`` in one matrix, and the exchanges of rows."""
    return _packed(A, pivot, "lu_factor")


def lu_factor_ex(A: Tensor, *, pivot: bool = True, check_errors: bool = False) -> PackedInfo:
    """As ``lu_factor``, with ``info`` 0 or the place of a zero pivot, from 1."""
    if check_errors:
        text = "linalg.lu_factor_ex(check_errors=True) is not offered"
        raise Unsupported(message(user_location(), text, "look at info"))
    return PackedInfo(*_packed(A, pivot, "lu_factor_ex"), zero_pivot(A))


def lu(A: Tensor, *, pivot: bool = True) -> Triangles:
    """P (a permutation), L (unit lower) and U (upper) of ``A = P L U``."""
    return unpacked(_packed(A, pivot, "lu"))


def _packed(A: Tensor, pivot: bool, name: str) -> Packed:
    """L and U in one matrix, and the row exchanges."""
    matrices(A, name)
    if not pivot:
        text = f"linalg.{name}(pivot=False) is not offered"
        raise Unsupported(message(user_location(), text))
    m, n = sides(A, name)
    found = apply("lu", A)
    pivots = narrow(column(found, n), -1, 0, min(m, n)).detach()
    return Packed(columns(found, 0, n), cast(pivots, int32))


def unpacked(packed: Packed) -> Triangles:
    """The three factors that ``lu_factor`` found."""
    m, n = sides(packed.LU, "lu")
    k, kind = min(m, n), packed.LU.value.type.dtype
    L = columns(packed.LU, 0, k).tril(-1) + eye(m, k, dtype=kind)
    P = transpose(_permutation(packed.pivots, m, kind), -2, -1)
    return Triangles(P, L, rows(packed.LU, 0, k).triu())


def lu_solve(
    LU: Tensor, pivots: Tensor, B: Tensor, *, left: bool = True, adjoint: bool = False
) -> Tensor:
    """X of ``A X = B`` from ``lu_factor(A)``; ``adjoint`` for A transposed, ``left`` as solve."""
    squares(LU, "lu_solve")
    same_dtype(LU, B, "lu_solve")
    if not left:
        B = transpose(B, -2, -1)
        return transpose(lu_solve(LU, pivots, B, adjoint=not adjoint), -2, -1)
    LU, B = one_batch(LU, B, "lu_solve")
    P = _permutation(pivots, sides(LU, "lu_solve")[0], LU.dtype)
    if adjoint:
        half = solve_triangular(transpose(LU, -2, -1), B, upper=False)
        whole = solve_triangular(transpose(LU, -2, -1), half, upper=True, unitriangular=True)
        return matmul(transpose(P, -2, -1), whole)
    half = solve_triangular(LU, matmul(P, B), upper=False, unitriangular=True)
    return solve_triangular(LU, half, upper=True)


def _permutation(pivots: Tensor, n: int, kind: DType) -> Tensor:
    """The matrix [..., n, n] that exchanges rows as ``pivots`` say, one after another."""
    places = arange(n)
    order = expand_to(places, (*pivots.shape[:-1], n))
    (count,) = known_sizes(pivots.shape[-1:])
    for at in range(count):
        other = unsqueeze(cast(column(pivots, at) - 1, int64), -1)
        here = gather(order, -1, other)
        moved = where(eq(places, other), columns(order, at, 1), order)
        order = where(eq(places, at), here, moved)
    return cast(eq(unsqueeze(order, -1), places), kind)
