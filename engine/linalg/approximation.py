"""Matrices of any shape and rank in, pseudoinverses, least squares, ranks and conditions out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from engine.arithmetic import maximum
from engine.creation import full
from engine.dispatch import apply, cast, describe, expand_to
from engine.dtypes import int64
from engine.linalg.checks import matrices, one_batch, rows, same_dtype, sides, squares
from engine.linalg.factoring import eigvalsh, svdvals
from engine.linalg.norms import matrix_norm
from engine.linalg.solving import inv_ex
from engine.products import fail, matmul, rank_of
from engine.shaping import squeeze, transpose, unsqueeze
from engine.state import TensorState
from engine.triangles import triu

if TYPE_CHECKING:
    from engine.tensor import Tensor


class LeastSquares(NamedTuple):
    """What ``lstsq`` gives."""

    solution: Tensor
    residuals: Tensor
    rank: Tensor
    singular_values: Tensor


def _limits(A: Tensor, atol: Any, rtol: Any) -> tuple[Tensor, Tensor]:
    """Both limits for each matrix; rtol defaults to epsilon times the longer side."""
    if rtol is None:
        given = isinstance(atol, TensorState) or (atol is not None and atol > 0)
        rtol = 0.0 if given else _epsilon(A)
    return _limit(0.0 if atol is None else atol, A), _limit(rtol, A)


def _epsilon(A: Tensor) -> float:
    """What rounding does to the singular values, relative to the largest."""
    kind: Any = A.value.type.dtype
    return float(np.finfo(kind).eps) * max(sides(A, "pinv"))


def _limit(value: Any, A: Tensor) -> Tensor:
    batch, kind = A.value.type.shape[:-2], A.value.type.dtype
    if isinstance(value, TensorState):
        given: Any = value
        return expand_to(cast(given, kind), batch).detach()
    return full(batch, float(value), dtype=kind)


def pinv(
    A: Tensor,
    rcond: Any = None,
    hermitian: bool = False,
    *,
    atol: Any = None,
    rtol: Any = None,
) -> Tensor:
    """The pseudoinverse of each matrix; singular values below a limit count as zero.

    The limit is the larger of ``atol`` and ``rtol`` times the largest.
    """
    matrices(A, "pinv")
    atol, rtol = _limits(A, atol, rtol if rcond is None else rcond)
    return apply("pinv", _mirrored(A) if hermitian else A, atol, rtol)


def _mirrored(A: Tensor) -> Tensor:
    """Symmetric matrices of the lower halves; the gradient is as if all of A were read."""
    squares(A, "pinv")
    other = transpose(A.detach(), -2, -1)
    return A + (triu(other, 1) - triu(A.detach(), 1))


def matrix_rank(
    A: Tensor, tol: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None
) -> Tensor:
    """How many singular values of each matrix are above the limit (see ``pinv``), as int64."""
    matrices(A, "matrix_rank")
    if hermitian:
        squares(A, "matrix_rank")
    if tol is not None:
        atol, rtol = tol, 0.0
    A = A.detach()
    atol, rtol = _limits(A, atol, rtol)
    if 0 in A.shape:
        return full(A.shape[:-2], 0, dtype=int64)
    values = eigvalsh(A).abs() if hermitian else svdvals(A)
    limit = maximum(atol, rtol * values.amax(-1))
    return (values > unsqueeze(limit, -1)).sum(-1)


def lstsq(A: Tensor, B: Tensor, rcond: Any = None, *, driver: str | None = None) -> LeastSquares:
    """The X of least norm that minimises ``|A X - B|``, by the pseudoinverse.

    Every ``driver`` of LAPACK gives this result; residuals only for full rank and tall A.

    Differs from PyTorch: every ``driver`` gives the solution of the pseudoinverse.
    """
    if driver not in (None, "gels", "gelsy", "gelsd", "gelss"):
        raise fail(f"lstsq() has no driver {driver!r}")
    matrices(A, "lstsq")
    m, n = sides(A, "lstsq")
    same_dtype(A, B, "lstsq")
    vectors = rank_of(B) + 1 == rank_of(A) and B.shape == A.shape[:-1]
    right = unsqueeze(B, -1) if vectors else B
    if rank_of(right) < 2 or right.shape[-2] != m:
        raise fail(f"lstsq({describe(A)}, {describe(B)}): sizes differ")
    A, right = one_batch(A, right, "lstsq")
    limit = _epsilon(A) if rcond is None else rcond
    X = matmul(pinv(A, rtol=limit), right)
    nothing, empty = A.detach().new_zeros(0), full((0,), 0, dtype=int64)
    rank = empty if driver == "gels" else matrix_rank(A, rtol=limit)
    values = svdvals(A) if driver in ("gelsd", "gelss") else nothing
    rest = matmul(A, X) - right
    residuals = (rest * rest).sum(-2) if m > n and driver != "gelsy" and driver else nothing
    X = squeeze(rows(X, 0, n), -1) if vectors else X
    return LeastSquares(X, residuals, rank, values)


def cond(A: Tensor, p: Any = None) -> Tensor:
    """The condition number of each matrix in the norm ``p``; infinite for singular ones."""
    shape = matrices(A, "cond")
    if p is None or p in (2, -2):
        if 0 in shape[-2:]:
            return full(shape[:-2], 0.0, dtype=A.dtype)
        values = svdvals(A)
        most, least = values[..., 0], values[..., -1]
        return least / most if p == -2 else most / least
    squares(A, "cond")
    if 0 in shape[-2:]:
        return full(shape[:-2], 0.0, dtype=A.dtype)
    found = inv_ex(A)
    product = matrix_norm(A, p) * matrix_norm(found.inverse, p)
    return product.masked_fill(found.info != 0, float("inf"))
