"""Reductions that a register tile needs in, loop nests that compute them out.

All points of a tile are reduced together: ``resolve`` finds the innermost reductions still
unknown, groups those over the same axes into one loop nest with one accumulator each, and repeats
outwards. Guards become loop bounds where one loop decides them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil

from codegen.index import Axis, axes_of, factor_of
from codegen.nest import (
    LANES,
    Apply,
    Const,
    Expr,
    Guard,
    Load,
    Position,
    Reduce,
    Root,
    SizeValue,
)
from codegen.vector.address import Env, Linear, Place, block_place
from codegen.vector.ahead import Ahead
from codegen.vector.bodies import (
    Instance,
    loads_in,
    reductions_in,
    shared_conditions,
    skips_points,
)
from codegen.vector.builder import Value
from codegen.vector.evaluate import Evaluator, Key
from codegen.vector.reduce import Accumulator
from codegen.vector.scalars import cast, select
from ir.dims import Dim
from ir.errors import UnsupportedError
from ir.types import I64

Go = Callable[[Place, list[Value]], list[Value]]


class Reductions:
    """Computes the reductions of one kernel into the evaluator's memory."""

    def __init__(self, evaluator: Evaluator) -> None:
        self.evaluator = evaluator
        self.along: list[tuple[Root, Env]] = []  # stored in the open loops
        self.ahead: Ahead | None = None  # to be asked for while the next reduction runs
        self.b, self.plan, self.addressing = evaluator.b, evaluator.plan, evaluator.addressing

    def resolve(
        self, wanted: Sequence[tuple[Expr, Env]], along: Sequence[tuple[Root, Env]] = ()
    ) -> None:
        """Compute every reduction that ``wanted`` needs, innermost first.

        ``along`` are roots to be stored inside loops of reductions: each in the first such loop
        before which all that it needs is known, or else in a loop of its own.
        """
        inner = [(e, env) for root, env in along for e in reductions_in(root.value)]
        left = list(along)
        while True:
            ready: dict[Key, Instance] = {}
            seen: set[Key] = set()
            for expr, env in (*wanted, *inner):
                self._collect(expr, env, ready, seen)
            if not ready:
                break
            groups: dict[tuple[Axis, ...], list[tuple[Key, Instance]]] = {}
            for key, instance in ready.items():
                groups.setdefault(instance[0].axes, []).append((key, instance))
            for axes, members in groups.items():
                left = self._reduce(axes, members, left)
        while left:
            left = self._reduce(left[0][0].within, [], left)

    def _known(self, root: Root, env: Env) -> bool:
        """Whether every reduction that a root needs has been computed."""
        keys = [self.evaluator.key(e, env) for e in reductions_in(root.value)]
        return all(self.b.recall(key) is not None for key in keys)

    def _collect(self, expr: Expr, env: Env, ready: dict[Key, Instance], seen: set[Key]) -> None:
        if isinstance(expr, Const | Load | Position | SizeValue):
            return
        key = self.evaluator.key(expr, env)
        if key in seen or self.b.recall(key) is not None:
            return
        seen.add(key)
        if isinstance(expr, Guard):
            flags = self.evaluator.flags(expr.conditions, env)
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
        if self.evaluator.holds_reduction(expr):
            for point in self.evaluator.points(expr.axes):
                self._collect(expr.body, env.with_places(point), ready, seen)
            return
        before = len(ready)
        inner = reductions_in(expr.body)
        for other in inner:
            self._collect(other, env, ready, seen)
        pending = any(self.b.recall(self.evaluator.key(e, env)) is None for e in inner)
        if len(ready) == before and not pending:
            ready[key] = (expr, env)

    def _reduce(
        self,
        axes: tuple[Axis, ...],
        members: list[tuple[Key, Instance]],
        along: list[tuple[Root, Env]],
    ) -> list[tuple[Root, Env]]:
        """One loop nest for reductions over the same axes; remembers each result.

        Stores the roots ``along`` these axes that can be, and gives back the others.
        """
        vector = self.plan.vector
        members = self._streamed(members) if members else []
        self.along = [r for r in along if r[0].within == axes and self._known(*r)]
        states: list[Value] = []
        accumulators = []
        for _, (expr, _) in members:
            wide = vector in axes or vector in self.evaluator.free_axes(expr)
            accumulator = Accumulator(self.b, expr, wide)
            accumulators.append(accumulator)
            states += accumulator.start()
        loops = [axis for axis in axes if axis not in self.plan.unroll]
        if vector in loops:
            loops.sort(key=lambda axis: axis != vector)
        flat = [axis for axis in axes if axis in self.plan.unroll]
        instances = [instance for _, instance in members]
        ordered = (*loops, *flat)
        ahead, self.ahead = self.ahead, None
        # axes whose loops have bounds or blocks of their own
        bent = self._split(instances) if not shared_conditions(instances) else set(axes)
        if ahead is not None and ahead.fits(ordered, self.plan, bent):
            states = self._asking(ahead, ordered, instances, accumulators, states)
        else:
            if ahead is not None:
                ahead.ask_all(self.evaluator.memory)
            states = self._nested(ordered, axes, instances, accumulators, {}, states)
        at = 0
        for (key, _), accumulator in zip(members, accumulators, strict=True):
            state = states[at : at + accumulator.width]
            at += accumulator.width
            total = accumulator.finish(state, across=vector in axes)
            self.b.remember(key, total, self.b.depth)
        done, self.along = self.along, []
        return [r for r in along if r not in done]

    def _streamed(self, members: list[tuple[Key, Instance]]) -> list[tuple[Key, Instance]]:
        """Instances that share an operand side by side: the operand with the most values streams
        past the others, which stay in registers."""
        columns: list[list[tuple[object, ...]]] = []
        for at in range(len(loads_in(members[0][1][0].body))):
            column: list[tuple[object, ...]] = []
            for _, (expr, env) in members:
                places = env.with_places(dict.fromkeys(expr.axes, _ORIGIN))
                loads = loads_in(expr.body)
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
            for point in self.evaluator.points([axis]):
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
        before = self.evaluator.proved
        start, stop = self._clipped(axis, instances, places, zero, size)
        out = self.b.loop(start, stop, 1, states, lambda i, s: go(Place(Linear(((i, 1),))), s))
        self.evaluator.proved = before
        return out

    def _asking(
        self,
        ahead: Ahead,
        loops: tuple[Axis, ...],
        instances: list[Instance],
        accumulators: list[Accumulator],
        states: list[Value],
    ) -> list[Value]:
        """The loops, the outermost in as many parts as the tile has rows to be asked for."""
        b, (axis, *rest) = self.b, loops
        assert isinstance(axis.extent, int)
        share, end = ceil(axis.extent / len(ahead.rows)), Value(str(axis.extent), "i64")

        def step(i: Value, carried: list[Value]) -> list[Value]:
            places = {axis: Place(Linear(((i, 1),)))}
            return self._nested(tuple(rest), loops, instances, accumulators, places, carried)

        def part(number: Value, carried: list[Value]) -> list[Value]:
            ahead.ask(self.evaluator.memory, number)
            start = b.pure(f"mul i64 {{0}}, {share}", "i64", number)
            stop = b.pure(f"add i64 {{0}}, {share}", "i64", start)
            stop = b.call("llvm.smin.i64", "i64", stop, end)
            return b.loop(start, stop, 1, carried, step)

        rows = Value(str(len(ahead.rows)), "i64")
        return b.loop(Value("0", "i64"), rows, 1, states, part, maybe_empty=False)

    def _by_block(self, axis: Axis, states: list[Value], go: Go) -> list[Value]:
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
                return go(Place(first.plus(at), first, at), inner)

            return self.b.loop(Value("0", "i64"), count, 1, carried, row, maybe_empty=False)

        return self.b.loop(Value("0", "i64"), size, LANES, states, rows, multiple=LANES)

    def _split(self, instances: list[Instance]) -> set[Axis]:
        """Reduction axes that index the batch of a lanes buffer."""
        found: set[Axis] = set()
        bodies = [expr.body for expr, _ in instances] + [root.value for root, _ in self.along]
        for body in bodies:
            for load in loads_in(body):
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
        for condition in shared_conditions(instances):
            factor = factor_of(condition.index, axis)
            if factor not in (1, -1) or condition.divisor != 1:
                continue
            others = axes_of(condition.index) - {axis}
            found = {
                self.addressing.linear(condition.index, env.with_places({**places, axis: _ORIGIN}))
                for _, env in instances
                if all(other in env.places or other in places for other in others)
            }
            if len(found) != 1 or any(place.varies for place in found):
                continue
            rest = self.addressing.scalar(found.pop())
            size = self.addressing.size(condition.size)
            start, stop = self._narrow(start, stop, rest, size, int(factor))
            self.evaluator.proved |= {condition}
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
            low = b.pure(
                "add i64 {0}, {1}", "i64", b.pure("sub i64 {0}, {1}", "i64", rest, size), one
            )
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
        self._store_along(places)
        return out

    def _store_along(self, places: dict[Axis, Place]) -> None:
        """The roots that are stored at this point of the loops."""
        floor = self.evaluator.floor
        self.evaluator.floor = self.b.depth
        at = [(root, env.with_places(places)) for root, env in self.along]
        values = [self.evaluator.value(root.value, env) for root, env in at]
        for (root, env), value in zip(at, values, strict=True):
            mask = self.evaluator.mask(env)
            self.evaluator.memory.store(root.buffer, root.index, env, value, mask)
        self.evaluator.floor = floor

    def _accumulate(
        self,
        expr: Reduce,
        env: Env,
        accumulator: Accumulator,
        state: list[Value],
        axes: tuple[Axis, ...],
    ) -> list[Value]:
        body, flags = expr.body, list[Value]()
        if isinstance(body, Guard) and skips_points(expr):
            found = self.evaluator.flags(body.conditions, env)
            if found is None:
                return state
            flags, body, env = list(found), body.body, env.guarded(found)
        if self.plan.vector in axes:
            mask = self.evaluator.mask(env)
            flags += [mask] if mask is not None else []
        if (
            expr.kind == "sum"
            and isinstance(body, Apply)
            and body.op == "mul"
            and expr.dtype.kind == "f"
        ):
            factors = [self.evaluator.value(arg, env) for arg in body.args]
            new = accumulator.multiply_add(state, factors)
        else:
            position = self._position(expr, env) if expr.kind.startswith("arg") else None
            new = accumulator.combine(state, self.evaluator.value(body, env), position)
        for flag in flags:
            new = [select(self.b, flag, n, old) for n, old in zip(new, state, strict=True)]
        return new

    def _position(self, expr: Reduce, env: Env) -> Value:
        """Where within the reduction's axes we are, flattened."""
        total = Linear()
        for axis in expr.axes:
            size = int(axis.extent) if not isinstance(axis.extent, Dim) else None
            if size is None and axis is not expr.axes[0]:
                raise UnsupportedError(f"{expr.kind} over several symbolic axes")
            scaled = Linear().plus(total, size or 1)
            total = scaled.plus(env.places[axis].index)
        return cast(self.b, self.addressing.value(total), I64, expr.dtype)


_ORIGIN = Place(Linear(), Linear(), Linear())
