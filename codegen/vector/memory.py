"""Elements in, loads and stores out: contiguous, broadcast, masked, or lane by lane.

Which of them is read off the address: no step per lane is one scalar for all lanes, a step of one
is a vector, anything else goes lane by lane.
"""

from __future__ import annotations

from codegen.index import Axis, Index
from codegen.nest import LANES, Buffer, Load
from codegen.vector.address import Addressing, Env, Linear
from codegen.vector.builder import Builder, Value, element_of, vector_of
from codegen.vector.scalars import gathered, lanes_of, spread, type_of

BYTE = "i8"


class Memory:
    """Reads and writes one kernel's buffers."""

    def __init__(self, b: Builder, addressing: Addressing, slots: dict[Buffer, int]) -> None:
        self.b, self.addressing = b, addressing
        self.pointers = {buffer: self._pointer(at) for buffer, at in slots.items()}

    def load(
        self, buffer: Buffer, index: tuple[Index, ...], env: Env, mask: Value | None, floor: int
    ) -> Value:
        """The element, scalar where it is the same in every lane. ``mask``: lanes that exist."""
        at = self.addressing.offset(buffer, index, env)
        floor = floor if buffer.shape else 0
        scalars = tuple(g for g in env.guards if not g.is_vector)
        vectors = [g for g in env.guards if g.is_vector]
        if mask is not None and at.varies and not self._is_padded(buffer, index, env):
            vectors.append(mask)
        if not at.varies:
            return self._bool(buffer, self._one(buffer, at, scalars, floor))
        lanes = self._all(vectors)
        if at.step == 1 and not at.extra:
            loaded = self._contiguous(buffer, at, scalars, lanes, floor)
        else:
            loaded = self._each(buffer, at, scalars, lanes, floor)
        return self._bool(buffer, loaded)

    def store(
        self, buffer: Buffer, index: tuple[Index, ...], env: Env, value: Value, mask: Value | None
    ) -> None:
        """Write the element of every lane that exists; padding lanes may be written."""
        at = self.addressing.offset(buffer, index, env)
        value = self._byte(buffer, value)
        if not at.varies:
            assert not value.is_vector, "a vector stored to one element"
            self.b.effect(f"store {value.type} {{0}}, ptr {{1}}", value, self._address(buffer, at))
            return
        value = spread(self.b, value)
        mask = None if self._is_padded(buffer, index, env) else mask
        if at.step == 1 and not at.extra:
            pointer = self._address(buffer, at)
            if mask is None:
                self.b.effect(f"store {value.type} {{0}}, ptr {{1}}, align 1", value, pointer)
            else:
                self._masked_store(value, pointer, mask)
            return
        self._scatter(buffer, at, value, mask)

    def prefetch(self, load: Load, at: Linear, written: bool) -> None:
        """Ask for the cache line of the first lane, once, where lanes are neighbours."""
        if at.step != 1 or at.extra:
            return
        pointer = self._address(load.buffer, at)
        key = ("prefetched", pointer.name)
        if self.b.recall(key) is None:
            self.b.remember(key, pointer)
            self.b.declared["llvm.prefetch.p0"] = (
                "declare void @llvm.prefetch.p0(ptr, i32, i32, i32)"
            )
            text = f"call void @llvm.prefetch.p0(ptr {{0}}, i32 {int(written)}, i32 3, i32 1)"
            self.b.effect(text, pointer)

    def _is_padded(self, buffer: Buffer, index: tuple[Index, ...], env: Env) -> bool:
        """Whether lanes that do not exist have room of their own: those of whole blocks do."""
        if buffer.batch is None or index[buffer.batch].offset != 0:
            return False
        terms = index[buffer.batch].terms
        if len(terms) != 1 or not isinstance(terms[0][0], Axis) or terms[0][1] != 1:
            return False
        return env.places[terms[0][0]].index.varies

    # -- addresses --------------------------------------------------------------------------

    def _pointer(self, slot: int) -> Value:
        place = self.b.pure(f"getelementptr ptr, ptr %args, i64 {slot}", "ptr")
        return self.b.pure("load ptr, ptr {0}, !invariant.load !0", "ptr", place)

    def _element(self, buffer: Buffer) -> str:
        return BYTE if buffer.dtype.kind == "b" else type_of(buffer.dtype)

    def _address(self, buffer: Buffer, at: Linear, safe: tuple[Value, ...] = ()) -> Value:
        """The first lane's address; element 0 where a condition in ``safe`` fails."""
        element = self._element(buffer)
        if safe:
            whole = self.addressing.scalar(at)
            for flag in safe:
                whole = self.b.pure("select i1 {0}, i64 {1}, i64 0", "i64", flag, whole)
            text = f"getelementptr inbounds {element}, ptr {{0}}, i64 {{1}}"
            return self.b.pure(text, "ptr", self.pointers[buffer], whole)
        base = self.addressing.base(at)
        text = f"getelementptr inbounds {element}, ptr {{0}}, i64 {{1}}"
        pointer = self.b.pure(text, "ptr", self.pointers[buffer], base)
        if at.offset == 0:
            return pointer
        return self.b.pure(
            f"getelementptr inbounds {element}, ptr {{0}}, i64 {at.offset}", "ptr", pointer
        )

    # -- loads ------------------------------------------------------------------------------

    def _one(self, buffer: Buffer, at: Linear, safe: tuple[Value, ...], floor: int) -> Value:
        element = self._element(buffer)
        pointer = self._address(buffer, at, safe)
        return self.b.load(f"load {element}, ptr {{0}}", element, pointer, floor=floor)

    def _contiguous(
        self, buffer: Buffer, at: Linear, safe: tuple[Value, ...], lanes: Value | None, floor: int
    ) -> Value:
        wide = vector_of(self._element(buffer))
        if lanes is None:
            pointer = self._address(buffer, at, safe)
            return self.b.load(f"load {wide}, ptr {{0}}, align 1", wide, pointer, floor=floor)
        pointer = self._address(buffer, at)
        for flag in safe:
            lanes = self.b.pure(
                f"select i1 {{0}}, {lanes.type} {{1}}, {lanes.type} zeroinitializer",
                lanes.type,
                flag,
                lanes,
            )
        name = f"llvm.masked.load.{_suffix(wide)}.p0"
        self.b.declared[name] = f"declare {wide} @{name}(ptr, {lanes.type}, {wide})"
        text = f"call {wide} @{name}(ptr align 1 {{0}}, {lanes.type} {{1}}, {wide} zeroinitializer)"
        return self.b.load(text, wide, pointer, lanes, floor=floor)

    def _each(
        self, buffer: Buffer, at: Linear, safe: tuple[Value, ...], lanes: Value | None, floor: int
    ) -> Value:
        """Sixteen scalar loads; a lane that does not exist reads element 0."""
        element = self._element(buffer)
        pointers = self._lane_pointers(buffer, at, safe, lanes)
        loads = [
            self.b.load(f"load {element}, ptr {{0}}", element, pointer, floor=floor)
            for pointer in pointers
        ]
        return gathered(self.b, loads)

    def _lane_pointers(
        self, buffer: Buffer, at: Linear, safe: tuple[Value, ...], lanes: Value | None
    ) -> list[Value]:
        element = self._element(buffer)
        if not at.extra and lanes is None:
            return [
                self._address(buffer, Linear(at.terms, at.offset + lane * at.step), safe)
                for lane in range(LANES)
            ]
        places = self.addressing.vector(at)
        wide = places.type
        for flag in safe:
            text = f"select i1 {{0}}, {wide} {{1}}, {wide} zeroinitializer"
            places = self.b.pure(text, wide, flag, places)
        if lanes is not None:
            text = f"select {lanes.type} {{0}}, {wide} {{1}}, {wide} zeroinitializer"
            places = self.b.pure(text, wide, lanes, places)
        text = f"getelementptr inbounds {element}, ptr {{0}}, i64 {{1}}"
        base = self.pointers[buffer]
        return [self.b.pure(text, "ptr", base, place) for place in lanes_of(self.b, places)]

    # -- stores -----------------------------------------------------------------------------

    def _masked_store(self, value: Value, pointer: Value, mask: Value) -> None:
        lanes = mask.name.strip("<>").split(", ")
        if lanes.count("i1 true") == 1:
            # LLVM 22 stores a truncated element at its width before truncation under such a mask.
            element = element_of(value.type)
            text = f"extractelement {value.type} {{0}}, i32 {lanes.index('i1 true')}"
            one = self.b.pure(text, element, value)
            text = f"getelementptr inbounds {element}, ptr {{0}}, i64 {lanes.index('i1 true')}"
            place = self.b.pure(text, "ptr", pointer) if lanes[0] != "i1 true" else pointer
            self.b.effect(f"store {element} {{0}}, ptr {{1}}, align 1", one, place)
            return
        name = f"llvm.masked.store.{_suffix(value.type)}.p0"
        self.b.declared[name] = f"declare void @{name}({value.type}, ptr, {mask.type})"
        self.b.effect(
            f"call void @{name}({value.type} {{0}}, ptr align 1 {{1}}, {mask.type} {{2}})",
            value,
            pointer,
            mask,
        )

    def _scatter(self, buffer: Buffer, at: Linear, value: Value, mask: Value | None) -> None:
        pointers = self._lane_pointers(buffer, at, (), mask)
        parts = lanes_of(self.b, value)
        if mask is None:
            for part, pointer in zip(parts, pointers, strict=True):
                self.b.effect(f"store {part.type} {{0}}, ptr {{1}}", part, pointer)
            return
        name = f"llvm.masked.scatter.{_suffix(value.type)}.v{LANES}p0"
        wide = vector_of("ptr")
        self.b.declared[name] = f"declare void @{name}({value.type}, {wide}, {mask.type})"
        self.b.effect(
            f"call void @{name}({value.type} {{0}}, {wide} align 1 {{1}}, {mask.type} {{2}})",
            value,
            gathered(self.b, pointers),
            mask,
        )

    # -- bools are bytes in memory ----------------------------------------------------------

    def _bool(self, buffer: Buffer, value: Value) -> Value:
        if buffer.dtype.kind != "b":
            return value
        to = vector_of("i1") if value.is_vector else "i1"
        return self.b.pure(f"trunc {value.type} {{0}} to {to}", to, value)

    def _byte(self, buffer: Buffer, value: Value) -> Value:
        if buffer.dtype.kind != "b":
            return value
        to = vector_of(BYTE) if value.is_vector else BYTE
        return self.b.pure(f"zext {value.type} {{0}} to {to}", to, value)

    def _all(self, flags: list[Value]) -> Value | None:
        if not flags:
            return None
        total = flags[0]
        for flag in flags[1:]:
            total = self.b.pure(f"and {total.type} {{0}}, {{1}}", total.type, total, flag)
        return total


def _suffix(wide: str) -> str:
    element = wide[wide.index("x ") + 2 : -1]
    return f"v{LANES}" + {"float": "f32", "double": "f64"}.get(element, element)
