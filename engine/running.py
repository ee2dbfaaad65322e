"""Tensors in, running results along an axis out: products, extrema, log-sums, differences.

A running result is combined with itself shifted by 1, 2, 4, ... elements (Hillis and Steele,
1986): log2(n) elementwise steps, which fuse and differentiate as such. The axis' size is static.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from engine.arithmetic import add, div, ge, isnan, le, mul, ne, sub, where
from engine.dispatch import apply, axis_of, cast, describe, record
from engine.dtypes import as_dtype, int64
from engine.errors import DTypeError, ShapeError, Unsupported, message
from engine.gathering import cumsum
from engine.locate import user_location
from engine.reductions import Extremum, must_be_float, sum as total
from engine.shaping import cat
from engine.specials import logaddexp
from ir import make
from ir.types import BOOL, F64, is_float

if TYPE_CHECKING:
    from engine.tensor import Tensor

__all__ = [
    "cummax",
    "cummin",
    "cumprod",
    "cumulative_trapezoid",
    "diff",
    "logcumsumexp",
    "trapezoid",
    "trapz",
]

Combine = Callable[..., tuple["Tensor", ...]]


def _cut(x: Tensor, axis: int, start: Any, stop: Any) -> Tensor:
    out: Tensor = x[(*[slice(None)] * axis, slice(start, stop))]
    return out


def _scan(parts: tuple[Tensor, ...], axis: int, combine: Combine) -> tuple[Tensor, ...]:
    """Running results of an associative ``combine(earlier, later)`` over tuples of tensors."""
    size = parts[0].value.type.shape[axis]
    if not isinstance(size, int):
        text = f"a running result along a symbolic size of {describe(parts[0])}"
        raise Unsupported(message(user_location(), text))
    step = 1
    while step < size:
        earlier = [_cut(x, axis, 0, size - step) for x in parts]
        later = [_cut(x, axis, step, None) for x in parts]
        joined = combine(earlier, later)
        parts = tuple(
            cat([_cut(x, axis, 0, step), y], axis) for x, y in zip(parts, joined, strict=True)
        )
        step *= 2
    return parts


def cumprod(x: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Running products along ``dim``; integers and bools as int64."""
    kind = x.value.type
    wide = as_dtype(dtype) if dtype is not None else kind.dtype if is_float(kind.dtype) else int64
    axis = axis_of(dim, len(kind.shape))
    out = cast(x, wide)
    if not kind.shape:
        return out if out is not x else x.clone()
    (out,) = _scan((out,), axis, lambda a, b: (mul(a[0], b[0]),))
    return out if out is not x else x.clone()


def logcumsumexp(x: Tensor, dim: int) -> Tensor:
    """Running ``log(sum(exp(x)))`` along ``dim``, without overflow."""
    must_be_float(x, "logcumsumexp")
    axis = axis_of(dim, len(x.value.type.shape))
    if not x.value.type.shape:
        return x.clone()
    wide = cast(x, F64)  # its gradient is a product of many ratios
    (out,) = _scan((wide,), axis, lambda a, b: (logaddexp(a[0], b[0]),))
    out = cast(out, x.value.type.dtype)
    return out if out is not x else x.clone()


def cummax(x: Tensor, dim: int) -> Extremum:
    """The largest so far along ``dim`` and its position, the last of equals."""
    return _running(x, dim, ge)


def cummin(x: Tensor, dim: int) -> Extremum:
    """The smallest so far along ``dim`` and its position, the last of equals."""
    return _running(x, dim, le)


def _running(x: Tensor, dim: int, wins: Callable[[Tensor, Tensor], Tensor]) -> Extremum:
    shape = x.value.type.shape
    axis = axis_of(dim, len(shape))
    if not shape or shape[axis] == 0:
        return Extremum(x.clone(), cast(x.detach() * 0, int64))
    values = x.detach()

    def combine(earlier: Any, later: Any) -> tuple[Tensor, ...]:
        (a, at), (b, bt) = earlier, later
        newer = wins(b, a) & ~isnan(a) | isnan(b)
        return where(newer, b, a), where(newer, bt, at)

    own = x._plain._from_value(record(make.iota(shape, axis, int64), ()))
    number = cast(values, int64) if x.value.type.dtype == BOOL else values
    _, at = _scan((number, own), axis, combine)
    return Extremum(apply("take_along", x, at, axis=axis), at)


def diff(
    x: Tensor,
    n: int = 1,
    dim: int = -1,
    prepend: Tensor | None = None,
    append: Tensor | None = None,
) -> Tensor:
    """The ``n``-th differences of neighbours along ``dim``; bools differ by xor."""
    if not x.value.type.shape:
        raise ShapeError(message(user_location(), "diff() takes at least one dimension"))
    if n < 0:
        raise ShapeError(message(user_location(), f"diff(): the order is negative: {n}"))
    axis = axis_of(dim, len(x.value.type.shape))
    if n == 0:
        return x.clone()
    given = [part for part in (prepend, x, append) if part is not None]
    out = cat(given, axis) if len(given) > 1 else x
    for _ in range(n):
        size = out.value.type.shape[axis]
        if size == 0:
            break
        later, earlier = _cut(out, axis, 1, None), _cut(out, axis, 0, size - 1)
        out = ne(later, earlier) if x.value.type.dtype == BOOL else sub(later, earlier)
    return out if out is not x else x.clone()


def _areas(y: Tensor, x: Tensor | None, dx: float, dim: int) -> tuple[Tensor, int]:
    """The trapezoids between neighbours along ``dim``."""
    axis = axis_of(dim, len(y.value.type.shape))
    if y.value.type.dtype == BOOL:
        raise DTypeError(message(user_location(), "trapezoid() takes numbers, not bools"))
    size = y.value.type.shape[axis]
    if size == 0:
        return y, axis
    middle = add(_cut(y, axis, 1, None), _cut(y, axis, 0, size - 1))
    if x is None:
        return mul(middle, dx / 2.0), axis
    if len(x.value.type.shape) == 1:
        rest = (1,) * (len(y.value.type.shape) - axis - 1)
        if x.value.type.shape[0] != size:
            text = f"trapezoid({describe(y)}, {describe(x)}): one place for each value"
            raise ShapeError(message(user_location(), text))
        return div(mul(middle, diff(x).reshape(-1, *rest)), 2.0), axis
    return div(mul(middle, diff(x, 1, axis)), 2.0), axis


def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: float = 1.0, dim: int = -1) -> Tensor:
    """The area under ``y`` along ``dim``, at places ``x`` or ``dx`` apart."""
    areas, axis = _areas(y, x, dx, dim)
    return total(areas, axis)


def cumulative_trapezoid(
    y: Tensor, x: Tensor | None = None, *, dx: float = 1.0, dim: int = -1
) -> Tensor:
    """The areas under ``y`` up to each place after the first."""
    areas, axis = _areas(y, x, dx, dim)
    return cumsum(areas, axis)


trapz = trapezoid
