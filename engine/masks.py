"""Tensors and masks in, the elements where the mask holds (or their positions) out.

How many there are depends on data, so most of these need values that are known. Inside ``jit``
they raise Unsupported; ``where``, ``masked_scatter`` and ``nonzero_static`` have fixed sizes and
compile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from engine.arithmetic import floor_divide, ne, remainder, sub, where
from engine.dispatch import apply, broadcast_together, cast, describe, known_sizes, scalar
from engine.dtypes import int64
from engine.errors import DTypeError, ShapeError, Unsupported, message
from engine.gathering import counted, take
from engine.locate import user_location
from engine.modes import modes
from engine.shaping import reshape, stack
from ir.dims import product
from ir.types import BOOL

if TYPE_CHECKING:
    from engine.tensor import Tensor

__all__ = [
    "argwhere",
    "masked_scatter",
    "masked_select",
    "nonzero",
    "nonzero_static",
    "unravel_index",
]


def _known(x: Tensor, op: str, instead: str) -> Any:
    """The values of ``x``, which a result's size depends on."""
    if modes.trace is not None:
        text = f"{op}({describe(x)}) inside jit: the result's size depends on data"
        raise Unsupported(message(user_location(), text, instead))
    return np.asarray(x.value.array)


def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """Where ``input`` is not zero: positions [count, rank], or one vector a dimension.

    Differs from PyTorch: outside ``jit`` only.
    """
    array = _known(input, "nonzero", "use where(), or nonzero_static() with a size")
    found = np.nonzero(np.atleast_1d(array))
    if as_tuple:
        return tuple(input._beside(places) for places in found)
    rows = np.stack(found, 1) if array.ndim else np.zeros((found[0].size, 0), np.int64)
    return input._beside(rows.astype(np.int64))


def argwhere(input: Tensor) -> Tensor:
    """Where ``input`` is not zero, as positions [count, rank].

    Differs from PyTorch: outside ``jit`` only.
    """
    found: Tensor = nonzero(input)
    return found


def nonzero_static(input: Tensor, *, size: int, fill_value: int = -1) -> Tensor:
    """The first ``size`` positions where ``input`` is not zero; ``fill_value`` where none is left.

    [size, rank]; compiles, as its size is known.
    """
    if size < 0:
        raise ShapeError(message(user_location(), f"nonzero_static() of negative size {size}"))
    shape = input.value.type.shape
    if size == 0 or not shape or input.value.type.numel == 0:
        rows = scalar(input, fill_value, int64, (size, len(shape)))
        return rows
    flat = ne(reshape(input, (-1,)), 0)
    order = sub(apply("cumsum", cast(flat, int64), axis=0, reverse=False), 1)
    place = where(flat & (order < size), order, size)
    at = counted(input, flat.value.type.shape, 0)
    found = apply("put_along", where(flat, at + 1, 0), place, axis=0, extent=size + 1)[:size]
    columns = unravel_index(sub(found, 1), shape)
    filler = scalar(input, fill_value, int64, (size,))
    return stack([where(found > 0, column, filler) for column in columns], 1)


def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where ``mask`` holds, both broadcast, as a vector.

    Differs from PyTorch: outside ``jit`` only.
    """
    _must_be_bool(mask, "masked_select")
    x, held = broadcast_together(input, mask, op="masked_select")
    array = _known(held, "masked_select", "use where() or masked_fill() with the mask")
    places = np.flatnonzero(array).astype(np.int64)
    return take(x, input._plain._from_array(places))


def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """``input``, where ``mask`` holds with the elements of ``source`` in order.

    Whether ``source`` has enough of them is checked where the mask's values are known.
    """
    _must_be_bool(mask, "masked_scatter")
    if input.value.type.dtype != source.value.type.dtype:
        text = f"masked_scatter({describe(input)}, {describe(source)}): the dtypes must be equal"
        raise DTypeError(message(user_location(), text))
    x, held = broadcast_together(input, mask, op="masked_scatter")
    kind = x.value.type
    if modes.trace is None:
        wanted = np.count_nonzero(np.asarray(held.value.array))
        (given,) = known_sizes((source.value.type.numel,))
        if wanted > given:
            text = f"masked_scatter(): the mask holds {wanted} times, the source {given} elements"
            raise ShapeError(message(user_location(), text))
    if kind.numel == 0 or source.value.type.numel == 0:
        return x.clone()
    flat = reshape(held, (product(kind.shape),))
    order = sub(apply("cumsum", cast(flat, int64), axis=0, reverse=False), 1)
    row = reshape(source, (product(source.value.type.shape),))
    taken = apply("take", row, order, axis=0)
    return apply("select", held, reshape(taken, kind.shape), x)


def _must_be_bool(mask: Tensor, op: str) -> None:
    if mask.value.type.dtype != BOOL:
        text = f"{op}(): the mask must be bool, not {describe(mask)}"
        raise DTypeError(message(user_location(), text))


def unravel_index(indices: Tensor, shape: Any) -> tuple[Tensor, ...]:
    """Places of a flattened tensor of ``shape`` as one int64 position a dimension."""
    if indices.value.type.dtype.kind not in "iu":
        text = f"unravel_index() takes integers, not {describe(indices)}"
        raise DTypeError(message(user_location(), text))
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    if any(isinstance(size, int) and size < 0 for size in sizes):
        raise ShapeError(message(user_location(), f"unravel_index() into {list(sizes)}"))
    indices, out = cast(indices, int64), []
    for at, size in enumerate(sizes):
        step = product(sizes[at + 1 :])
        out.append(remainder(floor_divide(indices, step), size))
    return tuple(out)
