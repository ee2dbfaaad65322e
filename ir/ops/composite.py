"""Values in, what several ops make of them out: functions that are differentiated whole.

A softmax composed of its ops is differentiated op by op, and its backward pass reads three arrays
where the result alone would do. A row here has a derivative in terms of its result. ``expand`` says
it in other ops: the first pass puts those in its place (passes/expand.py), so that nothing below
knows these rows. ``deviation`` and ``standardise`` of one value share their parts, which become one
node each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ir.dims import product
from ir.errors import broken, wrong_dtype
from ir.table import Array, Case, Op, Vjp
from ir.types import TensorType, is_float, is_half, short


def _checked(types: Sequence[TensorType], axes: Sequence[int]) -> TensorType:
    (x,) = types
    if not is_float(x.dtype) or is_half(x.dtype):
        raise wrong_dtype(f"takes float32 or float64, not {short(x.dtype)}")
    if list(axes) != sorted(set(axes)) or any(not 0 <= axis < x.rank for axis in axes):
        raise broken(f"axes {tuple(axes)} are not sorted axes of {list(x.shape)}")
    if not axes or 0 in (x.shape[axis] for axis in axes):
        raise broken(f"nothing along axes {tuple(axes)} of {list(x.shape)}")
    return x


def _infer(types: Sequence[TensorType], attrs: dict[str, Any]) -> TensorType:
    return _checked(types, attrs["axes"])


def _infer_deviation(types: Sequence[TensorType], attrs: dict[str, Any]) -> TensorType:
    x, axes = _checked(types, attrs["axes"]), attrs["axes"]
    return x.with_shape(size for axis, size in enumerate(x.shape) if axis not in axes)


def _along(m: Any, value: Any, x: Any, axes: Sequence[int]) -> Any:
    """A number for each row, repeated along the rows of ``x``."""
    kept = tuple(axis for axis in range(x.type.rank) if axis not in axes)
    return m.broadcast(value, x.shape, kept)


def _sum_along(m: Any, x: Any, axes: Sequence[int]) -> Any:
    return _along(m, m.sum(x, axes), x, axes)


def _mean(m: Any, x: Any, axes: Sequence[int]) -> Any:
    total = m.sum(x, axes)
    count = m.size(product(x.shape[axis] for axis in axes), x.dtype)
    return m.div(total, m.broadcast(count, total.shape, ()))


def _mean_along(m: Any, x: Any, axes: Sequence[int]) -> Any:
    return _along(m, _mean(m, x, axes), x, axes)


# -- softmax --------------------------------------------------------------------------------------


def _peak(x: Array, axes: Sequence[int]) -> Array:
    return np.asarray(x.max(axis=tuple(axes), keepdims=True))


def _softmax(x: Array, axes: Sequence[int]) -> Array:
    with np.errstate(all="ignore"):
        grown = np.exp(x - _peak(x, axes))
        return np.asarray(grown / grown.sum(axis=tuple(axes), keepdims=True))


def _expand_softmax(m: Any, n: Any) -> Any:
    (x,), axes = n.inputs, n.attrs["axes"]
    grown = m.exp(m.sub(x, _along(m, m.max(x, axes), x, axes)))
    return m.div(grown, _sum_along(m, grown, axes))


def _safe_softmax(x: Array, axes: Sequence[int]) -> Array:
    """``softmax``; zeros where all of a row is minus infinity."""
    with np.errstate(all="ignore"):
        peak = _peak(x, axes)
        blind = peak == -np.inf
        grown = np.exp(x - np.where(blind, x.dtype.type(0), peak))
        total = grown.sum(axis=tuple(axes), keepdims=True)
        return np.asarray(grown / np.where(blind, x.dtype.type(1), total))


def _expand_safe_softmax(m: Any, n: Any) -> Any:
    (x,), axes = n.inputs, n.attrs["axes"]
    peak = m.max(x, axes)
    blind = m.eq(peak, float("-inf"))
    start = m.select(blind, m.full_like(peak, 0.0), peak)
    grown = m.exp(m.sub(x, _along(m, start, x, axes)))
    total = m.select(blind, m.full_like(peak, 1.0), m.sum(grown, axes))
    return m.div(grown, _along(m, total, x, axes))


def _vjp_softmax(m: Any, n: Any, g: Any) -> Sequence[Any]:
    return (m.mul(n, m.sub(g, _sum_along(m, m.mul(g, n), n.attrs["axes"]))),)


def _log_softmax(x: Array, axes: Sequence[int]) -> Array:
    with np.errstate(all="ignore"):
        shifted = x - _peak(x, axes)
        return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=tuple(axes), keepdims=True)))


def _expand_log_softmax(m: Any, n: Any) -> Any:
    (x,), axes = n.inputs, n.attrs["axes"]
    shifted = m.sub(x, _along(m, m.max(x, axes), x, axes))
    return m.sub(shifted, _along(m, m.log(m.sum(m.exp(shifted), axes)), x, axes))


def _vjp_log_softmax(m: Any, n: Any, g: Any) -> Sequence[Any]:
    soft = m.apply("softmax", n.inputs[0], **n.attrs)  # its exponentials are those of the logarithm
    return (m.sub(g, m.mul(soft, _sum_along(m, g, n.attrs["axes"]))),)


# -- standardised rows ----------------------------------------------------------------------------


def _deviation(x: Array, axes: Sequence[int], eps: float) -> Array:
    """One over the root of the variance and ``eps``."""
    return np.asarray(_row_scale(x, axes, eps)[1].squeeze(tuple(axes)))


def _row_scale(x: Array, axes: Sequence[int], eps: float) -> tuple[Array, Array]:
    with np.errstate(all="ignore"):
        centred = x - x.mean(axis=tuple(axes), keepdims=True)
        variance = (centred * centred).mean(axis=tuple(axes), keepdims=True)
        return centred, 1 / np.sqrt(variance + x.dtype.type(eps))


def _standardise(x: Array, axes: Sequence[int], eps: float) -> Array:
    with np.errstate(all="ignore"):
        centred, scale = _row_scale(x, axes, eps)
        return np.asarray(centred * scale)


def _centred(m: Any, n: Any) -> Any:
    (x,), axes = n.inputs, n.attrs["axes"]
    return m.sub(x, _mean_along(m, x, axes))


def _expand_deviation(m: Any, n: Any) -> Any:
    centred = _centred(m, n)
    variance = _mean(m, m.mul(centred, centred), n.attrs["axes"])
    return m.div(1.0, m.apply("sqrt", m.add(variance, n.attrs["eps"])))


def _expand_standardise(m: Any, n: Any) -> Any:
    (x,), axes = n.inputs, n.attrs["axes"]
    return m.mul(_centred(m, n), _along(m, _expand_deviation(m, n), x, axes))


def _vjp_standardise(m: Any, n: Any, g: Any) -> Sequence[Any]:
    (x,), axes = n.inputs, n.attrs["axes"]
    scale = _along(m, m.apply("deviation", x, **n.attrs), x, axes)
    level = m.sub(g, _mean_along(m, g, axes))
    tilt = m.mul(n, _mean_along(m, m.mul(g, n), axes))
    return (m.mul(m.sub(level, tilt), scale),)


def _vjp_deviation(m: Any, n: Any, g: Any) -> Sequence[Any]:
    """``-scale**2 * y / count`` for the standardised ``y``."""
    (x,), axes = n.inputs, n.attrs["axes"]
    count = m.size(product(x.shape[axis] for axis in axes), x.dtype)
    share = m.neg(m.div(m.mul(g, m.mul(n, n)), m.broadcast(count, n.shape, ())))
    return (m.mul(m.apply("standardise", x, **n.attrs), _along(m, share, x, axes)),)


def _composite(
    name: str,
    evaluate: Callable[..., Array],
    expand: Callable[[Any, Any], Any],
    vjp: Vjp,
    infer: Callable[[Sequence[TensorType], dict[str, Any]], TensorType] = _infer,
    **attrs: Any,
) -> Op:
    def value(x: Array, **given: Any) -> Array:
        return evaluate(x, **given).astype(x.dtype, copy=False)

    cases = (
        Case(((3, 5),), {"axes": (1,), **attrs}),
        Case(((4, 37),), {"axes": (0,), **attrs}),
        Case(((2, 3, 16),), {"axes": (0, 2), **attrs}),
    )
    return Op(name, "composite", 1, infer, value, vjp, "", 1.0, cases, expand)


ROWS: tuple[Op, ...] = (
    _composite("softmax", _softmax, _expand_softmax, _vjp_softmax),
    _composite("safe_softmax", _safe_softmax, _expand_safe_softmax, _vjp_softmax),
    _composite("log_softmax", _log_softmax, _expand_log_softmax, _vjp_log_softmax),
    _composite("standardise", _standardise, _expand_standardise, _vjp_standardise, eps=1e-5),
    _composite(
        "deviation", _deviation, _expand_deviation, _vjp_deviation, _infer_deviation, eps=1e-5
    ),
)
