"""Tensors in, their elements in other places out: cuts, joins, rolls, triangles, diagonals.

All are slices, reshapes, concatenations and interior paddings, so none copies more than it must.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from engine.dispatch import (
    apply,
    axis_of,
    broadcast_together,
    cast,
    common_dtype,
    describe,
    known_sizes,
)
from engine.errors import ShapeError, message
from engine.locate import user_location
from engine.shaping import cat, expand, flip, permute, reshape, sizes, transpose, unsqueeze
from ir.dims import Size, product

if TYPE_CHECKING:
    from engine.tensor import Tensor

__all__ = [
    "adjoint",
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "broadcast_tensors",
    "broadcast_to",
    "chunk",
    "column_stack",
    "concat",
    "concatenate",
    "diag",
    "diag_embed",
    "diagonal",
    "dstack",
    "fliplr",
    "flipud",
    "hstack",
    "meshgrid",
    "moveaxis",
    "movedim",
    "narrow",
    "ravel",
    "repeat_interleave",
    "roll",
    "rot90",
    "row_stack",
    "select",
    "split",
    "split_with_sizes",
    "swapaxes",
    "swapdims",
    "tensor_split",
    "tile",
    "unbind",
    "unflatten",
    "vstack",
]


def _cut(x: Tensor, axis: int, start: Any, stop: Any) -> Tensor:
    """``x[..., start:stop, ...]`` along ``axis``."""
    out: Tensor = x[(slice(None),) * axis + (slice(start, stop),)]
    return out


def _axis(x: Tensor, dim: int) -> int:
    return axis_of(dim, len(x.value.type.shape))


def narrow(x: Tensor, dim: int, start: int, length: int) -> Tensor:
    """``length`` elements along ``dim`` from ``start`` on."""
    axis = _axis(x, dim)
    size = x.value.type.shape[axis]
    start = start + size if start < 0 else start  # type: ignore[assignment]
    if isinstance(size, int) and not (0 <= start <= size and 0 <= length <= size - start):
        text = f"narrow({describe(x)}): {start} + {length} is outside dimension {dim}"
        raise IndexError(message(user_location(), text))
    return _cut(x, axis, start, start + length)


def select(x: Tensor, dim: int, index: int) -> Tensor:
    """The slice at ``index`` along ``dim``, without that axis."""
    out: Tensor = x[(slice(None),) * _axis(x, dim) + (index,)]
    return out


def unbind(x: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The slices along ``dim``, without that axis."""
    (size,) = known_sizes((x.value.type.shape[_axis(x, dim)],))
    return tuple(select(x, dim, at) for at in range(size))


def split_with_sizes(x: Tensor, split_sizes: Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Consecutive parts of the given sizes along ``dim``."""
    axis, at, parts = _axis(x, dim), 0, []
    total = x.value.type.shape[axis]
    if sum(split_sizes) != total:
        text = f"split({describe(x)}): the sizes {list(split_sizes)} do not add up to {total}"
        raise ShapeError(message(user_location(), text))
    for size in split_sizes:
        parts.append(_cut(x, axis, at, at + size))
        at += size
    return tuple(parts)


def split(x: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Parts of one size (the last may be smaller), or of the sizes of a list."""
    if not isinstance(split_size_or_sections, int):
        return split_with_sizes(x, split_size_or_sections, dim)
    (total,) = known_sizes((x.value.type.shape[_axis(x, dim)],))
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
    (total,) = known_sizes((x.value.type.shape[_axis(x, dim)],))
    if not total:
        return split_with_sizes(x, [0] * chunks, dim)
    return split(x, -(-total // chunks), dim)


def tensor_split(x: Tensor, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """So many parts, the first ones larger by one where needed; or parts cut at indices."""
    axis = _axis(x, dim)
    (total,) = known_sizes((x.value.type.shape[axis],))
    if isinstance(indices_or_sections, int):
        small, more = divmod(total, indices_or_sections)
        parts = [small + 1] * more + [small] * (indices_or_sections - more)
        return split_with_sizes(x, parts, dim)
    cuts = [0, *indices_or_sections, total]
    return tuple(_cut(x, axis, a, max(a, b)) for a, b in pairwise(cuts))


def _joined(tensors: Sequence[Tensor], dim: int) -> Tensor:
    dtype = common_dtype(tensors)
    return cat([cast(x, dtype) for x in tensors], dim)


def concat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The tensors one after another along ``dim``."""
    return cat(tensors, dim)


def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Side by side: along axis 1, vectors along axis 0."""
    parts = [atleast_1d(x) for x in tensors]
    return _joined(parts, 0 if len(parts[0].value.type.shape) == 1 else 1)


def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """One below another; vectors are rows."""
    return _joined([atleast_2d(x) for x in tensors], 0)


def dstack(tensors: Sequence[Tensor]) -> Tensor:
    """One behind another, along axis 2."""
    return _joined([atleast_3d(x) for x in tensors], 2)


def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    """Side by side; vectors are columns."""
    return hstack([reshape(x, (-1, 1)) if x.ndim <= 1 else x for x in tensors])


def atleast_1d(x: Tensor) -> Tensor:
    """With at least one axis."""
    return x if x.value.type.shape else reshape(x, (1,))


def atleast_2d(x: Tensor) -> Tensor:
    """With at least two axes; a vector is a row."""
    return x if len(x.value.type.shape) > 1 else unsqueeze(atleast_1d(x), 0)


def atleast_3d(x: Tensor) -> Tensor:
    """With at least three axes; a matrix gets its new axis last."""
    return x if len(x.value.type.shape) > 2 else unsqueeze(atleast_2d(x), -1)


def roll(x: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    """Elements moved on by ``shifts`` along ``dims``; those pushed out enter at the front."""
    if dims is None or dims == ():
        shape = x.value.type.shape
        return reshape(roll(reshape(x, (-1,)), shifts, 0), shape) if shape else x.clone()
    moves, axes = _listed(shifts), _listed(dims)
    if len(moves) != len(axes):
        text = f"roll() by {len(moves)} shifts along {len(axes)} dimensions"
        raise ShapeError(message(user_location(), text))
    for shift, dim in zip(moves, axes, strict=True):
        axis = _axis(x, dim)
        size = x.value.type.shape[axis] if x.value.type.shape else 0
        (size,) = known_sizes((size,))
        at = -shift % size if size else 0
        if at != 0:
            x = cat([_cut(x, axis, at, None), _cut(x, axis, 0, at)], axis)
    return x


def _listed(value: Any) -> list[int]:
    return [value] if isinstance(value, int) else list(value)


def movedim(x: Tensor, source: Any, destination: Any) -> Tensor:
    """Axes ``source`` moved to the places ``destination``; the others keep their order."""
    rank = len(x.value.type.shape)
    come = [axis_of(d, rank) for d in _listed(source)]
    go = [axis_of(d, rank) for d in _listed(destination)]
    if len(come) != len(go) or len(set(come)) != len(come) or len(set(go)) != len(go):
        text = f"movedim() from {source} to {destination}: not one place for each axis"
        raise ShapeError(message(user_location(), text))
    rest = iter(axis for axis in range(rank) if axis not in come)
    return permute(x, *[come[go.index(at)] if at in go else next(rest) for at in range(rank)])


def adjoint(x: Tensor) -> Tensor:
    """The last two axes exchanged."""
    return transpose(x, -2, -1)


def fliplr(x: Tensor) -> Tensor:
    """The order along axis 1 reversed."""
    return flip(x, 1)


def flipud(x: Tensor) -> Tensor:
    """The order along axis 0 reversed."""
    return flip(x, 0)


def rot90(x: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """Turned by ``k`` quarters in the plane of two axes, from the first towards the second."""
    a, b = dims
    if k % 4 == 1:
        return transpose(flip(x, b), a, b)
    if k % 4 == 2:
        return flip(x, a, b)
    return flip(transpose(x, a, b), b) if k % 4 == 3 else x.clone()


def broadcast_to(x: Tensor, size: Any) -> Tensor:
    """Repeated to ``size``, aligned at the last axis."""
    return expand(x, *sizes((size,)))


def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """All repeated to their common shape."""
    return tuple(broadcast_together(*tensors, op="broadcast_tensors"))


def repeat(x: Tensor, *repeats: Any) -> Tensor:
    """The whole tensor ``repeats`` times along each axis; new axes in front."""
    times, own = known_sizes(sizes(repeats)), x.value.type.shape
    if len(times) < len(own):
        text = f"repeat() of {describe(x)} needs at least {len(own)} counts, not {len(times)}"
        raise ShapeError(message(user_location(), text))
    full: list[Size] = [*[1] * (len(times) - len(own)), *own]
    apart = [size for pair in zip([1] * len(full), full, strict=True) for size in pair]
    wide = [size for pair in zip(times, full, strict=True) for size in pair]
    whole = tuple(n * size for n, size in zip(times, full, strict=True))
    return reshape(expand(reshape(x, tuple(apart)), *wide), whole).clone()


def tile(x: Tensor, *dims: Any) -> Tensor:
    """As ``repeat``; missing counts are 1, in front."""
    times = sizes(dims)
    return repeat(x, (1,) * (len(x.value.type.shape) - len(times)) + tuple(times))


def repeat_interleave(x: Tensor, repeats: int, dim: int | None = None) -> Tensor:
    """Each element (slice of ``dim``) ``repeats`` times in a row; the flat tensor for None."""
    if dim is None:
        return repeat_interleave(reshape(x, (-1,)), repeats, 0)
    axis, shape = _axis(x, dim), x.value.type.shape
    wide = expand(unsqueeze(x, axis + 1), *shape[: axis + 1], repeats, *shape[axis + 1 :])
    return reshape(wide, (*shape[:axis], shape[axis] * repeats, *shape[axis + 1 :])).clone()


def ravel(x: Tensor) -> Tensor:
    """All elements along one axis."""
    return reshape(x, (-1,)) if x.value.type.shape else reshape(x, (1,))


def unflatten(x: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """Axis ``dim`` taken apart into ``sizes``; one of them may be -1."""
    axis, shape = _axis(x, dim), x.value.type.shape
    return reshape(x, (*shape[:axis], *sizes, *shape[axis + 1 :]))


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """Vectors as the coordinates of their grid: one tensor each, all of the grid's shape."""
    parts: Sequence[Tensor] = tensors[0] if isinstance(tensors[0], list | tuple) else tensors
    rank = len(parts)
    if indexing == "xy" and rank > 1:
        swapped = meshgrid(parts[1], parts[0], *parts[2:])
        back = [transpose(x, 0, 1) for x in swapped]
        return tuple(transpose(x, 0, 1) for x in (back[1], back[0], *back[2:]))
    shape = tuple(product(x.value.type.shape) for x in parts)
    return tuple(
        expand(reshape(x, (1,) * at + (-1,) + (1,) * (rank - 1 - at)), *shape)
        for at, x in enumerate(parts)
    )


def diagonal(x: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The elements ``[i, i + offset]`` of axes ``dim1`` and ``dim2``, along a new last axis."""
    x = movedim(x, (dim1, dim2), (-2, -1))
    rank = len(x.value.type.shape)
    x = _cut(x, rank - 1, min(max(offset, 0), x.shape[-1]), None)
    x = _cut(x, rank - 2, min(max(-offset, 0), x.shape[-2]), None)
    size = min(x.shape[-2:])
    head = x.value.type.shape[:-2]
    square = _cut(_cut(x, rank - 1, 0, size), rank - 2, 0, size)
    flat = reshape(square, (*head, size * size))
    return flat if not size else flat[(..., slice(None, None, size + 1))]


def diag_embed(x: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """The last axis as the diagonal of new axes ``dim1`` and ``dim2``, zeros beside it."""
    *head, count = x.value.type.shape
    size = count + abs(offset)
    low = offset if offset >= 0 else -offset * size
    none = (0,) * len(head)
    used = count + (count - 1) * size if count else 0
    flat = apply(
        "pad",
        x,
        low=(*none, low),
        high=(*none, size * size - low - used),
        interior=(*none, size),
        value=0.0,
    )
    return movedim(reshape(flat, (*head, size, size)), (-2, -1), (dim1, dim2))


def diag(x: Tensor, diagonal: int = 0) -> Tensor:
    """A vector as a matrix's diagonal, or a matrix's diagonal as a vector."""
    rank = len(x.value.type.shape)
    if rank not in {1, 2}:
        text = f"diag() takes a vector or a matrix, not {describe(x)}"
        raise ShapeError(message(user_location(), text))
    return diag_embed(x, diagonal) if rank == 1 else _diagonal(x, diagonal)


_diagonal = diagonal
swapaxes = swapdims = transpose
concatenate, row_stack, moveaxis = concat, vstack, movedim
