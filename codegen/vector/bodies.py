"""Expressions of one kernel in, what its loops must know of them out."""

from __future__ import annotations

from collections.abc import Sequence

from codegen.nest import Condition, Const, Expr, Guard, Load, Reduce, identity_of, walk
from codegen.vector.address import Env

Instance = tuple[Reduce, Env]  # a reduction at one point of the register tile


def reductions_in(expr: Expr) -> list[Reduce]:
    """The outermost reductions in ``expr``."""
    found: list[Reduce] = []
    seen: set[int] = set()  # expressions share parts: without it, exponentially many visits
    stack = [expr]
    while stack:
        part = stack.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, Reduce):
            found.append(part)
        else:
            stack.extend(reversed(part.args))
    return found


def loads_in(expr: Expr) -> list[Load]:
    return [part for part in walk([expr]) if isinstance(part, Load)]


def skips_points(expr: Reduce) -> bool:
    """Whether the points that fail the body's conditions leave the reduction as it is."""
    fill = expr.body.fill if isinstance(expr.body, Guard) else None
    return isinstance(fill, Const) and fill.value == identity_of(expr.kind, expr.body.dtype)


def shared_conditions(instances: Sequence[Instance]) -> list[Condition]:
    """The conditions without which no instance has anything to do."""
    found: list[dict[Condition, None]] = []
    for expr, _ in instances:
        if not isinstance(expr.body, Guard) or not skips_points(expr):
            return []
        found.append(dict.fromkeys(expr.body.conditions))
    return [c for c in found[0] if all(c in other for other in found)] if found else []
