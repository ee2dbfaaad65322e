"""A sum at computed places in, the LLVM loops that add every value where it belongs out.

The nest asks, for every place, which values are meant for it: right, but every place reads every
value. Here each thread clears its own rows, walks all values in order and adds those meant for a
row of its own. Where the place depends on other axes too, each of their points is a sum of its
own, and threads share those. So no two threads write one row, and the order of every sum is that of
the values, whatever the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from codegen.index import Axis
from codegen.lanes import step_along
from codegen.nest import LANES, Load
from codegen.scatter import Scatter
from codegen.vector.address import Env, Linear, Place, block_place
from codegen.vector.builder import Builder, Value
from codegen.vector.evaluate import Evaluator
from codegen.vector.memory import Memory
from codegen.vector.scalars import cast, emit, literal
from ir.types import I64

Body = Callable[[Mapping[Axis, Place]], None]


class Push:
    """Emits the body of one kernel."""

    def __init__(self, b: Builder, evaluator: Evaluator, memory: Memory, scatter: Scatter) -> None:
        self.b, self.evaluator, self.memory, self.scatter = b, evaluator, memory, scatter
        self.plan = evaluator.plan
        (self.root,) = self.plan.nest.roots

    def text(self) -> None:
        """Clear what is this thread's, then add."""
        begin, end = Value("%begin", "i64"), Value("%end", "i64")
        shared, row = self.scatter.shared, self.scatter.row
        if shared == row:
            self._clear_and_add({}, begin, end)
            return

        def one(i: Value, carried: list[Value]) -> list[Value]:
            zero = Value("0", "i64")
            self._clear_and_add({shared: _at(i)}, zero, self.evaluator.addressing.size(row.extent))
            return carried

        self.b.loop(begin, end, 1, [], one)

    def _clear_and_add(self, at: Mapping[Axis, Place], begin: Value, end: Value) -> None:
        """Clear the rows ``[begin, end)`` where the axes stand as ``at`` says, then add."""
        row, rest = self.scatter.row, [a for a in self.plan.nest.axes if a != self.scatter.row]
        rest = [a for a in rest if a not in at]

        def clear(i: Value, carried: list[Value]) -> list[Value]:
            self._each(rest, {**at, row: _at(i)}, self._clear)
            return carried

        if not rest and step_along(Load(self.root.buffer, self.root.index), row) == 1:
            rest_begins = self._clear_blocks(at, begin, end)
            self.b.loop(rest_begins, end, 1, [], clear)
        else:
            self.b.loop(begin, end, 1, [], clear)
        outer = [axis for axis in rest if axis in self.scatter.outer]
        inner = [axis for axis in rest if axis not in self.scatter.outer]

        def value(places: Mapping[Axis, Place]) -> None:
            place = self._row(places)
            low = self.b.pure("icmp sge i64 {0}, {1}", "i1", place, begin)
            high = self.b.pure("icmp slt i64 {0}, {1}", "i1", place, end)
            mine = self.b.pure("and i1 {0}, {1}", "i1", low, high)
            times = self.b.pure("zext i1 {0} to i64", "i64", mine)

            def found(_: Value, carried: list[Value]) -> list[Value]:
                self._each(inner, {**places, row: _at(place)}, self._add)
                return carried

            self.b.loop(Value("0", "i64"), times, 1, [], found)

        self._each([*outer, *self.scatter.values], at, value)

    def _clear_blocks(self, at: Mapping[Axis, Place], begin: Value, end: Value) -> Value:
        """Clear neighbours in whole vectors, as many as there are; where the rest begins."""
        b, row = self.b, self.scatter.row
        count = b.pure("sub i64 {0}, {1}", "i64", end, begin)
        whole = b.pure(f"and i64 {{0}}, {-LANES}", "i64", count)
        stop = b.pure("add i64 {0}, {1}", "i64", begin, whole)

        def clear(i: Value, carried: list[Value]) -> list[Value]:
            index = Linear(((i, 1),))
            env = Env({**at, row: Place(index.plus(Linear(step=1)), index, Linear(step=1))})
            zero = literal(0, self.root.buffer.dtype)
            self.memory.store(self.root.buffer, self.root.index, env, zero, None)
            return carried

        b.loop(begin, stop, LANES, [], clear)
        return stop

    def _row(self, places: Mapping[Axis, Place]) -> Value:
        """The row that the value at ``places`` is meant for."""
        self.b.generation += 1
        self.evaluator.floor = self.b.depth
        meant = self.scatter.meant
        return cast(self.b, self.evaluator.value(meant, Env(places)), meant.dtype, I64)

    def _each(self, axes: Sequence[Axis], places: Mapping[Axis, Place], body: Body) -> None:
        """``body`` at every point of ``axes``, the vector axis in steps of sixteen."""
        if not axes:
            body(places)
            return
        axis, rest = axes[0], axes[1:]
        wide = axis == self.plan.vector

        def go(i: Value, carried: list[Value]) -> list[Value]:
            place = block_place(i) if wide else _at(i)
            self._each(rest, {**places, axis: place}, body)
            return carried

        step = LANES if wide else 1
        size = self.evaluator.addressing.size(axis.extent)
        self.b.loop(Value("0", "i64"), size, step, [], go, multiple=step)

    def _clear(self, places: Mapping[Axis, Place]) -> None:
        env = Env(places)
        zero = literal(0, self.root.buffer.dtype)
        self.memory.store(self.root.buffer, self.root.index, env, zero, self.evaluator.mask(env))

    def _add(self, places: Mapping[Axis, Place]) -> None:
        env, root, dtype = Env(places), self.root, self.root.buffer.dtype
        self.b.generation += 1
        self.evaluator.floor = self.b.depth
        mask = self.evaluator.mask(env)
        before = self.memory.load(root.buffer, root.index, env, mask, self.b.depth)
        more = self.evaluator.value(self.scatter.value, env)
        total = emit(self.b, "add", [before, more], dtype, dtype)
        self.memory.store(root.buffer, root.index, env, total, mask)


def _at(i: Value) -> Place:
    return Place(Linear(((i, 1),)))
