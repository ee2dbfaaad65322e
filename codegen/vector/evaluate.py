"""An expression and the place of every axis in, its value out.

Reductions are computed beforehand (``codegen.vector.loops``); their results are found in the
builder's memory under the expression and the axes it depends on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from codegen.index import Axis, Dynamic
from codegen.nest import (
    LANES,
    Apply,
    Condition,
    Const,
    Expr,
    Guard,
    Load,
    Position,
    Reduce,
    SizeValue,
    free_axes,
)
from codegen.schedule import Schedule, holds_reduction
from codegen.vector.address import Addressing, Env, Linear, Place
from codegen.vector.builder import Builder, Value, vector_of
from codegen.vector.keep import Keep
from codegen.vector.memory import Memory
from codegen.vector.reduce import Accumulator
from codegen.vector.scalars import cast, emit, literal, select, spread
from ir.types import I64

Key = tuple[object, ...]
Instance = tuple[Reduce, Env]


@dataclass(frozen=True)
class Clip:
    """A loop's bounds narrowed so that a condition always holds inside."""

    axis: Axis
    condition: Condition


class Evaluator:
    """Evaluates expressions inside one kernel."""

    def __init__(self, b: Builder, plan: Schedule, addressing: Addressing, memory: Memory) -> None:
        self.b, self.plan, self.addressing, self.memory = b, plan, addressing, memory
        self.free: dict[int, frozenset[Axis]] = {}
        self.holds: dict[int, bool] = {}
        self.keep = Keep(b, addressing, plan)
        self.floor = 0  # loads stay inside the body of the register tile
        self.full_vectors = False  # set while a tile holds no ragged vector
        self.proved: frozenset[Condition] = frozenset()  # they hold inside the open loops
        addressing.computed = self._position  # type: ignore[method-assign]

    # -- values -----------------------------------------------------------------------------

    def value(self, expr: Expr, env: Env) -> Value:
        """The value of ``expr``; every reduction below has been resolved."""
        if isinstance(expr, Const):
            return literal(expr.value, expr.dtype)
        key = self.key(expr, env)
        known = self.b.recall(key)
        if known is None:
            known = self._kept(expr, env) if self.keep.holds(expr) else self._compute(expr, env)
            self.b.remember(key, known)
        return known

    def _kept(self, expr: Expr, env: Env) -> Value:
        """A value along a row from the pass that computed it, or computed and kept now."""
        outside = {axis: at for axis, at in env.places.items() if axis not in self.keep.row}
        slot = self.key(expr, Env(outside, env.guards))
        known = self.keep.load(slot, env, self.floor)
        if known is None:
            known = self._compute(expr, env)
            self.keep.store(slot, env, known)
        return known

    def _position(self, atom: Dynamic, env: Env) -> Value:
        """A computed position, as an index."""
        assert isinstance(atom.value, Expr)
        return cast(self.b, self.value(atom.value, env), atom.value.dtype, I64)

    def _compute(self, expr: Expr, env: Env) -> Value:
        if isinstance(expr, Load):
            return self.memory.load(expr.buffer, expr.index, env, self.mask(env), self.floor)
        if isinstance(expr, Apply):
            args = [self.value(arg, env) for arg in expr.args]
            source = expr.args[1 if expr.op == "select" else 0].dtype
            return emit(self.b, expr.op, args, source, expr.dtype)
        if isinstance(expr, Position):
            place = self.addressing.value(self.addressing.linear(expr.index, env))
            return place if expr.dtype == I64 else cast(self.b, place, I64, expr.dtype)
        if isinstance(expr, SizeValue):
            return cast(self.b, self.addressing.size(expr.size), I64, expr.dtype)
        if isinstance(expr, Guard):
            return self._guard(expr, env)
        assert isinstance(expr, Reduce), expr
        assert self.holds_reduction(expr), "a reduction was not resolved before its use"
        return self._unrolled(expr, env)

    def _guard(self, expr: Guard, env: Env) -> Value:
        flags = self.flags(expr.conditions, env)
        if flags is None:
            return self.value(expr.fill, env)
        body = self.value(expr.body, env.guarded(flags))
        if not flags:
            return body
        fill = self.value(expr.fill, env)
        for flag in flags:
            body = select(self.b, flag, body, fill)
        return body

    def _unrolled(self, expr: Reduce, env: Env) -> Value:
        """A reduction over a few points, each of whose inner reductions is known."""
        accumulator = Accumulator(self.b, expr)
        state = None
        for at, point in enumerate(self.points(expr.axes)):
            inner = self.value(expr.body, env.with_places(point))
            position = literal(at, expr.dtype) if expr.kind.startswith("arg") else None
            if state is None:
                state = accumulator.first(inner, position)
            else:
                state = accumulator.combine(state, inner, position)
        assert state is not None
        return state[-1]

    def points(self, axes: Sequence[Axis]) -> list[dict[Axis, Place]]:
        """Every point of small static axes, in row-major order."""
        found: list[dict[Axis, Place]] = [{}]
        for axis in axes:
            steps = range(int(axis.extent))  # type: ignore[arg-type]
            found = [{**p, axis: Place(Linear(offset=s))} for p in found for s in steps]
        return found

    def flags(self, conditions: Sequence[Condition], env: Env) -> tuple[Value, ...] | None:
        """The conditions that are open here; None where one is known to fail."""
        flags: list[Value] = []
        for condition in conditions:
            if condition in self.proved:
                continue
            at = self.addressing.linear(condition.index, env)
            known = at.static
            if known is not None and isinstance(condition.size, int):
                if not 0 <= known < condition.size or known % condition.divisor:
                    return None
                continue
            flags += self._tests(at, condition)
        return tuple(dict.fromkeys(flags))

    def _tests(self, at: Linear, condition: Condition) -> list[Value]:
        place = self.addressing.value(at)
        size = self.addressing.size(condition.size)
        flag = vector_of("i1") if place.is_vector else "i1"

        def wide(value: Value) -> Value:
            return spread(self.b, value) if place.is_vector else value

        # one unsigned comparison tests both ends
        tests = [self.b.pure(f"icmp ult {place.type} {{0}}, {{1}}", flag, place, wide(size))]
        if condition.divisor != 1:
            by, zero = Value(str(condition.divisor), "i64"), Value("0", "i64")
            rest = self.b.pure(f"srem {place.type} {{0}}, {{1}}", place.type, place, wide(by))
            tests.append(self.b.pure(f"icmp eq {place.type} {{0}}, {{1}}", flag, rest, wide(zero)))
        return tests

    # -- lanes that exist ---------------------------------------------------------------------

    def mask(self, env: Env) -> Value | None:
        """Which lanes of the vector axis exist here; None where all do."""
        axis = self.plan.vector
        if axis is None or axis not in env.places:
            return None
        at = env.places[axis].index
        if isinstance(axis.extent, int) and axis.extent % LANES == 0:
            return None
        known = at.static_base
        if known is not None and isinstance(axis.extent, int):
            left = axis.extent - known
            if left >= LANES:
                return None
            bits = ", ".join("i1 true" if lane < left else "i1 false" for lane in range(LANES))
            return Value(f"<{bits}>", vector_of("i1"))
        if self.full_vectors and axis in self.plan.nest.axes and not self.plan.by_batch:
            return None
        limit = spread(self.b, self.addressing.size(axis.extent))
        lanes = self.addressing.vector(at)
        wide = vector_of("i64")
        return self.b.pure(f"icmp slt {wide} {{0}}, {{1}}", vector_of("i1"), lanes, limit)

    # -- bookkeeping ----------------------------------------------------------------------------

    def holds_reduction(self, expr: Reduce) -> bool:
        known = self.holds.get(id(expr))
        if known is None:
            known = self.holds[id(expr)] = holds_reduction(expr, self.free)
        return known

    def free_axes(self, expr: Expr) -> frozenset[Axis]:
        return free_axes(expr, self.free)

    def key(self, expr: Expr, env: Env) -> Key:
        places = tuple(
            (axis.name, env.places[axis].index)
            for axis in sorted(self.free_axes(expr), key=lambda a: a.name)
            if axis in env.places
        )
        return (id(expr), places, tuple(g.name for g in env.guards))
