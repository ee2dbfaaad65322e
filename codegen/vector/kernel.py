"""A scheduled nest in, the LLVM text of its kernel out.

Loops over the nest's axes are cut into tiles; the ragged last tile of an axis gets code of its
own. ``void kernel(ptr args, ptr dims, i64 begin, i64 end)`` computes the units ``[begin, end)``:
batch blocks of sixteen rows, or tiles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product as combinations
from math import prod

from codegen.index import Axis
from codegen.lanes import turned_loads, turned_roots
from codegen.nest import LANES, Expr, Guard, Load, Reduce, Root
from codegen.schedule import Schedule
from codegen.vector.address import Addressing, Env, Linear, Place, block_place
from codegen.vector.ahead import Ahead
from codegen.vector.builder import Builder, Value
from codegen.vector.evaluate import Evaluator
from codegen.vector.loops import Reductions
from codegen.vector.memory import Memory
from codegen.vector.push import Push
from codegen.vector.spans import Span, place_in, spans
from codegen.vector.transpose import Turner
from codegen.vector.turns import Turns

FAR = 32 * 1024  # bytes of an array that may not be in the first cache


def _in_vectors(axis: Axis, plan: Schedule) -> bool:
    """Whether a symbolic span's count is in elements of the vector axis."""
    return axis == plan.vector and not isinstance(axis.extent, int)


class Kernel:
    """Emits one kernel."""

    def __init__(self, plan: Schedule, dims: Mapping[str, int]) -> None:
        self.plan, self.b = plan, Builder()
        self.addressing = Addressing(self.b, dims)
        slots = {buffer: at for at, buffer in enumerate(plan.nest.buffers)}
        memory = Memory(self.b, self.addressing, slots)
        self.evaluator = Evaluator(self.b, plan, self.addressing, memory)
        self.memory = memory
        self.reductions = Reductions(self.evaluator)
        self.strip = dict(plan.nest.strips)

    def text(self, name: str) -> str:
        """The function's LLVM text; declarations are in ``self.b.declared``."""
        if self.plan.scatter is not None:
            Push(self.b, self.evaluator, self.memory, self.plan.scatter).text()
        elif self.plan.nest.strips:
            self._strips()
        elif self.plan.nest.turns:
            Turns(self.b, self.plan, self.addressing, self._tile).text()
        elif self.plan.by_batch:
            self._axis(self.plan.order, {}, {})
        else:
            self._regions()
        return self.b.function(name)

    # -- sharing batch blocks -------------------------------------------------------------------

    def _axis(
        self,
        left: Sequence[Axis],
        places: Mapping[Axis, Place],
        sizes: Mapping[Axis, int],
    ) -> None:
        if not left:
            self._tile(places, sizes, True)
            return
        axis, rest = left[0], left[1:]
        if axis == self.plan.vector:
            self._blocks(axis, rest, places, sizes)
            return
        if axis in self.strip:
            self._within_strip(axis, rest, places, sizes)
            return
        for span in spans(axis, self.plan.tile[axis], False):
            tile = {**sizes, axis: span.size}
            if span.count == 1:
                start = Place(Linear(offset=span.first))
                self._axis(rest, {**places, axis: start}, tile)
                continue

            def body(i: Value, carried: list[Value], tile: dict[Axis, int] = tile) -> list[Value]:
                self._axis(rest, {**places, axis: Place(Linear(((i, 1),)))}, tile)
                return carried

            first, stop = self._range(span)
            self.b.loop(first, stop, span.size, [], body, maybe_empty=False, multiple=span.size)

    def _range(self, span: Span) -> tuple[Value, Value]:
        first = Value(str(span.first), "i64")
        if isinstance(span.count, int):
            return first, Value(str(span.first + span.count * span.size), "i64")
        return first, self.addressing.size(span.count)

    def _blocks(
        self,
        axis: Axis,
        rest: Sequence[Axis],
        places: Mapping[Axis, Place],
        sizes: Mapping[Axis, int],
    ) -> None:
        """This thread's batch blocks: in tiles of several blocks, then one by one."""
        b, tile = self.b, self.plan.tile[axis]
        lanes = Value(str(LANES), "i64")
        begin = b.pure("mul i64 {0}, {1}", "i64", Value("%begin", "i64"), lanes)
        end = b.pure("mul i64 {0}, {1}", "i64", Value("%end", "i64"), lanes)
        for size in dict.fromkeys((tile, 1)):
            step = size * LANES

            def body(i: Value, carried: list[Value], size: int = size) -> list[Value]:
                self._axis(rest, {**places, axis: block_place(i)}, {**sizes, axis: size})
                return carried

            stop = end
            if size > 1:
                span = b.pure("sub i64 {0}, {1}", "i64", end, begin)
                whole = b.pure(f"sdiv i64 {{0}}, {step}", "i64", span)
                full = b.pure(f"mul i64 {{0}}, {step}", "i64", whole)
                stop = b.pure("add i64 {0}, {1}", "i64", begin, full)
            b.loop(begin, stop, step, [], body, multiple=LANES)
            begin = stop

    # -- strips of blocks -----------------------------------------------------------------------

    def _strips(self) -> None:
        """This thread's strips, each a part of a batch block."""
        b, batch = self.b, self.plan.vector
        assert batch is not None

        def body(unit: Value, carried: list[Value]) -> list[Value]:
            places: dict[Axis, Place] = {}
            for axis, step in reversed(self.plan.nest.strips):
                count = Value(str(int(axis.extent) // step), "i64")  # type: ignore[arg-type]
                at = b.pure("urem i64 {0}, {1}", "i64", unit, count)
                unit = b.pure("udiv i64 {0}, {1}", "i64", unit, count)
                first = b.pure(f"mul i64 {{0}}, {step}", "i64", at, multiple=step)
                start = Linear(((first, 1),))
                places[axis] = Place(start, start, Linear())
            row = b.pure(f"mul i64 {{0}}, {LANES}", "i64", unit, multiple=LANES)
            order = [axis for axis in self.plan.order if axis != batch]
            self._axis(order, {**places, batch: block_place(row)}, {batch: 1})
            return carried

        b.loop(Value("%begin", "i64"), Value("%end", "i64"), 1, [], body)

    def _within_strip(
        self,
        axis: Axis,
        rest: Sequence[Axis],
        places: Mapping[Axis, Place],
        sizes: Mapping[Axis, int],
    ) -> None:
        step, tile = self.strip[axis], self.plan.tile[axis]
        if step == tile:
            self._axis(rest, places, {**sizes, axis: tile})
            return

        def body(i: Value, carried: list[Value]) -> list[Value]:
            local = Linear(((i, 1),))
            at = Place(places[axis].index.plus(local), places[axis].block, local)
            self._axis(rest, {**places, axis: at}, {**sizes, axis: tile})
            return carried

        first, last = Value("0", "i64"), Value(str(step), "i64")
        self.b.loop(first, last, tile, [], body, maybe_empty=False, multiple=tile)

    # -- sharing tiles --------------------------------------------------------------------------

    def _regions(self) -> None:
        """One loop per combination of whole and ragged tiles, over this thread's part of it."""
        b, order = self.b, self.plan.order
        choices = [spans(a, self.plan.tile[a], a == self.plan.vector) for a in order]
        start = Value("0", "i64")
        for region in combinations(*choices):
            counts = [self._count(span, axis) for span, axis in zip(region, order, strict=True)]
            total = Value("1", "i64")
            for count in counts:
                total = self.addressing.times(total, count)
            stop = self.addressing.plus(start, total)
            first = b.call("llvm.smax.i64", "i64", Value("%begin", "i64"), start)
            last = b.call("llvm.smin.i64", "i64", Value("%end", "i64"), stop)

            def body(
                unit: Value,
                carried: list[Value],
                region: tuple[Span, ...] = region,
                counts: list[Value] = counts,
                start: Value = start,
            ) -> list[Value]:
                self._unit(unit, region, counts, start)
                return carried

            b.loop(first, last, 1, [], body)
            start = stop

    def _count(self, span: Span, axis: Axis) -> Value:
        if isinstance(span.count, int):
            return Value(str(span.count), "i64")
        count = self.addressing.size(span.count)
        if not _in_vectors(axis, self.plan):
            return count
        more = self.addressing.plus(count, Value(str(LANES - 1), "i64"))
        return self.b.pure(f"udiv i64 {{0}}, {LANES}", "i64", more)

    def _unit(
        self, unit: Value, region: tuple[Span, ...], counts: list[Value], start: Value
    ) -> None:
        """Take a unit's number apart into one tile per axis, the last axis fastest."""
        b = self.b
        rest = unit
        if start.name != "0":
            rest = b.pure("sub i64 {0}, {1}", "i64", unit, start)
        places: dict[Axis, Place] = {}
        sizes: dict[Axis, int] = {}
        items = list(zip(self.plan.order, region, counts, strict=True))
        for at in range(len(items) - 1, -1, -1):
            axis, span, count = items[at]
            sizes[axis] = span.size
            if count.name == "1":
                places[axis] = self._at(axis, None, span)
                continue
            outermost = all(items[k][2].name == "1" for k in range(at))
            tile = rest if outermost else b.pure("urem i64 {0}, {1}", "i64", rest, count)
            if not outermost:
                rest = b.pure("udiv i64 {0}, {1}", "i64", rest, count)
            places[axis] = self._at(axis, tile, span)
        ragged = any(span.ragged for span in region)
        self._tile(places, sizes, ragged)

    def _at(self, axis: Axis, tile: Value | None, span: Span) -> Place:
        return place_in(self.b, tile, span, axis == self.plan.vector)

    # -- the body ---------------------------------------------------------------------------------

    def _tile(self, places: Mapping[Axis, Place], sizes: Mapping[Axis, int], ragged: bool) -> None:
        """Every root at every point of one register tile."""
        evaluator, nest = self.evaluator, self.plan.nest
        evaluator.floor = self.b.depth
        evaluator.full_vectors = not ragged
        axes = list(self.plan.order)
        points: list[Env] = []
        for steps in combinations(*(range(sizes[axis]) for axis in axes)):
            moved = {
                axis: self._moved(places[axis], axis, step)
                for axis, step in zip(axes, steps, strict=True)
            }
            points.append(Env({**places, **moved}))
        evaluator.keep.begin(len(points))
        self._turn_loads(points, sizes)
        for phase in dict.fromkeys(root.phase for root in nest.roots):
            self._roots([root for root in nest.roots if root.phase == phase], points)

    def _turn_loads(self, points: Sequence[Env], sizes: Mapping[Axis, int]) -> None:
        """Load what lies along rows, for lanes across them, sixteen vectors at a time."""
        axis, vector = self.plan.turned, self.plan.vector
        if axis is None or vector is None or len(points) != sizes[axis] or len(points) == 1:
            return
        turner = self._turner(points[0])
        for load, rim in turned_loads(self.plan.nest, axis, vector):
            flags = self._inside(rim, points[0], axis, vector)
            if flags is None:  # nothing of the array
                continue
            fill = rim.fill if rim is not None else None
            columns = turner.columns(load, points[0], len(points), flags, fill)
            for env, column in zip(points, columns or [], strict=False):
                self.b.remember(self.evaluator.key(load if rim is None else rim, env), column)

    def _turner(self, env: Env) -> Turner:
        """What turns a tile, with the vector axis where all of its lanes may not exist."""
        some = self.plan.vector if self.evaluator.mask(env) is not None else None
        return Turner(self.b, self.addressing, self.memory.pointers, env, some)

    def _inside(
        self, rim: Guard | None, env: Env, axis: Axis, vector: Axis
    ) -> tuple[Value, ...] | None:
        """Which neighbours along ``axis`` lie inside the rim; None: none can."""
        if rim is None:
            return ()
        row = Place(env.places[axis].index.plus(Linear(step=1)))
        places = {at: place for at, place in env.places.items() if at != vector}
        return self.evaluator.flags(rim.conditions, Env({**places, axis: row}))

    def _roots(self, roots: Sequence[Root], points: Sequence[Env]) -> None:
        plain = [root for root in roots if not root.within]
        along = [(root, env) for env in points for root in roots if root.within]
        if self.plan.nest.contracts:
            self.reductions.ahead = self._ahead(plain, points)
        self.reductions.resolve([(root.value, env) for env in points for root in plain], along)
        turned = self._turned_roots(plain, points)
        for env in points:
            values = [self.evaluator.value(root.value, env) for root in plain]
            mask = self.evaluator.mask(env)
            for root, value in zip(plain, values, strict=True):
                if root in turned:
                    turned[root].append(value)
                    continue
                self.memory.store(root.buffer, root.index, env, value, mask)
        for root, columns in turned.items():
            self._turner(points[0]).store(root, points[0], columns)

    def _ahead(self, roots: Sequence[Root], points: Sequence[Env]) -> Ahead | None:
        """What the epilogue reads and writes that may lie far away, by the rows of the tile."""
        written = {root.buffer: Load(root.buffer, root.index) for root in roots}
        read = {e.buffer: e for root in roots for e in _outside(root.value) if not e.args}
        far = [
            load
            for load in {**read, **written}.values()
            if _bytes(load) >= FAR and not load.buffer.own
        ]
        axes = [axis for axis in self.plan.order if axis != self.plan.vector]
        row = max(axes, key=lambda axis: self.plan.tile[axis], default=None)
        if row is None or not far:
            return None
        rows: dict[object, list[Env]] = {}
        for env in points:
            rows.setdefault(env.places[row].index, []).append(env)
        return Ahead([(load, load.buffer in written) for load in far], list(rows.values()))

    def _turned_roots(
        self, roots: Sequence[Root], points: Sequence[Env]
    ) -> dict[Root, list[Value]]:
        """The roots whose vectors are turned and stored along rows."""
        axis, vector = self.plan.turned, self.plan.vector
        if axis is None or vector is None or len(points) == 1:
            return {}
        if points[0].places[axis] is points[1].places[axis]:
            return {}
        return {root: [] for root in turned_roots(self.plan.nest, axis, vector) if root in roots}

    def _moved(self, place: Place, axis: Axis, step: int) -> Place:
        if step == 0:
            return place
        by = Linear(offset=step * (LANES if axis == self.plan.vector else 1))
        if axis in self.strip and place.lane is not None:
            return Place(place.index.plus(by), place.block, place.lane.plus(by))
        block = None if place.block is None else place.block.plus(by)
        return Place(place.index.plus(by), block, place.lane)


def _outside(value: Expr) -> list[Load]:
    """The loads that no reduction in ``value`` makes."""
    found: list[Load] = []
    seen: set[int] = set()
    stack = [value]
    while stack:
        expr = stack.pop()
        if id(expr) in seen or isinstance(expr, Reduce):
            continue
        seen.add(id(expr))
        found += [expr] if isinstance(expr, Load) else []
        stack.extend(expr.args)
    return found


def _bytes(load: Load) -> int:
    return load.dtype.itemsize * prod(s if isinstance(s, int) else LANES for s in load.buffer.shape)
