"""Tensors in, their elements in order out, with where each came from.

An element's place is counted (how many come before it), so sorting is a reduction like any other:
it fuses, it runs on every target, and gradients follow the positions. Counting is quadratic in
the length of the axis: meant for some thousand elements inside compiled steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from engine.arithmetic import le, lt
from engine.dispatch import apply, axis_of, cast, describe, record
from engine.dtypes import int64
from engine.errors import ShapeError, message
from engine.locate import user_location
from engine.shaping import expand, reshape, squeeze, unsqueeze
from engine.state import TensorState
from ir import make
from ir.types import I32

if TYPE_CHECKING:
    from engine.tensor import Tensor


class Sorted(NamedTuple):
    """What ``sort`` and ``topk`` give."""

    values: Tensor
    indices: Tensor


def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """The positions that put ``input`` in order along ``dim``; always stable, NaN is largest."""
    shape = input.value.type.shape
    if not shape:
        return cast(input * 0, int64)
    axis = axis_of(dim, len(shape))
    places = apply("rank", input, axis=axis, descending=descending)
    # Each place is taken once, so what is added up there is the one position that belongs there.
    own = input._plain._from_value(record(make.iota(shape, axis, int64), ()))
    return apply("put_along", own, places, axis=axis, extent=shape[axis])


def sort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Sorted:
    """Values in order along ``dim`` and their positions; equal ones keep their order."""
    if not input.value.type.shape:
        return Sorted(input.clone(), argsort(input))
    order = argsort(input, dim, descending)
    axis = axis_of(dim, len(input.value.type.shape))
    return Sorted(apply("take_along", input, order, axis=axis), order)


def msort(input: Tensor) -> Tensor:
    """The values in ascending order along the first dim."""
    return sort(input, 0).values


def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Sorted:
    """The ``k`` largest (or smallest) values along ``dim``, best first, and their positions."""
    axis = axis_of(dim, len(input.value.type.shape))
    size = input.value.type.shape[axis]
    if isinstance(size, int) and not 0 <= k <= size:
        text = f"topk({describe(input)}, {k}): dim {axis} holds {size} elements"
        raise ShapeError(message(user_location(), text))
    first = (*[slice(None)] * axis, slice(0, k))
    order = argsort(input, axis, descending=largest)[first]
    return Sorted(apply("take_along", input, order, axis=axis), order)


def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Sorted:
    """The ``k``-th smallest value (counted from 1) along ``dim``, and its position."""
    axis = axis_of(dim, len(input.value.type.shape))
    size = input.value.type.shape[axis]
    if isinstance(size, int) and not 1 <= k <= size:
        text = f"kthvalue({describe(input)}, {k}): k runs from 1 to {size}"
        raise ShapeError(message(user_location(), text))
    at = (*[slice(None)] * axis, slice(k - 1, k))
    order = argsort(input, axis)[at]
    values = apply("take_along", input, order, axis=axis)
    return Sorted(values, order) if keepdim else Sorted(squeeze(values, axis), squeeze(order, axis))


def searchsorted(
    sorted_sequence: Tensor,
    input: Tensor | float,
    *,
    out_int32: bool = False,
    right: bool = False,
) -> Tensor:
    """Where ``input`` [..., m] would go into rows that are sorted along the last dim [..., n].

    A position is the number of elements smaller (``right``: not larger) than the value.
    """
    value: Any = input
    if not isinstance(value, TensorState):
        value = sorted_sequence._plain._from_array(np.asarray(value))
    values = cast(value, sorted_sequence.value.type.dtype)
    rows = unsqueeze(sorted_sequence, -2)
    if len(sorted_sequence.value.type.shape) == 1:
        flat = reshape(values, (-1, 1))
        rows = expand(rows, flat.value.type.shape[0], sorted_sequence.value.type.shape[0])
    else:
        flat = unsqueeze(values, -1)
    below = le(rows, flat) if right else lt(rows, flat)
    count = cast(below, int64).sum(-1)
    out = reshape(count, values.value.type.shape)
    return cast(out, I32) if out_int32 else out


def bucketize(
    input: Tensor | float, boundaries: Tensor, *, out_int32: bool = False, right: bool = False
) -> Tensor:
    """The bucket of each value between one row of sorted ``boundaries``."""
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)
