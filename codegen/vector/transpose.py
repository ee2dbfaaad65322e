"""Loads that lie along a row, for lanes that lie across rows, in; vectors turned in registers out.

Sixteen lanes that read sixteen rows would take sixteen loads for every vector. Where a tile takes
neighbours of each row too, sixteen whole vectors are loaded and turned by shuffles: four rounds,
each of which exchanges blocks of half the size of the one before. What a row lacks, because it
ends or lies in a rim, is masked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from codegen.index import Axis
from codegen.nest import LANES, Buffer, Const, Expr, Load, Root
from codegen.vector.address import Addressing, Env, Linear
from codegen.vector.builder import Builder, Value, vector_of
from codegen.vector.scalars import literal, spread, suffix, type_of

MASK = vector_of("i1")


class Turner:
    """Turns sixteen vectors of a tile that begins at ``env``.

    ``some``: the axis of the lanes, where not all of them may exist.
    """

    def __init__(
        self,
        b: Builder,
        addressing: Addressing,
        pointers: Mapping[Buffer, Value],
        env: Env,
        some: Axis | None,
    ) -> None:
        self.b, self.addressing, self.pointers = b, addressing, pointers
        self.last: Value | None = None  # the last lane that exists
        if some is not None:
            index = env.places[some].index
            first = addressing.scalar(Linear(index.terms, index.offset))
            left = b.pure("sub i64 {0}, {1}", "i64", addressing.size(some.extent), first)
            self.last = b.pure("sub i64 {0}, {1}", "i64", left, Value("1", "i64"))

    def columns(
        self, load: Load, env: Env, count: int, flags: Sequence[Value], fill: Expr | None
    ) -> list[Value] | None:
        """The load at ``count`` neighbouring points from ``env``, each across the lanes.

        Lanes that do not exist repeat the last that does; ``fill`` is the value where one of
        ``flags``, along the neighbours, is not set.
        """
        at = self.addressing.offset(load.buffer, load.index, env)
        if at.extra or at.step == 0:
            return None
        mask = self._all([*_first(count), *flags])
        rest = Value("0", "")
        if mask is not None:
            zero = literal(0, load.dtype)
            rest = spread(self.b, zero if not isinstance(fill, Const) else _value(fill))
        pointers = [self._pointer(load.buffer, self._read(at, lane)) for lane in range(LANES)]
        return self._turn([self._load(load, pointer, mask, rest) for pointer in pointers])[:count]

    def store(self, root: Root, env: Env, columns: Sequence[Value]) -> None:
        """Vectors across the lanes, of neighbouring points from ``env``, as rows."""
        at = self.addressing.offset(root.buffer, root.index, env)
        count = len(columns)
        found = [spread(self.b, column) for column in columns]
        found += [Value("poison", found[0].type)] * (LANES - count)
        for lane, row in enumerate(self._turn(found)):
            pointer = self._pointer(root.buffer, Linear(at.terms, at.offset + lane * at.step))
            exists = []
            if self.last is not None:
                text = f"icmp sle i64 {lane}, {{0}}"
                exists = [self.b.pure(text, "i1", self.last)]
            self._store(row, pointer, self._all([*_first(count), *exists]))

    def _read(self, at: Linear, lane: int) -> Linear:
        """Where a lane's row begins."""
        if self.last is None:
            return Linear(at.terms, at.offset + lane * at.step)
        own = self.b.call("llvm.smin.i64", "i64", self.last, Value(str(lane), "i64"))
        return Linear(at.terms, at.offset).plus(Linear(((own, 1),)), at.step)

    def _pointer(self, buffer: Buffer, place: Linear) -> Value:
        whole = self.addressing.scalar(place)
        text = f"getelementptr {type_of(buffer.dtype)}, ptr {{0}}, i64 {{1}}"
        return self.b.pure(text, "ptr", self.pointers[buffer], whole)

    def _load(self, load: Load, pointer: Value, mask: Value | None, rest: Value) -> Value:
        b, wide = self.b, vector_of(type_of(load.dtype))
        if mask is None:
            return b.load(f"load {wide}, ptr {{0}}, align 4", wide, pointer, floor=b.depth)
        name = f"llvm.masked.load.{suffix(wide)}.p0"
        b.declared[name] = f"declare {wide} @{name}(ptr, {MASK}, {wide})"
        text = f"call {wide} @{name}(ptr align 4 {{0}}, {MASK} {{1}}, {wide} {{2}})"
        return b.load(text, wide, pointer, mask, rest, floor=b.depth)

    def _store(self, row: Value, pointer: Value, mask: Value | None) -> None:
        if mask is None:
            self.b.effect(f"store {row.type} {{0}}, ptr {{1}}, align 4", row, pointer)
            return
        name = f"llvm.masked.store.{suffix(row.type)}.p0"
        self.b.declared[name] = f"declare void @{name}({row.type}, ptr, {MASK})"
        text = f"call void @{name}({row.type} {{0}}, ptr align 4 {{1}}, {MASK} {{2}})"
        self.b.effect(text, row, pointer, mask)

    def _all(self, flags: Sequence[Value]) -> Value | None:
        total: Value | None = None
        for flag in (spread(self.b, flag) for flag in flags):
            text = f"and {MASK} {{0}}, {{1}}"
            total = flag if total is None else self.b.pure(text, MASK, total, flag)
        return total

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


def _first(count: int) -> list[Value]:
    """A mask of so many lanes, where there are more."""
    if count == LANES:
        return []
    bits = ", ".join("i1 true" if lane < count else "i1 false" for lane in range(LANES))
    return [Value(f"<{bits}>", MASK)]


def _value(fill: Const) -> Value:
    return literal(fill.value, fill.dtype)
