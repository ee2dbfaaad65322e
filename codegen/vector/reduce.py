"""A reduction's kind in, the instructions of its running value out.

The state is one value, or two for a position: the best value so far and where it was. A wide
state holds sixteen partial results (or sixteen results side by side).
"""

from __future__ import annotations

from collections.abc import Sequence

from codegen.nest import Reduce, identity_of
from codegen.vector.builder import LANES, Builder, Value, element_of, vector_of
from codegen.vector.scalars import larger, literal, select, spread, suffix

_ACROSS_FLOAT = {"sum": "fadd", "prod": "fmul", "max": "fmaximum", "min": "fminimum"}
_ACROSS_INT = {"sum": "add", "prod": "mul", "max": "max", "min": "min"}


class Accumulator:
    """Starts, extends and finishes one reduction."""

    def __init__(self, b: Builder, expr: Reduce, wide: bool = False) -> None:
        self.b, self.kind, self.wide = b, expr.kind, wide
        self.source, self.dtype = expr.body.dtype, expr.dtype
        self.width = 2 if self.kind.startswith("arg") else 1

    def start(self) -> list[Value]:
        """The state before the first element."""
        first = literal(identity_of(self.kind, self.source), self.source)
        state = [first, literal(0, self.dtype)][: self.width]
        return [spread(self.b, v) for v in state] if self.wide else state

    def first(self, value: Value, position: Value | None) -> list[Value]:
        """The state after one element."""
        return [value] if position is None else [value, position]

    def combine(self, state: Sequence[Value], value: Value, position: Value | None) -> list[Value]:
        """The state after another element."""
        b, best = self.b, state[0]
        if self.wide or best.is_vector or value.is_vector:
            value, best = spread(b, value), spread(b, best)
        if self.kind in ("sum", "prod"):
            word = {"sum": "add", "prod": "mul"}[self.kind]
            word = "f" + word if self.source.kind == "f" else word
            return [b.pure(f"{word} {best.type} {{0}}, {{1}}", best.type, best, value)]
        better = larger(b, value, best, self.source, "gt" if "max" in self.kind else "lt")
        if position is None:
            return [select(b, better, value, best)]
        if self.source.kind == "f":  # the first NaN wins
            flag = better.type
            sound = b.pure(f"fcmp ord {best.type} {{0}}, {{1}}", flag, best, best)
            better = b.pure(f"and {flag} {{0}}, {{1}}", flag, better, sound)
        return [select(b, better, value, best), select(b, better, position, state[1])]

    def multiply_add(self, state: Sequence[Value], factors: Sequence[Value]) -> list[Value]:
        """The state of a sum after a product, fused."""
        x, y, total = *factors, state[0]
        if total.is_vector or x.is_vector or y.is_vector:
            x, y, total = spread(self.b, x), spread(self.b, y), spread(self.b, total)
        name = f"llvm.fmuladd.{suffix(total.type)}"
        return [self.b.call(name, total.type, x, y, total)]

    def finish(self, state: Sequence[Value], across: bool) -> Value:
        """The result; ``across`` adds up the lanes."""
        total = state[-1]
        if not across or not total.is_vector:
            return total
        if len(state) > 1:
            return self._first_of(state[0], total)
        element = element_of(total.type)
        if self.source.kind == "f":
            name = f"llvm.vector.reduce.{_ACROSS_FLOAT[self.kind]}.{suffix(total.type)}"
            if self.kind in ("sum", "prod"):
                first = literal(-0.0 if self.kind == "sum" else 1.0, self.dtype)
                self.b.declared[name] = f"declare {element} @{name}({element}, {total.type})"
                text = f"call reassoc {element} @{name}({element} {{0}}, {total.type} {{1}})"
                return self.b.pure(text, element, first, total)
            return self._extreme(name, element, total)
        sign = "" if self.kind in ("sum", "prod") else ("s" if self.source.kind == "i" else "u")
        name = f"llvm.vector.reduce.{sign}{_ACROSS_INT[self.kind]}.{suffix(total.type)}"
        return self.b.call(name, element, total)

    def _first_of(self, best: Value, places: Value) -> Value:
        """The lowest place among the lanes that hold the extremum, or NaN where one does.

        A lane without elements holds the identity at place 0: all elements are that, if any is.
        """
        b, flag = self.b, vector_of("i1")
        element, suffixed = element_of(best.type), suffix(best.type)
        word = self.kind.removeprefix("arg")
        if self.source.kind == "f":
            name = f"llvm.vector.reduce.f{word}imum.{suffixed}"
            top = spread(b, self._extreme(name, element, best))
            nan = b.pure(f"fcmp uno {best.type} {{0}}, {{0}}", flag, best)
            same = b.pure(f"fcmp oeq {best.type} {{0}}, {{1}}", flag, best, top)
            same = b.pure(f"or {flag} {{0}}, {{1}}", flag, same, nan)
        else:
            sign = "s" if self.source.kind == "i" else "u"
            top = spread(b, b.call(f"llvm.vector.reduce.{sign}{word}.{suffixed}", element, best))
            same = b.pure(f"icmp eq {best.type} {{0}}, {{1}}", flag, best, top)
        last = spread(b, literal(identity_of("min", self.dtype), self.dtype))
        places = select(b, same, places, last)
        name = f"llvm.vector.reduce.smin.{suffix(places.type)}"
        return b.call(name, element_of(places.type), places)

    def _extreme(self, name: str, element: str, total: Value) -> Value:
        """The largest (smallest) lane, NaN where one is: asked apart, that takes few shuffles."""
        b = self.b
        name = name.replace("imum", "")
        b.declared[name] = f"declare {element} @{name}({total.type})"
        best = b.pure(f"call nnan {element} @{name}({total.type} {{0}})", element, total)
        lanes = b.pure(f"fcmp uno {total.type} {{0}}, {{0}}", vector_of("i1"), total)
        bits = b.pure(f"bitcast {lanes.type} {{0}} to i{LANES}", f"i{LANES}", lanes)
        some = b.pure(f"icmp ne i{LANES} {{0}}, 0", "i1", bits)
        nan = literal(float("nan"), self.source)
        return select(b, some, nan, best)
