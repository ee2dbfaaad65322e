"""Reductions in, the loops that compute them out.

Reductions over the same axes under the same conditions share one loop nest. Where a value
depends on the row, there is a row of accumulators; where a batch in blocks is reduced, its lanes
run innermost. A condition stands at the outermost loop that decides it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from codegen.index import Axis, axes_of
from codegen.nest import Condition, Const, Expr, Guard, Reduce, free_axes, identity_of, walk
from codegen.portable.spell import cast, literal, narrowed
from ir.types import I64, DType

if TYPE_CHECKING:
    from codegen.portable.body import Body

Conditions: TypeAlias = tuple[Condition, ...]
Wanted: TypeAlias = tuple[Expr, Conditions]
Found: TypeAlias = tuple[Reduce, Conditions]
State: TypeAlias = tuple[str, ...]  # the running value; before a position, the value there
Loop: TypeAlias = tuple[Axis, str]  # "whole", or a batch's "block" and later its "lane"
_HINTS = {"sum": "total", "prod": "product", "max": "largest", "min": "smallest"}


@dataclass(frozen=True)
class Step:
    """What happens at every point of a group of reductions."""

    inside: Conditions
    members: tuple[tuple[Reduce, State], ...]
    inner: tuple[Wanted, ...]
    row: bool


class Reductions:
    """Writes the reductions that a body's expressions need, before their use."""

    def __init__(self, body: Body) -> None:
        self.body = body

    def prepare(self, wanted: Sequence[Wanted]) -> None:
        """Compute every reduction below the expressions, each under its conditions."""
        groups: dict[tuple[int, tuple[Axis, ...], Conditions, bool], list[Found]] = {}
        for reduce, under in self._outermost(wanted):
            row = self.body.depends(reduce, self.body.row)
            nesting = sum(isinstance(e, Reduce) for e in walk([reduce.body]))
            key = (nesting, reduce.axes, joined(under, _own(reduce)), row)
            groups.setdefault(key, []).append((reduce, under))
        for (_, _, inside, _), group in groups.items():
            fresh = [pair for pair in group if self.body.recall(*pair) is None]
            if fresh:
                self._loops(fresh, inside)

    def _outermost(self, wanted: Sequence[Wanted]) -> list[Found]:
        found: dict[tuple[int, Conditions], tuple[Reduce, Conditions]] = {}
        seen: set[tuple[int, Conditions]] = set()
        stack = list(reversed(wanted))
        while stack:
            expr, conditions = stack.pop()
            if (id(expr), conditions) in seen:
                continue
            seen.add((id(expr), conditions))
            if isinstance(expr, Reduce):
                found[id(expr), conditions] = (expr, conditions)
            elif isinstance(expr, Guard):
                stack.append((expr.fill, conditions))
                stack.append((expr.body, joined(conditions, expr.conditions)))
            else:
                stack += [(arg, conditions) for arg in reversed(expr.args)]
        return list(found.values())

    def _loops(self, group: list[Found], inside: Conditions) -> None:
        """One loop nest for reductions over the same axes."""
        body, members = self.body, [reduce for reduce, _ in group]
        axes = members[0].axes
        inner: list[Wanted] = []
        for reduce, under in self._outermost([(_inner(r), inside) for r in members]):
            touched = set(free_axes(reduce, body.free))
            touched |= {a for c in under for a in axes_of(c.index)}
            if touched & set(axes):
                inner.append((reduce, under))
            else:
                self.prepare([(reduce, under)])
        row = body.depends(members[0], body.row)
        states = self._start(members, row)
        step = Step(inside, tuple(zip(members, states, strict=True)), tuple(inner), row)
        self._open(_loops_of(axes, body), inside, step)
        for (reduce, under), state in zip(group, states, strict=True):
            body.remember(reduce, under, state[-1])

    def _start(self, members: Sequence[Reduce], row: bool) -> list[State]:
        """The accumulators before the first element, of a row of them in one loop.

        A maximum and its position share theirs: ``_step`` then only moves the position.
        """
        firsts: list[str] = []
        values: dict[tuple[str, int], str] = {}
        states: list[State] = []
        for reduce in members:
            key = (_kind(reduce), id(reduce.body))
            if key not in values:
                values[key] = self._name(_HINTS[key[0]], reduce.body.dtype, row)
            best = values[key]
            first = literal(identity_of(reduce.kind, reduce.body.dtype), reduce.body.dtype)
            firsts.append(f"{best} = {first}")
            state: State = (best,)
            if reduce.kind.startswith("arg"):
                state = (best, self._name("position", reduce.dtype, row))
                firsts.append(f"{state[-1]} = {literal(0, reduce.dtype)}")
            states.append(state)
        with self.body.row_loop([r.body for r in members]) if row else nullcontext():
            for text in dict.fromkeys(firsts):
                self.body.add(text)
        return states

    def _name(self, hint: str, dtype: DType, row: bool) -> str:
        """A new accumulator.

        A lone maximum lies in memory too: LLVM unrolls a loop over a few elements, and then
        takes time exponential in their number to prove things about the chain of choices.
        """
        body = self.body
        if row:
            return f"{body.allocate(hint, body.row_size, str(dtype))}[{body.row_name}]"
        if hint in (_HINTS["sum"], _HINTS["prod"]):
            return body.names.fresh(hint)
        return f"{body.allocate(hint, '1', str(dtype))}[0]"

    def _open(self, loops: Sequence[Loop], conditions: Conditions, step: Step) -> None:
        """The remaining loops; conditions as soon as every axis they read is open."""
        body = self.body
        waiting = {axis for axis, _ in loops}
        waiting |= {body.row} if body.row is not None else set()
        ready = tuple(c for c in conditions if not axes_of(c.index) & waiting)
        if ready:
            left = tuple(c for c in conditions if c not in ready)
            with body.block(f"if {self._test(ready)}:"):
                self._open(loops, left, step)
        elif not loops:
            self._innermost(conditions, step)
        else:
            (axis, part), rest = loops[0], loops[1:]
            with body.block(self._header(axis, part)):
                if part == "block":
                    body.open_block(axis)
                self._open(rest, conditions, step)

    def _header(self, axis: Axis, part: str) -> str:
        body = self.body
        if part == "block":
            return f"for {body.split[axis][0]} in range({body.blocks_of(axis)}):"
        if part == "lane":
            return f"for {body.split[axis][1]} in range({body.open_lanes[axis]}):"
        return f"for {body.places.axes[axis]} in range({body.extent(axis)}):"

    def _test(self, conditions: Conditions) -> str:
        return " and ".join(self.body.places.condition(c) for c in conditions)

    def _innermost(self, conditions: Conditions, step: Step) -> None:
        """One step of every accumulator, along the row where they have one."""
        body = self.body
        self.prepare(step.inner)
        headers = [f"if {self._test(conditions)}:"] if conditions else []
        bodies = [reduce.body for reduce, _ in step.members]
        row = body.row_loop(bodies) if step.row else nullcontext()
        positions = {(r.kind[3:], id(r.body)) for r, _ in step.members if r.kind[:3] == "arg"}
        with row, body.blocks(headers), body.given(step.inside):
            for reduce, state in step.members:
                if (reduce.kind, id(reduce.body)) not in positions:  # or found with its position
                    self._step(reduce, state)

    def _step(self, reduce: Reduce, state: State) -> None:
        body, source = self.body, reduce.body.dtype
        value = body.text(_inner(reduce), whole=reduce.kind in ("sum", "prod"))
        best = state[0]
        if reduce.kind in ("sum", "prod"):
            sign = "+" if reduce.kind == "sum" else "*"
            if narrowed("", source):
                body.add(f"{best} = {narrowed(f'{best} {sign} ({value})', source)}")
            else:
                body.add(f"{best} {sign}= {value}")
            return
        if not value.isidentifier():
            value = body.bind(_inner(reduce), value, "value")
        compare = ">" if "max" in reduce.kind else "<"
        test = f"{value} {compare} {best}"
        if source.kind == "f":
            test += f" or {value} != {value}"  # a NaN stays
        if len(state) == 1:
            body.add(f"{best} = {value} if {test} else {best}")
            return
        if source.kind == "f":
            test = f"({test}) and {best} == {best}"  # the first NaN wins
        better, here = body.names.fresh("better"), self._position(reduce)
        body.add(f"{better} = {test}")
        body.add(f"{best} = {value} if {better} else {best}")
        body.add(f"{state[1]} = {cast(here, I64, reduce.dtype)} if {better} else {state[1]}")

    def _position(self, reduce: Reduce) -> str:
        """Where within the reduction's axes we are, flattened."""
        body, text = self.body, ""
        for axis in reduce.axes:
            here = body.places.axes[axis]
            text = f"({text}) * {body.extent(axis)} + {here}" if text else here
        return text


def _kind(reduce: Reduce) -> str:
    return reduce.kind.removeprefix("arg")


def _own(reduce: Reduce) -> Conditions:
    """Conditions outside of which the body leaves the reduction unchanged."""
    body = reduce.body
    if not isinstance(body, Guard) or not isinstance(body.fill, Const):
        return ()
    neutral = body.fill.value == identity_of(reduce.kind, body.dtype)
    return body.conditions if neutral and not reduce.kind.startswith("arg") else ()


def _inner(reduce: Reduce) -> Expr:
    """What is accumulated where the reduction's own conditions hold."""
    return reduce.body.body if isinstance(reduce.body, Guard) and _own(reduce) else reduce.body


def joined(first: Conditions, more: Conditions) -> Conditions:
    """Both, each once."""
    return tuple(dict.fromkeys((*first, *more)))


def _loops_of(axes: Sequence[Axis], body: Body) -> list[Loop]:
    """The loops over a reduction's axes: a batch's blocks outside, its lanes inside."""
    whole = [axis for axis in axes if axis not in body.split and axis.extent != 1]
    whole.sort(key=lambda axis: axis == body.plan.vector)  # its neighbours lie side by side
    split = [axis for axis in axes if axis in body.split]
    return [
        *((axis, "block") for axis in split),
        *((axis, "whole") for axis in whole),
        *((axis, "lane") for axis in split),
    ]
