"""A tensor and a part of it in, the whole with that part replaced out.

The out-of-place spelling of ``x[part] = src``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.dispatch import axis_of, describe
from engine.errors import ShapeError, message
from engine.gathering import counted
from engine.locate import user_location
from engine.rearrange import diagonal as diagonal_of
from engine.scattering import put
from engine.shaping import reshape

if TYPE_CHECKING:
    from engine.tensor import Tensor

__all__ = ["diagonal_scatter", "select_scatter", "slice_scatter"]


def _fits(op: str, part: Tensor, src: Tensor) -> None:
    if part.value.type.shape != src.value.type.shape:
        text = f"{op}(): {describe(src)} does not fit into {describe(part)}"
        raise ShapeError(message(user_location(), text))


def _replaced(input: Tensor, index: tuple[Any, ...], src: Tensor, op: str) -> Tensor:
    _fits(op, input.detach()[index], src)
    out = input.clone()
    out[index] = src
    return out


def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """``input`` with ``src`` as its slice at ``index`` along ``dim``."""
    axis = axis_of(dim, len(input.value.type.shape))
    return _replaced(input, (*[slice(None)] * axis, index), src, "select_scatter")


def slice_scatter(
    input: Tensor,
    src: Tensor,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Tensor:
    """``input`` with ``src`` in its slices from ``start`` to ``end`` along ``dim``."""
    axis = axis_of(dim, len(input.value.type.shape))
    index = (*[slice(None)] * axis, slice(start, end, step))
    return _replaced(input, index, src, "slice_scatter")


def diagonal_scatter(
    input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1
) -> Tensor:
    """``input`` with ``src`` as its diagonal of axes ``dim1`` and ``dim2``."""
    shape = input.value.type.shape
    numel = input.value.type.numel
    places = reshape(counted(input, (numel,), 0), shape)
    named = diagonal_of(places, offset, dim1, dim2)
    _fits("diagonal_scatter", named, src)
    return put(input, named, src)
