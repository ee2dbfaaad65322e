"""Operands in, sums of products over axes out: every matmul and convolution.

``dot`` pairs axes of two operands; the result's axes are the batch axes, then what is left of the
left operand, then of the right. ``mix`` is a product with a small matrix of known numbers along one
axis: what fast convolutions are made of (codegen/winograd.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from ir.errors import broken, wrong_dtype
from ir.table import Array, Case, Op
from ir.types import TensorType, is_float, is_half, short

Pairs: TypeAlias = tuple[tuple[int, ...], tuple[int, ...]]
Rows: TypeAlias = tuple[tuple[float, ...], ...]


def free_axes(rank: int, contract: Sequence[int], batch: Sequence[int]) -> tuple[int, ...]:
    """The axes of an operand that are neither contracted nor batch, in order."""
    return tuple(a for a in range(rank) if a not in contract and a not in batch)


def _infer_dot(types: Sequence[TensorType], attrs: dict[str, Any]) -> TensorType:
    a, b = types
    contract, batch = attrs["contract"], attrs["batch"]
    if a.dtype != b.dtype:
        raise wrong_dtype(f"dtypes differ: {short(a.dtype)} and {short(b.dtype)}")
    if not is_float(a.dtype) or is_half(a.dtype):
        raise wrong_dtype(f"takes float operands, not {short(a.dtype)}")
    for kind, pairs in (("contracted", contract), ("batch", batch)):
        for left, right in zip(*pairs, strict=True):
            if a.shape[left] != b.shape[right]:
                raise broken(
                    f"{kind} sizes differ: {a.shape[left]} (axis {left} of {list(a.shape)}) "
                    f"and {b.shape[right]} (axis {right} of {list(b.shape)})"
                )
    shape = [a.shape[axis] for axis in batch[0]]
    shape += [a.shape[axis] for axis in free_axes(a.rank, contract[0], batch[0])]
    shape += [b.shape[axis] for axis in free_axes(b.rank, contract[1], batch[1])]
    return a.with_shape(shape)


def _dot(a: Array, b: Array, contract: Pairs, batch: Pairs) -> Array:
    if not batch[0]:
        return np.asarray(np.tensordot(a, b, contract))
    left = list(range(a.ndim))
    right = [a.ndim + axis for axis in range(b.ndim)]
    for i, j in (*zip(*contract, strict=True), *zip(*batch, strict=True)):
        right[j] = left[i]
    out = [left[i] for i in batch[0]]
    out += [left[i] for i in free_axes(a.ndim, contract[0], batch[0])]
    out += [right[j] for j in free_axes(b.ndim, contract[1], batch[1])]
    return np.asarray(np.einsum(a, left, b, right, out, optimize=True))


def _vjp_dot(m: Any, n: Any, g: Any) -> Sequence[Any]:
    a, b = n.inputs
    (ca, cb), (ba, bb) = n.attrs["contract"], n.attrs["batch"]
    fa, fb = free_axes(a.type.rank, ca, ba), free_axes(b.type.rank, cb, bb)
    heads = tuple(range(len(ba)))
    mid = tuple(range(len(ba), len(ba) + len(fa)))
    tail = tuple(range(len(ba) + len(fa), n.type.rank))
    da = m.dot(g, b, (tail, fb), (heads, bb))  # batch, free a, contracted in b's order
    order_b = sorted(cb)
    da = _restore(m, da, (*ba, *fa, *(ca[cb.index(axis)] for axis in order_b)))
    db = m.dot(g, a, (mid, fa), (heads, ba))  # batch, free b, contracted in a's order
    order_a = sorted(ca)
    db = _restore(m, db, (*bb, *fb, *(cb[ca.index(axis)] for axis in order_a)))
    return da, db


def _restore(m: Any, x: Any, axes: tuple[int, ...]) -> Any:
    """``x`` with axis ``i`` moved to place ``axes[i]``."""
    return m.transpose(x, tuple(axes.index(a) for a in range(len(axes))))


def _infer_mix(types: Sequence[TensorType], attrs: dict[str, Any]) -> TensorType:
    axis, rows = attrs["axis"], attrs["rows"]
    if not is_float(types[0].dtype) or is_half(types[0].dtype):
        raise wrong_dtype(f"takes a float operand, not {short(types[0].dtype)}")
    if any(len(row) != types[0].shape[axis] for row in rows):
        raise broken(f"rows of {len(rows[0])} numbers for size {types[0].shape[axis]}")
    shape = list(types[0].shape)
    shape[axis] = len(rows)
    return types[0].with_shape(shape)


def _mix(x: Array, axis: int, rows: Rows) -> Array:
    """A number that is zero leaves its element out, infinite or not."""
    parts = np.moveaxis(x, axis, 0)
    found = []
    for row in rows:
        total = np.zeros(parts.shape[1:], x.dtype)
        for part, number in zip(parts, row, strict=True):
            if number:
                total += part * x.dtype.type(number)
        found.append(total)
    return np.stack(found, axis) if found else np.moveaxis(parts[:0], 0, axis)


def _vjp_mix(m: Any, n: Any, g: Any) -> Sequence[Any]:
    return (m.mix(g, n.attrs["axis"], tuple(zip(*n.attrs["rows"], strict=True))),)


ROWS: tuple[Op, ...] = (
    Op(
        "dot",
        "contraction",
        2,
        _infer_dot,
        _dot,
        _vjp_dot,
        "",
        1.0,
        (
            Case(((4, 7), (7, 5)), {"contract": ((1,), (0,)), "batch": ((), ())}),
            Case(((33, 9), (20, 9)), {"contract": ((1,), (1,)), "batch": ((), ())}),
            Case(((2, 4, 3), (2, 3, 5)), {"contract": ((2,), (1,)), "batch": ((0,), (0,))}),
            Case(((2, 3, 4, 5), (6, 5, 3)), {"contract": ((1, 3), (2, 1)), "batch": ((), ())}),
        ),
    ),
    Op(
        "mix",
        "contraction",
        1,
        _infer_mix,
        _mix,
        _vjp_mix,
        "",
        4.0,
        (
            Case(((3, 4),), {"axis": 1, "rows": ((1.0, 0.0, -2.5, 0.0), (0.0, 1.0, 1.0, -1.0))}),
            Case(((3, 17),), {"axis": 0, "rows": ((0.5, 1.0, 4.0), (0.5, -1.0, 4.0))}),
        ),
    ),
)
