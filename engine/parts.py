"""A tensor in, its parts out (``split``, ``unbind``), or tensors in, one out (``hstack``).

Parts share memory with the whole, as PyTorch's do; what is joined is a copy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from engine.dispatch import axis_of, describe, known_sizes
from engine.errors import ShapeError, Unsupported, message
from engine.locate import user_location
from engine.modes import modes
from engine.rearrange import cut, has_dimensions, select
from engine.shaping import cat, reshape, unsqueeze
from engine.state import TensorState

if TYPE_CHECKING:
    from engine.tensor import Tensor

__all__ = [
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "chunk",
    "column_stack",
    "concat",
    "concatenate",
    "dsplit",
    "dstack",
    "hsplit",
    "hstack",
    "row_stack",
    "split",
    "split_with_sizes",
    "tensor_split",
    "unbind",
    "unsafe_chunk",
    "unsafe_split",
    "vsplit",
    "vstack",
]


def unbind(x: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The slices along ``dim``, without that axis."""
    (size,) = known_sizes((x.value.type.shape[axis_of(dim, len(x.value.type.shape))],))
    return tuple(select(x, dim, at) for at in range(size))


def split_with_sizes(x: Tensor, split_sizes: Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Consecutive parts of the given sizes along ``dim``."""
    axis, at, parts = axis_of(dim, len(x.value.type.shape)), 0, []
    total = x.value.type.shape[axis]
    if sum(split_sizes) != total:
        text = f"split({describe(x)}): the sizes {list(split_sizes)} do not add up to {total}"
        raise ShapeError(message(user_location(), text))
    for size in split_sizes:
        parts.append(cut(x, axis, at, at + size))
        at += size
    return tuple(parts)


def split(x: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Parts of one size (the last may be smaller), or of the sizes of a list."""
    if not isinstance(split_size_or_sections, int):
        return split_with_sizes(x, split_size_or_sections, dim)
    (total,) = known_sizes((x.value.type.shape[axis_of(dim, len(x.value.type.shape))],))
    size = split_size_or_sections
    if size < 0 or (size == 0 and total):
        text = f"split({describe(x)}): the size must be positive, not {size}"
        raise ShapeError(message(user_location(), text))
    starts = range(0, total, size) if total else [0]
    return split_with_sizes(x, [min(size, total - at) for at in starts], dim)


def chunk(x: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most ``chunks`` parts of one size; the last may be smaller."""
    if chunks <= 0:
        raise ShapeError(message(user_location(), f"chunk() into {chunks} parts"))
    (total,) = known_sizes((x.value.type.shape[axis_of(dim, len(x.value.type.shape))],))
    if not total:
        return split_with_sizes(x, [0] * chunks, dim)
    return split(x, -(-total // chunks), dim)


def tensor_split(x: Tensor, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """So many parts, the first ones larger by one where needed; or parts cut at indices."""
    axis = axis_of(dim, len(x.value.type.shape))
    has_dimensions(x, "tensor_split")
    (total,) = known_sizes((x.value.type.shape[axis],))
    if isinstance(indices_or_sections, TensorState):
        places: Any = indices_or_sections
        if modes.trace is not None:
            text = f"tensor_split({describe(x)}) by a tensor inside jit: its values give the sizes"
            raise Unsupported(message(user_location(), text, "give the places as numbers"))
        indices_or_sections = places.tolist()
    if isinstance(indices_or_sections, int):
        if indices_or_sections <= 0:
            text = f"tensor_split() into {indices_or_sections} parts"
            raise ShapeError(message(user_location(), text))
        small, more = divmod(total, indices_or_sections)
        parts = [small + 1] * more + [small] * (indices_or_sections - more)
        return split_with_sizes(x, parts, dim)
    cuts = [0, *indices_or_sections, total]
    return tuple(cut(x, axis, a, max(a, b)) for a, b in pairwise(cuts))


def hsplit(x: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """Parts beside each other: along axis 1, of vectors along axis 0."""
    return _equal_parts(x, indices_or_sections, min(x.ndim - 1, 1), 1, "hsplit")


def vsplit(x: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """Parts below each other, along axis 0."""
    return _equal_parts(x, indices_or_sections, 0, 2, "vsplit")


def dsplit(x: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """Parts behind each other, along axis 2."""
    return _equal_parts(x, indices_or_sections, 2, 3, "dsplit")


def _equal_parts(x: Tensor, parts: Any, axis: int, rank: int, op: str) -> tuple[Tensor, ...]:
    if x.ndim < rank:
        text = f"{op}() takes at least {rank} dimensions, not {describe(x)}"
        raise ShapeError(message(user_location(), text))
    if isinstance(parts, int) and (parts <= 0 or known_sizes((x.shape[axis],))[0] % parts):
        text = f"{op}({describe(x)}): axis {axis} has no {parts} equal parts"
        raise ShapeError(message(user_location(), text))
    return tensor_split(x, parts, axis)


def _given(tensors: Any, op: str) -> Sequence[Any]:
    given = tuple(tensors)
    if not given:
        raise ShapeError(message(user_location(), f"{op}() of no tensors"))
    return given


def concat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The tensors one after another along ``dim``."""
    return cat(tensors, dim)


def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Side by side: along axis 1, vectors along axis 0."""
    parts = [atleast_1d(x) for x in _given(tensors, "hstack")]
    return cat(parts, 0 if len(parts[0].value.type.shape) == 1 else 1)


def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """One below another; vectors are rows."""
    return cat([atleast_2d(x) for x in _given(tensors, "vstack")], 0)


def dstack(tensors: Sequence[Tensor]) -> Tensor:
    """One behind another, along axis 2."""
    return cat([atleast_3d(x) for x in _given(tensors, "dstack")], 2)


def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    """Side by side; vectors are columns."""
    return hstack([reshape(x, (-1, 1)) if x.ndim <= 1 else x for x in tensors])


def atleast_1d(*tensors: Any) -> Any:
    """With at least one axis; several tensors (or a list of them) give a tuple."""
    return _each(lambda x: x if x.value.type.shape else reshape(x, (1,)), tensors)


def atleast_2d(*tensors: Any) -> Any:
    """With at least two axes; a vector is a row."""

    def widened(x: Tensor) -> Tensor:
        return x if len(x.value.type.shape) > 1 else unsqueeze(atleast_1d(x), 0)

    return _each(widened, tensors)


def atleast_3d(*tensors: Any) -> Any:
    """With at least three axes; a matrix gets its new axis last."""

    def widened(x: Tensor) -> Tensor:
        return x if len(x.value.type.shape) > 2 else unsqueeze(atleast_2d(x), -1)

    return _each(widened, tensors)


def _each(function: Callable[[Tensor], Tensor], tensors: tuple[Any, ...]) -> Any:
    if len(tensors) == 1 and isinstance(tensors[0], TensorState):
        return function(tensors[0])  # type: ignore[arg-type]
    given = tensors[0] if len(tensors) == 1 else tensors
    return tuple(function(x) for x in given)


concatenate, row_stack = concat, vstack
unsafe_chunk, unsafe_split = chunk, split
