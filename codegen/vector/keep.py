"""Values along a row that a later pass needs again in, a place near the stack's top for each out.

A softmax sums exponentials in one pass over the row and divides them in the next. What costs more
than a store and a load, and is needed in several passes, is written to a scratch row in the first
of them. The scratch holds the rows of one register tile, so it stays in the first cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from codegen.index import Axis
from codegen.nest import LANES, Apply, Expr, Guard, Reduce, free_axes, walk
from codegen.schedule import Schedule
from codegen.vector.address import Addressing, Env, Linear
from codegen.vector.builder import Builder, Value
from ir.ops import OPS

DEAR = 10.0  # multiplications that are worth a store and a load
MOST = 24 * 1024  # bytes of scratch

Slot = tuple[object, ...]


class Keep:
    """The scratch of one kernel. ``exprs`` are worth keeping along the axes ``row``."""

    def __init__(self, b: Builder, addressing: Addressing, plan: Schedule) -> None:
        self.b, self.addressing, self.vector = b, addressing, plan.vector
        self.row, self.exprs = _shared(plan)
        self._size = self._row_bytes()
        self._slots: dict[Slot, tuple[int, str]] = {}
        self._pointer: Value | None = None

    def begin(self, points: int) -> None:
        """A new register tile of so many points; what the last one kept is gone."""
        self._slots = {}
        if self._size * points * len(self.exprs) > MOST:
            self.exprs = []

    def holds(self, expr: Expr) -> bool:
        """Whether ``expr`` is one of those that are kept."""
        return any(expr is one for one in self.exprs)

    def load(self, slot: Slot, env: Env, floor: int) -> Value | None:
        """What an earlier pass kept at this place of the row; None in the first."""
        found = self._slots.get(slot)
        if found is None:
            return None
        at, type_ = found
        return self.b.load(
            f"load {type_}, ptr {{0}}, align 4", type_, self._place(at, env), floor=floor
        )

    def store(self, slot: Slot, env: Env, value: Value) -> None:
        """Keep ``value`` for the passes to come."""
        at = len(self._slots) * self._size
        self._slots[slot] = (at, value.type)
        text = f"store {value.type} {{0}}, ptr {{1}}, align 4"
        self.b.effect(text, value, self._place(at, env))

    def _row_bytes(self) -> int:
        total = 4 if self.vector in self.row else 4 * LANES
        for axis in self.row:
            assert isinstance(axis.extent, int)
            total *= ceil(axis.extent / LANES) * LANES if axis == self.vector else axis.extent
        return total

    def _place(self, at: int, env: Env) -> Value:
        if self._pointer is None:
            self._pointer = Value(self.b.fresh(), "ptr")
            text = f"{self._pointer.name} = alloca [{MOST} x i8], align 64"
            self.b.blocks[0].lines.insert(0, text)
        step = 4 if self.vector in self.row else 4 * LANES
        where = Linear(offset=at)
        for axis in sorted(self.row, key=lambda axis: axis != self.vector):
            index = env.places[axis].index
            where = where.plus(Linear(index.terms, index.offset), step)
            assert isinstance(axis.extent, int)
            step *= ceil(axis.extent / LANES) * LANES if axis == self.vector else axis.extent
        offset = self.addressing.scalar(where)
        return self.b.pure("getelementptr i8, ptr {0}, i64 {1}", "ptr", self._pointer, offset)


def _shared(plan: Schedule) -> tuple[tuple[Axis, ...], list[Expr]]:
    """The axes of a kernel's rows, and the dear float32 values that several passes need."""
    nest = plan.nest
    everything = list(walk([root.value for root in nest.roots]))
    reduces = [e for e in everything if isinstance(e, Reduce)]
    row = reduces[0].axes if reduces else ()
    fits = all(isinstance(axis.extent, int) and axis not in plan.unroll for axis in row)
    if not row or not fits or nest.contracts or any(isinstance(e, Guard) for e in everything):
        return (), []
    passes = [[e.body] for e in reduces if e.axes == row]
    passes.append([root.value for root in nest.roots if root.within == row])
    found = [_dear(values, row) for values in passes]
    all_ = {id(e): e for group in found for e in group}
    return row, [e for key, e in all_.items() if sum(key in map(id, g) for g in found) > 1]


def _dear(values: Sequence[Expr], row: tuple[Axis, ...]) -> list[Expr]:
    """The outermost dear values along the row that one pass computes."""
    memo: dict[int, frozenset[Axis]] = {}
    found: dict[int, Expr] = {}
    seen: set[int] = set()
    stack = list(values)
    while stack:
        expr = stack.pop()
        if id(expr) in seen or isinstance(expr, Reduce):
            continue
        seen.add(id(expr))
        dear = isinstance(expr, Apply) and expr.op in OPS and OPS[expr.op].cost >= DEAR
        along = dear and expr.dtype.itemsize == 4 and set(row) <= free_axes(expr, memo)
        if along and expr.dtype.kind == "f":
            found[id(expr)] = expr
        else:
            stack.extend(expr.args)
    return list(found.values())
