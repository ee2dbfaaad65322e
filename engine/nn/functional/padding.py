"""Tensors in, tensors with more (or fewer) elements at their borders out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from engine.dispatch import apply, describe, scalar
from engine.errors import ShapeError, Unsupported, message
from engine.locate import user_location
from engine.scalar import Scalar
from engine.shaping import cat, expand, flip
from engine.tensor import Tensor
from ir.types import BOOL

Border: TypeAlias = Callable[[Tensor, int, int, int], Tensor]


def pad(
    input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Tensor:
    """``input`` with ``pad`` = (low, high) of its last axis, of the one before it, and so on.

    ``mode``: "constant" (``value``, else 0), "reflect" (the edge is not repeated), "replicate" or
    "circular". A negative number takes elements away.
    """
    rank = len(input.value.type.shape)
    if len(pad) % 2 or len(pad) > 2 * rank:
        text = f"pad({describe(input)}): {list(pad)} is not a pair for some of its axes"
        raise ShapeError(message(user_location(), text))
    pairs = [(rank - 1 - at // 2, pad[at], pad[at + 1]) for at in range(0, len(pad), 2)]
    if mode == "constant":
        return _constant(input, pairs, 0 if value is None else value)
    if mode not in _BORDERS:
        raise Unsupported(message(user_location(), f"unrecognised padding mode {mode}"))
    _check(input, pairs, mode, value)
    for axis, low, high in pairs:
        input = _BORDERS[mode](input, axis, low, high)
    return input


def _check(x: Tensor, pairs: Sequence[Any], mode: str, value: float | None) -> None:
    """PyTorch's limits of the modes that repeat what is there."""
    shape = x.value.type.shape
    if value is not None and value != 0:
        text = f'padding mode "{mode}" does not take a value, got {value}'
        raise ShapeError(message(user_location(), text))
    if len(shape) - len(pairs) not in {1, 2} or len(pairs) > 3 or not pairs:
        text = f"{mode} padding pads the last 1 to 3 axes behind one or two others: {describe(x)}"
        raise Unsupported(message(user_location(), text))
    for at, size in enumerate(shape[1:], 1):
        if size == 0 and (len(shape) - len(pairs) == 2 or at >= len(shape) - len(pairs)):
            text = f"{mode} padding of {describe(x)}, which is empty along axis {at}"
            raise ShapeError(message(user_location(), text))
    for axis, low, high in pairs:
        size = shape[axis]
        most = {"reflect": size - 1, "circular": size}.get(mode)
        if isinstance(most, int) and max(low, high) > most:
            text = f"{mode} padding by {low}, {high} is more than axis {axis} of {describe(x)} has"
            raise ShapeError(message(user_location(), text))
        if size + low + high <= 0:
            text = f"padding by {low}, {high} leaves nothing of axis {axis} of {describe(x)}"
            raise ShapeError(message(user_location(), text))


def _constant(x: Tensor, pairs: Sequence[tuple[int, int, int]], value: Any) -> Tensor:
    rank = len(x.value.type.shape)
    low, high = [0] * rank, [0] * rank
    for axis, first, last in pairs:
        x = _cropped(x, axis, min(first, 0), min(last, 0))
        low[axis], high[axis] = max(first, 0), max(last, 0)
    if not any(low) and not any(high):
        return x.clone()
    room = {"low": tuple(low), "high": tuple(high), "interior": (0,) * rank}
    if not isinstance(value, Scalar):
        return apply("pad", x, value=value, **room)
    kind = x.value.type
    inside = apply("pad", scalar(x, True, BOOL, kind.shape), value=False, **room)
    wide = apply("pad", x, value=0, **room)
    border = scalar(x, value, kind.dtype, wide.value.type.shape)
    return apply("select", inside, wide, border)


def _cropped(x: Tensor, axis: int, low: int, high: int) -> Tensor:
    """``x`` without its first ``-low`` and last ``-high`` elements along ``axis``."""
    size = x.value.type.shape[axis]
    if low >= 0 and high >= 0:
        return x
    if isinstance(size, int) and size + low + high < 0:
        text = f"pad({describe(x)}): {low}, {high} leaves less than nothing of axis {axis}"
        raise ShapeError(message(user_location(), text))
    return _part(x, axis, -low, size + high)


def _part(x: Tensor, axis: int, start: Any, stop: Any) -> Tensor:
    cut: Tensor = x[(*[slice(None)] * axis, slice(start, stop))]
    return cut


def _reflect(x: Tensor, axis: int, low: int, high: int) -> Tensor:
    size = x.value.type.shape[axis]
    parts = [x]
    if low > 0:
        parts.insert(0, flip(_part(x, axis, 1, low + 1), axis))
    if high > 0:
        parts.append(flip(_part(x, axis, size - high - 1, size - 1), axis))
    return _cropped(cat(parts, axis), axis, min(low, 0), min(high, 0))


def _replicate(x: Tensor, axis: int, low: int, high: int) -> Tensor:
    shape = list(x.value.type.shape)
    size = shape[axis]
    parts = [x]
    if low > 0:
        shape[axis] = low
        parts.insert(0, expand(_part(x, axis, 0, 1), *shape))
    if high > 0:
        shape[axis] = high
        parts.append(expand(_part(x, axis, size - 1, size), *shape))
    return _cropped(cat(parts, axis), axis, min(low, 0), min(high, 0))


def _circular(x: Tensor, axis: int, low: int, high: int) -> Tensor:
    x = _cropped(x, axis, min(low, 0), min(high, 0))
    size = x.value.type.shape[axis]
    parts = [x]
    if low > 0:
        parts.insert(0, _part(x, axis, size - low, size))
    if high > 0:
        parts.append(_part(x, axis, 0, high))
    return cat(parts, axis)


_BORDERS: dict[str, Border] = {
    "reflect": _reflect,
    "replicate": _replicate,
    "circular": _circular,
}
