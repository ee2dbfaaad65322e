"""Tensors in, their elements in order out, with where each came from.

Only positions are sorted for: values are then taken at these, and gradients follow them. Compiled
steps leave long rows to NumPy, between their kernels, and count places in short ones (how many
elements come before each); so do loops and graphics cards, in time quadratic in the length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from engine.arithmetic import ge, lt
from engine.dispatch import apply, axis_of, cast, describe, scalar
from engine.dtypes import int64
from engine.errors import DTypeError, ShapeError, message
from engine.gathering import gather, nonempty
from engine.locate import user_location
from engine.shaping import expand, reshape, squeeze, unsqueeze
from engine.state import TensorState
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
    axis = axis_of(dim, len(shape))
    if not shape:
        return scalar(input, 0, int64)
    return apply("argsort", input, axis=axis, descending=descending, start=0, stop=shape[axis])


def sort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Sorted:
    """Values in order along ``dim`` and their positions; equal ones keep their order."""
    order = argsort(input, dim, descending)
    if not input.value.type.shape or input.value.type.numel == 0:
        return Sorted(input.clone(), order)
    axis = axis_of(dim, len(input.value.type.shape))
    return Sorted(apply("take_along", input, order, axis=axis), order)


def msort(input: Tensor) -> Tensor:
    """The values in ascending order along the first dim."""
    return sort(input, 0).values


def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Sorted:
    """The ``k`` largest (or smallest) values along ``dim``, best first, and their positions.

    Differs from PyTorch: equal elements keep their order, which PyTorch leaves open.
    """
    x = input if input.value.type.shape else reshape(input, (1,))
    axis = axis_of(dim, len(x.value.type.shape))
    size = x.value.type.shape[axis]
    if isinstance(size, int) and not 0 <= k <= size:
        text = f"topk({describe(input)}, {k}): dim {axis} holds {size} elements"
        raise ShapeError(message(user_location(), text))
    found = _chosen(x, axis, slice(0, k), largest)
    if input.value.type.shape or k == 0:
        return found
    return Sorted(reshape(found.values, ()), reshape(found.indices, ()))


def _chosen(x: Tensor, axis: int, places: slice, descending: bool) -> Sorted:
    """The elements at ``places`` of the sorted axis."""
    order = order_at(x, axis, places.start, places.stop, descending)
    return Sorted(apply("take_along", nonempty(x, axis), order, axis=axis), order)


def order_at(x: Tensor, axis: int, start: int, stop: int, descending: bool = False) -> Tensor:
    """The positions of what stands at ``start`` to ``stop`` of the sorted axis."""
    if not isinstance(x.value.type.shape[axis], int):  # says that it cannot be cut
        return argsort(x, axis, descending)[(*[slice(None)] * axis, slice(start, stop))]
    return apply("argsort", x, axis=axis, descending=descending, start=start, stop=stop)


def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Sorted:
    """The ``k``-th smallest value (counted from 1) along ``dim``, and its position.

    Differs from PyTorch: of equal elements the position follows their order, which PyTorch
    leaves open.
    """
    x = input if input.value.type.shape else reshape(input, (1,))
    axis = axis_of(dim, len(x.value.type.shape))
    size = x.value.type.shape[axis]
    if isinstance(size, int) and not 1 <= k <= size:
        text = f"kthvalue({describe(input)}, {k}): k runs from 1 to {size}"
        raise ShapeError(message(user_location(), text))
    values, order = _chosen(x, axis, slice(k - 1, k), False)
    if keepdim and input.value.type.shape:
        return Sorted(values, order)
    return Sorted(squeeze(values, axis), squeeze(order, axis))


def searchsorted(
    sorted_sequence: Tensor,
    input: Tensor | float,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """Where ``input`` [..., m] would go into rows that are sorted along the last dim [..., n].

    A position is the number of elements smaller (``right``, or ``side`` "right": not larger) than
    the value. ``sorter`` gives the order of rows that are not sorted.
    """
    if side not in {None, "left", "right"} or (side == "left" and right):
        text = f"searchsorted(): side is 'left' or 'right', not {side!r} with right={right}"
        raise ShapeError(message(user_location(), text))
    value: Any = input
    if not isinstance(value, TensorState):
        value = sorted_sequence._plain._from_array(np.asarray(value))
    rows = sorted_sequence if sorter is None else _in_order(sorted_sequence, sorter)
    _check_rows(rows, value)
    below = _compared(rows, value, right or side == "right")
    count = cast(below, int64).sum(-1)
    out = reshape(count, value.value.type.shape)
    return cast(out, I32) if out_int32 else out


def _in_order(rows: Tensor, sorter: Tensor) -> Tensor:
    kind = sorter.value.type
    if kind.dtype != int64 or kind.shape != rows.value.type.shape:
        text = f"searchsorted({describe(rows)}): the sorter must be int64 of the same shape"
        raise ShapeError(message(user_location(), f"{text}, not {describe(sorter)}"))
    return gather(rows, -1, sorter)


def _check_rows(rows: Tensor, values: Tensor) -> None:
    kind, other = rows.value.type, values.value.type
    if kind.dtype != other.dtype and other.shape:
        text = f"searchsorted({describe(rows)}, {describe(values)}): the dtypes must be equal"
        raise DTypeError(message(user_location(), text))
    if not kind.shape or (len(kind.shape) != 1 and kind.shape[:-1] != other.shape[:-1]):
        text = f"searchsorted({describe(rows)}, {describe(values)}): the rows do not match"
        raise ShapeError(message(user_location(), text))


def _compared(rows: Tensor, values: Tensor, right: bool) -> Tensor:
    """Whether each element of a row comes before each value: [..., m, n]; NaN is the largest."""
    length = rows.value.type.shape[-1]
    if len(rows.value.type.shape) == 1:
        flat = reshape(values, (values.value.type.numel, 1))
        wide = expand(unsqueeze(rows, 0), flat.value.type.shape[0], length)
    else:
        flat, wide = unsqueeze(values, -1), unsqueeze(rows, -2)
    return ~lt(flat, wide) if right else ~ge(wide, flat)


def bucketize(
    input: Tensor | float, boundaries: Tensor, *, out_int32: bool = False, right: bool = False
) -> Tensor:
    """The bucket of each value between one row of sorted ``boundaries``."""
    if len(boundaries.value.type.shape) != 1:
        text = f"bucketize() takes a vector of boundaries, not {describe(boundaries)}"
        raise ShapeError(message(user_location(), text))
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)
