"""A kernel that takes turns in, the loops over its strips and over the tiles of each out.

A strip's number says at which point of the axes of turns it lies, the last axis fastest. Inside it
the other axes are loops over whole tiles, then the ragged rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from codegen.index import Axis
from codegen.schedule import Schedule
from codegen.vector.address import Addressing, Linear, Place
from codegen.vector.builder import Builder, Value
from codegen.vector.spans import Span, place_in, spans

Tile = Callable[[Mapping[Axis, Place], Mapping[Axis, int], bool], None]


class Turns:
    """Emits the loops of one kernel around what ``tile`` emits."""

    def __init__(self, b: Builder, plan: Schedule, addressing: Addressing, tile: Tile) -> None:
        self.b, self.plan, self.addressing, self.tile = b, plan, addressing, tile

    def text(self) -> None:
        """This thread's strips, one after the other."""

        def body(unit: Value, carried: list[Value]) -> list[Value]:
            self._loops(self.plan.order, self._places(unit), {}, False)
            return carried

        self.b.loop(Value("%begin", "i64"), Value("%end", "i64"), 1, [], body)

    def _places(self, unit: Value) -> dict[Axis, Place]:
        """The point of a strip."""
        b, (first, *others) = self.b, self.plan.nest.turns
        places: dict[Axis, Place] = {}
        for axis in reversed(others):
            size = self.addressing.size(axis.extent)
            places[axis] = Place(Linear(((b.pure("urem i64 {0}, {1}", "i64", unit, size), 1),)))
            unit = b.pure("udiv i64 {0}, {1}", "i64", unit, size)
        places[first] = Place(Linear(((unit, 1),)))
        return places

    def _loops(
        self,
        left: Sequence[Axis],
        places: Mapping[Axis, Place],
        sizes: Mapping[Axis, int],
        ragged: bool,
    ) -> None:
        if not left:
            self.tile(places, sizes, ragged)
            return
        axis, rest = left[0], left[1:]
        for span in spans(axis, self.plan.tile[axis], axis == self.plan.vector):
            tile, ends = {**sizes, axis: span.size}, ragged or span.ragged
            if span.count == 1:
                self._loops(rest, {**places, axis: self._at(axis, None, span)}, tile, ends)
                continue

            def body(
                i: Value,
                carried: list[Value],
                span: Span = span,
                tile: dict[Axis, int] = tile,
                ends: bool = ends,
            ) -> list[Value]:
                self._loops(rest, {**places, axis: self._at(axis, i, span)}, tile, ends)
                return carried

            stop = self.addressing.size(span.count)
            self.b.loop(Value("0", "i64"), stop, 1, [], body, maybe_empty=False)

    def _at(self, axis: Axis, tile: Value | None, span: Span) -> Place:
        return place_in(self.b, tile, span, axis == self.plan.vector)
