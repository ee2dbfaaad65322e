"""A kernel and its sizes in, the arithmetic it does and the bytes it must move out.

Arithmetic is counted once for every point that an expression depends on, where its guards hold: a
multiply-add counts two, any other op on floats one, whatever it costs the machine. Bytes are those
of a perfect cache: every element that is read comes in once, every element that is written goes
out once; the lanes that pad a buffer are nobody's elements.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from math import prod

import numpy as np
import numpy.typing as npt

from codegen.index import Axis, Div, Dynamic, Index, axes_of, dynamics_of
from codegen.nest import (
    Apply,
    Condition,
    Const,
    Expr,
    Guard,
    Load,
    Nest,
    Reduce,
    free_axes,
    identity_of,
)
from codegen.scatter import scatter_of
from ir.dims import evaluate
from ir.ops import OPS
from ir.types import F64, is_float

FREE = frozenset({"cast", "select"})  # moves or converts; no arithmetic
MOST_WAYS = 8  # guards under which one expression is followed; more count as none
MOST_POINTS = 1 << 20  # that are tried one by one to count where conditions hold

Conditions = frozenset[Condition]


@dataclass(frozen=True)
class Work:
    """What a launch does.

    ``flops`` of any float type, ``doubles`` of them in float64; ``bytes`` to and from memory;
    ``footprint``, the bytes it touches (what is read and written counts once); ``price``, all
    arithmetic in multiplications, as the op table prices it.
    """

    flops: int = 0
    bytes: int = 0
    footprint: int = 0
    doubles: int = 0
    price: float = 0.0


def work_of(nest: Nest, env: Mapping[str, int]) -> Work:
    """The work of one launch for the symbols' values in ``env``."""
    points, turns = _Points(nest, env), frozenset(nest.turns)  # it is all done at each of those
    flops = doubles = 0
    price = 0.0
    for expr, ways in points.ways:
        if isinstance(expr, Apply) and expr.op not in FREE:
            count = points.of(free_axes(expr, points.memo) | turns, ways)
            dtypes = {expr.dtype, *(arg.dtype for arg in expr.args)}
        elif isinstance(expr, Reduce):
            axes = free_axes(expr.body, points.memo) | set(expr.axes) | turns
            count = points.of(axes, [way | _added(expr) for way in ways])
            dtypes = {expr.body.dtype}
        else:
            continue
        price += count * price_of(expr)
        if any(is_float(dtype) for dtype in dtypes):
            flops += count
            doubles += count if F64 in dtypes else 0
    read, written = _read(points), _written(points, nest)
    touched = {b: max(read.get(b, 0), written.get(b, 0)) for b in {**read, **written}}
    moved = sum(read.values()) + sum(written.values())
    return Work(flops, moved, sum(touched.values()), doubles, price)


def _added(total: Reduce) -> Conditions:
    """Where a reduction has something to take in: a guard's fill that changes nothing is not."""
    body = total.body
    if not isinstance(body, Guard) or not isinstance(body.fill, Const):
        return frozenset()
    idle = body.fill.value == identity_of(total.kind, body.dtype)
    return frozenset(body.conditions) if idle else frozenset()


def price_of(expr: Apply | Reduce) -> float:
    """One point's arithmetic in multiplications."""
    if isinstance(expr, Reduce):
        return 1.0
    if expr.op == "muladd":
        return 2.0
    row = OPS.get("random_bits" if expr.op == "threefry" else expr.op)
    return 1.0 if row is None else row.cost


def _read(points: _Points) -> dict[object, int]:
    """Bytes read of each buffer: the elements that its loads reach, at most all of them."""
    read: dict[object, int] = {}
    for expr, ways in points.ways:
        if isinstance(expr, Load):
            reached = points.of(free_axes(expr, points.memo), ways) * expr.dtype.itemsize
            total = read.get(expr.buffer, 0) + reached
            read[expr.buffer] = min(total, points.size(expr))
    return read


def _written(points: _Points, nest: Nest) -> dict[object, int]:
    written: dict[object, int] = {}
    for root in nest.roots:
        place = Load(root.buffer, root.index)
        axes = frozenset[Axis]().union(*(axes_of(part) for part in root.index))
        total = written.get(root.buffer, 0) + points.every(axes) * root.buffer.dtype.itemsize
        written[root.buffer] = min(total, points.size(place))
    return written


class _Points:
    """Counts the points at which the expressions of one nest are computed."""

    def __init__(self, nest: Nest, env: Mapping[str, int]) -> None:
        self.env = env
        self.memo: dict[int, frozenset[Axis]] = {}
        self.ways = list(_ways(nest))
        pushed = scatter_of(nest)  # one addition a value, not a comparison for every place
        self._dropped = frozenset[Axis]() if pushed is None else frozenset({pushed.row})
        self._known: dict[tuple[frozenset[Axis], Conditions], int] = {}

    def of(self, axes: frozenset[Axis], ways: list[Conditions]) -> int:
        """Points of ``axes`` at which the conditions of some way hold."""
        axes = axes - self._dropped
        return min(self.every(axes), sum(self._where(axes, way) for way in ways))

    def every(self, axes: frozenset[Axis]) -> int:
        """All points of ``axes``."""
        return prod(evaluate(axis.extent, self.env) for axis in axes)

    def size(self, load: Load) -> int:
        """Bytes of the whole buffer, without padding."""
        sizes = (evaluate(size, self.env) for size in load.buffer.shape)
        return prod(sizes) * load.dtype.itemsize

    def _where(self, axes: frozenset[Axis], conditions: Conditions) -> int:
        key = (axes, conditions)
        if key not in self._known:
            left, total = axes, 1
            for group in _groups(conditions):
                around = frozenset[Axis]().union(*(axes_of(c.index) for c in group))
                if around & axes and self._countable(group, around):
                    total *= self._count(group, tuple(around), axes)
                    left -= around
            self._known[key] = total * self.every(left)
        return self._known[key]

    def _countable(self, group: list[Condition], axes: frozenset[Axis]) -> bool:
        return self.every(axes) <= MOST_POINTS and not any(dynamics_of(c.index) for c in group)

    def _count(
        self, group: list[Condition], around: tuple[Axis, ...], kept: frozenset[Axis]
    ) -> int:
        """Points of ``around`` and ``kept`` where every condition holds, all tried at once."""
        shape = [evaluate(axis.extent, self.env) for axis in around]
        places = dict(zip(around, np.ogrid[tuple(slice(n) for n in shape)], strict=True))
        holds = np.ones(shape, bool)
        for condition in group:
            value = self._value(condition.index, places)
            inside = (value >= 0) & (value < evaluate(condition.size, self.env))
            holds &= inside & (value % condition.divisor == 0)
        other = tuple(at for at, axis in enumerate(around) if axis not in kept)
        return int(holds.any(axis=other).sum()) if other else int(holds.sum())

    def _value(
        self, index: Index, places: Mapping[Axis, npt.NDArray[np.int64]]
    ) -> npt.NDArray[np.int64]:
        total = np.asarray(evaluate(index.offset, self.env))
        for atom, factor in index.terms:
            assert not isinstance(atom, Dynamic)
            if isinstance(atom, Axis):
                part = places[atom]
            else:
                inner = self._value(atom.inner, places)
                part = inner // atom.by if isinstance(atom, Div) else inner % atom.by
            total = total + part * evaluate(factor, self.env)
        return total


def _groups(conditions: Conditions) -> list[list[Condition]]:
    """The conditions, those that share axes together: groups are independent of one another."""
    groups: list[tuple[frozenset[Axis], list[Condition]]] = []
    for condition in conditions:
        near = [g for g in groups if g[0] & axes_of(condition.index)]
        axes = reduce(frozenset.union, (g[0] for g in near), axes_of(condition.index))
        members = [c for g in near for c in g[1]]
        groups = [g for g in groups if g not in near] + [(axes, [*members, condition])]
    return [members for _, members in groups]


def _ways(nest: Nest) -> Iterator[tuple[Expr, list[Conditions]]]:
    """Every expression with the guards above it, one set for each way that leads to it."""
    found: dict[int, tuple[Expr, list[Conditions]]] = {}
    stack: list[tuple[Expr, Conditions]] = [(root.value, frozenset()) for root in nest.roots]
    while stack:
        expr, way = stack.pop()
        _, ways = found.setdefault(id(expr), (expr, []))
        if len(ways) >= MOST_WAYS:
            way = frozenset()
        if any(known <= way for known in ways):
            continue
        ways[:] = [known for known in ways if not way <= known] + [way]
        inner = way | set(expr.conditions) if isinstance(expr, Guard) else way
        for at, arg in enumerate(expr.args):
            stack.append((arg, inner if at == 0 else way))
    yield from found.values()
