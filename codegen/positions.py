"""An indexing op and an element in, its expression out: places that are themselves computed.

Adding up at computed places asks, for every place, which values are meant for it: more comparisons
than a scatter, but no two threads ever write one place, and the order of the sum is fixed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from codegen.index import Dynamic, Index, of_axis
from codegen.nest import (
    Apply,
    Const,
    Expr,
    Position,
    Reduce,
    SizeValue,
    free_axes,
)
from ir.dims import Size
from ir.graph import Node
from ir.types import BOOL, I64

if TYPE_CHECKING:
    from codegen.lower import Lowering

At = tuple[Index, ...]


def take(low: Lowering, node: Node, at: At) -> Expr:
    x, index = node.inputs
    axis = node.attrs["axis"]
    rank, extent = index.type.rank, x.shape[axis]
    value = _clipped(low.element(index, at[axis : axis + rank]), extent)
    place = Index(((Dynamic(value, free_axes(value, {}), extent), 1),))
    return low.element(x, (*at[:axis], place, *at[axis + rank :]))


def _clipped(position: Expr, extent: Size) -> Expr:
    """A position moved to the nearest end where it lies outside."""
    wide = position if position.dtype == I64 else Apply("cast", (position,), I64)
    above = Apply("maximum", (wide, Const(0, I64)), I64)
    last: Expr = (
        Const(extent - 1, I64)
        if isinstance(extent, int)
        else Apply("sub", (SizeValue(extent, I64), Const(1, I64)), I64)
    )
    return Apply("minimum", (above, last), I64)


def put_add(low: Lowering, node: Node, at: At) -> Expr:
    x, index = node.inputs
    axis, extent = node.attrs["axis"], node.attrs["extent"]
    opened = tuple(low.axis(size) for size in index.shape)
    inner = tuple(of_axis(a) for a in opened)
    value = low.element(x, (*at[:axis], *inner, *at[axis + 1 :]))
    meant = _clipped(low.element(index, inner), extent)
    here = Apply("eq", (meant, Position(at[axis], I64)), BOOL)
    chosen = Apply("select", (here, value, Const(0, node.dtype)), node.dtype)
    return Reduce("sum", opened, chosen, node.dtype) if opened else chosen


def take_along(low: Lowering, node: Node, at: At) -> Expr:
    x, index = node.inputs
    axis = node.attrs["axis"]
    extent = x.shape[axis]
    value = _clipped(low.element(index, at), extent)
    place = Index(((Dynamic(value, free_axes(value, {}), extent), 1),))
    return low.element(x, (*at[:axis], place, *at[axis + 1 :]))


def put_along(low: Lowering, node: Node, at: At) -> Expr:
    x, index = node.inputs
    axis = node.attrs["axis"]
    opened = low.axis(x.shape[axis])
    source = (*at[:axis], of_axis(opened), *at[axis + 1 :])
    meant = _clipped(low.element(index, source), node.attrs["extent"])
    here = Apply("eq", (meant, Position(at[axis], I64)), BOOL)
    value = low.element(x, source)
    chosen = Apply("select", (here, value, Const(0, node.dtype)), node.dtype)
    return Reduce("sum", (opened,), chosen, node.dtype)


def rank(low: Lowering, node: Node, at: At) -> Expr:
    """How many elements come before this one in sorted order."""
    x, axis = node.inputs[0], node.attrs["axis"]
    opened = low.axis(x.shape[axis])
    there = of_axis(opened)
    mine, other = low.element(x, at), low.element(x, (*at[:axis], there, *at[axis + 1 :]))
    earlier = Apply("lt", (Position(there, I64), Position(at[axis], I64)), BOOL)
    first, last = (mine, other) if node.attrs["descending"] else (other, mine)
    before = Apply("lt", (first, last), BOOL)
    same = Apply("eq", (other, mine), BOOL)
    if x.dtype.kind == "f":  # NaN is larger than everything
        nan = [Apply("ne", (v, v), BOOL) for v in (first, last)]
        number = Apply("not", (nan[0],), BOOL)
        before = Apply("or", (before, Apply("and", (nan[1], number), BOOL)), BOOL)
        same = Apply("or", (same, Apply("and", (nan[0], nan[1]), BOOL)), BOOL)
    counted = Apply("or", (before, Apply("and", (same, earlier), BOOL)), BOOL)
    return Reduce("sum", (opened,), Apply("cast", (counted,), I64), I64)
