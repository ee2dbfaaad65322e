"""Tensors in, what depends on the order of elements out: medians, quantiles, modes, distinct ones.

Places are counted as in ``sorting``. ``unique`` and ``unique_consecutive`` have results whose size
depends on values: eager mode only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from engine.arithmetic import ceil, clamp, eq, floor, isnan, sub, where
from engine.dispatch import apply, axis_of, cast, describe
from engine.dtypes import int64
from engine.errors import ShapeError, Unsupported, message
from engine.locate import user_location
from engine.modes import modes
from engine.reductions import (
    Extremum,
    any as some,
    argmax,
    must_be_float,
    shared_among_equals,
    sum as total,
)
from engine.shaping import reshape, squeeze, unsqueeze
from engine.sorting import argsort, order_at, sort
from engine.specials import lerp, round
from engine.state import TensorState

if TYPE_CHECKING:
    from engine.tensor import Tensor

__all__ = [
    "isin",
    "median",
    "mode",
    "nanmedian",
    "nanquantile",
    "quantile",
    "unique",
    "unique_consecutive",
]


def median(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The lower of the middle elements; with ``dim`` the pair (values, indices); NaN wins."""
    return _middle(x, dim, keepdim, skip=False)


def nanmedian(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """``median`` of what is not NaN."""
    return _middle(x, dim, keepdim, skip=True)


def _middle(x: Tensor, dim: int | None, keepdim: bool, skip: bool) -> Any:
    if dim is None:
        flat = reshape(x, (-1,))
        if flat.value.type.shape == (0,):
            raise ShapeError(message(user_location(), "median() of no elements"))
        found = _middle(flat.detach(), 0, True, skip).values
        if x.requires_grad:
            found = shared_among_equals(flat, found, (0,))
        return reshape(found, ())
    if not x.value.type.shape:
        return Extremum(x.clone(), cast(x.detach() * 0, int64))
    axis = axis_of(dim, len(x.value.type.shape))
    if x.value.type.shape[axis] == 0:
        text = f"median({describe(x)}, {dim}): the dimension has no elements"
        raise IndexError(message(user_location(), text))
    place = _place(x.detach(), axis, skip)
    values = apply("take_along", x, place, axis=axis)
    return _pair(values, place, axis, keepdim)


def _place(x: Tensor, axis: int, skip: bool) -> Tensor:
    """Where the lower of the middle elements stands."""
    hole, size = isnan(x), x.value.type.shape[axis]
    if not skip and isinstance(size, int):
        place = order_at(x, axis, (size - 1) // 2, (size - 1) // 2 + 1)
    else:
        count = total(~hole, axis, True)
        at = clamp(floor((count - 1) * 0.5), min=0).long()
        place = apply("take_along", argsort(x, axis), at, axis=axis)
    if skip:
        return place
    return where(some(hole, axis, True), argmax(cast(hole, int64), axis, True), place)


def _pair(values: Tensor, indices: Tensor, axis: int, keepdim: bool) -> Extremum:
    if keepdim:
        return Extremum(values, indices)
    return Extremum(squeeze(values, axis), squeeze(indices, axis))


def mode(x: Tensor, dim: int = -1, keepdim: bool = False) -> Extremum:
    """The most frequent value along ``dim``, the smallest of several, and where it stands last.

    Every pair of elements is compared: meant for axes of some thousand elements.

    Differs from PyTorch: of equal elements the last position is given; PyTorch leaves it open.
    """
    if not x.value.type.shape:
        return Extremum(x.clone(), cast(x.detach() * 0, int64))
    axis = axis_of(dim, len(x.value.type.shape))
    if x.value.type.shape[axis] == 0:
        text = f"mode({describe(x)}, {dim}): the dimension has no elements"
        raise IndexError(message(user_location(), text))
    ordered, order = sort(x.detach(), axis)
    often = total(eq(unsqueeze(ordered, axis), unsqueeze(ordered, axis + 1)), axis)
    best = argmax(often, axis, True)
    last = best + apply("take_along", often, best, axis=axis) - 1
    place = apply("take_along", order, last, axis=axis)
    return _pair(apply("take_along", x, place, axis=axis), place, axis, keepdim)


def quantile(
    x: Tensor,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """The values below which the part ``q`` (a number, or [n] giving [n, ...]) of ``x`` lies."""
    return _quantiles(x, q, dim, keepdim, interpolation, skip=False)


def nanquantile(
    x: Tensor,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """``quantile`` of what is not NaN."""
    return _quantiles(x, q, dim, keepdim, interpolation, skip=True)


_ROUNDINGS = {"lower": floor, "higher": ceil, "nearest": round}


def _quantiles(
    x: Tensor, q: Any, dim: int | None, keepdim: bool, interpolation: str, skip: bool
) -> Tensor:
    must_be_float(x, "quantile")
    parts = _parts(x, q, interpolation)
    rank = len(x.value.type.shape)
    axis = 0 if dim is None else axis_of(dim, rank)
    rows = reshape(x, (-1,)) if dim is None or rank == 0 else x
    if rows.value.type.shape[axis] == 0:
        text = f"quantile({describe(x)}, dim={dim}): there are no elements"
        raise ShapeError(message(user_location(), text))
    rows = rows.movedim(axis, -1)
    hole = isnan(rows.detach())
    ordered = sort(rows, -1).values
    count = cast(total(~hole, -1, True), x.value.type.dtype)
    last = count - 1 if skip else cast(total(eq(hole, hole), -1, True), count.dtype) - 1
    at = clamp(reshape(parts, (-1,)) * last, min=0)
    if interpolation in _ROUNDINGS:
        at = _ROUNDINGS[interpolation](at)
    low, high = floor(at), ceil(at)
    axis_last = len(rows.value.type.shape) - 1
    below, above = (apply("take_along", ordered, i.long(), axis=axis_last) for i in (low, high))
    weight = sub(at, low) * 0 + 0.5 if interpolation == "midpoint" else sub(at, low)
    out = lerp(below, above, weight)
    if not skip:
        out = where(some(hole, -1, True), float("nan"), out)
    return _placed(out, parts, x, axis, dim, keepdim)


def _parts(x: Tensor, q: Any, interpolation: str) -> Tensor:
    """``q`` as a tensor of the dtype of ``x``, checked."""
    given: Any = q
    parts: Tensor = given if isinstance(q, TensorState) else x.new_tensor(float(q))
    rule = ""
    if interpolation not in {*_ROUNDINGS, "linear", "midpoint"}:
        rule = f"interpolation {interpolation!r} is not known"
    elif len(parts.value.type.shape) > 1:
        rule = "q must be a number or a vector"
    elif parts.value.type.dtype != x.value.type.dtype:
        rule = f"q must have the dtype of the input, {x.value.type.dtype}"
    elif modes.trace is None and bool(((parts < 0) | (parts > 1)).any()):
        rule = "q must lie in [0, 1]"
    if rule:
        raise ShapeError(message(user_location(), f"quantile({describe(x)}): {rule}"))
    return parts


def _placed(
    out: Tensor, parts: Tensor, x: Tensor, axis: int, dim: int | None, keepdim: bool
) -> Tensor:
    """[..., q] as [q, ...]: without the reduced axis, or with 1 in its place."""
    rank = len(x.value.type.shape)
    out = out.movedim(-1, 0)
    if keepdim and dim is None:
        out = reshape(out, (-1, *(1,) * rank))
    elif keepdim and rank:
        out = unsqueeze(out, axis + 1)
    return out if parts.value.type.shape else squeeze(out, 0)


def isin(
    elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False
) -> Tensor:
    """Whether each of ``elements`` is one of ``test_elements``; every pair is compared."""
    both = (elements, test_elements)
    like: Any = next(item for item in both if isinstance(item, TensorState))
    pair: Any = [t if isinstance(t, TensorState) else like.new_tensor(t) for t in both]
    x, y = pair
    found: Tensor = some(eq(unsqueeze(x, -1), reshape(y, (-1,))), -1)
    return ~found if invert else found


def _known(x: Tensor, name: str) -> np.ndarray[Any, Any]:
    if modes.trace is not None or x.value.array is None:
        text = f"{name} inside jit: the result's size depends on data"
        raise Unsupported(message(user_location(), text, "call it before the step"))
    return x.value.array


def unique(
    x: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The distinct elements (or slices along ``dim``) in order; eager mode only.

    Differs from PyTorch: outside ``jit`` only.
    """
    array = _known(x, "unique")
    axis = None if dim is None else axis_of(dim, array.ndim)
    found = np.unique(array, return_inverse=True, return_counts=True, axis=axis, equal_nan=False)
    values, inverse, counts = found
    inverse = inverse.reshape(array.shape if axis is None else -1)
    return _distinct(x, values, inverse, counts, return_inverse, return_counts)


def unique_consecutive(
    x: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """Runs of equal elements (or slices along ``dim``) cut to one each; eager mode only.

    Differs from PyTorch: outside ``jit`` only.
    """
    array = _known(x, "unique_consecutive")
    axis = 0 if dim is None else axis_of(dim, array.ndim)
    rows = array.reshape(-1) if dim is None else np.moveaxis(array, axis, 0)
    flat = rows.reshape(rows.shape[0], -1) if rows.size else rows.reshape(rows.shape[0], 0)
    starts = np.ones(rows.shape[0], bool)
    starts[1:] = (flat[1:] != flat[:-1]).any(1)
    inverse = np.cumsum(starts) - 1
    counts = np.bincount(inverse, minlength=0).astype(np.int64)
    values = np.moveaxis(rows[starts], 0, axis)
    inverse = inverse.reshape(array.shape if dim is None else -1)
    return _distinct(x, values, inverse, counts, return_inverse, return_counts)


def _distinct(
    x: Tensor, values: Any, inverse: Any, counts: Any, with_inverse: bool, with_counts: bool
) -> Any:
    plain = x._beside
    wanted = [plain(np.ascontiguousarray(values))]
    if with_inverse:
        wanted.append(plain(inverse.astype(np.int64)))
    if with_counts:
        wanted.append(plain(counts.astype(np.int64)))
    return wanted[0] if len(wanted) == 1 else tuple(wanted)
