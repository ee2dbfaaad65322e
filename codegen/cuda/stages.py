"""A nest with a long reduction over few points in, two nests that give many blocks work out.

The first stage reduces equal parts of one axis, each to a row of its own; the second reduces those
rows, always in the same order, and does all the rest. Both are nests like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod

from codegen.cuda.product import product_of, steps
from codegen.cuda.rewrite import replaced, substituted
from codegen.index import Axis, Index, add, delinearise, of_axis, scale
from codegen.nest import (
    Buffer,
    Condition,
    Const,
    Expr,
    Guard,
    Load,
    Nest,
    Reduce,
    Root,
    free_axes,
    identity_of,
    walk,
)

BLOCKS = 256  # that a kernel should have: some for each multiprocessor of a large device
BUSY = 64  # blocks with which it goes as it is
TILE = 32  # rows and columns of a product that a block takes where there are few
POINTS = 32  # of another reduction that a block takes at a time
SHORTEST = 128  # elements of a sum of products in one part
LONG = 2048  # elements of another reduction that may go in parts
PART = 256  # elements of one of them


def in_stages(nest: Nest) -> list[Nest]:
    """The nest, or the two that do the same."""
    core = _long(nest)
    if core is None:
        return [nest]
    cuts = _cuts(core, _parts(nest, core))
    return _two(nest, core, cuts) if cuts else [nest]


def _long(nest: Nest) -> Reduce | None:
    """The only reduction of the nest, where it is over whole sizes and holds no other."""
    values = [root.value for root in nest.roots]
    reduces = [e for e in walk(values) if isinstance(e, Reduce)]
    if len(reduces) != 1 or any(root.within for root in nest.roots):
        return None
    (core,) = reduces
    memo: dict[int, frozenset[Axis]] = {}
    sizes = [axis.extent for axis in (*core.axes, *nest.axes)]
    whole = all(isinstance(size, int) for size in sizes) and 0 not in sizes
    if core.kind not in ("sum", "prod", "max", "min") or not whole:
        return None
    return core if free_axes(core, memo) <= set(nest.axes) else None


def _parts(nest: Nest, core: Reduce) -> int:
    """How many parts would give every multiprocessor work; 1 where they have some already."""
    size = steps(core.axes)
    product = product_of(nest)
    if product is None:
        blocks = -(-steps(nest.axes) // POINTS)
        most = size // PART if size >= LONG else 1
    else:
        rows, columns = steps(product.rows), steps(product.columns)
        blocks = steps(product.batch) * -(-rows // TILE) * -(-columns // TILE)
        most = size // SHORTEST
    return max(1, min(BLOCKS // blocks, most)) if blocks <= BUSY else 1


def _cuts(core: Reduce, parts: int) -> dict[Axis, int]:
    """Axes to cut, and in how many pieces: as many as wanted, or nearly; equal ones if possible."""
    found: dict[Axis, int] = {}
    left = parts
    for axis in core.axes:
        size = steps([axis])
        count = max(n for n in range(1, min(left, size) + 1) if size % n == 0)
        if count > 1:
            found[axis] = count
        left //= count
    if parts > 1 and left * 2 > parts:
        axis = max(core.axes, key=lambda a: steps([a]))
        size = steps([axis])
        length = -(-size // min(parts, size))
        ragged = -(-size // length)  # no part is empty
        return {axis: ragged} if ragged > 1 else {}
    return found


def _two(nest: Nest, core: Reduce, cuts: Mapping[Axis, int]) -> list[Nest]:
    count = prod(cuts.values())
    part = Axis("part", count)
    pieces = dict(zip(cuts, delinearise(of_axis(part), tuple(cuts.values())), strict=True))
    places: dict[Axis, Index] = {}
    shorter: dict[Axis, Axis] = {}
    ragged: list[Condition] = []
    for axis, pieces_of in cuts.items():
        size = steps([axis])
        length = -(-size // pieces_of)
        shorter[axis] = Axis(f"{axis.name}_step", length)
        places[axis] = add(scale(pieces[axis], length), of_axis(shorter[axis]))
        if length * pieces_of != size:
            ragged.append(Condition(places[axis], size))
    body = substituted(core.body, places, {})
    idle = Const(identity_of(core.kind, core.body.dtype), core.body.dtype)
    for condition in ragged:
        body = _within(condition, body, idle)
    axes = tuple(shorter.get(axis, axis) for axis in core.axes)
    partial = Buffer(f"{nest.name}.parts", core.dtype, (count, *(a.extent for a in nest.axes)))
    here = tuple(of_axis(axis) for axis in nest.axes)
    first = replace(
        nest,
        name=f"{nest.name}_parts",
        axes=(part, *nest.axes),
        roots=(Root(partial, (of_axis(part), *here), Reduce(core.kind, axes, body, core.dtype)),),
        comment=f"{nest.comment}; first stage, {count} parts",
    )
    total = Reduce(core.kind, (part,), Load(partial, (of_axis(part), *here)), core.dtype)
    roots = tuple(replace(root, value=replaced(root.value, {core: total})) for root in nest.roots)
    comment = f"{nest.comment}; second stage"
    return [first, replace(nest, roots=roots, comment=comment, rows=None, contracts=False)]


def _within(condition: Condition, body: Expr, fill: Const) -> Expr:
    if isinstance(body, Guard) and isinstance(body.fill, Const) and body.fill == fill:
        return Guard((condition, *body.conditions), body.body, fill)
    return Guard((condition,), body, fill)
