"""Tensors in, their elements in other places out: cuts, rolls, turns, repeats, diagonals.

All are slices, reshapes, concatenations and interior paddings, so none copies more than it must.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from engine.arithmetic import add
from engine.dispatch import (
    apply,
    axis_of,
    broadcast_together,
    cast,
    describe,
    known_sizes,
    scalar,
)
from engine.dtypes import int64
from engine.errors import OutOfRange, ShapeError, Unsupported, message
from engine.gathering import counted, index_select
from engine.locate import user_location
from engine.modes import modes
from engine.shaping import cat, expand, flip, permute, reshape, sizes, transpose, unsqueeze
from engine.state import TensorState
from ir.dims import Size, product

if TYPE_CHECKING:
    from engine.tensor import Tensor

__all__ = [
    "adjoint",
    "broadcast_tensors",
    "broadcast_to",
    "diag",
    "diag_embed",
    "diagflat",
    "diagonal",
    "fliplr",
    "flipud",
    "meshgrid",
    "moveaxis",
    "movedim",
    "narrow",
    "ravel",
    "repeat_interleave",
    "roll",
    "rot90",
    "select",
    "swapaxes",
    "swapdims",
    "tile",
    "unflatten",
]


def cut(x: Tensor, axis: int, start: Any, stop: Any) -> Tensor:
    """``x[..., start:stop, ...]`` along ``axis``."""
    out: Tensor = x[(slice(None),) * axis + (slice(start, stop),)]
    return out


def _axis(x: Tensor, dim: int) -> int:
    return axis_of(dim, len(x.value.type.shape))


def narrow(x: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """``length`` elements along ``dim`` from ``start`` (a number or a 0-d integer tensor) on."""
    axis = _axis(x, dim)
    has_dimensions(x, "narrow")
    kind = start.value.type if isinstance(start, TensorState) else None
    if kind and (kind.shape or kind.dtype.kind not in "iu"):
        text = f"narrow(): start must be an integer without dimensions, not {kind}"
        raise ShapeError(message(user_location(), text))
    if kind and modes.trace is not None:
        first: Any = start
        return index_select(x, axis, add(counted(x, (length,), 0), first))
    start = int(start)
    size = x.value.type.shape[axis]
    start = start + size if start < 0 else start
    if isinstance(size, int) and not (0 <= start <= size and 0 <= length <= size - start):
        text = f"narrow({describe(x)}): {start} + {length} is outside dimension {dim}"
        raise OutOfRange(message(user_location(), text))
    return cut(x, axis, start, start + length)


def has_dimensions(x: Tensor, op: str) -> None:
    if not x.value.type.shape:
        text = f"{op}() of a tensor without dimensions"
        raise OutOfRange(message(user_location(), text))


def select(x: Tensor, dim: int, index: int) -> Tensor:
    """The slice at ``index`` along ``dim``, without that axis."""
    out: Tensor = x[(slice(None),) * _axis(x, dim) + (index,)]
    return out


def roll(x: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    """Elements moved on by ``shifts`` along ``dims``; those pushed out enter at the front."""
    if dims is None or dims == ():
        shape = x.value.type.shape
        if len(_listed(shifts)) != 1:
            text = f"roll() by shifts {shifts} needs as many dims"
            raise ShapeError(message(user_location(), text))
        return reshape(roll(reshape(x, (-1,)), shifts, 0), shape) if shape else x.clone()
    moves, axes = _listed(shifts), _listed(dims)
    if len(moves) != len(axes):
        text = f"roll() by {len(moves)} shifts along {len(axes)} dimensions"
        raise ShapeError(message(user_location(), text))
    if x.value.type.numel == 0:
        return x.clone()
    has_dimensions(x, "roll")
    for shift, dim in zip(moves, axes, strict=True):
        axis = _axis(x, dim)
        (size,) = known_sizes((x.value.type.shape[axis],))
        at = -shift % size
        if at != 0:
            x = cat([cut(x, axis, at, None), cut(x, axis, 0, at)], axis)
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


def matrix_transpose(x: Tensor, name: str) -> Tensor:
    """What ``x.mT``, ``x.mH`` and ``x.H`` are."""
    rank = len(x.value.type.shape)
    if rank == 1 or (name == "H" and rank > 2):
        text = f"{name} takes matrices, not {describe(x)}"
        raise ShapeError(message(user_location(), text))
    return transpose(x, -2, -1)


def fliplr(x: Tensor) -> Tensor:
    """The order along axis 1 reversed."""
    return flip(x, 1)


def flipud(x: Tensor) -> Tensor:
    """The order along axis 0 reversed."""
    has_dimensions(x, "flipud")
    return flip(x, 0)


def rot90(x: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """Turned by ``k`` quarters in the plane of two axes, from the first towards the second."""
    rank = len(x.value.type.shape)
    if len(dims) != 2 or rank < 2 or axis_of(dims[0], rank) == axis_of(dims[1], rank):
        text = f"rot90({describe(x)}) turns in a plane of two axes, not {list(dims)}"
        raise ShapeError(message(user_location(), text))
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


def repeat_interleave(
    x: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Each element (slice of ``dim``) ``repeats`` times in a row; the flat tensor for None.

    ``repeats`` is a number or a vector, one count for each; inside ``jit`` a tensor needs
    ``output_size``, the sum of it. ``repeat_interleave(counts)`` gives the positions themselves.
    """
    if repeats is None:
        return _repeated_places(x, output_size)
    if dim is None:
        return repeat_interleave(reshape(x, (-1,)), repeats, 0, output_size=output_size)
    axis, shape = _axis(x, dim), x.value.type.shape
    if isinstance(repeats, TensorState) and (repeats.value.type.numel != 1 or modes.trace):
        counts: Any = repeats
        if counts.numel() == 1:
            counts = expand(reshape(counts, (1,)), shape[axis])
        if len(counts.shape) != 1 or counts.shape[0] != shape[axis]:
            text = f"repeat_interleave({describe(x)}): {describe(counts)} is not one count for each"
            raise ShapeError(message(user_location(), text))
        return index_select(x, axis, _repeated_places(counts, output_size))
    times = int(repeats)
    wide = expand(unsqueeze(x, axis + 1), *shape[: axis + 1], times, *shape[axis + 1 :])
    return reshape(wide, (*shape[:axis], shape[axis] * times, *shape[axis + 1 :])).clone()


def _repeated_places(counts: Tensor, total: int | None) -> Tensor:
    """Position ``i`` as often as ``counts[i]`` says: how many runs have ended up to each place."""
    if len(counts.value.type.shape) != 1 or counts.value.type.dtype.kind not in "iu":
        text = f"repeat_interleave() takes a vector of integers as counts, not {describe(counts)}"
        raise ShapeError(message(user_location(), text))
    if total is None and modes.trace is not None:
        text = f"repeat_interleave() by {describe(counts)} inside jit: the size depends on data"
        raise Unsupported(message(user_location(), text, "give output_size"))
    size = int(counts.sum()) if total is None else total
    ends = apply("cumsum", cast(counts, int64), axis=0, reverse=False)
    ones = scalar(counts, 1, int64, counts.value.type.shape)
    stops = apply("put_along", ones, ends, axis=0, extent=size + 1)
    return apply("cumsum", stops, axis=0, reverse=False)[:size]


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
    x = cut(x, rank - 1, min(max(offset, 0), x.shape[-1]), None)
    x = cut(x, rank - 2, min(max(-offset, 0), x.shape[-2]), None)
    size = min(x.shape[-2:])
    head = x.value.type.shape[:-2]
    square = cut(cut(x, rank - 1, 0, size), rank - 2, 0, size)
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


def diagflat(x: Tensor, offset: int = 0) -> Tensor:
    """All elements as the diagonal of a matrix, zeros beside it."""
    return diag_embed(ravel(x), offset)


def diag(x: Tensor, diagonal: int = 0) -> Tensor:
    """A vector as a matrix's diagonal, or a matrix's diagonal as a vector."""
    rank = len(x.value.type.shape)
    if rank not in {1, 2}:
        text = f"diag() takes a vector or a matrix, not {describe(x)}"
        raise ShapeError(message(user_location(), text))
    return diag_embed(x, diagonal) if rank == 1 else _diagonal(x, diagonal)


_diagonal = diagonal
swapaxes = swapdims = transpose
moveaxis = movedim
