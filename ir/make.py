"""Nodes and attributes in, one checked node out: a function per op, and the few that combine them.

Scalars beside a node become constants of its type. These are the functions that derivative rules
and the layers above build graphs with; shapes are never broadcast silently.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from ir.dims import Size, product
from ir.graph import Location, Node, build as _build
from ir.ops import OPS
from ir.table import computes
from ir.types import F32, I64, DType, TensorType, is_half, number_of

Operand: TypeAlias = Node | float | int | bool


def apply(name: str, /, *inputs: Node, loc: Location | None = None, **attrs: Any) -> Node:
    """The op called ``name`` on ``inputs``; what is stored in half is computed in float32."""
    op = OPS[name]
    half = next((node.dtype for node in inputs if is_half(node.dtype)), None)
    if half is None or not computes(op):
        return _build(op, inputs, attrs, loc)
    out = _build(op, [cast(x, F32) if is_half(x.dtype) else x for x in inputs], attrs, loc)
    return cast(out, half) if out.dtype == F32 else out


def input_node(type_: TensorType, name: str, loc: Location | None = None) -> Node:
    """A graph input."""
    return apply("input", loc=loc, dtype=type_.dtype, shape=type_.shape, name=name)


def constant(value: float, dtype: DType) -> Node:
    """A scalar constant."""
    return apply("constant", value=number_of(value, dtype), dtype=dtype)


def full(value: float, dtype: DType, shape: Sequence[Size]) -> Node:
    """A constant repeated to ``shape``."""
    scalar = constant(value, dtype)
    return broadcast(scalar, tuple(shape), ()) if shape else scalar


def full_like(like: Node, value: float) -> Node:
    """``value`` with the type of ``like``."""
    return full(value, like.dtype, like.shape)


def _elementwise(name: str, *operands: Operand) -> Node:
    like = next(x for x in operands if isinstance(x, Node))
    return apply(name, *(x if isinstance(x, Node) else full_like(like, x) for x in operands))


def neg(x: Node) -> Node:
    return apply("neg", x)


def sign(x: Node) -> Node:
    return apply("sign", x)


def exp(x: Node) -> Node:
    return apply("exp", x)


def log(x: Node) -> Node:
    return apply("log", x)


def sin(x: Node) -> Node:
    return apply("sin", x)


def cos(x: Node) -> Node:
    return apply("cos", x)


def add(a: Operand, b: Operand) -> Node:
    return _elementwise("add", a, b)


def sub(a: Operand, b: Operand) -> Node:
    return _elementwise("sub", a, b)


def mul(a: Operand, b: Operand) -> Node:
    return _elementwise("mul", a, b)


def div(a: Operand, b: Operand) -> Node:
    return _elementwise("div", a, b)


def pow(a: Operand, b: Operand) -> Node:
    return _elementwise("pow", a, b)


def eq(a: Operand, b: Operand) -> Node:
    return _elementwise("eq", a, b)


def lt(a: Operand, b: Operand) -> Node:
    return _elementwise("lt", a, b)


def gt(a: Operand, b: Operand) -> Node:
    return _elementwise("gt", a, b)


def select(condition: Node, a: Node, b: Node) -> Node:
    return apply("select", condition, a, b)


def cast(x: Node, dtype: DType) -> Node:
    return x if x.dtype == dtype else apply("cast", x, dtype=dtype)


def reshape(x: Node, shape: Sequence[Size]) -> Node:
    return x if x.shape == tuple(shape) else apply("reshape", x, shape=tuple(shape))


def transpose(x: Node, perm: Sequence[int]) -> Node:
    return x if list(perm) == list(range(len(perm))) else apply("transpose", x, perm=tuple(perm))


def broadcast(x: Node, shape: Sequence[Size], axes: Sequence[int]) -> Node:
    if x.shape == tuple(shape):
        return x
    return apply("broadcast", x, shape=tuple(shape), axes=tuple(axes))


def slice(x: Node, start: Sequence[int], stop: Sequence[Size], step: Sequence[int]) -> Node:
    if x.shape == tuple(stop) and not any(start) and all(s == 1 for s in step):
        return x
    return apply("slice", x, start=tuple(start), stop=tuple(stop), step=tuple(step))


def pad(
    x: Node,
    low: Sequence[int],
    high: Sequence[int],
    interior: Sequence[int] | None = None,
    value: float = 0.0,
) -> Node:
    interior = tuple(interior or (0,) * x.type.rank)
    if not any((*low, *high, *interior)):
        return x
    return apply("pad", x, low=tuple(low), high=tuple(high), interior=interior, value=value)


def flip(x: Node, axes: Sequence[int]) -> Node:
    return apply("flip", x, axes=tuple(axes))


def concatenate(xs: Sequence[Node], axis: int) -> Node:
    return xs[0] if len(xs) == 1 else apply("concatenate", *xs, axis=axis)


def window(
    x: Node,
    axes: Sequence[int],
    size: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
) -> Node:
    return apply(
        "window",
        x,
        axes=tuple(axes),
        size=tuple(size),
        stride=tuple(stride),
        dilation=tuple(dilation),
    )


def fold(
    x: Node,
    axes: Sequence[int],
    size: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    extent: Sequence[int],
) -> Node:
    return apply(
        "fold",
        x,
        axes=tuple(axes),
        size=tuple(size),
        stride=tuple(stride),
        dilation=tuple(dilation),
        extent=tuple(extent),
    )


def sum(x: Node, axes: Sequence[int]) -> Node:
    return apply("sum", x, axes=tuple(axes)) if axes else x


def max(x: Node, axes: Sequence[int]) -> Node:
    return apply("max", x, axes=tuple(axes)) if axes else x


def argmax(x: Node, axes: Sequence[int], dtype: DType = I64) -> Node:
    return apply("argmax", x, axes=tuple(axes), dtype=dtype)


def argmin(x: Node, axes: Sequence[int], dtype: DType = I64) -> Node:
    return apply("argmin", x, axes=tuple(axes), dtype=dtype)


def dot(
    a: Node,
    b: Node,
    contract: tuple[Sequence[int], Sequence[int]],
    batch: tuple[Sequence[int], Sequence[int]] = ((), ()),
) -> Node:
    return apply(
        "dot",
        a,
        b,
        contract=(tuple(contract[0]), tuple(contract[1])),
        batch=(tuple(batch[0]), tuple(batch[1])),
    )


def mix(x: Node, axis: int, rows: Sequence[Sequence[float]]) -> Node:
    return apply("mix", x, axis=axis, rows=tuple(tuple(row) for row in rows))


def iota(shape: Sequence[Size], axis: int, dtype: DType) -> Node:
    return apply("iota", shape=tuple(shape), axis=axis, dtype=dtype)


def size(value: Size, dtype: DType) -> Node:
    """A (symbolic) size as a scalar value."""
    if isinstance(value, int):
        return constant(value, dtype)
    return apply("size", size=value, dtype=dtype)


def flat_index(shape: Sequence[Size], axes: Sequence[int], dtype: DType) -> Node:
    """For each element its position within ``axes``, flattened in their order."""
    total: Node | None = None
    for at, axis in enumerate(axes):
        step = product(shape[a] for a in axes[at + 1 :])
        term = iota(shape, axis, dtype)
        if step != 1:
            term = mul(term, broadcast(size(step, dtype), tuple(shape), ()))
        total = term if total is None else add(total, term)
    return total if total is not None else full(0, dtype, shape)


def random_bits(key: Node, shape: Sequence[Size]) -> Node:
    return apply("random_bits", key, shape=tuple(shape))


def take(x: Node, index: Node, axis: int) -> Node:
    return apply("take", x, index, axis=axis)


def put_add(x: Node, index: Node, axis: int, extent: Size) -> Node:
    return apply("put_add", x, index, axis=axis, extent=extent)


def cumsum(x: Node, axis: int, reverse: bool = False) -> Node:
    return apply("cumsum", x, axis=axis, reverse=reverse)


def take_along(x: Node, index: Node, axis: int) -> Node:
    return apply("take_along", x, index, axis=axis)


def put_along(x: Node, index: Node, axis: int, extent: Size) -> Node:
    return apply("put_along", x, index, axis=axis, extent=extent)


def argsort(x: Node, axis: int, descending: bool, start: Size, stop: Size) -> Node:
    return apply("argsort", x, axis=axis, descending=descending, start=start, stop=stop)


def rank(x: Node, axis: int, descending: bool = False) -> Node:
    return apply("rank", x, axis=axis, descending=descending)
