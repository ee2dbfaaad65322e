"""Tensors and integer positions in, the elements there (or sums at those places) out.

Positions are checked where their values are known: at once in eager mode, and before every run of
a compiled step for positions that come from outside. Positions that a step computes are clipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.arithmetic import add, lt, mul, where
from engine.dispatch import (
    apply,
    axis_of,
    broadcast_shape,
    broadcast_together,
    cast,
    describe,
    record,
)
from engine.dtypes import as_dtype, int64
from engine.errors import DTypeError, OutOfRange, ShapeError, Unsupported, message
from engine.locate import user_location
from engine.modes import modes
from engine.shaping import permute, reshape
from engine.state import TensorState
from ir import make
from ir.dims import Size, product
from ir.graph import Location
from ir.table import Array
from ir.types import DType, is_float

if TYPE_CHECKING:
    from engine.tensor import Tensor


def counted(like: Tensor, shape: Sequence[Size], axis: int) -> Tensor:
    """Int64 positions along ``axis`` in ``shape``, made beside ``like``."""
    return like._plain._from_value(record(make.iota(tuple(shape), axis, int64), ()))


def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices of ``input`` along ``dim`` at ``index`` [n]; [..., n, ...]."""
    axis = axis_of(dim, len(input.value.type.shape))
    if len(index.value.type.shape) > 1:
        raise misfit("index_select", input, index, "the index must have at most one dimension")
    _must_be_integer(index, "index_select")
    if not input.value.type.shape:
        return reshape(index_select(reshape(input, (1,)), 0, index), ())
    check_places(index, input.value.type.shape[axis], "index_select", signed=False)
    flat = index if index.value.type.shape else reshape(index, (1,))
    return apply("take", nonempty(input, axis), flat, axis=axis)


def nonempty(x: Tensor, axis: int) -> Tensor:
    """``x``, or with one element along an empty ``axis``, which only empty indices can name."""
    shape = x.value.type.shape
    if shape[axis] != 0:
        return x
    none = (0,) * len(shape)
    high = tuple(int(at == axis) for at in range(len(shape)))
    return apply("pad", x, low=none, high=high, interior=none, value=0)


def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
    """``out[i][j] = input[index[i][j]][j]`` for dim 0; the shape of ``index``."""
    axis = axis_of(dim, len(input.value.type.shape))
    _must_be_integer(index, "gather")
    shape = index.value.type.shape
    if any(size == 0 for size in shape):
        return reshape(take(input, cast(index, int64)), shape)
    x = input if input.value.type.shape else reshape(input, (1,))
    at = index if shape else reshape(index, (1,))
    part = beside(x, at, axis, "gather")
    check_places(at, x.value.type.shape[axis], "gather", signed=False)
    return reshape(apply("take_along", part, at, axis=axis), shape)


def take(input: Tensor, index: Tensor) -> Tensor:
    """The elements of the flattened ``input`` at ``index``; negative ones count from the end."""
    _must_be_integer(index, "take")
    flat = reshape(input, (-1,)) if input.value.type.numel != 0 else reshape(input, (0,))
    at = wrapped(cast(index, int64), flat.value.type.shape[0])
    return apply("take", nonempty(flat, 0), at, axis=0)


def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """``gather`` with the other dimensions broadcast; over the flat tensor without ``dim``."""
    _must_be_integer(indices, "take_along_dim")
    if dim is None:
        return take(input, reshape(indices, (-1,)))
    shape, other = list(input.value.type.shape), list(indices.value.type.shape)
    if len(shape) != len(other):
        raise misfit("take_along_dim", input, indices, "the numbers of dimensions differ")
    axis = axis_of(dim, len(shape))
    rows, count = shape[axis], other[axis]
    shape[axis] = other[axis] = 1
    types = [input.value.type.with_shape(shape), indices.value.type.with_shape(other)]
    wide = broadcast_shape(types, "take_along_dim")
    x = input.expand(*wide[:axis], rows, *wide[axis + 1 :])
    index = wrapped(cast(indices, int64), rows).expand(*wide[:axis], count, *wide[axis + 1 :])
    return apply("take_along", nonempty(x, axis), index, axis=axis)


def _must_be_integer(index: Tensor, op: str) -> None:
    if index.value.type.dtype.kind not in "iu":
        text = f"{op}(): the index must hold integers, not {describe(index)}"
        raise DTypeError(message(user_location(), text))


def cumsum(input: Tensor, dim: int, *, dtype: DType | None = None) -> Tensor:
    """Running sums along ``dim``; integers and bools are summed as int64."""
    kind = input.value.type
    wide = as_dtype(dtype) if dtype is not None else (None if is_float(kind.dtype) else int64)
    x = input if wide is None else cast(input, wide)
    if not kind.shape:
        return x
    return apply("cumsum", x, axis=axis_of(dim, len(kind.shape)), reverse=False)


def take_positions(x: Tensor, positions: Sequence[tuple[int, Any]]) -> Tensor:
    """NumPy's indexing by integer arrays: (axis, array) pairs, the arrays broadcast together.

    The result's new axes stand where the indexed axes were, or first where those are apart.
    """
    rows, place, axis, _ = merged(x, positions)
    return apply("take", nonempty(rows, axis), place, axis=axis)


def merged(
    x: Tensor, positions: Sequence[tuple[int, Any]]
) -> tuple[Tensor, Tensor, int, tuple[int, ...]]:
    """``x`` with its indexed axes made one, the places on it, that axis, and the axes' order.

    The order is the permutation that was needed to bring the indexed axes together.
    """
    shape = x.value.type.shape
    axes = [axis for axis, _ in positions]
    index = [wrapped(as_positions(x, item), shape[axis]) for axis, item in positions]
    wide = broadcast_together(*index, op="index") if len(index) > 1 else index
    first, order = axes[0], tuple(range(len(shape)))
    if axes != list(range(first, first + len(axes))):
        rest = [axis for axis in range(len(shape)) if axis not in axes]
        first, order = 0, (*axes, *rest)
        x = permute(x, order)
        shape = x.value.type.shape
    sizes: tuple[Size, ...] = shape[first : first + len(axes)]
    place = wide[0]
    for more, size in zip(wide[1:], sizes[1:], strict=True):
        place = add(mul(place, size), more)
    one = (*shape[:first], product(sizes), *shape[first + len(axes) :])
    return reshape(x, one), place, first, order


def as_positions(x: Tensor, item: Any) -> Tensor:
    """An integer index as an int64 tensor."""
    if isinstance(item, TensorState):
        found: Any = item
    else:
        array = np.asarray(item)
        found = x._plain._from_array(array if array.size else array.astype(np.int64))
    if found.value.type.dtype.kind not in "iu":
        text = f"indices must be integers or bools, not {describe(found)}"
        raise OutOfRange(message(user_location(), text))
    return cast(found, int64)


def mask_positions(x: Tensor, item: Any) -> list[Array]:
    """Where a bool mask holds, one array per dimension of it; its values must be known."""
    if modes.trace is not None:
        raise Unsupported(
            message(
                user_location(),
                f"indexing {describe(x)} by a mask inside jit: the result's size depends on data",
                "use where() or masked_fill() with the mask",
            )
        )
    array = np.asarray(item.value.array if isinstance(item, TensorState) else item)
    if array.ndim == 0:
        return [np.zeros(int(array), np.int64)]
    return list(np.nonzero(array))


def wrapped(index: Tensor, size: Size) -> Tensor:
    """Positions counted from the end made positive."""
    check_places(index, size, "index", signed=True)
    return where(lt(index, 0), add(index, size), index)


def check_places(index: Tensor, size: Size, op: str, signed: bool) -> None:
    rule = partial(_check_range, user_location(), op, size, signed)
    if modes.trace is not None:
        if isinstance(size, int):
            modes.trace.check(index, rule)
    else:
        rule(np.asarray(index.value.array))


def _check_range(
    location: Location | None, op: str, size: Size, signed: bool, values: Array
) -> None:
    outside = (values < (-size if signed else 0)) | (values >= size)
    if outside.any():
        text = f"{op}: index {values[outside].flat[0]} is out of bounds for size {size}"
        raise OutOfRange(message(location, text))


def beside(input: Tensor, index: Tensor, axis: int, op: str) -> Tensor:
    """``input`` cut to the index's sizes beside ``axis``."""
    shape, other = input.value.type.shape, index.value.type.shape
    if len(shape) != len(other):
        raise misfit(op, input, index, "the numbers of dimensions differ")
    if all(a == b for at, (a, b) in enumerate(zip(shape, other, strict=True)) if at != axis):
        return input
    cut = [slice(None) if at == axis else slice(0, size) for at, size in enumerate(other)]
    part: Tensor = input[tuple(cut)]
    left = [s for at, s in enumerate(part.value.type.shape) if at != axis]
    if left != [s for at, s in enumerate(other) if at != axis]:
        raise misfit(op, input, index, f"the index is larger beside dim {axis}")
    return part


def misfit(op: str, x: Tensor, index: Tensor, rule: str) -> ShapeError:
    return ShapeError(message(user_location(), f"{op}({describe(x)}, {describe(index)}): {rule}"))
