"""A contraction's operands in, its register tile out: how many points one body computes.

A tile is better the more often each loaded value is used, and must fit the registers: one
accumulator a point, the smaller operand held, the larger streaming past it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product as combinations
from math import ceil, prod

from codegen.index import Axis, axes_of
from codegen.nest import LANES, Load, Nest, Reduce, free_axes, walk

MOST_ROWS = 8  # that are reduced together
NEAR = 32 * 1024  # bytes of rows that stay in the first cache
RAGGED = 1.04  # the code of an axis' last tile costs compile time,
MATRIX = 3  # which multiplies with more axes than these
TILE_SIZES = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24)


@dataclass(frozen=True)
class Operand:
    """A load of the innermost body: the tiled axes it moves along, by their place."""

    axes: tuple[int, ...]
    repeat: int  # copies for the points of an enclosing small reduction
    lanes: bool  # a vector, not a scalar for all lanes


def register_tile(
    nest: Nest,
    core: Reduce,
    axes: Sequence[Axis],
    vector: Axis | None,
    fixed: Mapping[Axis, int],
    registers: int,
    repeat: int,
) -> dict[Axis, int]:
    """The best tile over ``axes`` for registers of sixteen lanes; ``fixed`` sizes are given."""
    memo: dict[int, frozenset[Axis]] = {}
    inside = free_axes(core, memo)
    pooled = frozenset(axis for axis in inside if axis not in (*nest.axes, *nest.turns))
    loads = dict.fromkeys(e for e in walk([core.body]) if isinstance(e, Load))
    operands = [_operand(load, axes, vector, pooled, repeat) for load in loads]
    room = registers * 4 // max(4, core.dtype.itemsize)
    best: tuple[float, tuple[int, ...]] = (float("inf"), tuple(1 for _ in axes))
    forced = repeat * prod(fixed.values())
    choices = [
        [fixed[axis]]
        if axis in fixed
        else (_sizes(axis, axis == vector, nest, registers) if axis in inside else [1])
        for axis in axes
    ]
    for sizes in combinations(*choices):
        count = repeat * prod(sizes)
        if count > room and count > forced:
            continue
        vectors = _count(operands, sizes, True)
        scalars = _count(operands, sizes, False)
        least = min((_count([one], sizes, True) for one in operands), default=0)
        kept = min(vectors, scalars) or least
        held = count + kept + 2
        if held > room and count > forced:
            continue
        cost = _cost(axes, sizes, count, vectors + 0.8 * scalars, vector)
        if cost < best[0]:
            best = (cost, sizes)
    return dict(zip(axes, best[1], strict=True))


def light_tile(axes: Sequence[Axis], vector: Axis | None) -> dict[Axis, int]:
    """Elementwise kernels: a few points of the innermost axis at once."""
    tile = dict.fromkeys(axes, 1)
    rest = [axis for axis in axes if axis != vector]
    if rest and isinstance(rest[-1].extent, int):
        extent = rest[-1].extent
        tile[rest[-1]] = max(size for size in (1, 2, 4) if extent % size == 0)
    return tile


def row_tile(
    nest: Nest, core: Reduce, axes: Sequence[Axis], vector: Axis | None
) -> dict[Axis, int]:
    """Reductions of rows: as many rows at once as keep the adders busy and stay in the cache, with
    what is stored along them."""
    tile = dict.fromkeys(axes, 1)
    row = core.dtype.itemsize * prod(a.extent for a in core.axes if isinstance(a.extent, int))
    stored = sum(bool(root.within) for root in nest.roots)
    most = min(MOST_ROWS, max(1 if stored else 2, NEAR // max(row * (1 + stored), 1)))
    for axis in reversed([axis for axis in axes if axis != vector]):
        if isinstance(axis.extent, int):
            sizes = [s for s in TILE_SIZES if s <= most]
            extent = axis.extent
            tile[axis] = max(sizes, key=lambda s: (extent % s == 0, s))
            return tile
    if vector is not None and vector in tile and isinstance(vector.extent, int):
        # sums down columns: whole cache lines side by side, and enough chains of additions
        steps = _steps(vector.extent, True)
        tile[vector] = max(size for size in (1, 2, 4) if size == 1 or steps >= 2 * size)
    return tile


def _operand(
    load: Load,
    axes: Sequence[Axis],
    vector: Axis | None,
    pooled: frozenset[Axis],
    repeat: int,
) -> Operand:
    touched = frozenset[Axis]().union(*(axes_of(part) for part in load.index))
    places = tuple(at for at, axis in enumerate(axes) if axis in touched)
    return Operand(places, repeat if pooled & touched else 1, vector in touched)


def _count(operands: Iterable[Operand], sizes: Sequence[int], lanes: bool) -> int:
    """Distinct vectors (or scalars) that one step of a tile reads."""
    total = 0
    for operand in operands:
        if operand.lanes == lanes:
            times = operand.repeat
            for at in operand.axes:
                times *= sizes[at]
            total += times
    return total


def _cost(
    axes: Sequence[Axis], sizes: Sequence[int], count: int, read: float, vector: Axis | None
) -> float:
    """Cycles per useful multiply-add of the innermost body, in rough units."""
    waste, ragged = 1.0, 0
    for axis, size in zip(axes, sizes, strict=True):
        if isinstance(axis.extent, int):
            whole = _steps(axis.extent, axis == vector)
            waste *= ceil(whole / size) * size / max(whole, 1)
            ragged += whole % size != 0
    ends = RAGGED**ragged if len(axes) > MATRIX else 1.0
    busy = max(count, read * 0.6) + 0.15 * read + 1.0
    short = 1.0 + 0.6 * max(0.0, (8 - count) / 8)  # too few chains to hide latency
    return busy / count * (1.0 + 0.3 * (waste - 1.0)) * short * ends


def _sizes(axis: Axis, is_vector: bool, nest: Nest, most: int) -> list[int]:
    for strip, step in nest.strips:
        if axis == strip:
            return [size for size in TILE_SIZES if step % size == 0]
    if not isinstance(axis.extent, int):
        return [1, 2] if is_vector and nest.batch == axis else [1]
    whole = _steps(axis.extent, is_vector)
    if is_vector and nest.batch == axis:
        half = max(1, whole // 2)  # leave a share of the blocks to another thread
        return [size for size in (1, 2, 4) if size <= min(half, most)]
    return [size for size in TILE_SIZES if size <= min(whole, most)] or [1]


def _steps(extent: int, is_vector: bool) -> int:
    return ceil(extent / LANES) if is_vector else extent
