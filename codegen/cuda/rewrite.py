"""Expressions in, the same with other parts or over other axes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from codegen.index import Axis, Div, Dynamic, Index, Mod, add, floordiv, modulo, of_axis, scale
from codegen.nest import Apply, Expr, Guard, Load, Position, Reduce, Root, walk


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


def put(expr: Expr, stands: Mapping[Expr, Expr]) -> Expr:
    """``expr`` with others in the place of every part that equals a key of ``stands``."""
    return put_all([expr], stands)[0]


def put_all(exprs: Sequence[Expr], stands: Mapping[Expr, Expr]) -> list[Expr]:
    """``put`` for several that share parts: these stay shared."""
    found = {id(part): stands[part] for part in walk(exprs) if part in stands}
    memo: dict[int, Expr] = {}
    return [_replaced(expr, found, memo) for expr in exprs]


def renamed(expr: Expr, names: Mapping[Axis, Axis], memo: dict[int, Expr]) -> Expr:
    """``expr`` over other axes, those of its reductions included; one ``memo`` for all that share
    parts."""
    places = {old: of_axis(new) for old, new in names.items()}

    def go(part: Expr) -> Expr:
        if id(part) not in memo:
            made = _rebuilt(part, go, lambda index: _moved(index, places, go))
            if isinstance(made, Reduce):
                made = replace(made, axes=tuple(names.get(axis, axis) for axis in made.axes))
            memo[id(part)] = made
        return memo[id(part)]

    return go(expr)


def renamed_root(root: Root, names: Mapping[Axis, Axis], memo: dict[int, Expr]) -> Root:
    """``root`` over other axes."""
    place = renamed(Load(root.buffer, root.index), names, memo)
    assert isinstance(place, Load)
    within = tuple(names.get(axis, axis) for axis in root.within)
    return replace(root, index=place.index, value=renamed(root.value, names, memo), within=within)
