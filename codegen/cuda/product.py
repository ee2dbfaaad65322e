"""A contraction's nest in, its two factors and what each axis is to them out.

A tile of a product needs of the nest: one sum of products whose left factor moves along some
axes of the points (rows), the right one along others (columns), both along some (batch), and both
along the axes of the sum. Which op made it (a matrix product, a convolution as a dot of windows, a
weight's gradient) makes no difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from codegen.index import Axis, axes_of, linearise
from codegen.lanes import length, step_along
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
    walk,
)
from ir.dims import evaluate, product

LARGEST_WINDOW = 16  # points of a pooling window that one thread takes in


@dataclass(frozen=True, eq=False)
class Factor:
    """One operand: its value where ``conditions`` hold, and zero elsewhere."""

    value: Expr
    conditions: tuple[Condition, ...]
    along_sum: bool  # whether its neighbours in memory lie along the sum's axes


@dataclass(frozen=True, eq=False)
class Product:
    """``core`` = the sum over ``inner`` of ``left * right`` at a point of the other axes."""

    core: Reduce
    left: Factor
    right: Factor
    batch: tuple[Axis, ...]
    rows: tuple[Axis, ...]  # the window's axes last
    columns: tuple[Axis, ...]
    inner: tuple[Axis, ...]
    window: tuple[Axis, ...]  # of a pooling that reduces the product's results in place

    @property
    def pool(self) -> int:
        """Points of the product in one point of the nest."""
        return steps(self.window)


def steps(axes: Sequence[Axis]) -> int:
    """The points of axes whose sizes are known."""
    return evaluate(product([axis.extent for axis in axes]), {})


def product_of(nest: Nest) -> Product | None:
    """The product that the nest computes; None where it has none of this form, or several."""
    memo: dict[int, frozenset[Axis]] = {}
    reduces = [e for e in walk([root.value for root in nest.roots]) if isinstance(e, Reduce)]
    cores = [r for r in reduces if _factors(r) is not None and not _holds(r)]
    if len(cores) != 1 or any(root.within for root in nest.roots):
        return None
    (core,) = cores
    others = [r for r in reduces if r is not core]
    window = _window(core, others, nest, memo)
    if window is None:
        return None
    return _sorted_axes(core, nest, window, memo)


def _holds(reduce: Reduce) -> bool:
    return any(isinstance(e, Reduce) for e in walk([reduce.body]))


def _factors(reduce: Reduce) -> tuple[Expr, Expr, tuple[Condition, ...]] | None:
    """The two factors of a sum of products, and where there is one."""
    if reduce.kind != "sum" or reduce.dtype.kind != "f":
        return None
    body, conditions = reduce.body, tuple[Condition, ...]()
    if isinstance(body, Guard):
        if not isinstance(body.fill, Const) or body.fill.value != 0:
            return None
        conditions, body = body.conditions, body.body
    if not isinstance(body, Apply) or body.op != "mul":
        return None
    return body.args[0], body.args[1], conditions


def _window(
    core: Reduce, others: list[Reduce], nest: Nest, memo: dict[int, frozenset[Axis]]
) -> tuple[Axis, ...] | None:
    """The axes of the one small window that is reduced over the core; None for anything else."""
    found: tuple[Axis, ...] = ()
    for other in others:
        if not any(e is core for e in walk([other.body])):
            return None  # a reduction beside the product
        axes = tuple(axis for axis in other.axes if axis.extent != 1)
        if found not in ((), axes) or not all(isinstance(a.extent, int) for a in axes):
            return None
        found = axes
    known = free_axes(core, memo)
    if not set(known) <= {*nest.axes, *found} or not set(found) <= known:
        return None
    return found if steps(found) <= LARGEST_WINDOW else None


def _sorted_axes(
    core: Reduce, nest: Nest, window: tuple[Axis, ...], memo: dict[int, frozenset[Axis]]
) -> Product | None:
    """Which factor moves along which axis; rows are those of the factor that has the window."""
    parts = _factors(core)
    assert parts is not None
    left, right, conditions = parts
    inner = tuple(axis for axis in core.axes if axis.extent != 1)
    a, b = free_axes(left, memo), free_axes(right, memo)
    if any(axis in b for axis in window):
        left, right, a, b = right, left, b, a
    points = (*nest.axes, *window)
    batch = tuple(x for x in points if x in a and x in b)
    rows = tuple(x for x in points if x in a and x not in b)
    columns = tuple(x for x in points if x not in a)  # repeated where neither moves
    if any(axis not in rows for axis in window):
        return None
    on_left, on_right = list[Condition](), list[Condition]()
    for condition in conditions:
        axes = axes_of(condition.index)
        if not axes & set(columns):
            on_left.append(condition)
        elif not axes & set(rows):
            on_right.append(condition)
        else:
            return None
    return Product(
        core,
        factor(left, on_left, rows, inner),
        factor(right, on_right, columns, inner),
        batch,
        rows,
        columns,
        inner,
        window,
    )


def factor(
    value: Expr, conditions: Sequence[Condition], points: tuple[Axis, ...], inner: tuple[Axis, ...]
) -> Factor:
    """One operand, by how its neighbours in memory lie."""
    loads = [e for e in walk([value]) if isinstance(e, Load) and e.buffer.shape]
    along = max((_run(load, inner) for load in loads), default=0)
    across = max((_run(load, points) for load in loads), default=0)
    return Factor(value, tuple(conditions), along > across)


def _run(load: Load, axes: tuple[Axis, ...]) -> int:
    """How many neighbours in memory one walk over ``axes`` reads one after the other."""
    if not axes or step_along(load, axes[-1]) != 1:
        return 0
    total, place = 1, linearise(load.index, load.buffer.shape)
    factors = dict(place.terms)
    for axis in reversed(axes):
        if factors.get(axis, 0) != total:
            break
        total *= length(axis)
    return total
