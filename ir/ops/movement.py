"""Elements in, the same elements at other places out: shapes change, values do not.

``window`` is the affine view that convolution and pooling are written with (ADR 1): the window's
own dimensions come last. ``fold`` is its transpose: it adds each window back to where it was
read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ir.dims import Size
from ir.errors import broken, wrong_dtype
from ir.table import Array, Case, Op
from ir.types import TensorType, is_float


def _infer_reshape(types: Sequence[TensorType], attrs: dict[str, Any]) -> TensorType:
    out = types[0].with_shape(attrs["shape"])
    if out.numel != types[0].numel:
        raise broken(
            f"{types[0].numel} elements do not fill shape {list(out.shape)}",
            "the product of the sizes must stay the same",
        )
    return out


def _infer_transpose(types: Sequence[TensorType], attrs: dict[str, Any]) -> TensorType:
    perm = attrs["perm"]
    if sorted(perm) != list(range(types[0].rank)):
        raise broken(f"{tuple(perm)} is not an order of {types[0].rank} axes")
    return types[0].with_shape(types[0].shape[axis] for axis in perm)


def _vjp_transpose(m: Any, n: Any, g: Any) -> Sequence[Any]:
    perm = n.attrs["perm"]
    return (m.transpose(g, tuple(perm.index(axis) for axis in range(len(perm)))),)


def _infer_broadcast(types: Sequence[TensorType], attrs: dict[str, Any]) -> TensorType:
    shape, axes = attrs["shape"], attrs["axes"]
    if len(axes) != types[0].rank or list(axes) != sorted(set(axes)):
        raise broken(f"axes {tuple(axes)} must be increasing, one per operand dimension")
    for size, axis in zip(types[0].shape, axes, strict=True):
        if size not in (1, shape[axis]):
            raise broken(f"size {size} does not broadcast to {shape[axis]} (axis {axis})")
    return types[0].with_shape(shape)


def _broadcast(x: Array, shape: Sequence[int], axes: Sequence[int]) -> Array:
    spread = [1] * len(shape)
    for size, axis in zip(x.shape, axes, strict=True):
        spread[axis] = size
    return np.broadcast_to(x.reshape(spread), tuple(shape))


def _vjp_broadcast(m: Any, n: Any, g: Any) -> Sequence[Any]:
    source, axes = n.inputs[0].type, n.attrs["axes"]
    kept = {a for a, size in zip(axes, source.shape, strict=True) if size == n.shape[a]}
    total = m.sum(g, tuple(a for a in range(n.type.rank) if a not in kept))
    return (m.reshape(total, source.shape),)


def _infer_slice(types: Sequence[TensorType], attrs: dict[str, Any]) -> TensorType:
    start, stop, step = attrs["start"], attrs["stop"], attrs["step"]
    shape: list[Size] = []
    for size, a, b, s in zip(types[0].shape, start, stop, step, strict=True):
        if (a, b, s) == (0, size, 1):
            shape.append(size)
            continue
        if not isinstance(b, int) or not isinstance(size, int) or not 0 <= a <= b <= size:
            raise broken(f"slice {a}:{b} does not lie within size {size}")
        shape.append(-(-(b - a) // s))
    return types[0].with_shape(shape)


def _slice(x: Array, start: Sequence[int], stop: Sequence[int], step: Sequence[int]) -> Array:
    return x[tuple(slice(a, b, s) for a, b, s in zip(start, stop, step, strict=True))]


def _vjp_slice(m: Any, n: Any, g: Any) -> Sequence[Any]:
    source = n.inputs[0].shape
    low, high, inner = [], [], []
    for size, out, a, s in zip(source, n.shape, n.attrs["start"], n.attrs["step"], strict=True):
        low.append(a)
        inner.append(s - 1)
        high.append(size - a - ((out - 1) * s + 1) if out != 0 else size - a)
    return (m.pad(g, tuple(low), tuple(high), tuple(inner)),)


def _infer_pad(types: Sequence[TensorType], attrs: dict[str, Any]) -> TensorType:
    shape: list[Size] = []
    for size, a, b, i in zip(
        types[0].shape, attrs["low"], attrs["high"], attrs["interior"], strict=True
    ):
        if isinstance(a, int) and isinstance(b, int) and (a < 0 or b < 0 or i < 0):
            raise broken(f"padding {a}, {b}, {i} is negative")
        inner = size if i == 0 else (size + (size - 1) * i if size != 0 else 0)
        shape.append(inner + a + b)
    return types[0].with_shape(shape)


def _pad(
    x: Array, low: Sequence[int], high: Sequence[int], interior: Sequence[int], value: float
) -> Array:
    sizes = [
        a + b + (s + (s - 1) * i if s else 0)
        for s, a, b, i in zip(x.shape, low, high, interior, strict=True)
    ]
    out = np.full(sizes, value, x.dtype)
    out[
        tuple(
            slice(a, a + (s - 1) * (i + 1) + 1 if s else a, i + 1)
            for s, a, i in zip(x.shape, low, interior, strict=True)
        )
    ] = x
    return out


def _vjp_pad(m: Any, n: Any, g: Any) -> Sequence[Any]:
    source, start = n.inputs[0].shape, n.attrs["low"]
    step = tuple(i + 1 for i in n.attrs["interior"])
    stop = tuple(
        a + size if s == 1 else a + (size - 1) * s + 1
        for a, size, s in zip(start, source, step, strict=True)
    )
    return (m.slice(g, start, stop, step),)


def _infer_concatenate(types: Sequence[TensorType], attrs: dict[str, Any]) -> TensorType:
    axis, first = attrs["axis"], types[0]
    total: Size = 0
    for other in types:
        if other.dtype != first.dtype:
            raise wrong_dtype("dtypes differ")
        rest = [s for a, s in enumerate(other.shape) if a != axis]
        if rest != [s for a, s in enumerate(first.shape) if a != axis]:
            raise broken(f"shapes differ outside axis {axis}")
        total = total + other.shape[axis]
    return first.with_shape((*first.shape[:axis], total, *first.shape[axis + 1 :]))


def _vjp_concatenate(m: Any, n: Any, g: Any) -> Sequence[Any]:
    axis, at, parts = n.attrs["axis"], 0, []
    for source in n.inputs:
        start = tuple(at if a == axis else 0 for a in range(g.type.rank))
        stop = tuple(
            at + source.shape[axis] if a == axis else size for a, size in enumerate(g.shape)
        )
        parts.append(m.slice(g, start, stop, (1,) * g.type.rank))
        at += source.shape[axis]
    return parts


def _infer_window(types: Sequence[TensorType], attrs: dict[str, Any]) -> TensorType:
    shape = list(types[0].shape)
    for axis, size, stride, dilation in zip(
        attrs["axes"], attrs["size"], attrs["stride"], attrs["dilation"], strict=True
    ):
        span, extent = (size - 1) * dilation + 1, shape[axis]
        if not isinstance(extent, int):
            raise broken(f"axis {axis} of symbolic size {extent} cannot be windowed")
        if span > extent:
            raise broken(f"a window of {span} does not fit into size {extent} (axis {axis})")
        shape[axis] = (extent - span) // stride + 1
    return types[0].with_shape((*shape, *attrs["size"]))


def _window(
    x: Array,
    axes: Sequence[int],
    size: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
) -> Array:
    shape, strides = list(x.shape), list(x.strides)
    for axis, k, s, d in zip(axes, size, stride, dilation, strict=True):
        shape[axis] = (shape[axis] - (k - 1) * d - 1) // s + 1
        strides[axis] = x.strides[axis] * s
    inner = [x.strides[axis] * d for axis, d in zip(axes, dilation, strict=True)]
    return as_strided(x, (*shape, *size), (*strides, *inner), writeable=False)


def _vjp_window(m: Any, n: Any, g: Any) -> Sequence[Any]:
    extent = tuple(n.inputs[0].shape[axis] for axis in n.attrs["axes"])
    return (m.fold(g, extent=extent, **n.attrs),)


def _infer_fold(types: Sequence[TensorType], attrs: dict[str, Any]) -> TensorType:
    axes = attrs["axes"]
    if not is_float(types[0].dtype):
        raise wrong_dtype("takes float operands")
    shape = list(types[0].shape[: types[0].rank - len(axes)])
    for axis, extent in zip(axes, attrs["extent"], strict=True):
        shape[axis] = extent
    return types[0].with_shape(shape)


def _fold(
    x: Array,
    axes: Sequence[int],
    size: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    extent: Sequence[int],
) -> Array:
    shape = list(x.shape[: x.ndim - len(axes)])
    for axis, length in zip(axes, extent, strict=True):
        shape[axis] = length
    out = np.zeros(shape, x.dtype)
    for offset in np.ndindex(*size):
        at: list[slice] = [slice(None)] * len(shape)
        for axis, o, s, d in zip(axes, offset, stride, dilation, strict=True):
            at[axis] = slice(o * d, o * d + (x.shape[axis] - 1) * s + 1, s)
        out[tuple(at)] += x[(..., *offset)]
    return out


def _vjp_fold(m: Any, n: Any, g: Any) -> Sequence[Any]:
    attrs = {name: value for name, value in n.attrs.items() if name != "extent"}
    return (m.window(g, **attrs),)


def _infer_flip(types: Sequence[TensorType], attrs: dict[str, Any]) -> TensorType:
    return types[0]


def _flip(x: Array, axes: Sequence[int]) -> Array:
    return np.asarray(np.flip(x, tuple(axes)))


_CONV = {"axes": (2, 3), "size": (3, 2), "stride": (1, 1), "dilation": (1, 1)}
_POOL = {"axes": (2, 3), "size": (2, 2), "stride": (2, 2), "dilation": (1, 1)}
_WIDE = {"axes": (1,), "size": (3,), "stride": (2,), "dilation": (2,)}


def _movement(name: str, arity: int | None, infer: Any, run: Any, vjp: Any, *cases: Case) -> Op:
    return Op(name, "movement", arity, infer, run, vjp, "", 0.0, cases)


ROWS: tuple[Op, ...] = (
    _movement(
        "reshape",
        1,
        _infer_reshape,
        lambda x, shape: x.reshape(tuple(shape)),
        lambda m, n, g: (m.reshape(g, n.inputs[0].shape),),
        Case(((4, 6),), {"shape": (2, 12)}),
        Case(((4, 3, 5),), {"shape": (4, 15)}),
        Case(((24,),), {"shape": (2, 3, 4)}),
    ),
    _movement(
        "transpose",
        1,
        _infer_transpose,
        lambda x, perm: x.transpose(perm),
        _vjp_transpose,
        Case(((4, 6),), {"perm": (1, 0)}),
        Case(((2, 3, 17),), {"perm": (2, 0, 1)}),
    ),
    _movement(
        "broadcast",
        1,
        _infer_broadcast,
        _broadcast,
        _vjp_broadcast,
        Case(((5,),), {"shape": (3, 5), "axes": (1,)}),
        Case(((3, 1),), {"shape": (3, 17), "axes": (0, 1)}),
        Case(((),), {"shape": (2, 3), "axes": ()}),
    ),
    _movement(
        "slice",
        1,
        _infer_slice,
        _slice,
        _vjp_slice,
        Case(((4, 9),), {"start": (1, 2), "stop": (3, 9), "step": (1, 3)}),
    ),
    _movement(
        "pad",
        1,
        _infer_pad,
        _pad,
        _vjp_pad,
        Case(((3, 4),), {"low": (1, 0), "high": (2, 3), "interior": (0, 0), "value": 0.0}),
        Case(((3, 4),), {"low": (1, 0), "high": (2, 3), "interior": (0, 2), "value": 1.5}),
    ),
    _movement(
        "flip",
        1,
        _infer_flip,
        _flip,
        lambda m, n, g: (m.flip(g, n.attrs["axes"]),),
        Case(((3, 18),), {"axes": (1,)}),
    ),
    _movement(
        "concatenate",
        None,
        _infer_concatenate,
        lambda *xs, axis: np.concatenate(xs, axis),
        _vjp_concatenate,
        Case(((3, 4), (3, 2)), {"axis": 1}),
        Case(((1, 4), (3, 4), (2, 4)), {"axis": 0}),
    ),
    _movement(
        "window",
        1,
        _infer_window,
        _window,
        _vjp_window,
        Case(((2, 3, 6, 7),), _CONV),
        Case(((2, 3, 5, 7),), _POOL),
        Case(((3, 12),), _WIDE),
    ),
    _movement(
        "fold",
        1,
        _infer_fold,
        _fold,
        _vjp_fold,
        Case(((2, 3, 4, 6, 3, 2),), {**_CONV, "extent": (6, 7)}),
        Case(((2, 3, 2, 3, 2, 2),), {**_POOL, "extent": (5, 7)}),
        Case(((3, 4, 3),), {**_WIDE, "extent": (12,)}),
    ),
)
