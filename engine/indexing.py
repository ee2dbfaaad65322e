"""A tensor and an index in, the part it names out (``x[1:, None, ..., 0]``), and writes to it.

Integers, slices, None, Ellipsis and integer arrays are ops with gradients; a bool mask is turned
into positions, so it needs values that are known. Writing by arrays or masks is for tensors
without history, outside a trace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from engine.dispatch import apply, cast, describe, expand_to, scalar, view
from engine.errors import ShapeError, Unsupported, message
from engine.gathering import mask_positions, take_positions
from engine.locate import user_location
from engine.modes import modes
from engine.shaping import reshape
from engine.state import TensorState
from ir.dims import Size

if TYPE_CHECKING:
    from engine.tensor import Tensor


def getitem(x: Tensor, index: Any) -> Tensor:
    """``x[index]``."""
    items = index if isinstance(index, tuple) else (index,)
    if any(_is_advanced(item) for item in items):
        return _advanced(x, items)
    start, stop, step, shape = _bounds(x, items)
    own = x.value.type.shape
    whole = not any(start) and stop == own and all(s == 1 for s in step)
    part = x if whole else view("slice", x, start=start, stop=stop, step=step)
    return reshape(part, shape)


def setitem(x: Tensor, index: Any, source: Any) -> None:
    """``x[index] = source``."""
    items = index if isinstance(index, tuple) else (index,)
    kind = x.value.type
    if not isinstance(source, TensorState):
        if isinstance(source, np.ndarray):
            source = x._plain._from_array(source)
        else:
            source = scalar(x, source, kind.dtype)
    if any(_is_advanced(item) for item in items):
        _put(x, items, source)
        return
    start, stop, step, shape = _bounds(x, items)
    part = tuple(-(-(b - a) // s) for a, b, s in zip(start, stop, step, strict=True))
    placed = reshape(expand_to(cast(source, kind.dtype), shape), part)
    room = {
        "low": start,
        "high": tuple(
            size - a - ((n - 1) * s + 1) if n != 0 else size - a
            for size, a, s, n in zip(kind.shape, start, step, part, strict=True)
        ),
        "interior": tuple(s - 1 for s in step),
    }
    inside = apply("pad", scalar(x, True, np.dtype(np.bool_), part), value=False, **room)
    placed = apply("pad", placed, value=0, **room)
    x._assign(apply("select", inside, placed, x).value)


def _is_advanced(item: Any) -> bool:
    if isinstance(item, TensorState):
        return True
    return isinstance(item, list | np.ndarray | bool)


def _bounds(x: Tensor, items: tuple[Any, ...]) -> tuple[Any, Any, Any, tuple[Size, ...]]:
    """Slice bounds for every axis of ``x``, and the shape after dropped and new axes."""
    own = x.value.type.shape
    named = sum(item is not None and item is not Ellipsis for item in items)
    if named > len(own):
        text = f"too many indices ({named}) for {describe(x)}"
        raise IndexError(message(user_location(), text))
    if not any(item is Ellipsis for item in items):
        items = (*items, Ellipsis)
    start: list[int] = []
    stop: list[Size] = []
    step: list[int] = []
    shape: list[Size] = []
    for item in items:
        if item is None:
            shape.append(1)
            continue
        if item is Ellipsis:
            ranges: list[tuple[int, Size, int, Size | None]] = [
                (0, size, 1, size) for size in own[len(start) : len(own) - named]
            ]
        else:
            ranges = [_range(x, len(start), item)]
            named -= 1
        for a, b, s, n in ranges:
            start.append(a)
            stop.append(b)
            step.append(s)
            if n is not None:
                shape.append(n)
    return tuple(start), tuple(stop), tuple(step), tuple(shape)


def _range(x: Tensor, axis: int, item: Any) -> tuple[int, Size, int, Size | None]:
    size = x.value.type.shape[axis]
    if isinstance(item, slice):
        if item == slice(None):
            return 0, size, 1, size
        if not isinstance(size, int):
            if not item.start and item.stop == size and item.step in (None, 1):
                return 0, size, 1, size
            text = f"axis {axis} of symbolic size {size} cannot be sliced"
            raise ShapeError(message(user_location(), text))
        a, b, s = item.indices(size)
        if s < 1:
            text = f"slices take positive steps, not {s}"
            raise ShapeError(message(user_location(), text, "use flip()"))
        b = max(a, b)
        return a, b, s, -(-(b - a) // s)
    at = item.__index__()
    if not isinstance(size, int):
        raise ShapeError(
            message(user_location(), f"axis {axis} of symbolic size {size} cannot be indexed")
        )
    if not -size <= at < size:
        text = f"index {at} is out of bounds for axis {axis} of size {size}"
        raise IndexError(message(user_location(), text))
    at %= size
    return at, at + 1, 1, None


def _advanced(x: Tensor, items: tuple[Any, ...]) -> Tensor:
    """Indexing by arrays: slices and new axes first, then every array (and int) at once."""
    plain: list[Any] = []
    positions: list[tuple[int, Any]] = []
    place = 0
    for item in _spelled_out(x, items):
        if item is None or isinstance(item, slice):
            plain.append(item)
            place += 1
            continue
        arrays = mask_positions(x, item) if _is_mask(item) else [item]
        for array in arrays:
            plain.append(slice(None))
            positions.append((place, array))
            place += 1
    return take_positions(getitem(x, tuple(plain)), positions)


def _spelled_out(x: Tensor, items: tuple[Any, ...]) -> list[Any]:
    """The index without Ellipsis, lists as arrays."""
    known = [np.asarray(i) if isinstance(i, list) else i for i in items]
    used = sum(_mask_rank(i) for i in known if i is not None and i is not Ellipsis)
    rank = len(x.value.type.shape)
    if used > rank:
        text = f"too many indices ({used}) for {describe(x)}"
        raise IndexError(message(user_location(), text))
    if not any(item is Ellipsis for item in known):
        known.append(Ellipsis)
    at = next(i for i, item in enumerate(known) if item is Ellipsis)
    return [*known[:at], *[slice(None)] * (rank - used), *known[at + 1 :]]


def _is_mask(item: Any) -> bool:
    kind = item.value.type.dtype if isinstance(item, TensorState) else np.asarray(item).dtype
    return bool(kind == np.bool_)


def _mask_rank(item: Any) -> int:
    """How many axes an index item takes."""
    if not _is_advanced(item) or not _is_mask(item):
        return 1
    return len(item.value.type.shape) if isinstance(item, TensorState) else np.ndim(item)


def _arrays(x: Tensor, items: tuple[Any, ...]) -> tuple[Any, ...]:
    """The index with arrays for tensors; only where that is allowed."""
    if modes.trace is not None or (modes.grad and x.requires_grad):
        raise Unsupported(
            message(
                user_location(),
                f"writing to {describe(x)} by arrays or masks under jit or with gradients",
                "use where() with a mask, or scatter_add()",
            )
        )
    return tuple(i.value.array if isinstance(i, TensorState) else i for i in items)


def _put(x: Tensor, items: tuple[Any, ...], source: Tensor) -> None:
    index = _arrays(x, items)
    array = np.array(x.value.array)
    array[index] = source.value.array
    x._assign(x._plain._from_array(array).value)
