"""A nest in, the decisions about its loops out: vector axis, register tile, loop order, sharing.

The vector axis gives the sixteen lanes. The register tile repeats the innermost body over a few
points so that each value loaded is used several times: its size comes from the target's vector
registers. Threads share either batch blocks (kernels that keep to their own rows then need no
barrier between them) or all tiles of the kernel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from codegen.index import Axis, axes_of
from codegen.lanes import length, step_along, turned_axis, vector_axis
from codegen.nest import LANES, Apply, Guard, Load, Nest, Reduce, free_axes, walk
from codegen.scatter import Scatter, scatter_of
from codegen.tile import light_tile, register_tile, row_tile
from codegen.traffic import loop_order

UNROLL_LIMIT = 7  # a reduction axis up to this long is unrolled (a convolution's kernel width)
MOST_POINTS = 24  # of a register tile that covers whole axes
MATRIX_AXES = 2  # of a product of matrices: no windows, whose patches decide about the order
MOST_MIXED = 9  # rows of a small matrix that are computed together
MUCH = 1 << 18  # points of a kernel that are worth a barrier around it


@dataclass(frozen=True)
class Schedule:
    """How one nest becomes loops."""

    nest: Nest
    vector: Axis | None
    tile: Mapping[Axis, int]
    order: tuple[Axis, ...]
    unroll: frozenset[Axis]
    by_batch: bool
    turned: Axis | None = None  # sixteen neighbours along it are loaded and turned in registers
    scatter: Scatter | None = None  # add values where they belong, instead of asking every place

    @property
    def reduces_lanes(self) -> bool:
        """Whether the lanes are added up at the end instead of stored side by side."""
        return self.vector is not None and self.vector not in self.nest.axes

    @property
    def strips(self) -> int:
        """Into how many strips that follow one another a unit of work is cut."""
        if self.nest.turns:
            return self.nest.chained
        counts = [int(axis.extent) // step for axis, step in self.nest.strips]  # type: ignore[arg-type]
        return prod(counts)

    def describe(self) -> str:
        """One line for people."""
        if self.scatter is not None:
            lanes = "none" if self.vector is None else str(self.vector)
            return f"lanes {lanes}; adds each value to its row; threads share rows"
        tile = " x ".join(f"{axis}:{size}" for axis, size in self.tile.items() if size > 1)
        share = "batch blocks" if self.by_batch else "tiles"
        if self.nest.strips:
            share += f" in strips of {' x '.join(f'{a}:{step}' for a, step in self.nest.strips)}"
        if self.nest.turns:
            share = f"strips of one {' x '.join(map(str, self.nest.turns))}"
        lanes = "none" if self.vector is None else str(self.vector)
        return f"lanes {lanes}; register tile {tile or 'one point'}; threads share {share}"


def schedule(nest: Nest, registers: int = 32, own: bool = False) -> Schedule:
    """Choose the loops of ``nest`` for a target with so many vector registers.

    ``own``: whether the emitter pushes sums to computed places, turns vectors in registers, and
    finds the place of an extremum among lanes.
    """
    scatter = scatter_of(nest) if own else None
    if scatter is not None:
        return _scattered(nest, scatter)
    memo: dict[int, frozenset[Axis]] = {}
    reduces = [e for e in walk([r.value for r in nest.roots]) if isinstance(e, Reduce)]
    vector = vector_axis(nest, reduces, own)
    unroll = _unrolled(reduces, vector, memo)
    axes = [axis for axis in nest.axes if axis.extent != 1]
    core = _core(reduces, memo)
    along = vector is not None and vector == nest.batch
    by_batch = along and not (own and _one_block(nest, core))
    fixed = _full_tiles(nest, core, unroll, vector)
    repeat = _outer_points(reduces, core, memo)
    turned = turned_axis(nest, vector) if own else None
    if turned is not None:
        tile = {**dict.fromkeys(axes, 1), turned: LANES}
    elif core is None:
        whole = _whole_axes(nest, axes, vector)
        tile = light_tile(axes, vector) if whole is None else whole
    elif nest.contracts or fixed or repeat > 1:
        tile = register_tile(nest, core, axes, vector, fixed, registers, repeat)
    else:
        tile = row_tile(nest, core, axes, vector)
    if core is None or (along and (len(axes) > MATRIX_AXES or nest.strips)):
        order = _order(nest, axes, vector, core, memo)
    else:
        order = loop_order(core, axes, tile, vector, nest.turns)
    if nest.strips and not (by_batch and all(step % tile[axis] == 0 for axis, step in nest.strips)):
        raise AssertionError(f"{nest.name} is computed in strips that its tiles do not fit into")
    return Schedule(nest, vector, tile, order, unroll, by_batch, turned=turned)


def _one_block(nest: Nest, core: Reduce | None) -> bool:
    """Whether the batch is one block, which one thread would compute, and much work for it."""
    if nest.batch is None or not isinstance(nest.batch.extent, int) or nest.strips or nest.turns:
        return False
    points = prod(length(axis) for axis in (*nest.axes, *(core.axes if core else ())))
    return nest.batch.extent <= LANES and points >= MUCH


def _scattered(nest: Nest, scatter: Scatter) -> Schedule:
    """Lanes over neighbours in a row, where one place is meant for all of them."""
    free = [axis for axis in nest.axes if axis != scatter.row and axis not in scatter.outer]
    root = Load(nest.roots[0].buffer, nest.roots[0].index)
    near = [axis for axis in free if step_along(root, axis) == 1]
    vector = max(near, key=length, default=None)
    ones = dict.fromkeys(nest.axes, 1)
    return Schedule(nest, vector, ones, nest.axes, frozenset(), False, scatter=scatter)


def _unrolled(
    reduces: list[Reduce], vector: Axis | None, memo: dict[int, frozenset[Axis]]
) -> frozenset[Axis]:
    """The innermost short axes of each reduction, and all axes that another reduction is inside."""
    found: set[Axis] = set()
    for reduce in reduces:
        room = 8
        for axis in reversed(reduce.axes):
            short = isinstance(axis.extent, int) and 0 < axis.extent <= min(UNROLL_LIMIT, room)
            if not short or axis == vector:
                break
            found.add(axis)
            room //= int(axis.extent)  # type: ignore[arg-type]
        if holds_reduction(reduce, memo):
            found.update(reduce.axes)
    return frozenset(found)


def holds_reduction(reduce: Reduce, memo: dict[int, frozenset[Axis]]) -> bool:
    """Whether another reduction inside depends on this one's axes."""
    return any(
        isinstance(e, Reduce) and free_axes(e, memo) & set(reduce.axes) for e in walk([reduce.body])
    )


def _core(reduces: list[Reduce], memo: dict[int, frozenset[Axis]]) -> Reduce | None:
    """The reduction with the most work among those that hold no other."""
    inner = [r for r in reduces if not holds_reduction(r, memo)]
    return max(inner, key=lambda r: len(free_axes(r, memo)) + len(r.axes), default=None)


def _outer_points(
    reduces: list[Reduce], core: Reduce | None, memo: dict[int, frozenset[Axis]]
) -> int:
    """How many instances of the core one point of the nest needs (a pooling window's size)."""
    total = 1
    if core is not None:
        for reduce in reduces:
            if reduce is not core and holds_reduction(reduce, memo):
                size = 1
                for axis in reduce.axes:
                    size *= int(axis.extent)  # type: ignore[arg-type]
                total = max(total, size)
    return total


def _full_tiles(
    nest: Nest, core: Reduce | None, unroll: frozenset[Axis], vector: Axis | None
) -> dict[Axis, int]:
    """Axes whose tile is forced: guarded by an unrolled axis (whole, so that every guard is
    decided at compile time), or by a loop axis (one, so that the loop's bounds can be clipped)."""
    forced: dict[Axis, int] = {}
    if core is None:
        return forced
    for expr in walk([core.body]):
        if not isinstance(expr, Guard):
            continue
        for condition in expr.conditions:
            touched = axes_of(condition.index)
            inner = touched & set(core.axes)
            for axis in touched & set(nest.axes):
                whole = axis.extent if isinstance(axis.extent, int) else MOST_POINTS + 1
                whole *= prod(size for other, size in forced.items() if other != axis)
                static = whole <= MOST_POINTS
                if inner and inner <= unroll and static and axis != vector:
                    forced[axis] = int(axis.extent)  # type: ignore[arg-type]
                elif inner:
                    forced[axis] = 1
    return forced


def _whole_axes(nest: Nest, axes: list[Axis], vector: Axis | None) -> dict[Axis, int] | None:
    """The tile of a kernel that mixes elements (``mix``): one point, but all rows of a matrix, so
    that which one it is is known where the kernel is built, and they share what is alike."""
    exprs = list(walk([root.value for root in nest.roots]))
    mixes = any(isinstance(e, Apply) and e.op == "muladd" for e in exprs)
    asked = [c.index for e in exprs if isinstance(e, Guard) for c in e.conditions if c.size == 1]
    rows = frozenset[Axis]().union(*(axes_of(index) for index in asked)) - {vector}
    rows = frozenset(axis for axis in rows if length(axis) <= MOST_MIXED)
    if not (mixes or rows or nest.strips):
        return None
    return {axis: length(axis) if axis in rows else 1 for axis in axes}


def _order(
    nest: Nest,
    axes: list[Axis],
    vector: Axis | None,
    core: Reduce | None,
    memo: dict[int, frozenset[Axis]],
) -> tuple[Axis, ...]:
    """Batch blocks outermost; inside, what the rows of the batch depend on."""
    batch = nest.batch
    if batch is None or batch not in axes:
        return tuple(axes)
    rest = [axis for axis in axes if axis != batch]
    if core is None:
        near = [axis for axis in rest if axis in dict(nest.strips)]  # images lie row by row
        return (batch, *(axis for axis in rest if axis not in near), *near)
    loads = [e for e in walk([core.body]) if isinstance(e, Load)]
    rows = [load for load in loads if any(batch in axes_of(part) for part in load.index)]
    # what the rows depend on outside: a patch then stays in the cache for every weight
    outer = frozenset[Axis]().union(*(_touched(load, axes) for load in rows))
    return (batch, *(a for a in rest if a in outer), *(a for a in rest if a not in outer))


def _touched(load: Load, axes: list[Axis]) -> frozenset[Axis]:
    found: set[Axis] = set()
    for part in load.index:
        found |= axes_of(part)
    return frozenset(found & set(axes))
