"""Matrices in, their inverses, solutions and factors out: what LAPACK computes better than a loop.

Rows take ``[..., n, m]``; leading axes are a batch. A factorisation with several results packs
them into one array, of which the layers above cut slices: ``eigh`` has a column of values before
the vectors, ``svd`` stacks U, S and V, ``qr`` stacks Q and the transpose of R, ``lu`` has two
columns behind the factors, pivots and the row that each row came from. A compiled program calls
these meanings between its kernels. Derivatives are in ``matrix_rules``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ir.dims import Size
from ir.errors import LinAlgError, broken, wrong_dtype
from ir.ops import matrix_rules as rules
from ir.table import Array, Case, Op, Vjp
from ir.types import I32, TensorType, short

Attrs = dict[str, Any]


def _matrices(types: Sequence[TensorType]) -> None:
    for kind in types:
        if kind.dtype.kind != "f" or kind.dtype.itemsize < 4:
            raise wrong_dtype(f"takes float32 or float64, not {short(kind.dtype)}")
        if kind.dtype != types[0].dtype:
            raise wrong_dtype(f"dtypes differ: {short(types[0].dtype)} and {short(kind.dtype)}")


def _square(types: Sequence[TensorType]) -> tuple[Size, ...]:
    """The batch of square matrices."""
    _matrices(types)
    shape = types[0].shape
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise broken(f"takes square matrices, not {list(shape)}")
    return shape[:-2]


def _rectangle(types: Sequence[TensorType]) -> tuple[tuple[Size, ...], int, int]:
    """The batch of matrices and their sizes, which must be known: factors depend on the smaller."""
    _matrices(types)
    shape = types[0].shape
    if len(shape) < 2:
        raise broken(f"takes matrices, not {list(shape)}")
    m, n = shape[-2:]
    if not isinstance(m, int) or not isinstance(n, int):
        raise broken(f"a matrix of symbolic size {m} x {n} cannot be factored")
    return shape[:-2], m, n


def _same(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    _square(types)
    return types[0]


def _per_matrix(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    return types[0].with_shape(_square(types))


def _infer_solve(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    a, b = types
    batch = _square(types)
    if b.shape[:-2] != batch or b.rank < 2 or b.shape[-2] != a.shape[-1]:
        raise broken(f"{list(a.shape)} and the right side {list(b.shape)} do not match")
    return b


def _infer_eigh(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    batch, n = _square(types), types[0].shape[-1]
    return types[0].with_shape((*batch, n, n + 1))


def _infer_svd(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    batch, m, n = _rectangle(types)
    return types[0].with_shape((*batch, m + 1 + n, max(m, n) if attrs["full"] else min(m, n)))


def _infer_qr(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    batch, m, n = _rectangle(types)
    return types[0].with_shape((*batch, m + n, m if attrs["full"] else min(m, n)))


def _infer_lu(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    batch, m, n = _rectangle(types)
    return types[0].with_shape((*batch, m, n + 2))


def _infer_pinv(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    batch, m, n = _rectangle(types)
    for limit in types[1:]:
        if limit.shape != batch:
            raise broken(f"limits of shape {list(limit.shape)} for a batch {list(batch)}")
    return types[0].with_shape((*batch, n, m))


def _raising(compute: Callable[..., Any], problem: str) -> Callable[..., Any]:
    """``compute``, its failure told as our error."""

    def checked(*arrays: Array) -> Any:
        try:
            return compute(*arrays)
        except np.linalg.LinAlgError:
            raise LinAlgError(problem) from None

    return checked


_SINGULAR = "the matrix is singular"
_NOT_POSITIVE = "the matrix is not positive-definite"
_DIVERGED = "the iteration did not converge (the matrix holds NaN, infinity or equal values)"


def _each(compute: Callable[..., Any], *arrays: Array) -> Array:
    """``compute`` for each matrix of a batch, NaN where it fails."""
    out = np.full(arrays[-1].shape, np.nan, arrays[-1].dtype)
    for at in np.ndindex(*out.shape[:-2]):
        try:
            out[at] = compute(*(x[at] for x in arrays))
        except np.linalg.LinAlgError:
            continue
    return out


def _cholesky(a: Array, check: bool) -> Array:
    if check:
        return np.asarray(_raising(np.linalg.cholesky, _NOT_POSITIVE)(a))
    return _each(np.linalg.cholesky, a)


def _cholesky_info(a: Array) -> Array:
    """0, or the order of the first leading minor that is not positive."""
    out = np.zeros(a.shape[:-2], np.int32)
    for at in np.ndindex(*out.shape):
        for order in range(1, a.shape[-1] + 1):
            try:
                np.linalg.cholesky(a[at][:order, :order])
            except np.linalg.LinAlgError:
                out[at] = order
                break
    return out


def _inverse(a: Array, check: bool) -> Array:
    return _raising(np.linalg.inv, _SINGULAR)(a) if check else _each(np.linalg.inv, a)


def _solve(a: Array, b: Array, check: bool) -> Array:
    return _raising(np.linalg.solve, _SINGULAR)(a, b) if check else _each(np.linalg.solve, a, b)


def _triangular_solve(a: Array, b: Array, upper: bool, unit: bool) -> Array:
    """Substitution; a zero on the diagonal gives infinities, as in BLAS."""
    out, n = np.array(b), a.shape[-1]
    for i in reversed(range(n)) if upper else range(n):
        done = slice(i + 1, n) if upper else slice(0, i)
        out[..., i, :] -= np.einsum("...j,...jk->...k", a[..., i, done], out[..., done, :])
        if not unit:
            out[..., i, :] /= a[..., i, i, None]
    return out


def _det(a: Array) -> Array:
    return np.asarray(np.linalg.det(a), a.dtype)


def _adjugate(a: Array) -> Array:
    """The transposed cofactors, by the singular values: right for singular matrices too."""
    n = a.shape[-1]
    if a.size == 0:
        return a.copy()
    u, s, vt = _raising(np.linalg.svd, _DIVERGED)(a)
    others = np.repeat(s[..., None, :], n, axis=-2)
    others[..., range(n), range(n)] = 1
    scale = others.prod(-1) * (np.linalg.det(u) * np.linalg.det(vt))[..., None]
    out = np.swapaxes(vt, -1, -2) @ (scale[..., :, None] * np.swapaxes(u, -1, -2))
    return np.asarray(out, a.dtype)


def _slogdet(a: Array) -> Array:
    return np.stack(np.linalg.slogdet(a), -1).astype(a.dtype, copy=False)


def _eigh(a: Array) -> Array:
    values, vectors = _raising(np.linalg.eigh, _DIVERGED)(a)
    return np.concatenate([values[..., :, None], vectors], -1)


def _svd(a: Array, full: bool) -> Array:
    (m, n), batch = a.shape[-2:], a.shape[:-2]
    out = np.zeros((*batch, m + 1 + n, max(m, n) if full else min(m, n)), a.dtype)
    if a.size == 0:
        out[..., :m, :m][..., range(min(m, out.shape[-1])), range(min(m, out.shape[-1]))] = 1
        start = m + 1
        out[..., start:, :n][..., range(min(n, out.shape[-1])), range(min(n, out.shape[-1]))] = 1
        return out
    u, s, vt = _raising(lambda x: np.linalg.svd(x, full_matrices=full), _DIVERGED)(a)
    out[..., :m, : u.shape[-1]] = u
    out[..., m, : s.shape[-1]] = s
    out[..., m + 1 :, : vt.shape[-2]] = np.swapaxes(vt, -1, -2)
    return out


def _qr(a: Array, full: bool) -> Array:
    q, r = np.linalg.qr(a, "complete" if full else "reduced")
    return np.concatenate([q, np.swapaxes(r, -1, -2)], -2)


def _pinv(a: Array, atol: Array, rtol: Array) -> Array:
    if a.size == 0:
        return np.zeros((*a.shape[:-2], a.shape[-1], a.shape[-2]), a.dtype)
    u, s, vt = _raising(lambda x: np.linalg.svd(x, full_matrices=False), _DIVERGED)(a)
    limit = np.maximum(atol, rtol * s.max(-1))[..., None]
    large = s > limit
    inverted = np.where(large, 1 / np.where(large, s, 1), 0).astype(a.dtype)
    return np.asarray(np.swapaxes(vt, -1, -2) @ (inverted[..., None] * np.swapaxes(u, -1, -2)))


def _lu(a: Array) -> Array:
    """Elimination with row exchanges; each of its steps runs over the whole batch."""
    m, n = a.shape[-2:]
    count = math.prod(a.shape[:-2])
    lu = a.reshape(count, m, n).copy()
    pivots = np.tile(np.arange(1, m + 1), (count, 1))
    rows, every = np.tile(np.arange(m), (count, 1)), np.arange(count)
    for k in range(min(m, n)):
        best = k + np.abs(lu[:, k:, k]).argmax(-1)
        pivots[:, k] = best + 1
        for x in (lu, rows):
            x[every, k], x[every, best] = x[every, best].copy(), x[every, k].copy()
        pivot = lu[:, k, k]
        lu[:, k + 1 :, k] /= np.where(pivot == 0, 1, pivot)[:, None]
        lu[:, k + 1 :, k + 1 :] -= lu[:, k + 1 :, k, None] * lu[:, k, None, k + 1 :]
    packed = np.concatenate([lu, pivots[..., None], rows[..., None]], -1)
    return packed.reshape(*a.shape[:-1], n + 2).astype(a.dtype, copy=False)


def _row(
    name: str,
    arity: int,
    infer: Callable[..., TensorType],
    meaning: Callable[..., Array],
    vjp: Vjp | None,
    *cases: Case,
) -> Op:
    return Op(name, "factor", arity, infer, meaning, vjp, cost=1e6, cases=cases)


_CHECK, _PAIR = {"check": True}, ((2, 3, 3), (2, 3, 2))
ROWS: tuple[Op, ...] = (
    _row("cholesky", 1, _same, _cholesky, rules.cholesky, Case(((2, 1, 1),), _CHECK, low=0.5)),
    _row(
        "cholesky_info",
        1,
        lambda types, attrs: _per_matrix(types, attrs).with_dtype(I32),
        _cholesky_info,
        None,
        Case(((2, 3, 3),)),
    ),
    _row("inverse", 1, _same, _inverse, rules.inverse, Case(((2, 3, 3),), _CHECK)),
    _row("solve", 2, _infer_solve, _solve, rules.solve, Case(_PAIR, _CHECK)),
    _row(
        "triangular_solve",
        2,
        _infer_solve,
        _triangular_solve,
        rules.triangular_solve,
        Case(_PAIR, {"upper": True, "unit": False}, low=0.5),
        Case(_PAIR, {"upper": False, "unit": True}, low=0.5),
    ),
    _row("det", 1, _per_matrix, _det, rules.det, Case(((2, 3, 3),))),
    _row("adjugate", 1, _same, _adjugate, rules.adjugate, Case(((2, 3, 3),))),
    _row(
        "slogdet",
        1,
        lambda types, attrs: types[0].with_shape((*_square(types), 2)),
        _slogdet,
        rules.slogdet,
        Case(((2, 3, 3),)),
    ),
    _row("eigh", 1, _infer_eigh, _eigh, rules.eigh, Case(((2, 1, 1),))),
    _row(
        "svd",
        1,
        _infer_svd,
        _svd,
        rules.svd,
        Case(((3, 3),), {"full": False}),
    ),
    _row(
        "qr",
        1,
        _infer_qr,
        _qr,
        rules.qr,
        Case(((2, 4, 3),), {"full": False}),
        Case(((2, 3, 4),), {"full": False}),
    ),
    _row("pinv", 3, _infer_pinv, _pinv, rules.pinv, Case(((2, 4, 3), (2,), (2,)), high=0.05)),
    _row("lu", 1, _infer_lu, _lu, rules.lu, Case(((2, 3, 3),)), Case(((4, 3),)), Case(((3, 4),))),
)
