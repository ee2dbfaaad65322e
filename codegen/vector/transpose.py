"""Loads that lie along a row, for lanes that lie across rows, in; vectors turned in registers out.

Sixteen lanes that read sixteen rows would take sixteen loads for every vector. Where a tile takes
sixteen neighbours of each row too, sixteen whole vectors are loaded and turned by shuffles: four
rounds, each of which exchanges blocks of half the size of the one before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from codegen.index import Axis
from codegen.nest import LANES, Buffer, Load, Root
from codegen.vector.address import Addressing, Env, Linear
from codegen.vector.builder import Builder, Value, vector_of
from codegen.vector.scalars import spread, type_of


class Turner:
    """Turns sixteen vectors."""

    def __init__(self, b: Builder, addressing: Addressing, pointers: Mapping[Buffer, Value]):
        self.b, self.addressing, self.pointers = b, addressing, pointers

    def columns(self, load: Load, env: Env, vector: Axis, exists: bool) -> list[Value] | None:
        """The load at sixteen neighbouring points from ``env``, each across the lanes.

        Where not every lane ``exists``, the others repeat the last that does.
        """
        at = self.addressing.offset(load.buffer, load.index, env)
        if at.extra or at.step == 0:
            return None
        element = type_of(load.dtype)
        rows = [self._row(load, at, lane, env, vector, exists, element) for lane in range(LANES)]
        return self._turn(rows)

    def store(self, root: Root, env: Env, columns: Sequence[Value]) -> None:
        """Sixteen vectors across the lanes, of neighbouring points from ``env``, as rows."""
        at = self.addressing.offset(root.buffer, root.index, env)
        element = type_of(root.buffer.dtype)
        rows = self._turn([spread(self.b, column) for column in columns])
        for lane, row in enumerate(rows):
            whole = self.addressing.scalar(Linear(at.terms, at.offset + lane * at.step))
            text = f"getelementptr inbounds {element}, ptr {{0}}, i64 {{1}}"
            pointer = self.b.pure(text, "ptr", self.pointers[root.buffer], whole)
            self.b.effect(f"store {row.type} {{0}}, ptr {{1}}, align 4", row, pointer)

    def _row(
        self,
        load: Load,
        at: Linear,
        lane: int,
        env: Env,
        vector: Axis,
        exists: bool,
        element: str,
    ) -> Value:
        if exists:
            place = Linear(at.terms, at.offset + lane * at.step)
        else:
            index = env.places[vector].index
            first = self.addressing.scalar(Linear(index.terms, index.offset))
            size = self.addressing.size(vector.extent)
            left = self.b.pure("sub i64 {0}, {1}", "i64", size, first)
            last = self.b.pure("sub i64 {0}, {1}", "i64", left, Value("1", "i64"))
            own = self.b.call("llvm.smin.i64", "i64", last, Value(str(lane), "i64"))
            place = Linear(at.terms, at.offset).plus(Linear(((own, 1),)), at.step)
        whole = self.addressing.scalar(place)
        text = f"getelementptr inbounds {element}, ptr {{0}}, i64 {{1}}"
        pointer = self.b.pure(text, "ptr", self.pointers[load.buffer], whole)
        wide = vector_of(element)
        return self.b.load(f"load {wide}, ptr {{0}}, align 4", wide, pointer, floor=self.b.depth)

    def _turn(self, rows: Sequence[Value]) -> list[Value]:
        found, wide = list(rows), rows[0].type
        block = LANES // 2
        while block:
            for at in range(LANES):
                if at & block:
                    continue
                a, c = found[at], found[at + block]
                low = [i if not i & block else i - block + LANES for i in range(LANES)]
                high = [i + block if not i & block else i + LANES for i in range(LANES)]
                found[at] = self._shuffle(a, c, low, wide)
                found[at + block] = self._shuffle(a, c, high, wide)
            block //= 2
        return found

    def _shuffle(self, a: Value, c: Value, order: Sequence[int], wide: str) -> Value:
        mask = ", ".join(f"i32 {lane}" for lane in order)
        text = f"shufflevector {wide} {{0}}, {wide} {{1}}, <{LANES} x i32> <{mask}>"
        return self.b.pure(text, wide, a, c)
