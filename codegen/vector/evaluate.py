"""An expression and the place of every axis in, its value out; reductions become loops.

Reductions are computed for all points of a register tile together: ``resolve`` finds the
innermost ones that are still unknown, groups those over the same axes into one loop nest with one
accumulator each, and repeats outwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from codegen.index import Axis, axes_of
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
    identity_of,
)
from codegen.schedule import Schedule, holds_reduction
from codegen.vector.address import LANE_NUMBERS, Addressing, Env, Linear, Place
from codegen.vector.builder import Builder, Value, vector_of
from codegen.vector.memory import Memory
from codegen.vector.reduce import Accumulator
from codegen.vector.scalars import cast, emit, literal, select, spread, type_of
from ir.dims import Dim
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

    def __init__(
        self, b: Builder, plan: Schedule, addressing: Addressing, memory: Memory
    ) -> None:
        self.b, self.plan, self.addressing, self.memory = b, plan, addressing, memory
        self.free: dict[int, frozenset[Axis]] = {}
        self.holds: dict[int, bool] = {}
        self.floor = 0  # loads stay inside the body of the register tile
        self.full_vectors = False  # set while a tile holds no ragged vector
        self.proved: frozenset[Condition] = frozenset()  # they hold inside the open loops

    # -- values -----------------------------------------------------------------------------

    def value(self, expr: Expr, env: Env) -> Value:
        """The value of ``expr``; every reduction below has been resolved."""
        if isinstance(expr, Const):
            return literal(expr.value, expr.dtype)
        key = self._key(expr, env)
        known = self.b.recall(key)
        if known is None:
            known = self._compute(expr, env)
            self.b.remember(key, known)
        return known

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
        tests = [
            self.b.pure(f"icmp ult {place.type} {{0}}, {{1}}", flag, place, wide(size))
        ]
        if condition.divisor != 1:
            by, zero = Value(str(condition.divisor), "i64"), Value("0", "i64")
            rest = self.b.pure(f"srem {place.type} {{0}}, {{1}}", place.type, place, wide(by))
            tests.append(
                self.b.pure(f"icmp eq {place.type} {{0}}, {{1}}", flag, rest, wide(zero))
            )
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


    # -- reductions -----------------------------------------------------------------------------

    def resolve(self, wanted: Sequence[tuple[Expr, Env]]) -> None:
        """Compute every reduction that ``wanted`` needs, innermost first."""
        while True:
            ready: dict[Key, Instance] = {}
            seen: set[Key] = set()
            for expr, env in wanted:
                self._collect(expr, env, ready, seen)
            if not ready:
                return
            groups: dict[tuple[Axis, ...], list[tuple[Key, Instance]]] = {}
            for key, instance in ready.items():
                groups.setdefault(instance[0].axes, []).append((key, instance))
            for axes, members in groups.items():
                self._reduce(axes, members)

    def holds_reduction(self, expr: Reduce) -> bool:
        known = self.holds.get(id(expr))
        if known is None:
            known = self.holds[id(expr)] = holds_reduction(expr, self.free)
        return known

    def _collect(self, expr: Expr, env: Env, ready: dict[Key, Instance], seen: set[Key]) -> None:
        if isinstance(expr, Const | Load | Position | SizeValue):
            return
        key = self._key(expr, env)
        if key in seen or self.b.recall(key) is not None:
            return
        seen.add(key)
        if isinstance(expr, Guard):
            flags = self.flags(expr.conditions, env)
            if flags is not None:
                self._collect(expr.body, env.guarded(flags), ready, seen)
            self._collect(expr.fill, env, ready, seen)
        elif isinstance(expr, Reduce):
            self._collect_reduce(expr, key, env, ready, seen)
        else:
            for arg in expr.args:
                self._collect(arg, env, ready, seen)

    def _collect_reduce(
        self, expr: Reduce, key: Key, env: Env, ready: dict[Key, Instance], seen: set[Key]
    ) -> None:
        if self.holds_reduction(expr):
            for point in self.points(expr.axes):
                self._collect(expr.body, env.with_places(point), ready, seen)
            return
        before = len(ready)
        inner = [e for e in _reductions(expr.body)]
        for other in inner:
            self._collect(other, env, ready, seen)
        pending = any(self.b.recall(self._key(e, env)) is None for e in inner)
        if len(ready) == before and not pending:
            ready[key] = (expr, env)

    def _reduce(self, axes: tuple[Axis, ...], members: list[tuple[Key, Instance]]) -> None:
        """One loop nest for reductions over the same axes; remembers each result."""
        vector = self.plan.vector
        members = self._streamed(members)
        states: list[Value] = []
        accumulators = []
        for _, (expr, env) in members:
            wide = vector in axes or vector in self.free_axes(expr)
            accumulator = Accumulator(self.b, expr, wide)
            accumulators.append(accumulator)
            states += accumulator.start()
        loops = [axis for axis in axes if axis not in self.plan.unroll]
        if vector in loops:
            loops.sort(key=lambda axis: axis != vector)
        flat = [axis for axis in axes if axis in self.plan.unroll]
        instances = [instance for _, instance in members]
        ordered = (*loops, *flat)
        states = self._nested(ordered, axes, instances, accumulators, {}, states)
        at = 0
        for (key, _), accumulator in zip(members, accumulators, strict=True):
            state = states[at : at + accumulator.width]
            at += accumulator.width
            total = accumulator.finish(state, across=vector in axes)
            self.b.remember(key, total, self.b.depth)

    def _streamed(self, members: list[tuple[Key, Instance]]) -> list[tuple[Key, Instance]]:
        """Instances that share an operand side by side: the operand with the most values streams
        past the others, which stay in registers."""
        columns: list[list[tuple[object, ...]]] = []
        for at in range(len(_loads(members[0][1][0].body))):
            column = []
            for _, (expr, env) in members:
                places = env.with_places(dict.fromkeys(expr.axes, _ORIGIN))
                loads = _loads(expr.body)
                load = loads[min(at, len(loads) - 1)]
                place = self.addressing.offset(load.buffer, load.index, places)
                column.append((sorted(value.name for value, _ in place.terms), place.offset))
            columns.append(column)
        if not columns:
            return members
        most = max(columns, key=lambda column: len({str(item) for item in column}))
        order = sorted(range(len(members)), key=lambda at: most[at])
        return [members[at] for at in order]

    def _nested(
        self,
        left: tuple[Axis, ...],
        axes: tuple[Axis, ...],
        instances: list[Instance],
        accumulators: list[Accumulator],
        places: dict[Axis, Place],
        states: list[Value],
    ) -> list[Value]:
        if not left:
            return self._step(axes, instances, accumulators, places, states)
        axis, rest = left[0], left[1:]

        def go(place: Place, carried: list[Value]) -> list[Value]:
            return self._nested(
                rest, axes, instances, accumulators, {**places, axis: place}, carried
            )

        if axis in self.plan.unroll:
            for point in self.points([axis]):
                states = go(point[axis], states)
            return states
        zero, size = Value("0", "i64"), self.addressing.size(axis.extent)
        if axis == self.plan.vector:
            return self.b.loop(
                zero,
                size,
                LANES,
                states,
                lambda i, s: go(block_place(i), s),
                multiple=LANES,
            )
        if axis in self._split(instances):
            return self._by_block(axis, states, go)
        before = self.proved
        start, stop = self._clipped(axis, instances, places, zero, size)
        out = self.b.loop(start, stop, 1, states, lambda i, s: go(Place(Linear(((i, 1),))), s))
        self.proved = before
        return out

    def _by_block(self, axis, states, go):  # type: ignore[no-untyped-def]
        """A scalar walk over the batch: blocks of sixteen rows, then the rows of each."""
        size = self.addressing.size(axis.extent)

        def rows(block: Value, carried: list[Value]) -> list[Value]:
            first = Linear(((block, 1),))
            full = isinstance(axis.extent, int) and axis.extent % LANES == 0
            count = Value(str(LANES), "i64")
            if not full:
                left = self.b.pure("sub i64 {0}, {1}", "i64", size, block)
                count = self.b.call("llvm.smin.i64", "i64", left, count)

            def row(lane: Value, inner: list[Value]) -> list[Value]:
                at = Linear(((lane, 1),))
                return list(go(Place(first.plus(at), first, at), inner))

            return self.b.loop(Value("0", "i64"), count, 1, carried, row, maybe_empty=False)

        return self.b.loop(Value("0", "i64"), size, LANES, states, rows, multiple=LANES)

    def _split(self, instances: list[Instance]) -> set[Axis]:
        """Reduction axes that index the batch of a lanes buffer."""
        found: set[Axis] = set()
        for expr, _ in instances:
            for load in _loads(expr.body):
                if load.buffer.batch is not None:
                    found |= axes_of(load.index[load.buffer.batch])
        return found

    def _clipped(
        self,
        axis: Axis,
        instances: list[Instance],
        places: dict[Axis, Place],
        start: Value,
        stop: Value,
    ) -> tuple[Value, Value]:
        """Bounds of the loop over ``axis`` within which guards on it hold for every instance."""
        for condition in _conditions(instances):
            terms = dict(condition.index.terms)
            factor = terms.get(axis)
            if factor not in (1, -1) or condition.divisor != 1:
                continue
            others = axes_of(condition.index) - {axis}
            found = {
                self.addressing.linear(condition.index, env.with_places({**places, axis: _ORIGIN}))
                for _, env in instances
                if all(other in env.places or other in places for other in others)
            }
            if len(found) != 1:
                continue
            rest = self.addressing.scalar(found.pop())
            size = self.addressing.size(condition.size)
            start, stop = self._narrow(start, stop, rest, size, int(factor))
            self.proved |= {condition}
        return start, stop

    def _narrow(
        self, start: Value, stop: Value, rest: Value, size: Value, factor: int
    ) -> tuple[Value, Value]:
        """``0 <= rest + factor * i < size`` as bounds on ``i``."""
        b, zero, one = self.b, Value("0", "i64"), Value("1", "i64")
        if factor == 1:
            low = b.pure("sub i64 {0}, {1}", "i64", zero, rest)
            high = b.pure("sub i64 {0}, {1}", "i64", size, rest)
        else:
            low = b.pure("add i64 {0}, {1}", "i64", b.pure("sub i64 {0}, {1}", "i64", rest, size), one)
            high = b.pure("add i64 {0}, {1}", "i64", rest, one)
        return (
            b.call("llvm.smax.i64", "i64", start, low),
            b.call("llvm.smin.i64", "i64", stop, high),
        )

    def _step(
        self,
        axes: tuple[Axis, ...],
        instances: list[Instance],
        accumulators: list[Accumulator],
        places: dict[Axis, Place],
        states: list[Value],
    ) -> list[Value]:
        """One accumulation of every instance at one point of the reduction."""
        out: list[Value] = []
        at = 0
        self.b.generation += 1
        for (expr, env), accumulator in zip(instances, accumulators, strict=True):
            state = states[at : at + accumulator.width]
            at += accumulator.width
            out += self._accumulate(expr, env.with_places(places), accumulator, state, axes)
        return out

    def _accumulate(
        self,
        expr: Reduce,
        env: Env,
        accumulator: Accumulator,
        state: list[Value],
        axes: tuple[Axis, ...],
    ) -> list[Value]:
        body, flags = expr.body, list[Value]()
        if isinstance(body, Guard) and body.fill == Const(identity_of(expr.kind, expr.dtype), expr.dtype):
            found = self.flags(body.conditions, env)
            if found is None:
                return state
            flags, body, env = list(found), body.body, env.guarded(found)
        if self.plan.vector in axes:
            mask = self.mask(env)
            flags += [mask] if mask is not None else []
        if expr.kind == "sum" and isinstance(body, Apply) and body.op == "mul" and expr.dtype.kind == "f":
            factors = [self.value(arg, env) for arg in body.args]
            new = accumulator.multiply_add(state, factors)
        else:
            position = self._position(expr, env) if expr.kind.startswith("arg") else None
            new = accumulator.combine(state, self.value(body, env), position)
        for flag in flags:
            new = [select(self.b, flag, n, old) for n, old in zip(new, state, strict=True)]
        return new

    def _position(self, expr: Reduce, env: Env) -> Value:
        """Where within the reduction's axes we are, flattened."""
        total = Linear()
        for axis in expr.axes:
            size = int(axis.extent) if not isinstance(axis.extent, Dim) else None
            if size is None and axis is not expr.axes[0]:
                raise NotImplementedError("a position within symbolic axes")
            scaled = Linear().plus(total, size or 1)
            total = scaled.plus(env.places[axis].index)
        value = self.addressing.scalar(total)
        return cast(self.b, value, I64, expr.dtype)

    # -- bookkeeping ----------------------------------------------------------------------------

    def free_axes(self, expr: Expr) -> frozenset[Axis]:
        return free_axes(expr, self.free)

    def _key(self, expr: Expr, env: Env) -> Key:
        places = tuple(
            (axis.name, env.places[axis].index)
            for axis in sorted(self.free_axes(expr), key=lambda a: a.name)
            if axis in env.places
        )
        return (id(expr), places, tuple(g.name for g in env.guards))


_ORIGIN = Place(Linear(), Linear(), Linear())


def block_place(first: Value, offset: int = 0) -> Place:
    """Sixteen lanes from ``first + offset``, a multiple of 16."""
    block = Linear(((first, 1),), offset)
    lane = Linear(step=1)
    return Place(block.plus(lane), block, lane)


def _reductions(expr: Expr) -> list[Reduce]:
    """The outermost reductions in ``expr``."""
    if isinstance(expr, Reduce):
        return [expr]
    found: dict[int, Reduce] = {}
    for arg in expr.args:
        found.update((id(r), r) for r in _reductions(arg))
    return list(found.values())


def _loads(expr: Expr) -> list[Load]:
    found = [expr] if isinstance(expr, Load) else []
    for arg in expr.args:
        found += _loads(arg)
    return found


def _conditions(instances: Sequence[Instance]) -> list[Condition]:
    found: dict[Condition, None] = {}
    for expr, _ in instances:
        if isinstance(expr.body, Guard):
            found.update(dict.fromkeys(expr.body.conditions))
    return list(found)


