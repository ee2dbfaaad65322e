"""Values and integer positions in, the values at those positions (or sums over them) out.

Positions outside are clipped to the nearest end, so that no program can read or write memory that
is not its own; the layers above check positions where they can see them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ir.errors import broken, wrong_dtype
from ir.table import Array, Case, Op
from ir.types import I64, TensorType, is_float, is_half, short


def _integers(t: TensorType) -> None:
    if t.dtype.kind not in "iu":
        raise wrong_dtype(f"positions are integers, not {short(t.dtype)}")


def _infer_take(types: Sequence[TensorType], attrs: dict[str, Any]) -> TensorType:
    x, index, axis = types[0], types[1], attrs["axis"]
    _integers(index)
    if not 0 <= axis < x.rank:
        raise broken(f"axis {axis} is no axis of {list(x.shape)}")
    if x.shape[axis] == 0:
        raise broken(f"axis {axis} of {list(x.shape)} has nothing to take from")
    return x.with_shape((*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]))


def _take(x: Array, index: Array, axis: int) -> Array:
    return np.take(x, index, axis=axis, mode="clip")


def _vjp_take(m: Any, n: Any, g: Any) -> Sequence[Any]:
    axis = n.attrs["axis"]
    return m.put_add(g, n.inputs[1], axis, n.inputs[0].shape[axis]), None


def _infer_put_add(types: Sequence[TensorType], attrs: dict[str, Any]) -> TensorType:
    x, index, axis = types[0], types[1], attrs["axis"]
    _integers(index)
    if x.shape[axis : axis + index.rank] != index.shape:
        raise broken(f"positions {list(index.shape)} do not match axes {axis}.. of {list(x.shape)}")
    return x.with_shape((*x.shape[:axis], attrs["extent"], *x.shape[axis + index.rank :]))


def _put_add(x: Array, index: Array, axis: int, extent: int) -> Array:
    shape = (*x.shape[:axis], extent, *x.shape[axis + index.ndim :])
    out = np.zeros(shape, x.dtype)
    rows = x.reshape((*x.shape[:axis], index.size, *x.shape[axis + index.ndim :]))
    where = np.clip(index.reshape(-1), 0, extent - 1)
    place: Any = (*(slice(None) for _ in range(axis)), where)
    np.add.at(out, place, rows)
    return out


def _vjp_put_add(m: Any, n: Any, g: Any) -> Sequence[Any]:
    return m.take(g, n.inputs[1], n.attrs["axis"]), None


def _infer_take_along(types: Sequence[TensorType], attrs: dict[str, Any]) -> TensorType:
    x, index, axis = types[0], types[1], attrs["axis"]
    _integers(index)
    rest = [size for at, size in enumerate(x.shape) if at != axis]
    if index.rank != x.rank or rest != [s for at, s in enumerate(index.shape) if at != axis]:
        raise broken(
            f"positions {list(index.shape)} differ from {list(x.shape)} beside axis {axis}"
        )
    if x.shape[axis] == 0:
        raise broken(f"axis {axis} of {list(x.shape)} has nothing to take from")
    return x.with_shape(index.shape)


def _take_along(x: Array, index: Array, axis: int) -> Array:
    return np.take_along_axis(x, np.clip(index, 0, x.shape[axis] - 1), axis)


def _vjp_take_along(m: Any, n: Any, g: Any) -> Sequence[Any]:
    axis = n.attrs["axis"]
    return m.put_along(g, n.inputs[1], axis, n.inputs[0].shape[axis]), None


def _infer_put_along(types: Sequence[TensorType], attrs: dict[str, Any]) -> TensorType:
    x, index, axis = types[0], types[1], attrs["axis"]
    _integers(index)
    if x.shape != index.shape:
        raise broken(f"shapes differ: {list(x.shape)} and {list(index.shape)}")
    return x.with_shape((*x.shape[:axis], attrs["extent"], *x.shape[axis + 1 :]))


def _put_along(x: Array, index: Array, axis: int, extent: int) -> Array:
    out = np.zeros((*x.shape[:axis], extent, *x.shape[axis + 1 :]), x.dtype)
    place: list[Any] = list(np.indices(x.shape, sparse=True))
    place[axis] = np.clip(index, 0, extent - 1)
    np.add.at(out, tuple(place), x)
    return out


def _vjp_put_along(m: Any, n: Any, g: Any) -> Sequence[Any]:
    return m.take_along(g, n.inputs[1], n.attrs["axis"]), None


def _infer_cumsum(types: Sequence[TensorType], attrs: dict[str, Any]) -> TensorType:
    if types[0].dtype.kind not in "fiu" or is_half(types[0].dtype):
        raise wrong_dtype(f"takes numbers, not {short(types[0].dtype)}")
    if not 0 <= attrs["axis"] < types[0].rank:
        raise broken(f"axis {attrs['axis']} is no axis of {list(types[0].shape)}")
    return types[0]


def _cumsum(x: Array, axis: int, reverse: bool) -> Array:
    """Of each element and all before it, or all after it."""
    if reverse:
        return np.flip(np.cumsum(np.flip(x, axis), axis=axis, dtype=x.dtype), axis)
    return np.cumsum(x, axis=axis, dtype=x.dtype)


def _vjp_cumsum(m: Any, n: Any, g: Any) -> Sequence[Any]:
    return (m.cumsum(g, n.attrs["axis"], not n.attrs["reverse"]),)


def _infer_rank(types: Sequence[TensorType], attrs: dict[str, Any]) -> TensorType:
    if not 0 <= attrs["axis"] < types[0].rank:
        raise broken(f"axis {attrs['axis']} is no axis of {list(types[0].shape)}")
    return types[0].with_dtype(I64)


def _rank(x: Array, axis: int, descending: bool) -> Array:
    """The place of each element in stable order along ``axis``; NaN counts as the largest."""
    wide = x.astype(np.int64) if x.dtype.kind in "bu" else x
    key = np.flip(wide, axis) if descending else wide
    order = np.argsort(key, axis=axis, kind="stable")
    places = np.empty(x.shape, np.int64)
    steps = np.arange(x.shape[axis]).reshape([-1 if a == axis else 1 for a in range(x.ndim)])
    np.put_along_axis(places, order, np.broadcast_to(steps, x.shape), axis)
    return x.shape[axis] - 1 - np.flip(places, axis) if descending else places


def _float_only(rule: Any) -> Any:
    """A derivative rule for float operands; integers carry none."""

    def vjp(m: Any, n: Any, g: Any) -> Sequence[Any]:
        return rule(m, n, g) if is_float(n.dtype) else [None] * len(n.inputs)

    return vjp


ROWS: tuple[Op, ...] = (
    Op(
        "take",
        "indexing",
        2,
        _infer_take,
        _take,
        _float_only(_vjp_take),
        cases=(
            Case(((5, 3), (4,)), {"axis": 0}, ("f32", "i64"), 0, 4.9),
            Case(((2, 6, 18), (3, 2)), {"axis": 1}, ("f32", "i32"), -1, 6.9),
            Case(((7,), ()), {"axis": 0}, ("f32", "i64"), 0, 6.9),
        ),
    ),
    Op(
        "put_add",
        "indexing",
        2,
        _infer_put_add,
        _put_add,
        _float_only(_vjp_put_add),
        cases=(
            Case(((4, 3), (4,)), {"axis": 0, "extent": 5}, ("f32", "i64"), 0, 4.9),
            Case(((2, 3, 2, 18), (3, 2)), {"axis": 1, "extent": 6}, ("f32", "i32"), -1, 6.9),
        ),
    ),
    Op(
        "take_along",
        "indexing",
        2,
        _infer_take_along,
        _take_along,
        _float_only(_vjp_take_along),
        cases=(
            Case(((4, 6), (4, 2)), {"axis": 1}, ("f32", "i64"), -1, 6.9),
            Case(((3, 18), (5, 18)), {"axis": 0}, ("f32", "i32"), 0, 2.9),
        ),
    ),
    Op(
        "put_along",
        "indexing",
        2,
        _infer_put_along,
        _put_along,
        _float_only(_vjp_put_along),
        cases=(
            Case(((4, 2), (4, 2)), {"axis": 1, "extent": 6}, ("f32", "i64"), -1, 6.9),
            Case(((5, 18), (5, 18)), {"axis": 0, "extent": 3}, ("f32", "i32"), 0, 2.9),
        ),
    ),
    Op(
        "rank",
        "indexing",
        1,
        _infer_rank,
        _rank,
        cases=(
            Case(((3, 7),), {"axis": 1, "descending": False}),
            Case(((6, 20),), {"axis": 0, "descending": True}, ("i64",)),
        ),
    ),
    Op(
        "cumsum",
        "indexing",
        1,
        _infer_cumsum,
        _cumsum,
        _float_only(_vjp_cumsum),
        cases=(
            Case(((3, 7),), {"axis": 1, "reverse": False}),
            Case(((5, 20),), {"axis": 0, "reverse": True}),
            Case(((9,),), {"axis": 0, "reverse": False}, ("i64",)),
        ),
    ),
)
