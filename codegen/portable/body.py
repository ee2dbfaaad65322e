"""A scheduled nest in, the statements of its kernel out.

One axis, the schedule's vector axis, always runs innermost ("the row"): what depends on it is
computed in a loop of its own at the end, and reductions over other axes keep one accumulator for
each of its steps. A batch axis that is shared by blocks becomes ``block`` and ``lane``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

from codegen.index import Axis, Dynamic, Index, axes_of, of_axis
from codegen.nest import (
    LANES,
    Apply,
    Buffer,
    Condition,
    Const,
    Expr,
    Guard,
    Load,
    Position,
    Reduce,
    Root,
    SizeValue,
    free_axes,
    walk,
)
from codegen.portable.names import Names, all_axes
from codegen.portable.reductions import Reductions, joined
from codegen.portable.spell import Places, Shapes, apply, cast, literal, statement, tidy
from codegen.portable.units import shared_units
from codegen.schedule import Schedule
from ir.types import I64

LONG = 60  # an expression longer than this gets a name

Conditions: TypeAlias = tuple[Condition, ...]
Key: TypeAlias = tuple[int, Conditions]


class Body:
    """Writes one kernel's statements."""

    def __init__(self, plan: Schedule, names: Names, shapes: Shapes) -> None:
        self.plan, self.names, self.shapes = plan, names, shapes
        self.places = Places(names.axes, names.sizes)
        self.places.computed = self._computed  # type: ignore[method-assign]
        self.row = plan.vector if plan.vector in plan.nest.axes else None
        self.free: dict[int, frozenset[Axis]] = {}
        self.uses = _uses(plan.nest.roots)
        self.head: list[str] = []  # allocations
        self.body: list[str] = []
        self.depth = 1
        self.known: list[dict[Key, str]] = [{}]  # names bound in each open block
        self.under: Conditions = ()  # the conditions that hold here
        self.split: dict[Axis, tuple[str, str]] = {}  # axes that run as block and lane
        self.open_lanes: dict[Axis, str] = {}
        self.row_range = ""
        self.reductions = Reductions(self)

    def lines(self) -> list[str]:
        """The whole body, indented."""
        self._split_axes()
        self.places.axes.update((a, "0") for a in all_axes(self.plan.nest) if a.extent == 1)
        order = [axis for axis in self.plan.order if axis != self.row or self.plan.by_batch]
        if self.plan.by_batch:
            self._nest(order)
        else:
            self._share(order)
        return [*self.head, *self.body]

    # -- blocks of statements -----------------------------------------------------------------

    def add(self, text: str) -> None:
        """One statement."""
        self.body.extend(statement(text, "    " * self.depth))

    @contextmanager
    def block(self, header: str) -> Iterator[None]:
        """A loop or a condition; names bound inside are forgotten after it."""
        self.body.append("    " * self.depth + tidy(f"{header}\n    pass").split("\n")[0])
        self.depth += 1
        self.known.append({})
        yield
        self.known.pop()
        self.depth -= 1

    @contextmanager
    def blocks(self, headers: Sequence[str]) -> Iterator[None]:
        """Blocks inside one another."""
        if not headers:
            yield
            return
        with self.block(headers[0]), self.blocks(headers[1:]):
            yield

    def allocate(self, hint: str, size: str, dtype: str) -> str:
        """A row of accumulators, made once per call."""
        name = self.names.fresh(hint)
        self.head.append("    " + tidy(f"{name} = np.empty({size}, np.{dtype})"))
        return name

    # -- loops --------------------------------------------------------------------------------

    def _split_axes(self) -> None:
        """Axes along which a lanes buffer is read run block by block, where they may."""
        reduced = {a for e in walk(self._values()) if isinstance(e, Reduce) for a in e.axes}
        wanted = {
            axis
            for load in self.plan.nest.loads
            if load.buffer.batch is not None
            for axis in reduced
            if load.index[load.buffer.batch] == of_axis(axis)
        }
        if self.plan.by_batch and self.row is not None:
            wanted.add(self.row)
        for axis in all_axes(self.plan.nest):
            if axis in wanted:
                block, lane = self.names.fresh("block"), self.names.fresh("lane")
                self.split[axis] = (block, lane)
                self.places.axes[axis] = f"({block} * {LANES} + {lane})"

    def _values(self) -> list[Expr]:
        return [root.value for root in self.plan.nest.roots]

    def _nest(self, order: Sequence[Axis]) -> None:
        """Loops over whole axes, batch blocks over this thread's share."""
        if not order:
            self._point()
            return
        axis = order[0]
        if axis != self.row:
            with self.block(f"for {self.places.axes[axis]} in range({self.extent(axis)}):"):
                self._nest(order[1:])
            return
        block = self.split[axis][0]
        with self.block(f"for {block} in range(begin, end):"):
            self.open_block(axis)
            self.row_range = self.open_lanes[axis]
            self._nest(order[1:])

    def blocks_of(self, axis: Axis) -> str:
        """How many blocks cover an axis."""
        if isinstance(axis.extent, int):
            return str(-(-axis.extent // LANES))
        return f"({self.extent(axis)} + {LANES - 1}) // {LANES}"

    def open_block(self, axis: Axis) -> None:
        """Find the lanes of the block just opened that exist."""
        if isinstance(axis.extent, int) and axis.extent % LANES == 0:
            self.open_lanes[axis] = str(LANES)
            return
        block, lane = self.split[axis]
        name = self.open_lanes[axis] = self.names.fresh(f"{lane}s")
        self.add(f"{name} = min({LANES}, {self.extent(axis)} - {LANES} * {block})")

    def _share(self, order: list[Axis]) -> None:
        """This thread's part of the outermost axis, or of the row where there is no other."""
        if not order and self.row is None:
            with self.block("for _ in range(begin, end):"):
                self._point()
            return
        if not order:
            assert self.row is not None
            for name, text in zip(("first", "last"), self._part(self.row), strict=True):
                self.add(f"{name} = {text}")
            self.row_range = "first, last"
            self._point()
            return
        self.row_range = "" if self.row is None else self.extent(self.row)
        headers = [f"for {self.places.axes[order[0]]} in range({', '.join(self._part(order[0]))}):"]
        headers += [
            f"for {self.places.axes[axis]} in range({self.extent(axis)}):" for axis in order[1:]
        ]
        with self.blocks(headers):
            self._point()

    def _part(self, axis: Axis) -> tuple[str, str]:
        """The part of an axis that falls to the units from ``begin`` to ``end``."""
        size, units = self.extent(axis), shared_units(self.plan, self.names)
        if size == units:
            return "begin", "end"
        by = "" if units == "1" else f" // ({units})"
        return f"begin * {size}{by}", f"end * {size}{by}"

    def extent(self, axis: Axis) -> str:
        return self.places.size(axis.extent)

    @property
    def row_name(self) -> str:
        """The variable that counts along the row."""
        assert self.row is not None
        if self.row in self.split:
            return self.split[self.row][1]
        return self.places.axes[self.row]

    @property
    def row_size(self) -> str:
        """How many accumulators a row needs."""
        assert self.row is not None
        return str(LANES) if self.row in self.split else self.extent(self.row)

    @contextmanager
    def row_loop(self, values: Sequence[Expr] = ()) -> Iterator[None]:
        """The innermost loop, where there is a row.

        Accumulators of ``values`` run over all sixteen lanes of a ragged block too, if only
        lanes buffers are read there, which have room for them: a fixed count compiles faster.
        """
        if self.row is None:
            yield
            return
        padded = bool(values) and self.row in self.split and self._padded(values)
        count = str(LANES) if padded else self.row_range
        with self.block(f"for {self.row_name} in range({count}):"):
            yield

    def _padded(self, values: Sequence[Expr]) -> bool:
        """Whether every load that moves along the row is from a buffer with padding lanes."""
        loads = [e for e in walk(values) if isinstance(e, Load) and self.depends(e, self.row)]
        assert self.row is not None
        here = of_axis(self.row)
        return all(
            load.buffer.batch is not None
            and all(
                part == here if at == load.buffer.batch else self.row not in axes_of(part)
                for at, part in enumerate(load.index)
            )
            for load in loads
        )

    def _point(self) -> None:
        """Every root at one point (or along one row) of the nest."""
        roots = self.plan.nest.roots
        self.reductions.prepare([(value, ()) for value in self._values()])
        in_place = {r.buffer for r in roots} & {load.buffer for load in self.plan.nest.loads}
        with self.row_loop():
            values = []
            for root in roots:
                text = self.text(root.value, whole=True)
                if in_place and len(roots) > 1 and not text.isidentifier():
                    text = self.bind(root.value, text, f"new_{root.buffer.name}")
                if in_place:
                    values.append(text)  # nothing is stored before all is read
                else:
                    self.add(f"{self._place(root.buffer, root.index)} = {text}")
            for root, text in zip(roots, values, strict=False):
                self.add(f"{self._place(root.buffer, root.index)} = {text}")

    # -- values -------------------------------------------------------------------------------

    def depends(self, expr: Expr, axis: Axis | None) -> bool:
        return axis is not None and axis in free_axes(expr, self.free)

    def bind(self, expr: Expr, text: str, hint: str) -> str:
        """Give a value a name."""
        name = self.names.fresh(hint)
        self.add(f"{name} = {text}")
        self.remember(expr, self.under, name)
        return name

    def remember(self, expr: Expr, under: Conditions, name: str) -> None:
        self.known[-1][_key(expr, under)] = name

    def recall(self, expr: Expr, under: Conditions) -> str | None:
        key = _key(expr, under)
        return next((scope[key] for scope in reversed(self.known) if key in scope), None)

    @contextmanager
    def given(self, under: Conditions) -> Iterator[None]:
        """Reductions spelled inside are those computed under these conditions."""
        before, self.under = self.under, under
        yield
        self.under = before

    def text(self, expr: Expr, whole: bool = False) -> str:
        """The value of ``expr`` as an expression; long and shared parts are named first.

        ``whole``: the expression is all of a statement's right side, which may be long.
        """
        if isinstance(expr, Const):
            return literal(expr.value, expr.dtype)
        found = self.recall(expr, self.under)
        if found is not None:
            return found
        if isinstance(expr, Guard):
            return self._guard(expr)
        text = self._spell(expr)
        shared = self.uses.get(id(expr), 0) > 1 and isinstance(expr, Apply | Load)
        long = isinstance(expr, Apply) and not whole and len(tidy(text)) > LONG
        if shared or long:
            return self.bind(expr, text, _hint(expr))
        return text

    def _spell(self, expr: Expr) -> str:
        if isinstance(expr, Load):
            return self._place(expr.buffer, expr.index)
        if isinstance(expr, Position):
            return cast(f"({self.places.index(expr.index)})", I64, expr.dtype)
        if isinstance(expr, SizeValue):
            return cast(self.places.size(expr.size), I64, expr.dtype)
        assert isinstance(expr, Apply), f"{type(expr).__name__} was not prepared"
        args = []
        for arg in expr.args:
            text = self.text(arg)
            if expr.op in _REPEATS and not text.isidentifier() and not isinstance(arg, Const):
                text = self.bind(arg, text, _hint(arg))
            args.append(text)
        source = expr.args[1 if expr.op == "select" else 0].dtype
        return apply(expr.op, args, source, expr.dtype)

    def _guard(self, expr: Guard) -> str:
        """A choice that reads its body only where the conditions hold."""
        test = " and ".join(self.places.condition(c) for c in expr.conditions)
        if isinstance(expr.body, Load) and isinstance(expr.fill, Const):
            # not named: it is read only under the condition
            read = self.recall(expr.body, ()) or self._place(expr.body.buffer, expr.body.index)
            short = f"({read} if {test} else {self.text(expr.fill)})"
            if self.uses.get(id(expr), 0) <= 1 and len(tidy(short)) <= LONG:
                return short
        name = self.names.fresh("inside")
        for header, part in ((f"if {test}:", expr.body), ("else:", expr.fill)):
            if header == "else:":
                self._else(name, part)
                continue
            with self.block(header), self.given(joined(self.under, expr.conditions)):
                self.add(f"{name} = {self.text(part, whole=True)}")
        self.remember(expr, self.under, name)
        return name

    def _else(self, name: str, fill: Expr) -> None:
        self.body.append("    " * self.depth + "else:")
        self.depth += 1
        self.known.append({})
        self.add(f"{name} = {self.text(fill, whole=True)}")
        self.known.pop()
        self.depth -= 1

    def _computed(self, atom: Dynamic) -> str:
        """A computed position, named so that the element it picks reads well."""
        assert isinstance(atom.value, Expr)
        text = self.text(atom.value)
        return text if text.isidentifier() else self.bind(atom.value, text, "at")

    def _place(self, buffer: Buffer, index: Sequence[Index]) -> str:
        """An element of a buffer, as it lies in memory."""
        batch, name = buffer.batch, self.names.buffers[buffer]
        rest = [self.places.index(part) for part in self.shapes.index(buffer, index)]
        if batch is None:
            return f"{name}[{', '.join(rest) or '0'}]"
        block, lane = self._block_and_lane(index[batch])
        return f"{name}[{', '.join([block, *rest, lane])}]"

    def _block_and_lane(self, index: Index) -> tuple[str, str]:
        for axis in axes_of(index):
            if axis in self.split and index == of_axis(axis):
                return self.split[axis]
        text = self.places.index(index)
        return f"({text}) // {LANES}", f"({text}) % {LANES}"


_REPEATS = ("relu", "maximum", "minimum", "sign")  # spelled with an operand more than once


def _key(expr: Expr, under: Conditions) -> Key:
    """A reduction is computed only where its conditions hold; other values are what they are."""
    return id(expr), under if isinstance(expr, Reduce) else ()


def _hint(expr: Expr) -> str:
    if isinstance(expr, Load):
        return f"{expr.buffer.name}_value"
    return {"add": "plus", "sub": "minus", "mul": "product", "div": "ratio"}.get(
        getattr(expr, "op", "value"), getattr(expr, "op", "value")
    )


def _uses(roots: Sequence[Root]) -> dict[int, int]:
    """How often each expression is an operand or stored."""
    found: dict[int, int] = {}
    for root in roots:
        found[id(root.value)] = found.get(id(root.value), 0) + 1
    for expr in walk([root.value for root in roots]):
        for arg in expr.args:
            found[id(arg)] = found.get(id(arg), 0) + 1
    return found
