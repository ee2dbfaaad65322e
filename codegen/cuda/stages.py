"""A nest with long reductions over few points in, two nests that give many blocks work out.

The first stage reduces equal parts of the same axes, each to a row of its own; the second reduces
those rows, always in the same order, and does all the rest. Both are nests like any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod

from codegen.cuda.product import product_of, steps
from codegen.cuda.rewrite import put_all, substituted
from codegen.cuda.tile import FEWEST
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
TILES = 1024  # of TILE x TILE results that a product should have, and as it is at least an eighth
TILE = 32
WORTH = 256  # elements of a sum of products that may go in parts
SHORTEST = 48  # of one of them
MOST = 64  # parts of a product: each is written and read once more
POINTS = 32  # of another reduction that a block takes at a time
LONG = 2048  # elements of another reduction that may go in parts
PART = 256  # elements of one of them


def in_stages(nest: Nest) -> list[Nest]:
    """The nest, or the two that do the same."""
    cores = _long(nest)
    if not cores:
        return [nest]
    cuts = _cuts(cores[0], _parts(nest, cores))
    return _two(nest, cores, cuts) if cuts else [nest]


def _long(nest: Nest) -> list[Reduce]:
    """All reductions of the nest, where they go over the same whole sizes and none holds another;
    none otherwise."""
    values = [root.value for root in nest.roots]
    cores = list(dict.fromkeys(e for e in walk(values) if isinstance(e, Reduce)))
    if not cores or any(root.within for root in nest.roots):
        return []
    memo: dict[int, frozenset[Axis]] = {}
    sizes = [axis.extent for axis in (*cores[0].axes, *nest.axes)]
    whole = all(isinstance(size, int) for size in sizes) and 0 not in sizes
    for core in cores:
        plain = core.kind in ("sum", "prod", "max", "min") and core.axes == cores[0].axes
        inner = any(isinstance(e, Reduce) for e in walk([core.body]))
        if not plain or inner or not free_axes(core, memo) <= set(nest.axes):
            return []
    return cores if whole else []


def _parts(nest: Nest, cores: Sequence[Reduce]) -> int:
    """How many parts would give every multiprocessor work; 1 where they have some already."""
    size = steps(cores[0].axes)
    product = product_of(nest) if len(cores) == 1 else None
    if product is None or min(steps(product.rows), steps(product.columns)) < FEWEST:
        blocks = -(-steps(nest.axes) // POINTS)
        most = size // PART if size >= LONG else 1
        return max(1, min(BLOCKS // blocks, most)) if blocks <= BUSY else 1
    rows, columns = steps(product.rows), steps(product.columns)
    tiles = steps(product.batch) * -(-rows // TILE) * -(-columns // TILE)
    if size < WORTH or tiles > TILES // 8:
        return 1
    return max(1, min(TILES // tiles, size // SHORTEST, MOST))


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


def _two(nest: Nest, cores: Sequence[Reduce], cuts: Mapping[Axis, int]) -> list[Nest]:
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
    axes = tuple(shorter.get(axis, axis) for axis in cores[0].axes)
    here = tuple(of_axis(axis) for axis in nest.axes)
    memo: dict[int, Expr] = {}
    roots: list[Root] = []
    totals: dict[Expr, Expr] = {}
    for at, core in enumerate(cores):
        body = substituted(core.body, places, memo)
        idle = Const(identity_of(core.kind, core.body.dtype), core.body.dtype)
        for condition in ragged:
            body = _within(condition, body, idle)
        name = f"{nest.name}.parts{at or ''}"
        partial = Buffer(name, core.dtype, (count, *(a.extent for a in nest.axes)))
        place = (of_axis(part), *here)
        roots.append(Root(partial, place, Reduce(core.kind, axes, body, core.dtype)))
        totals[core] = Reduce(core.kind, (part,), Load(partial, place), core.dtype)
    first = replace(
        nest,
        name=f"{nest.name}_parts",
        axes=(part, *nest.axes),
        roots=tuple(roots),
        comment=f"{nest.comment}; first stage, {count} parts",
    )
    values = put_all([root.value for root in nest.roots], totals)
    whole = [replace(root, value=value) for root, value in zip(nest.roots, values, strict=True)]
    comment = f"{nest.comment}; second stage"
    return [first, replace(nest, roots=tuple(whole), comment=comment, rows=None, contracts=False)]


def _within(condition: Condition, body: Expr, fill: Const) -> Expr:
    if isinstance(body, Guard) and isinstance(body.fill, Const) and body.fill == fill:
        return Guard((condition, *body.conditions), body.body, fill)
    return Guard((condition,), body, fill)
