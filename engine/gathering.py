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
from engine.dispatch import apply, axis_of, broadcast_shape, broadcast_together, cast, describe
from engine.dtypes import as_dtype, int64
from engine.errors import DTypeError, ShapeError, Unsupported, message
from engine.locate import user_location
from engine.modes import modes
from engine.shaping import permute, reshape
from engine.state import TensorState
from ir.dims import Size, product
from ir.graph import Location
from ir.table import Array
from ir.types import DType

if TYPE_CHECKING:
    from engine.tensor import Tensor


def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices of ``input`` along ``dim`` at ``index`` [n]; [..., n, ...]."""
    axis = axis_of(dim, len(input.value.type.shape))
    if len(index.value.type.shape) > 1:
        raise _misfit("index_select", input, index, "the index must have at most one dimension")
    _check(index, input.value.type.shape[axis], "index_select", signed=False)
    flat = index if index.value.type.shape else reshape(index, (1,))
    return apply("take", input, flat, axis=axis)


def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
    """``out[i][j] = input[index[i][j]][j]`` for dim 0; the shape of ``index``."""
    axis = axis_of(dim, len(input.value.type.shape))
    part = _beside(input, index, axis, "gather")
    _check(index, input.value.type.shape[axis], "gather", signed=False)
    return apply("take_along", part, index, axis=axis)


def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """``gather`` with the other dimensions broadcast; over the flat tensor without ``dim``."""
    if dim is None:
        return gather(reshape(input, (-1,)), 0, reshape(indices, (-1,)))
    shape, other = list(input.value.type.shape), list(indices.value.type.shape)
    if len(shape) != len(other):
        raise _misfit("take_along_dim", input, indices, "the numbers of dimensions differ")
    axis = axis_of(dim, len(shape))
    rows, count = shape[axis], other[axis]
    shape[axis] = other[axis] = 1
    types = [input.value.type.with_shape(shape), indices.value.type.with_shape(other)]
    wide = broadcast_shape(types, "take_along_dim")
    x = input.expand(*wide[:axis], rows, *wide[axis + 1 :])
    index = indices.expand(*wide[:axis], count, *wide[axis + 1 :])
    _check(indices, rows, "take_along_dim", signed=False)
    return apply("take_along", x, index, axis=axis)


def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """``input`` with ``src`` added at ``index`` along ``dim``; the reverse of ``gather``."""
    shape = input.value.type.shape
    axis = axis_of(dim, len(shape))
    part = src[tuple(slice(0, size) for size in index.value.type.shape)]
    _check(index, shape[axis], "scatter", signed=False)
    placed = apply("put_along", part, index, axis=axis, extent=shape[axis])
    high = tuple(a - b for a, b in zip(shape, placed.value.type.shape, strict=True))
    if any(size != 0 for size in high):
        none = (0,) * len(shape)
        placed = apply("pad", placed, low=none, high=high, interior=none, value=0.0)
    return add(input, placed)


def index_add(
    input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1
) -> Tensor:
    """``input`` with the slices of ``source`` added at ``index`` [n] along ``dim``."""
    axis = axis_of(dim, len(input.value.type.shape))
    extent = input.value.type.shape[axis]
    _check(index, extent, "index_add", signed=False)
    placed = apply("put_add", source, index, axis=axis, extent=extent)
    return add(input, placed if alpha == 1 else mul(placed, alpha))


def cumsum(input: Tensor, dim: int, *, dtype: DType | None = None) -> Tensor:
    """Running sums along ``dim``; integers and bools are summed as int64."""
    kind = input.value.type
    wide = as_dtype(dtype) if dtype is not None else (int64 if kind.dtype.kind != "f" else None)
    x = input if wide is None else cast(input, wide)
    return apply("cumsum", x, axis=axis_of(dim, len(kind.shape))) if kind.shape else x


def take_positions(x: Tensor, positions: Sequence[tuple[int, Any]]) -> Tensor:
    """NumPy's indexing by integer arrays: (axis, array) pairs, the arrays broadcast together.

    The result's new axes stand where the indexed axes were, or first where those are apart.
    """
    shape = x.value.type.shape
    axes = [axis for axis, _ in positions]
    index = [_wrapped(as_positions(x, item), shape[axis]) for axis, item in positions]
    wide = broadcast_together(*index, op="index") if len(index) > 1 else index
    first = axes[0]
    if axes != list(range(first, first + len(axes))):
        rest = [axis for axis in range(len(shape)) if axis not in axes]
        x = permute(x, (*axes, *rest))
        shape, first = x.value.type.shape, 0
    sizes: tuple[Size, ...] = shape[first : first + len(axes)]
    place = wide[0]
    for more, size in zip(wide[1:], sizes[1:], strict=True):
        place = add(mul(place, size), more)
    merged = (*shape[:first], product(sizes), *shape[first + len(axes) :])
    return apply("take", reshape(x, merged), place, axis=first)


def as_positions(x: Tensor, item: Any) -> Tensor:
    """An integer index as an int64 tensor."""
    if isinstance(item, TensorState):
        found: Any = item
    else:
        found = x._plain._from_array(np.asarray(item))
    if found.value.type.dtype.kind not in "iu":
        text = f"indices must be integers or bools, not {describe(found)}"
        raise DTypeError(message(user_location(), text))
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
    return list(np.nonzero(array))


def _wrapped(index: Tensor, size: Size) -> Tensor:
    """Positions counted from the end made positive."""
    _check(index, size, "index", signed=True)
    return where(lt(index, 0), add(index, size), index)


def _check(index: Tensor, size: Size, op: str, signed: bool) -> None:
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
        raise IndexError(message(location, text))


def _beside(input: Tensor, index: Tensor, axis: int, op: str) -> Tensor:
    """``input`` cut to the index's sizes beside ``axis``."""
    shape, other = input.value.type.shape, index.value.type.shape
    if len(shape) != len(other):
        raise _misfit(op, input, index, "the numbers of dimensions differ")
    if all(a == b for at, (a, b) in enumerate(zip(shape, other, strict=True)) if at != axis):
        return input
    cut = [slice(None) if at == axis else slice(0, size) for at, size in enumerate(other)]
    part: Tensor = input[tuple(cut)]
    left = [s for at, s in enumerate(part.value.type.shape) if at != axis]
    if left != [s for at, s in enumerate(other) if at != axis]:
        raise _misfit(op, input, index, f"the index is larger beside dim {axis}")
    return part


def _misfit(op: str, x: Tensor, index: Tensor, rule: str) -> ShapeError:
    return ShapeError(message(user_location(), f"{op}({describe(x)}, {describe(index)}): {rule}"))
