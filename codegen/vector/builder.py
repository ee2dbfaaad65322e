"""Instructions in, the text of one LLVM function out.

Every instruction is pure unless said otherwise, so the builder numbers values (an equal
instruction is emitted once) and puts each at the outermost loop where its operands exist. The
result needs no LLVM optimisation pass, only code generation.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

LANES = 16
# Registers are chosen before it is known which will be kept in memory. Only a function with a frame
# pointer can still move its stack to a multiple of 64 bytes then; without, every vector that is
# kept crosses a cache line in half of all processes, and a kernel takes up to 1.8 times as long.
ALIGNED = '"frame-pointer"="all"'


@dataclass(frozen=True)
class Value:
    """An SSA name or literal with its LLVM type, and the loop depth it is defined at."""

    name: str
    type: str
    depth: int = 0
    multiple: int = 1  # for integers: a divisor of the value that is known

    @property
    def is_vector(self) -> bool:
        return self.type.startswith("<")


@dataclass
class Block:
    """A basic block whose terminator is written last, so that code can still be hoisted in."""

    label: str
    lines: list[str] = field(default_factory=list)
    end: str = ""


def vector_of(type_: str) -> str:
    """The vector type of an element type."""
    return f"<{LANES} x {type_}>"


def element_of(type_: str) -> str:
    """The element type of a vector type; a scalar type itself."""
    return type_[type_.index("x ") + 2 : -1] if type_.startswith("<") else type_


class Builder:
    """Builds one function, loop by loop."""

    def __init__(self) -> None:
        self._count = 0
        self.blocks = [Block("entry")]
        self._at = [self.blocks[0]]  # the open block of each loop depth
        self._memo: list[dict[Hashable, Value]] = [{}]
        self.declared: dict[str, str] = {}
        self.generation = 0  # loads of an earlier generation are not kept in registers

    @property
    def depth(self) -> int:
        return len(self._at) - 1

    def fresh(self) -> str:
        self._count += 1
        return f"%v{self._count}"

    def pure(
        self, text: str, type_: str, *operands: Value, floor: int = 0, multiple: int = 1
    ) -> Value:
        """An instruction ``text`` (``{0}``, ``{1}`` stand for operands' names) without effects."""
        key = (text, type_, tuple(op.name for op in operands))
        known = self.recall(key)
        if known is not None:
            return known
        depth = max([floor, *(op.depth for op in operands)])
        value = Value(self.fresh(), type_, depth, multiple)
        self._at[depth].lines.append(f"{value.name} = {text.format(*(o.name for o in operands))}")
        self._memo[depth][key] = value
        return value

    def recall(self, key: Hashable) -> Value | None:
        """What was remembered under ``key`` at any open depth."""
        for memo in reversed(self._memo):
            if key in memo:
                return memo[key]
        return None

    def remember(self, key: Hashable, value: Value, depth: int | None = None) -> None:
        """Keep ``value`` until the loop it belongs to closes."""
        self._memo[value.depth if depth is None else depth][key] = value

    def effect(self, text: str, *operands: Value) -> None:
        """An instruction with effects, at the current place."""
        self._at[-1].lines.append(text.format(*(op.name for op in operands)))

    def load(self, text: str, type_: str, *operands: Value, floor: int) -> Value:
        """A load: shared within a generation only, so that long bodies do not spill."""
        known = self.recall((self.generation, text, tuple(op.name for op in operands)))
        if known is None:
            depth = max([floor, *(op.depth for op in operands)])
            known = Value(self.fresh(), type_, depth)
            line = f"{known.name} = {text.format(*(o.name for o in operands))}"
            self._at[depth].lines.append(line)
            key = (self.generation, text, tuple(op.name for op in operands))
            self._memo[depth][key] = known
        return known

    def call(self, name: str, type_: str, *operands: Value, floor: int = 0) -> Value:
        """A call of a pure function (an intrinsic or libm)."""
        signature = ", ".join(op.type for op in operands)
        self.declared[name] = f"declare {type_} @{name}({signature})"
        places = ", ".join(f"{op.type} {{{at}}}" for at, op in enumerate(operands))
        return self.pure(f"call {type_} @{name}({places})", type_, *operands, floor=floor)

    def loop(
        self,
        start: Value,
        stop: Value,
        step: int,
        carried: Sequence[Value],
        body: Callable[[Value, list[Value]], list[Value]],
        maybe_empty: bool = True,
        multiple: int = 1,
    ) -> list[Value]:
        """``for i in range(start, stop, step)`` carrying values; returns them after the loop."""
        before, depth = self._at[-1], self.depth + 1
        head, done = self._block("loop"), Block(f"done{self._count}")
        self._count += 1
        counter = Value(self.fresh(), "i64", depth, multiple)
        phis = [Value(self.fresh(), v.type, depth) for v in carried]
        self._at.append(head)
        self._memo.append({})
        results = body(counter, list(phis))
        latch = self._at[-1]
        after = self.fresh()
        latch.lines.append(f"{after} = add nuw nsw i64 {counter.name}, {step}")
        self._close_phis(head, before, latch, counter, start, after, phis, carried, results)
        flag = self.fresh()
        latch.lines.append(f"{flag} = icmp slt i64 {after}, {stop.name}")
        latch.end = f"br i1 {flag}, label %{head.label}, label %{done.label}"
        self._at.pop()
        self._memo.pop()
        if maybe_empty:
            enter = self.fresh()
            before.lines.append(f"{enter} = icmp slt i64 {start.name}, {stop.name}")
            before.end = f"br i1 {enter}, label %{head.label}, label %{done.label}"
        else:
            before.end = f"br label %{head.label}"
        self.blocks.append(done)
        self._at[-1] = done
        return self._leave(done, before, latch, carried, results, maybe_empty)

    def _leave(
        self,
        done: Block,
        before: Block,
        latch: Block,
        carried: Sequence[Value],
        results: Sequence[Value],
        maybe_empty: bool,
    ) -> list[Value]:
        out = []
        for first, last in zip(carried, results, strict=True):
            name = last.name
            if maybe_empty:
                name = self.fresh()
                done.lines.append(
                    f"{name} = phi {last.type} [ {first.name}, %{before.label} ], "
                    f"[ {last.name}, %{latch.label} ]"
                )
            out.append(Value(name, last.type, self.depth))
        return out

    def _close_phis(
        self,
        head: Block,
        before: Block,
        latch: Block,
        counter: Value,
        start: Value,
        after: str,
        phis: Sequence[Value],
        carried: Sequence[Value],
        results: Sequence[Value],
    ) -> None:
        lines = [
            f"{counter.name} = phi i64 [ {start.name}, %{before.label} ], "
            f"[ {after}, %{latch.label} ]"
        ]
        for phi, first, last in zip(phis, carried, results, strict=True):
            lines.append(
                f"{phi.name} = phi {phi.type} [ {first.name}, %{before.label} ], "
                f"[ {last.name}, %{latch.label} ]"
            )
        head.lines[:0] = lines

    def _block(self, kind: str) -> Block:
        self._count += 1
        block = Block(f"{kind}{self._count}")
        self.blocks.append(block)
        return block

    def function(self, name: str) -> str:
        """The finished function."""
        self._at[0].end = "ret void"
        arguments = "ptr noalias %args, ptr noalias %dims, i64 %begin, i64 %end"
        lines = [f"define void @{name}({arguments}) {ALIGNED} {{"]
        for block in self.blocks:
            lines.append(f"{block.label}:")
            lines += [f"  {line}" for line in (*block.lines, block.end)]
        return "\n".join([*lines, "}"])
