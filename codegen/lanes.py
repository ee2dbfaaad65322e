"""A nest in, the axis whose sixteen neighbours fill the vector lanes out.

The batch axis where there is one; for a contraction the axis along which its operands lie in
rows; otherwise the axis that costs least, counting a vector load as one, a load lane by lane as
sixteen, and arithmetic that does not depend on the axis as scalar.
"""

from __future__ import annotations

from math import ceil, prod

from codegen.index import Axis, axes_of, dynamics_of, factor_of, linearise
from codegen.nest import (
    LANES,
    Apply,
    Const,
    Expr,
    Guard,
    Load,
    Nest,
    Reduce,
    Root,
    free_axes,
    walk,
)

GATHER = 1.5  # a load or a store of one lane, against one of a whole vector
SPREAD = 3.0  # the same where every lane lies in another cache line, and nothing turns vectors
SOME = 1.3  # the same where operands lie in rows: the estimate is rough
MUCH = 2.0  # the batch in the lanes, so that threads keep to their rows, may cost so much more
TILE = 6.0  # uses of an operand in a register tile
SCATTER = 1.1  # a store, against a load
ACROSS = 8.0  # adding up the lanes of one vector

Memo = dict[int, frozenset[Axis]]


def contiguous_axis(nest: Nest, load: Load) -> Axis | None:
    """The axis of the nest along which a row-major array would be read neighbour by neighbour."""
    place = linearise(load.index, load.buffer.shape)
    for axis in nest.axes:
        if factor_of(place, axis) == 1:
            return axis
    return None


def contraction_axis(nest: Nest) -> Axis | None:
    """Without a batch axis: the axis of a contraction along which operands lie in rows.

    Where results lie in rows along one of them too, it is that one: an optimizer's update that is
    fused reads and writes its state there. Otherwise the longest of those that are summed: what is
    read once a result would have to be stored across.
    """
    if nest.batch is not None:
        return None
    exprs = list(walk([root.value for root in nest.roots]))
    summed = [
        e for e in walk([e.body for e in exprs if isinstance(e, Reduce)]) if isinstance(e, Load)
    ]
    written = {contiguous_axis(nest, Load(root.buffer, root.index)) for root in nest.roots}
    found = [contiguous_axis(nest, load) for load in nest.loads]
    found = [a for a, load in zip(found, nest.loads, strict=True) if a in written or load in summed]
    long = [a for a in found if a is not None and length(a) >= LANES // 2]
    along = [axis for axis in long if axis in written and length(axis) >= 2 * LANES]
    return max(along or long, key=length, default=None)


def reads_across(nest: Nest, axis: Axis) -> bool:
    """Whether a sum reads an operand across ``axis``: lanes along it would load one by one."""
    bodies = [e.body for e in walk([root.value for root in nest.roots]) if isinstance(e, Reduce)]
    return any(isinstance(e, Load) and step_along(e, axis) == 2 for e in walk(bodies))


def length(axis: Axis) -> int:
    """The extent; a symbolic one is taken to be some vectors long."""
    return axis.extent if isinstance(axis.extent, int) else 4 * LANES


def vector_axis(nest: Nest, reduces: list[Reduce], places: bool = True) -> Axis | None:
    """The lanes' axis; None where every axis has one step. ``places``: whether the emitter finds
    the place of an extremum among lanes."""
    if nest.rows is not None or (nest.batch is not None and nest.contracts):
        return nest.batch or nest.rows
    if not places and any(r.kind.startswith("arg") for r in reduces):
        allowed: frozenset[Axis] = frozenset(nest.axes)
    else:
        allowed = frozenset(nest.axes) | {a for r in reduces for a in r.axes}
    costs = {
        axis: _cost(nest, axis)
        for axis in sorted(allowed, key=lambda a: a.name)
        if length(axis) >= 2 and (axis in nest.axes or all(axis in r.axes for r in reduces))
    }
    best = min(costs, key=lambda axis: costs[axis], default=None)
    if nest.batch in costs:
        across = bool(reduces) and any(step_along(load, nest.batch) == 2 for load in nest.loads)
        much = SOME if across else MUCH
        if costs[nest.batch] < much * costs[best or nest.batch]:
            return nest.batch
    return best


def _cost(nest: Nest, axis: Axis) -> float:
    """Steps of the machine with ``axis`` in the lanes."""
    memo: Memo = {}
    exprs = list(walk([root.value for root in nest.roots]))
    vectors = ceil(length(axis) / LANES) / length(axis)  # steps for one element, ragged ends too
    total = 0.0
    often: dict[int, float] = {}  # how often a reduction's body reads what it loads
    turns = _may_turn(exprs)
    for reduce in (e for e in exprs if isinstance(e, Reduce)):
        inside = _points(free_axes(reduce.body, memo) | frozenset(reduce.axes)) / TILE
        often.update((id(e), inside) for e in walk([reduce.body]) if isinstance(e, Load))
    for expr in exprs:
        if isinstance(expr, Load):
            points = max(_points(free_axes(expr, memo)), often.get(id(expr), 0.0))
            total += _access(expr, axis, points, vectors, _gather(expr, axis, turns))
        elif isinstance(expr, Apply | Reduce):
            around = free_axes(expr, memo)
            if isinstance(expr, Reduce):
                if axis in expr.axes:
                    total += ACROSS * _points(around)
                around |= frozenset(expr.axes)
            total += _points(around) * (vectors if axis in around else 1.0)
    for root in nest.roots:
        place = Load(root.buffer, root.index)
        gather = _gather(place, axis, turns)
        total += SCATTER * _access(place, axis, _points(nest.axes), vectors, gather)
    return total


def _gather(load: Load, axis: Axis, turns: bool) -> float:
    """The price of a load lane by lane."""
    if turns or load.buffer.batch is not None:
        return GATHER
    apart = factor_of(linearise(load.index, load.buffer.shape), axis)
    return SPREAD if isinstance(apart, int) and abs(apart) >= LANES else GATHER


def _access(load: Load, axis: Axis, points: float, vectors: float, gather: float) -> float:
    step = step_along(load, axis)
    return points * {0: 1.0, 1: vectors, 2: gather}[step]


def _points(axes: frozenset[Axis] | tuple[Axis, ...]) -> float:
    return float(prod(length(axis) for axis in axes))


def step_along(load: Load, axis: Axis) -> int:
    """0: the load does not move along the axis; 1: neighbours; 2: anything else."""
    batch = load.buffer.batch
    if batch is not None:
        near = factor_of(load.index[batch], axis)
        rest = [at for at in range(len(load.index)) if at != batch]
        if any(axis in axes_of(load.index[at]) for at in rest):
            return 2
        return 2 if near not in (0, 1) else int(near)
    place = linearise(load.index, load.buffer.shape)
    step = factor_of(place, axis)
    return 2 if step not in (0, 1) else int(step)


def turned_axis(nest: Nest, vector: Axis | None) -> Axis | None:
    """The axis of which a tile should take sixteen points so that loads can be turned."""
    if vector is None or not _may_turn(list(walk([root.value for root in nest.roots]))):
        return None
    for axis in nest.axes:
        long = isinstance(axis.extent, int) and axis.extent >= LANES and axis != vector
        if long and (turned_loads(nest, axis, vector) or turned_roots(nest, axis, vector)):
            return axis
    return None


def _may_turn(exprs: list[Expr]) -> bool:
    """Whether loads may be made for a whole tile at once: no sums, and no guards but rims."""
    return all(
        not isinstance(e, Reduce) and (not isinstance(e, Guard) or _is_rim(e)) for e in exprs
    )


def _is_rim(guard: Guard) -> bool:
    """Elements inside a rim of one number, as a padded array has."""
    plain = all(c.divisor == 1 and not dynamics_of(c.index) for c in guard.conditions)
    return plain and isinstance(guard.body, Load) and isinstance(guard.fill, Const)


def turned_loads(nest: Nest, axis: Axis, vector: Axis) -> list[tuple[Load, Guard | None]]:
    """The loads along ``axis`` that are worth turning, each with the rim that it lies in."""
    exprs = list(walk([root.value for root in nest.roots]))
    rims = [e for e in exprs if isinstance(e, Guard)]
    bare = [arg for e in exprs if not isinstance(e, Guard) for arg in e.args]
    bare += [root.value for root in nest.roots]
    plain = [e for e in nest.loads if any(e is arg for arg in bare)]
    found: list[tuple[Load, Guard | None]] = [
        (load, None) for load in plain if _is_turned(load, axis, vector)
    ]
    for rim in rims:
        load, asked = rim.body, [axes_of(c.index) for c in rim.conditions]
        if isinstance(load, Load) and not any(vector in axes for axes in asked):
            found += [(load, rim)] if _is_turned(load, axis, vector) else []
    return found


def turned_roots(nest: Nest, axis: Axis, vector: Axis) -> list[Root]:
    """The roots that are stored along ``axis``, from lanes across it."""
    places = {root: Load(root.buffer, root.index) for root in nest.roots}
    return [root for root, place in places.items() if _is_turned(place, axis, vector)]


def _is_turned(load: Load, axis: Axis, vector: Axis) -> bool:
    plain = load.buffer.batch is None and not load.args and load.dtype.itemsize == 4
    return plain and step_along(load, axis) == 1 and step_along(load, vector) == 2
