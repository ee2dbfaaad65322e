"""A scheduled nest in, how many units of work its threads share out, for any sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from codegen.nest import LANES
from codegen.schedule import Schedule
from codegen.vector.spans import spans
from ir.dims import Size, evaluate


@dataclass(frozen=True)
class Units:
    """``fixed`` times every open size, each in parts of so many; none where a size is zero."""

    fixed: int
    open: tuple[tuple[Size, int], ...] = ()
    zero: tuple[Size, ...] = ()  # open sizes that are cut into no parts

    def at(self, env: Mapping[str, int]) -> int:
        """The number for the symbols' values in ``env``."""
        total = self.fixed
        for size, part in self.open:
            total *= -(-evaluate(size, env) // part)
        return total if all(evaluate(size, env) for size in self.zero) else 0


def units_of(plan: Schedule) -> Units:
    """What the threads that run ``plan`` share."""
    if plan.scatter is not None:
        return _product([(plan.scatter.shared.extent, 1)])
    if plan.by_batch:
        assert plan.vector is not None
        return _product([(plan.vector.extent, LANES)], plan.strips)
    if plan.nest.turns:
        return _product([(axis.extent, 1) for axis in plan.nest.turns])
    sizes: list[tuple[Size, int]] = []
    for axis in plan.order:
        if isinstance(axis.extent, int):
            parts = spans(axis, plan.tile[axis], axis == plan.vector)
            sizes.append((sum(evaluate(span.count, {}) for span in parts), 1))
        else:
            sizes.append((axis.extent, LANES if axis == plan.vector else 1))
    rest = [axis.extent for axis in plan.nest.axes if axis not in plan.order]
    zero = tuple(size for size in rest if not isinstance(size, int))
    return _product(sizes, int(0 not in rest), zero)


def _product(sizes: list[tuple[Size, int]], fixed: int = 1, zero: tuple[Size, ...] = ()) -> Units:
    known = prod(-(-size // part) for size, part in sizes if isinstance(size, int))
    return Units(fixed * known, tuple(one for one in sizes if not isinstance(one[0], int)), zero)
