"""Tensors, integer positions and new values in, tensors with those values in place out.

Where a position is named twice, the last value stays (PyTorch leaves that open) and the gradient
reaches all of them, as in PyTorch; or the values are added, multiplied or compared, as ``reduce``
says. Whether a value is the last one is found by
sorting the positions, so no op of the table needs an order of writing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from engine.arithmetic import add, eq, mul, ne
from engine.dispatch import apply, axis_of, cast, describe, expand_to, scalar
from engine.dtypes import int64
from engine.errors import DTypeError, ShapeError, message
from engine.gathering import check_places, merged, misfit, wrapped
from engine.locate import user_location
from engine.segments import combined, counts, unmoved
from engine.shaping import permute, reshape
from engine.state import TensorState
from ir.dims import Size, product
from ir.types import BOOL, is_float

if TYPE_CHECKING:
    from engine.tensor import Tensor

Change: TypeAlias = "Callable[[Tensor, int, Tensor, Tensor], Tensor]"

__all__ = [
    "index_add",
    "index_copy",
    "index_fill",
    "index_reduce",
    "put",
    "scatter",
    "scatter_add",
    "scatter_reduce",
]


def scatter(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Any = None,
    *,
    value: Any = None,
    reduce: str | None = None,
) -> Tensor:
    """``out[index[i][j]][j] = src[i][j]`` for dim 0; ``reduce``: None, "add" or "multiply".

    ``src`` (or ``value``) may be a number.
    """
    source = value if src is None else src
    if not isinstance(source, TensorState):
        source = scalar(input, source, input.value.type.dtype, index.value.type.shape)
    if reduce is None:
        return _scattered(input, dim, index, source, "scatter", _written_along)
    names = {"add": "sum", "multiply": "prod"}
    if reduce not in names:
        text = f"scatter(): reduce is 'add' or 'multiply', not {reduce!r}"
        raise ShapeError(message(user_location(), text))
    return scatter_reduce(input, dim, index, source, names[reduce])


def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """``input`` with ``src`` added at ``index`` along ``dim``; the reverse of ``gather``."""
    return scatter_reduce(input, dim, index, src, "sum")


def scatter_reduce(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Tensor,
    reduce: str,
    *,
    include_self: bool = True,
) -> Tensor:
    """``input`` with ``src`` taken in at ``index``: "sum", "prod", "mean", "amax" or "amin".

    Without ``include_self`` the places that are named forget what they held.
    """

    def take_in(x: Tensor, axis: int, at: Tensor, part: Tensor) -> Tensor:
        return combined(x, axis, at, part, reduce, include_self)

    return _scattered(input, dim, index, src, f"scatter_{reduce}", take_in)


def _scattered(
    input: Tensor, dim: int, index: Tensor, src: Tensor, op: str, change: Change
) -> Tensor:
    """``change`` on the part of ``input`` beside which there are indices."""
    axis = axis_of(dim, len(input.value.type.shape))
    if index.value.type.dtype.kind not in "iu" or index.value.type.dtype.itemsize < 4:
        text = f"{op}(): the index must be int64 or int32, not {describe(index)}"
        raise DTypeError(message(user_location(), text))
    _same_dtype(op, input, src)
    if any(size == 0 for size in index.value.type.shape):
        return input.clone()
    x, at, values = (_vector(t) for t in (input, index, src))
    shape, sizes, room = x.value.type.shape, at.value.type.shape, values.value.type.shape
    if not len(shape) == len(sizes) == len(room):
        raise misfit(op, input, index, "the numbers of dimensions differ")
    if _exceeds(sizes, room):
        raise misfit(op, src, index, "the index is larger than the values")
    cut = (*sizes[:axis], shape[axis], *sizes[axis + 1 :])
    if _exceeds(cut, shape):
        raise misfit(op, input, index, f"the index is larger beside dim {axis}")
    check_places(at, shape[axis], op, signed=False)
    out = change(_corner(x, cut), axis, at, _corner(values, sizes))
    return reshape(_pasted(x, out), input.value.type.shape)


def _exceeds(sizes: Sequence[Size], room: Sequence[Size]) -> bool:
    pairs = zip(sizes, room, strict=True)
    return any(isinstance(a, int) and isinstance(b, int) and a > b for a, b in pairs)


def _same_dtype(op: str, input: Tensor, src: Tensor) -> None:
    if input.value.type.dtype != src.value.type.dtype:
        text = f"{op}({describe(input)}, {describe(src)}): the dtypes must be equal"
        raise DTypeError(message(user_location(), text))


def _vector(x: Tensor) -> Tensor:
    return x if x.value.type.shape else reshape(x.clone(), (1,))


def _corner(x: Tensor, shape: Sequence[Size]) -> Tensor:
    """The first elements along every axis."""
    if x.value.type.shape == tuple(shape):
        return x
    part: Tensor = x[tuple(slice(0, size) for size in shape)]
    return part


def _pasted(x: Tensor, corner: Tensor) -> Tensor:
    """``x`` with its first elements along every axis replaced by ``corner``."""
    shape, own = x.value.type.shape, corner.value.type.shape
    if shape == own:
        return corner
    high = tuple(a - b for a, b in zip(shape, own, strict=True))
    none = (0,) * len(shape)
    inside = scalar(x, True, BOOL, own)
    inside = apply("pad", inside, low=none, high=high, interior=none, value=False)
    wide = apply("pad", corner, low=none, high=high, interior=none, value=0)
    return apply("select", inside, wide, x)


def _last(index: Tensor, axis: int, extent: Size) -> Tensor:
    """Whether each position is the last of its row that names its place.

    In stable order, the last of a place stands where the places up to it end.
    """
    order = apply("rank", index, axis=axis, descending=False)
    ends = apply("cumsum", counts(index, axis, extent), axis=axis, reverse=False)
    return eq(add(order, 1), apply("take_along", ends, index, axis=axis))


def _written_along(x: Tensor, axis: int, index: Tensor, src: Tensor) -> Tensor:
    dtype = x.value.type.dtype
    put = {"axis": axis, "extent": x.value.type.shape[axis]}
    last = _last(cast(index, int64), axis, put["extent"])
    kept = _last_only(last, src)
    placed = apply("put_along", _addable(kept), index, **put)
    covered = ne(apply("put_along", cast(last, int64), index, **put), 0)
    return apply("select", covered, cast(placed, dtype), x)


def _last_only(last: Tensor, values: Tensor) -> Tensor:
    """``values``, where it is not the last of its place 0; the gradient reaches all of them."""
    gone = scalar(values, 0, values.value.type.dtype, values.value.type.shape)
    return apply("select", last, values, unmoved(values) if values.requires_grad else gone)


def _addable(x: Tensor) -> Tensor:
    """Bools as integers, of which there are sums."""
    return cast(x, int64) if x.value.type.dtype == BOOL else x


def written(
    x: Tensor, positions: Sequence[tuple[int, Any]], source: Tensor, accumulate: bool = False
) -> Tensor:
    """``x`` with ``source`` (broadcast) at integer positions: (axis, array) pairs, as NumPy's."""
    rows, place, axis, order = merged(x, positions)
    shape, spots = rows.value.type.shape, place.value.type.shape
    values = expand_to(
        cast(source, x.value.type.dtype), (*shape[:axis], *spots, *shape[axis + 1 :])
    )
    if any(size == 0 for size in values.value.type.shape):
        return x.clone()
    flat = reshape(place, (product(spots),))
    values = reshape(values, (*shape[:axis], *flat.value.type.shape, *shape[axis + 1 :]))
    out = (_added if accumulate else _overwritten)(rows, axis, flat, values)
    before = x.value.type.shape
    out = reshape(out, tuple(before[a] for a in order))
    return permute(out, tuple(order.index(a) for a in range(len(order))))


def _added(rows: Tensor, axis: int, place: Tensor, values: Tensor) -> Tensor:
    dtype, extent = rows.value.type.dtype, rows.value.type.shape[axis]
    total = add(_addable(rows), apply("put_add", _addable(values), place, axis=axis, extent=extent))
    return cast(total, dtype)


def _overwritten(rows: Tensor, axis: int, place: Tensor, values: Tensor) -> Tensor:
    kind = rows.value.type
    extent = kind.shape[axis]
    last = _last(place, 0, extent)
    width = values.value.type.shape
    wide = apply("broadcast", last, shape=width, axes=(axis,))
    kept = _last_only(wide, values)
    placed = apply("put_add", _addable(kept), place, axis=axis, extent=extent)
    covered = ne(apply("put_add", cast(last, int64), place, axis=0, extent=extent), 0)
    covered = apply("broadcast", covered, shape=kind.shape, axes=(axis,))
    return apply("select", covered, cast(placed, kind.dtype), rows)


def _slices(input: Tensor, dim: int, index: Tensor, source: Tensor, op: str) -> tuple[Any, ...]:
    """Operands of the ``index_`` family, checked; what has no dimensions gets one."""
    axis = axis_of(dim, len(input.value.type.shape))
    if index.value.type.dtype.kind not in "iu" or len(index.value.type.shape) > 1:
        raise misfit(op, input, index, "the index must be a vector of integers")
    _same_dtype(op, input, source)
    x, at, values = (_vector(t) for t in (input, index, source))
    wanted = list(x.value.type.shape)
    wanted[axis] = at.value.type.shape[0]
    if values.value.type.shape != tuple(wanted):
        raise misfit(op, input, source, f"the source must be {wanted}")
    check_places(at, x.value.type.shape[axis], op, signed=False)
    return x, axis, cast(at, int64), values


def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1) -> Tensor:
    """``input`` with the slices of ``source`` added at ``index`` [n] along ``dim``."""
    x, axis, at, values = _slices(input, dim, index, source, "index_add")
    if not (isinstance(alpha, int) and alpha == 1):
        exact = values if is_float(x.value.type.dtype) else cast(values, int64)
        values = cast(mul(exact, alpha), x.value.type.dtype)
    out = written(x, [(axis, at)], values, accumulate=True)
    return reshape(out, input.value.type.shape)


def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """``input`` with its slices at ``index`` [n] along ``dim`` replaced by those of ``source``."""
    x, axis, at, values = _slices(input, dim, index, source, "index_copy")
    return reshape(written(x, [(axis, at)], values), input.value.type.shape)


def index_reduce(
    input: Tensor,
    dim: int,
    index: Tensor,
    source: Tensor,
    reduce: str,
    *,
    include_self: bool = True,
) -> Tensor:
    """As ``scatter_reduce`` with whole slices: "prod", "mean", "amax" or "amin"."""
    x, axis, at, values = _slices(input, dim, index, source, "index_reduce")
    if any(size == 0 for size in values.value.type.shape):
        return input.clone()
    wide = apply("broadcast", at, shape=values.value.type.shape, axes=(axis,))
    out = combined(x, axis, wide, values, reduce, include_self)
    return reshape(out, input.value.type.shape)


def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """``input`` with ``value`` in its slices at ``index`` [n] along ``dim``."""
    x, at = _vector(input), _vector(index)
    axis = axis_of(dim, len(x.value.type.shape))
    if isinstance(value, TensorState) and value.value.type.shape:
        text = f"index_fill() takes a number or a tensor without dimensions, not {value.value.type}"
        raise ShapeError(message(user_location(), text))
    kind = x.value.type
    if any(size == 0 for size in (*at.value.type.shape, *kind.shape)):
        return input.clone()
    place = wrapped(cast(at, int64), kind.shape[axis])
    named = counts(place, 0, kind.shape[axis]) > 0
    named = apply("broadcast", named, shape=kind.shape, axes=(axis,))
    filler: Any = value if isinstance(value, TensorState) else scalar(x, value, kind.dtype)
    filler = expand_to(cast(filler, kind.dtype), kind.shape)
    return reshape(apply("select", named, filler, x), input.value.type.shape)


def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """``input`` with ``source`` at places ``index`` of the flattened tensor."""
    if index.value.type.dtype.kind not in "iu":
        raise misfit("put", input, index, "the index must hold integers")
    _same_dtype("put", input, source)
    if index.value.type.numel != source.value.type.numel:
        raise misfit("put", index, source, "as many positions as values are needed")
    flat = reshape(input, (input.value.type.numel,))
    at, values = (reshape(t, (t.value.type.numel,)) for t in (index, source))
    if at.value.type.numel == 0:
        return input.clone()
    return reshape(written(flat, [(0, at)], values, accumulate), input.value.type.shape)
