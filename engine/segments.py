"""Values and the places they go to in, one value a place out: sums, means, products, extrema.

Sums are the table's ``put_along``. Products and extrema compare every position with every place,
which a compiled step does without storing the comparison.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine.arithmetic import add, div, eq, maximum, minimum, mul, sub, where
from engine.dispatch import apply, cast, expand_to, scalar
from engine.dtypes import int64, uint8
from engine.errors import ShapeError, message
from engine.gathering import counted
from engine.locate import user_location
from engine.shaping import unsqueeze
from ir.dims import Size
from ir.types import BOOL, DType, is_float

if TYPE_CHECKING:
    from engine.tensor import Tensor

REDUCTIONS = ("sum", "prod", "mean", "amax", "amin")


def counts(index: Tensor, axis: int, extent: Size) -> Tensor:
    """How often each place along ``axis`` is named, as int64 [..., extent, ...]."""
    ones = scalar(index, 1, int64, index.value.type.shape)
    return apply("put_along", ones, index, axis=axis, extent=extent)


def combined(
    x: Tensor, axis: int, index: Tensor, src: Tensor, reduce: str, include_self: bool
) -> Tensor:
    """``x`` with ``src`` taken into it at ``index`` along ``axis``; equal sizes beside it."""
    if reduce not in REDUCTIONS:
        text = f"reduce is one of {', '.join(REDUCTIONS)}, not {reduce!r}"
        raise ShapeError(message(user_location(), text))
    dtype = x.value.type.dtype
    if dtype == BOOL:
        wide = combined(cast(x, uint8), axis, index, cast(src, uint8), reduce, include_self)
        return cast(wide, BOOL)
    named = counts(index, axis, x.value.type.shape[axis])
    start = x if include_self else where(named > 0, _neutral(reduce, dtype), x)
    start = cast(start, dtype)
    if reduce in {"sum", "mean"}:
        extent = x.value.type.shape[axis]
        total = add(start, apply("put_along", src, index, axis=axis, extent=extent))
        return total if reduce == "sum" else _mean(total, named, include_self)
    if reduce == "prod":
        return mul(start.clone(), _dense(x, axis, index, src, reduce))  # a write may follow
    return _extremum(start, axis, index, src, reduce, (named > 0) & (not include_self))


def _mean(total: Tensor, named: Tensor, include_self: bool) -> Tensor:
    count = add(named, int(include_self)).clamp(min=1)
    if is_float(total.value.type.dtype):
        return div(total, cast(count, total.value.type.dtype))
    whole = div(cast(total, int64), count, rounding_mode="floor")
    return cast(whole, total.value.type.dtype)


def _neutral(reduce: str, dtype: DType) -> float:
    """What changes nothing under ``reduce``."""
    if reduce in {"sum", "mean", "prod"}:
        return int(reduce == "prod")
    low = reduce == "amax"
    if is_float(dtype):
        return -np.inf if low else np.inf
    limits = np.iinfo(dtype.name)
    return int(limits.min if low else limits.max)


def _dense(x: Tensor, axis: int, index: Tensor, src: Tensor, reduce: str) -> Tensor:
    """``src`` reduced by place, every position compared with every place."""
    beside = list(index.value.type.shape)
    beside.insert(axis, x.value.type.shape[axis])
    here = eq(expand_to(unsqueeze(index, axis), tuple(beside)), counted(x, beside, axis))
    spread = expand_to(unsqueeze(src, axis), tuple(beside))
    dtype = x.value.type.dtype
    empty = scalar(x, _neutral(reduce, dtype), dtype, tuple(beside))
    name = {"prod": "prod", "amax": "max", "amin": "min"}[reduce]
    return apply(name, apply("select", here, spread, empty), axes=(axis + 1,))


def _extremum(
    start: Tensor, axis: int, index: Tensor, src: Tensor, reduce: str, without_self: Tensor
) -> Tensor:
    """The extremum by place; equal ones share the gradient, as in PyTorch."""
    better = maximum if reduce == "amax" else minimum
    found = _dense(start, axis, index, src.detach(), reduce)
    best = better(start.detach(), found)
    if not (is_float(best.value.type.dtype) and (start.requires_grad or src.requires_grad)):
        return best
    extent = start.value.type.shape[axis]
    theirs = eq(src.detach(), apply("take_along", best, index, axis=axis))
    own = eq(start.detach(), best) & ~without_self
    put = {"axis": axis, "extent": extent}
    shares = add(cast(own, int64), apply("put_along", cast(theirs, int64), index, **put))
    moved = apply("put_along", where(theirs, unmoved(src), 0.0), index, **put)
    total = add(moved, where(own, unmoved(start), 0.0))
    return add(best, div(total, cast(shares.clamp(min=1), best.value.type.dtype)))


def unmoved(x: Tensor) -> Tensor:
    """Zero in value, ``x`` in gradient; infinite elements carry none."""
    finite = eq(sub(x.detach(), x.detach()), 0)
    return sub(where(finite, x, 0.0), where(finite, x.detach(), 0.0))
