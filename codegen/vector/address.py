"""Index expressions and loop counters in, addresses out.

A ``Linear`` is an index with its loop counters filled in: run-time terms, a constant, and a step
per lane. Constants stay apart, so that neighbouring points of a register tile share one address
and differ in an immediate offset.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from codegen.index import ZERO, Axis, Div, Dynamic, Index, Mod, bounds, linearise, scale
from codegen.nest import LANES, Buffer
from codegen.vector.builder import Builder, Value, vector_of
from codegen.vector.scalars import spread
from ir.dims import Dim, Size, product
from ir.errors import UnsupportedError

I64 = "i64"
LANE_NUMBERS = Value(f"<{', '.join(f'i64 {lane}' for lane in range(LANES))}>", vector_of(I64))


@dataclass(frozen=True)
class Linear:
    """``sum(factor * value) + offset + lane * step + extra``."""

    terms: tuple[tuple[Value, int], ...] = ()
    offset: int = 0
    step: int = 0
    extra: tuple[tuple[Value, int], ...] = ()  # vectors of i64

    @property
    def static(self) -> int | None:
        known = not self.terms and not self.extra and self.step == 0
        return self.offset if known else None

    @property
    def static_base(self) -> int | None:
        """The first lane's value where it is known."""
        return self.offset if not self.terms and not self.extra else None

    @property
    def varies(self) -> bool:
        """Whether lanes differ."""
        return self.step != 0 or bool(self.extra)

    def plus(self, other: Linear, factor: int = 1) -> Linear:
        def merge(
            a: tuple[tuple[Value, int], ...], b: tuple[tuple[Value, int], ...]
        ) -> tuple[tuple[Value, int], ...]:
            total = dict(a)
            for value, by in b:
                total[value] = total.get(value, 0) + by * factor
            return tuple((v, f) for v, f in total.items() if f)

        return Linear(
            merge(self.terms, other.terms),
            self.offset + other.offset * factor,
            self.step + other.step * factor,
            merge(self.extra, other.extra),
        )


@dataclass(frozen=True)
class Place:
    """Where an axis stands: its index; for the batch axis also its block's first row, for the axis
    of a strip the strip's first point."""

    index: Linear
    block: Linear | None = None  # of the batch: a multiple of 16
    lane: Linear | None = None  # index - block


@dataclass(frozen=True)
class Env:
    """The place of every open axis, and the conditions under which we are."""

    places: Mapping[Axis, Place] = field(default_factory=dict)
    guards: tuple[Value, ...] = ()

    def with_places(self, more: Mapping[Axis, Place]) -> Env:
        return Env({**self.places, **more}, self.guards)

    def guarded(self, flags: tuple[Value, ...]) -> Env:
        return Env(self.places, (*self.guards, *flags))


def block_place(first: Value, offset: int = 0) -> Place:
    """Sixteen lanes from ``first + offset``, a multiple of 16."""
    block = Linear(((first, 1),), offset)
    lane = Linear(step=1)
    return Place(block.plus(lane), block, lane)


class Addressing:
    """Evaluates indices for one kernel's run-time sizes."""

    def __init__(self, b: Builder, dims: Mapping[str, int]) -> None:
        self.b, self._dims = b, dims

    def computed(self, atom: Dynamic, env: Env) -> Value:
        """A position that is a value; the evaluator puts itself here."""
        raise UnsupportedError(f"a computed position {atom} before there is an evaluator")

    def size(self, size: Size) -> Value:
        """A (symbolic) size as a value."""
        if not isinstance(size, Dim):
            return Value(str(size), I64)
        total: Value | None = None
        for monomial, factor in size.terms:
            part = Value(str(factor), I64)
            for name in monomial:
                slot = self.b.pure(f"getelementptr i64, ptr %dims, i64 {self._dims[name]}", "ptr")
                part = self.times(self.b.pure("load i64, ptr {0}", I64, slot), part)
            total = part if total is None else self.plus(total, part)
        assert total is not None
        return total

    def plus(self, x: Value, y: Value) -> Value:
        if "0" in (x.name, y.name):
            return y if x.name == "0" else x
        return self.b.pure("add i64 {0}, {1}", I64, x, y)

    def times(self, x: Value, y: Value) -> Value:
        if "1" in (x.name, y.name):
            return y if x.name == "1" else x
        return self.b.pure("mul i64 {0}, {1}", I64, x, y)

    def linear(self, index: Index, env: Env) -> Linear:
        """``index`` where the axes stand as ``env`` says."""
        total = Linear()
        if isinstance(index.offset, int):
            total = Linear(offset=index.offset)
        else:
            total = Linear(((self.size(index.offset), 1),))
        for atom, factor in index.terms:
            if isinstance(atom, Axis):
                part = env.places[atom].index
            elif isinstance(atom, Dynamic):
                part = self._wrap(self.computed(atom, env))
            elif isinstance(atom, Div):
                part = self._divide(atom, env)
            else:
                part = self._modulo(atom, env)
            if isinstance(factor, int):
                total = total.plus(part, factor)
            else:
                total = total.plus(self._scaled(part, self.size(factor)))
        return total

    def scalar(self, linear: Linear) -> Value:
        """The lane-independent part plus the constant, as one value."""
        return self.plus(self.base(linear), Value(str(linear.offset), I64))

    def base(self, linear: Linear) -> Value:
        """The run-time terms without the constant; outer loops' terms are added first."""
        total = Value("0", I64)
        for value, factor in sorted(linear.terms, key=lambda t: (t[0].depth, t[0].name)):
            total = self.plus(total, self.times(value, Value(str(factor), I64)))
        return total

    def vector(self, linear: Linear) -> Value:
        """The value in each lane."""
        wide = vector_of(I64)
        total = spread(self.b, self.scalar(linear))
        lanes = [(LANE_NUMBERS, linear.step), *linear.extra]
        for value, factor in lanes:
            if factor == 0:
                continue
            part = value
            if factor != 1:
                by = spread(self.b, Value(str(factor), I64))
                part = self.b.pure(f"mul {wide} {{0}}, {{1}}", wide, value, by)
            total = self.b.pure(f"add {wide} {{0}}, {{1}}", wide, total, part)
        return total

    def value(self, linear: Linear) -> Value:
        return self.vector(linear) if linear.varies else self.scalar(linear)

    def offset(self, buffer: Buffer, index: tuple[Index, ...], env: Env) -> Linear:
        """The element's place in the buffer's memory."""
        shape, batch = buffer.room, buffer.batch
        rest = [axis for axis in range(len(shape)) if axis != batch]
        held = dict(buffer.strips)
        whole = [ZERO if a in held else index[a] for a in rest]
        inner = linearise(whole, [shape[a] for a in rest])
        if batch is None:
            return self.linear(inner, env)
        total = self.linear(scale(inner, LANES), env)
        for a in held:
            step = product([LANES, *(shape[b] for b in rest if b > a)])
            total = self._add_scaled(total, self._within(index[a], env), step)
        row = product(shape[a] for a in rest)
        block, lane = self._block_and_lane(index[batch], env)
        return self._add_scaled(total, block, row).plus(lane)

    def _within(self, index: Index, env: Env) -> Linear:
        """How far into the strip an index along one of its axes is."""
        if index.static is not None:
            return Linear()
        ((axis, factor),) = index.terms
        assert isinstance(axis, Axis), index
        lane = env.places[axis].lane
        assert lane is not None, index
        assert (factor, index.offset) == (1, 0), index
        return lane

    def _add_scaled(self, total: Linear, part: Linear, by: Size) -> Linear:
        if isinstance(by, int):
            return total.plus(part, by)
        return total.plus(self._scaled(part, self.size(by)))

    def _block_and_lane(self, index: Index, env: Env) -> tuple[Linear, Linear]:
        """A batch index split into its block's first row and the lane within."""
        if len(index.terms) == 1 and index.offset == 0 and index.terms[0][1] == 1:
            atom = index.terms[0][0]
            if isinstance(atom, Axis):
                place = env.places[atom]
                if place.block is not None and place.lane is not None:
                    return place.block, place.lane
        whole = self.linear(index, env)
        if whole.static is not None:
            return Linear(offset=whole.offset // LANES * LANES), Linear(offset=whole.offset % LANES)
        value = self.value(whole)
        mask = Value(str(LANES - 1), I64)
        mask = spread(self.b, mask) if value.is_vector else mask
        lane = self.b.pure(f"and {value.type} {{0}}, {{1}}", value.type, value, mask)
        block = self.b.pure(f"sub {value.type} {{0}}, {{1}}", value.type, value, lane)
        return self._wrap(block), self._wrap(lane)

    def _wrap(self, value: Value) -> Linear:
        return Linear(extra=((value, 1),)) if value.is_vector else Linear(((value, 1),))

    def _scaled(self, part: Linear, by: Value) -> Linear:
        value = self.value(part)
        if value.is_vector:
            wide = value.type
            return self._wrap(
                self.b.pure(f"mul {wide} {{0}}, {{1}}", wide, value, spread(self.b, by))
            )
        return self._wrap(self.times(value, by))

    def _divide(self, atom: Div, env: Env) -> Linear:
        inner, by = self.linear(atom.inner, env), atom.by
        if not inner.varies and self._divides(inner, by):
            terms = tuple(self._exact(value, factor, by) for value, factor in inner.terms)
            return Linear(terms, inner.offset // by)
        return self._wrap(self._whole("div", inner, by, atom))

    def _modulo(self, atom: Mod, env: Env) -> Linear:
        inner, by = self.linear(atom.inner, env), atom.by
        if not inner.varies and self._divides(inner, by):
            return Linear(offset=inner.offset % by)
        return self._wrap(self._whole("rem", inner, by, atom))

    def _divides(self, inner: Linear, by: int) -> bool:
        return all(value.multiple * factor % by == 0 for value, factor in inner.terms)

    def _exact(self, value: Value, factor: int, by: int) -> tuple[Value, int]:
        if factor % by == 0:
            return value, factor // by
        # the known divisor of the counter supplies what the factor lacks
        whole = self.b.pure(f"udiv exact i64 {{0}}, {value.multiple}", I64, value)
        return whole, value.multiple * factor // by

    def _whole(self, word: str, inner: Linear, by: int, atom: Div | Mod) -> Value:
        value = self.value(inner)
        reach = bounds(atom.inner)
        sign = "u" if reach is not None and reach[0] >= 0 else "s"
        divisor = Value(str(by), I64)
        divisor = spread(self.b, divisor) if value.is_vector else divisor
        return self.b.pure(f"{sign}{word} {value.type} {{0}}, {{1}}", value.type, value, divisor)
