"""A nest in, whether it adds values up at computed places out: then it may push instead of pull."""

from __future__ import annotations

from dataclasses import dataclass

from codegen.index import Axis, of_axis
from codegen.lanes import length
from codegen.nest import Apply, Const, Expr, Nest, Position, Reduce, free_axes, walk


@dataclass(frozen=True, eq=False)
class Scatter:
    """``out[row, ...] = sum over values of (value where meant == row)``."""

    row: Axis
    values: tuple[Axis, ...]  # that number the values, in the order of the sum
    outer: frozenset[Axis]  # of the nest, that the place depends on too
    meant: Expr
    value: Expr

    @property
    def shared(self) -> Axis:
        """The axis whose points threads share: one of the ``outer``, each point of which is a sum
        of its own, or else the rows."""
        return max(sorted(self.outer, key=str), key=length, default=self.row)


def scatter_of(nest: Nest) -> Scatter | None:
    """The parts of a nest that does nothing but this."""
    if len(nest.roots) != 1:
        return None
    total = nest.roots[0].value
    if not isinstance(total, Reduce) or total.kind != "sum" or total.dtype.kind not in "fiu":
        return None
    body = total.body
    if not isinstance(body, Apply) or body.op != "select":
        return None
    here, value, fill = body.args
    if not isinstance(here, Apply) or here.op != "eq" or not isinstance(fill, Const):
        return None
    meant, place = here.args
    if fill.value != 0 or not isinstance(place, Position):
        return None
    row = next((axis for axis in nest.axes if place.index == of_axis(axis)), None)
    memo: dict[int, frozenset[Axis]] = {}
    known = free_axes(meant, memo)
    if row is None or row in known or row in free_axes(value, memo):
        return None
    simple = all(not isinstance(e, Reduce) for e in walk([meant, value]))
    out = nest.roots[0].buffer
    apart = all(load.buffer is not out for load in nest.loads)
    if not simple or not apart or total.dtype.itemsize < 4:
        return None
    return Scatter(row, total.axes, known & frozenset(nest.axes), meant, value)
