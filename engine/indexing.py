"""A tensor and an index in, the part it names out (``x[1:, None, ..., 0]``), and writes to it.

Integers, slices, None, Ellipsis and integer arrays are ops with gradients, for reading and for
writing. A bool mask is turned into positions, so it needs values that are known; inside a trace a
mask can be written through, where the value is the same wherever it holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from engine.arithmetic import add
from engine.dispatch import apply, broadcast_shape, cast, describe, expand_to, scalar, view
from engine.errors import OutOfRange, ShapeError, Unsupported, message
from engine.gathering import as_positions, mask_positions, take_positions
from engine.locate import user_location
from engine.modes import modes
from engine.scattering import written
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
    x._assign(_replaced(x, items, _as_source(x, source)).value)


def index_put(input: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """``input`` with ``values`` at ``indices``: integer arrays, masks, or None for a whole axis.

    With ``accumulate`` the values are added, each as often as its place is named.

    Differs from PyTorch: of repeated positions without ``accumulate`` the last one is kept, which
    PyTorch leaves open.
    """
    items = tuple(slice(None) if item is None else item for item in indices)
    if input.value.type.dtype != values.value.type.dtype:
        text = f"index_put({describe(input)}, {describe(values)}): the dtypes must be equal"
        raise ShapeError(message(user_location(), text))
    if not items:
        raise ShapeError(message(user_location(), "index_put() needs at least one index"))
    return _replaced(input, items, values, accumulate)


def _as_source(x: Tensor, source: Any) -> Tensor:
    if isinstance(source, TensorState):
        found: Tensor = source  # type: ignore[assignment]
        return found
    if isinstance(source, np.ndarray):
        return x._plain._from_array(source)
    return scalar(x, source, x.value.type.dtype)


def _replaced(
    x: Tensor, items: tuple[Any, ...], source: Tensor, accumulate: bool = False
) -> Tensor:
    """``x`` with ``source`` (broadcast) in the part that ``items`` names."""
    if not any(_is_advanced(item) for item in items):
        return _overlaid(x, items, source)
    if modes.trace is not None and any(_is_advanced(i) and _is_mask(i) for i in items):
        return _masked(x, items, source, accumulate)
    plain, positions = _taken_apart(x, items)
    part = getitem(x, plain)
    new = written(part, positions, _lessened(source, part, positions), accumulate)
    return _overlaid(x, plain, new)


def _overlaid(x: Tensor, items: tuple[Any, ...], source: Tensor) -> Tensor:
    """``x`` with ``source`` in the part that integers and slices name."""
    kind = x.value.type
    start, stop, step, shape = _bounds(x, items)
    source = _less_ones(cast(source, kind.dtype), len(shape))
    if not any(start) and stop == kind.shape and all(s == 1 for s in step):
        return reshape(expand_to(source, shape), kind.shape)
    part = tuple(-(-(b - a) // s) for a, b, s in zip(start, stop, step, strict=True))
    placed = reshape(expand_to(source, shape), part)
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
    return apply("select", inside, placed, x)


def _less_ones(source: Tensor, rank: int) -> Tensor:
    """``source`` without leading axes of size 1 that its place does not have."""
    shape = source.value.type.shape
    more = len(shape) - rank
    if more > 0 and all(size == 1 for size in shape[:more]):
        return reshape(source, shape[more:])
    return source


def _lessened(source: Tensor, part: Tensor, positions: Any) -> Tensor:
    arrays = [as_positions(part, array).value.type for _, array in positions]
    spots = len(broadcast_shape(arrays, "index"))
    return _less_ones(source, len(part.value.type.shape) - len(positions) + spots)


def _masked(x: Tensor, items: tuple[Any, ...], source: Tensor, accumulate: bool) -> Tensor:
    """Writing by one mask inside a trace: a choice, where the value does not follow the mask."""
    known = _spelled_out(x, items)
    masks = [item for item in known if _is_advanced(item)]
    plain = all(item == slice(None) for item in known if not _is_advanced(item))
    kind = x.value.type
    at = next(i for i, item in enumerate(known) if _is_advanced(item))
    rank = _mask_rank(masks[0])
    after = len(kind.shape) - at - rank
    source = _less_ones(source, 0)
    shape = source.value.type.shape
    if len(masks) > 1 or not plain or (len(shape) > after and shape[-after - 1] != 1):
        text = f"writing {describe(source)} to {describe(x)} by a mask inside jit"
        hint = "one mask, and a value that is the same wherever it holds; or use where()"
        raise Unsupported(message(user_location(), text, hint))
    if len(shape) > after:
        lead, trail = shape[: -after - 1], shape[len(shape) - after :]
        source = reshape(source, (*lead, *(1,) * rank, *trail))
    mask: Any = masks[0]
    mask = mask if isinstance(mask, TensorState) else x._plain._from_array(mask)
    axes = tuple(range(at, at + rank))
    held = apply("broadcast", mask, shape=kind.shape, axes=axes)
    new = expand_to(cast(source, kind.dtype), kind.shape)
    return apply("select", held, add(x, new) if accumulate else new, x)


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
        raise OutOfRange(message(user_location(), text))
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
    if not hasattr(item, "__index__"):
        text = f"an index is an int, a slice, None, ... or a tensor, not {item!r}"
        raise OutOfRange(message(user_location(), text))
    at = item.__index__()
    if not isinstance(size, int):
        raise ShapeError(
            message(user_location(), f"axis {axis} of symbolic size {size} cannot be indexed")
        )
    if not -size <= at < size:
        text = f"index {at} is out of bounds for axis {axis} of size {size}"
        raise OutOfRange(message(user_location(), text))
    at %= size
    return at, at + 1, 1, None


def _advanced(x: Tensor, items: tuple[Any, ...]) -> Tensor:
    """Indexing by arrays: slices and new axes first, then every array (and int) at once."""
    plain, positions = _taken_apart(x, items)
    return take_positions(getitem(x, plain), positions)


def _taken_apart(
    x: Tensor, items: tuple[Any, ...]
) -> tuple[tuple[Any, ...], list[tuple[int, Any]]]:
    """An index as slices and new axes, and as integer arrays for axes of what those give."""
    plain: list[Any] = []
    positions: list[tuple[int, Any]] = []
    place = 0
    for item in _spelled_out(x, items):
        if item is None or isinstance(item, slice):
            plain.append(item)
            place += 1
            continue
        if _is_advanced(item) and _is_mask(item):
            _fits(x, item, place - sum(i is None for i in plain))
            arrays = mask_positions(x, item)
        else:
            arrays = [item]
        if _is_advanced(item) and _mask_rank(item) == 0:
            plain.append(None)
        else:
            plain.extend([slice(None)] * len(arrays))
        for array in arrays:
            positions.append((place, array))
            place += 1
    return tuple(plain), positions


def _fits(x: Tensor, mask: Any, axis: int) -> None:
    """Raise IndexError where a mask's sizes are not those of the axes that it stands for."""
    sizes = mask.value.type.shape if isinstance(mask, TensorState) else np.shape(mask)
    if tuple(x.value.type.shape[axis : axis + len(sizes)]) != tuple(sizes):
        text = f"the mask {list(sizes)} does not match {describe(x)} at axis {axis}"
        raise OutOfRange(message(user_location(), text))


def _spelled_out(x: Tensor, items: tuple[Any, ...]) -> list[Any]:
    """The index without Ellipsis, lists as arrays."""
    known = [np.asarray(i) if isinstance(i, list) else i for i in items]
    used = sum(_mask_rank(i) for i in known if i is not None and i is not Ellipsis)
    rank = len(x.value.type.shape)
    if used > rank:
        text = f"too many indices ({used}) for {describe(x)}"
        raise OutOfRange(message(user_location(), text))
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
