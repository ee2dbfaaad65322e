"""Tensors in, windows over them out: sliding slices, and views told by their strides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from engine.dispatch import apply, axis_of, describe, known_sizes
from engine.errors import ShapeError, Unsupported, message
from engine.locate import user_location
from engine.modes import modes
from engine.shaping import reshape

if TYPE_CHECKING:
    from engine.tensor import Tensor

__all__ = ["as_strided"]


def unfold(x: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """Windows of ``size`` elements every ``step`` along ``dimension``, as a new last axis.

    A copy in PyTorch's sense: writing to the result does not write to ``x``.

    Differs from PyTorch: the result is a copy, not a view.
    """
    if not x.value.type.shape:
        x = reshape(x, (1,))
        return unfold(x, dimension, size, step).squeeze(0)
    axis = axis_of(dimension, len(x.value.type.shape))
    extent = x.value.type.shape[axis]
    if size < 0 or step <= 0 or (isinstance(extent, int) and size > extent):
        text = f"unfold({describe(x)}): no windows of {size} every {step} in size {extent}"
        raise ShapeError(message(user_location(), text))
    return apply("window", x, axes=(axis,), size=(size,), stride=(step,), dilation=(1,))


def as_strided(
    x: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None
) -> Tensor:
    """Element ``[i, j]`` is the ``storage_offset + i * stride[0] + j * stride[1]``-th of ``x``.

    A copy in PyTorch's sense, and places are counted from the first element of ``x``, not of the
    memory that it may be a part of. Raises Unsupported where ``x`` is not in row-major order.

    Differs from PyTorch: the result is a copy, not a view.
    """
    if len(size) != len(stride) or min((*size, *stride, storage_offset or 0), default=0) < 0:
        text = f"as_strided({describe(x)}): sizes {list(size)} and strides {list(stride)}"
        raise ShapeError(message(user_location(), text, "one stride a size, none negative"))
    array = x.value.array
    if modes.trace is None and array is not None and not array.flags.c_contiguous:
        text = f"as_strided() of {describe(x)}, which is not in row-major order"
        raise Unsupported(message(user_location(), text, "call contiguous() first"))
    places = np.full(tuple(size), storage_offset or 0, np.int64)
    for axis, (count, step) in enumerate(zip(size, stride, strict=True)):
        after = (1,) * (len(size) - axis - 1)
        places = places + (np.arange(count) * step).reshape(-1, *after)
    (total,) = known_sizes((x.value.type.numel,))
    if places.size and places.max() >= total:
        text = f"as_strided({describe(x)}): place {places.max()} is outside its {total} elements"
        raise ShapeError(message(user_location(), text))
    return x.take(x._plain._from_array(places))
