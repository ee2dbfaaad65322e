"""A nest with a long reduction over few points in, two nests that give many blocks work out.

The first stage reduces equal parts of one axis, each to a row of its own; the second reduces those
rows, always in the same order, and does all the rest. Both are nests like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod

from codegen.cuda.product import product_of, steps
from codegen.index import (
    Axis,
    Div,
    Dynamic,
    Index,
    Mod,
    add,
    delinearise,
    floordiv,
    modulo,
    of_axis,
    scale,
)
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


def replaced(expr: Expr, stands: Mapping[Expr, Expr]) -> Expr:
    """``expr`` with other expressions where some stand."""
    return _replaced(expr, {id(old): new for old, new in stands.items()}, {})


def _replaced(expr: Expr, stands: Mapping[int, Expr], memo: dict[int, Expr]) -> Expr:
    if id(expr) in stands:
        return stands[id(expr)]
    if id(expr) not in memo:

        def inside(part: Expr) -> Expr:
            return _replaced(part, stands, memo)

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
