"""A contraction's register tile in, the order of the loops around it out.

Each tile reads a panel of every operand, as long as the reduction. The order decides which panels
are still in the cache when they are needed again: the best one moves the fewest bytes into it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations
from math import ceil, prod

from codegen.index import Axis, axes_of
from codegen.lanes import length, step_along
from codegen.nest import LANES, Load, Reduce, walk

CACHE = 512 * 1024  # bytes that stay near one core
LINE = 64
MOST_AXES = 5  # that are worth trying in every order


def loop_order(
    core: Reduce,
    axes: Sequence[Axis],
    tile: Mapping[Axis, int],
    vector: Axis | None,
    turns: Sequence[Axis] = (),
) -> tuple[Axis, ...]:
    """``axes``, outermost first; as they are where no other order moves fewer bytes. ``turns``
    are axes that stand still."""
    given = tuple(axes)
    if not 1 < len(given) <= MOST_AXES:
        return given
    steps = {a: tile[a] * (LANES if a == vector else 1) for a in given} | dict.fromkeys(turns, 1)
    loads = list({e: None for e in walk([core.body]) if isinstance(e, Load)})
    best, least = given, 0.95 * _traffic(loads, given, steps)
    for order in permutations(given):
        moved = _traffic(loads, order, steps)
        if moved < least:
            best, least = order, moved
    return best


def _traffic(loads: Sequence[Load], order: Sequence[Axis], steps: Mapping[Axis, int]) -> float:
    """Bytes into the cache: what the innermost loops touch together stays, the rest is read again
    at every step of the loops around."""
    inside: Sequence[Axis] = ()
    for at in range(len(order) - 1, -1, -1):
        wider = order[at:]
        if sum(_footprint(load, wider, steps) for load in loads) > CACHE:
            break
        inside = wider
    around = order[: len(order) - len(inside)]
    total = 0.0
    for load in loads:
        moving = frozenset[Axis]().union(*(axes_of(part) for part in load.index))
        # the loop just around leaves alone what does not move along it
        at = len(around)
        while at and around[at - 1] not in moving:
            at -= 1
        near = around[at:]
        fits = _footprint(load, (*near, *inside), steps) <= CACHE // 2
        outer = around[:at] if fits else around
        times = prod(ceil(length(axis) / steps[axis]) for axis in outer)
        total += times * _footprint(load, inside, steps)
    return total


def _footprint(load: Load, whole: Sequence[Axis], steps: Mapping[Axis, int]) -> float:
    """Bytes of the load's buffer under one tile and all of the axes ``whole``, in cache lines."""
    moving = frozenset[Axis]().union(*(axes_of(part) for part in load.index))
    elements, run = 1.0, 1
    for axis in moving:
        count = steps[axis] if axis in steps and axis not in whole else length(axis)
        elements *= min(count, length(axis))
        if step_along(load, axis) == 1:
            run = max(run, min(count, length(axis)))
    size = load.dtype.itemsize
    return elements * size * max(1.0, LINE / (run * size))
