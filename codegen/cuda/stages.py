"""A nest with a long reduction over few points in, two nests that give many blocks work out.

The first stage reduces equal parts of one axis, each to a row of its own; the second reduces those
rows, always in the same order, and does all the rest. Both are nests like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from codegen.cuda.product import product_of, steps
from codegen.index import Axis, Div, Dynamic, Index, Mod, add, floordiv, modulo, of_axis, scale
from codegen.nest import (
    Apply,
    Buffer,
    Condition,
    Const,
    Expr,
    Guard,
    Load,
    Nest,
    Position,
    Reduce,
    Root,
    free_axes,
    identity_of,
    walk,
)

BLOCKS = 256  # that a kernel should have: some for each multiprocessor of a large device
TILE = 32  # rows and columns of a product that a block takes where there are few
POINTS = 32  # of another reduction that a block takes at a time
SHORTEST = 128  # elements of a sum of products in one part
LONG = 2048  # elements of another reduction that may go in parts
PART = 512  # elements of one of them


def in_stages(nest: Nest) -> list[Nest]:
    """The nest, or the two that do the same."""
    core = _long(nest)
    if core is None:
        return [nest]
    parts = _parts(nest, core)
    found = _cut(core, parts)
    if found is None:
        return [nest]
    axis, count = found
    return _two(nest, core, axis, count)


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
    return max(1, min(BLOCKS // max(blocks, 1), most))


def _cut(core: Reduce, parts: int) -> tuple[Axis, int] | None:
    """The axis to cut, and in how many pieces: as many as wanted, or nearly; whole if possible."""
    best: tuple[Axis, int] | None = None
    for axis in core.axes:
        size = steps([axis])
        for count in range(min(parts, size), 1, -1):
            if size % count == 0:
                if best is None or count > best[1]:
                    best = (axis, count)
                break
    if parts > 1 and (best is None or best[1] * 2 < parts):
        axis = max(core.axes, key=lambda a: steps([a]))
        size = steps([axis])
        length = -(-size // min(parts, size))
        ragged = -(-size // length)  # no part is empty
        if ragged > 1 and (best is None or ragged > best[1]):
            return axis, ragged
    return best


def _two(nest: Nest, core: Reduce, axis: Axis, count: int) -> list[Nest]:
    size = steps([axis])
    length = -(-size // count)
    part, step = Axis("part", count), Axis(f"{axis.name}_step", length)
    place = add(scale(of_axis(part), length), of_axis(step))
    body = substituted(core.body, {axis: place}, {})
    if length * count != size:
        zero = Const(identity_of(core.kind, core.body.dtype), core.body.dtype)
        body = _within(Condition(place, size), body, zero)
    axes = tuple(step if a == axis else a for a in core.axes)
    shape = (count, *(a.extent for a in nest.axes))
    partial = Buffer(f"{nest.name}_parts", core.dtype, shape)
    here = (of_axis(part), *(of_axis(a) for a in nest.axes))
    first = replace(
        nest,
        name=f"{nest.name}_parts",
        axes=(part, *nest.axes),
        roots=(Root(partial, here, Reduce(core.kind, axes, body, core.dtype)),),
        comment=f"{nest.comment}; first stage, {count} parts",
    )
    again = Axis("part", count)
    total = Reduce(core.kind, (again,), Load(partial, (of_axis(again), *here[1:])), core.dtype)
    roots = tuple(
        replace(root, value=_replaced(root.value, core, total, {})) for root in nest.roots
    )
    second = replace(
        nest, roots=roots, comment=f"{nest.comment}; second stage", rows=None, contracts=False
    )
    return [first, second]


def _within(condition: Condition, body: Expr, fill: Const) -> Expr:
    if isinstance(body, Guard) and isinstance(body.fill, Const) and body.fill == fill:
        return Guard((condition, *body.conditions), body.body, fill)
    return Guard((condition,), body, fill)


def _replaced(expr: Expr, old: Expr, new: Expr, memo: dict[int, Expr]) -> Expr:
    """``expr`` with ``new`` where ``old`` stands."""
    if expr is old:
        return new
    if id(expr) not in memo:

        def inside(part: Expr) -> Expr:
            return _replaced(part, old, new, memo)

        memo[id(expr)] = _rebuilt(expr, inside, lambda index: _moved(index, {}, inside))
    return memo[id(expr)]


def substituted(expr: Expr, places: Mapping[Axis, Index], memo: dict[int, Expr]) -> Expr:
    """``expr`` with other places for some axes."""
    if id(expr) not in memo:

        def inside(part: Expr) -> Expr:
            return substituted(part, places, memo)

        memo[id(expr)] = _rebuilt(expr, inside, lambda index: _moved(index, places, inside))
    return memo[id(expr)]


def _rebuilt(expr: Expr, go, move) -> Expr:  # type: ignore[no-untyped-def]
    """``expr`` over changed operands and indices."""
    match expr:
        case Load():
            return Load(expr.buffer, tuple(move(part) for part in expr.index))
        case Position():
            return Position(move(expr.index), expr.dtype)
        case Guard():
            conditions = tuple(replace(c, index=move(c.index)) for c in expr.conditions)
            return Guard(conditions, go(expr.body), go(expr.fill))
        case Apply():
            return Apply(expr.op, tuple(go(arg) for arg in expr.args), expr.dtype)
        case Reduce():
            return Reduce(expr.kind, expr.axes, go(expr.body), expr.dtype)
    return expr


def _moved(index: Index, places: Mapping[Axis, Index], go) -> Index:  # type: ignore[no-untyped-def]
    total = Index((), index.offset)
    for atom, factor in index.terms:
        match atom:
            case Axis():
                part = places.get(atom, of_axis(atom))
            case Div():
                part = floordiv(_moved(atom.inner, places, go), atom.by)
            case Mod():
                part = modulo(_moved(atom.inner, places, go), atom.by)
            case Dynamic():
                axes = frozenset(
                    axis
                    for old in atom.axes
                    for axis in ([a for a, _ in places[old].terms] if old in places else [old])
                    if isinstance(axis, Axis)
                )
                part = Index(((Dynamic(go(atom.value), axes, atom.extent), 1),))
        total = add(total, scale(part, factor))
    return total
