"""Axes in, fewer axes out: sums, products, extrema and their positions.

Reduced axes vanish. ``argmax`` counts within the reduced axes flattened in order, the first of
equal values wins, and NaN is larger than everything, as in NumPy and PyTorch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ir.errors import broken, wrong_dtype
from ir.table import Array, Case, Op, Vjp
from ir.types import I8, I32, I64, DType, TensorType, is_half, short


def _shape(t: TensorType, axes: Sequence[int]) -> TensorType:
    if any(not 0 <= axis < t.rank for axis in axes) or len(set(axes)) != len(axes):
        raise broken(f"axes {tuple(axes)} are not distinct axes of {list(t.shape)}")
    return t.with_shape(size for axis, size in enumerate(t.shape) if axis not in axes)


def _spread(m: Any, n: Any, value: Any) -> Any:
    """The reduced ``value`` repeated along the axes that ``n`` reduced."""
    source = n.inputs[0].shape
    kept = tuple(a for a in range(len(source)) if a not in n.attrs["axes"])
    return m.broadcast(value, source, kept)


def _vjp_extremum(m: Any, n: Any, g: Any, position: Callable[..., Any]) -> Sequence[Any]:
    """The whole cotangent to the first extremal element, as PyTorch's pooling does."""
    axes, source = n.attrs["axes"], n.inputs[0]
    at = _spread(m, n, position(source, axes, _positions(source, axes)))
    here = m.flat_index(source.shape, axes, at.dtype)
    return (m.select(m.eq(here, at), _spread(m, n, g), m.full_like(source, 0)),)


def _positions(source: Any, axes: Sequence[int]) -> DType:
    """The smallest dtype that counts the elements of the axes: maxima of windows have few."""
    sizes = [source.shape[axis] for axis in axes]
    if not all(isinstance(size, int) for size in sizes):
        return I64
    count = math.prod(sizes)
    return next(d for d in (I8, I32, I64) if count <= np.iinfo(d.name).max)


def _vjp_prod(m: Any, n: Any, g: Any) -> Sequence[Any]:
    """The product without each element: over it where it is not zero, zeros set aside.

    The second derivative is exact too: up to two zeros, each stays in the formula as itself.
    """
    x, axes = n.inputs[0], n.attrs["axes"]
    none, one = m.full_like(x, 0), m.full_like(x, 1)
    zero = m.eq(x, none)
    filled = m.select(zero, one, x)
    zeros = m.select(zero, x, none)
    count = _spread(m, n, m.sum(m.select(zero, one, none), axes))
    held = _spread(m, n, m.sum(zeros, axes))
    rest = _spread(m, n, m.mul(g, m.apply("prod", filled, axes=axes)))
    single = m.eq(count, 1)
    other = m.select(m.eq(count, 2), m.sub(held, zeros), none)
    at_zero = m.select(single, one, other)
    elsewhere = m.select(single, held, m.select(m.eq(count, 0), one, none))
    return (m.mul(rest, m.select(zero, at_zero, m.div(elsewhere, filled))),)


def _reduction(
    name: str, function: Callable[..., Any], vjp: Vjp, low: float = -2.0, kinds: str = "fiu"
) -> Op:
    def infer(types: Sequence[TensorType], attrs: dict[str, Any]) -> TensorType:
        if types[0].dtype.kind not in kinds or is_half(types[0].dtype):
            raise wrong_dtype(f"takes numbers, not {short(types[0].dtype)}")
        return _shape(types[0], attrs["axes"])

    def evaluate(x: Array, axes: Sequence[int]) -> Array:
        out = function(x, axis=tuple(axes)) if axes else x
        return np.asarray(out).astype(x.dtype, copy=False)

    cases = (
        Case(((3, 5),), {"axes": (1,)}, low=low),
        Case(((4, 37),), {"axes": (0,)}, low=low),
        Case(((2, 3, 4),), {"axes": (0, 2)}, low=low),
        Case(((5, 7),), {"axes": (0, 1)}, low=low),
    )
    return Op(name, "reduction", 1, infer, evaluate, vjp, "", 1.0, cases)


def _position(name: str, function: Callable[..., Any]) -> Op:
    def infer(types: Sequence[TensorType], attrs: dict[str, Any]) -> TensorType:
        return _shape(types[0], attrs["axes"]).with_dtype(attrs["dtype"])

    def evaluate(x: Array, axes: Sequence[int], dtype: Any) -> Array:
        kept = [a for a in range(x.ndim) if a not in axes]
        count = math.prod(x.shape[a] for a in axes)
        rows = x.transpose(*kept, *axes).reshape([*(x.shape[a] for a in kept), count])
        return np.asarray(function(rows, axis=-1)).astype(dtype)

    cases = (
        Case(((3, 5),), {"axes": (1,), "dtype": np.dtype(np.int64)}),
        Case(((3, 4, 2, 2),), {"axes": (2, 3), "dtype": np.dtype(np.int8)}),
        Case(((5, 33),), {"axes": (0,), "dtype": np.dtype(np.int32)}),
    )
    return Op(name, "reduction", 1, infer, evaluate, None, "", 2.0, cases)


ROWS: tuple[Op, ...] = (
    _reduction("sum", np.sum, lambda m, n, g: (_spread(m, n, g),)),
    _reduction("prod", np.prod, _vjp_prod, low=0.5),
    _reduction("max", np.max, lambda m, n, g: _vjp_extremum(m, n, g, m.argmax)),
    _reduction("min", np.min, lambda m, n, g: _vjp_extremum(m, n, g, m.argmin)),
    _position("argmax", np.argmax),
    _position("argmin", np.argmin),
)
