"""A Python number of one call in, a run-time input of the program out.

Inside a trace a float argument (a learning rate, a loss weight) is a ``Scalar``: arithmetic on it
becomes nodes, so that another value next time runs the same program. Asking for its value
(``if weight > 0``, ``float(weight)``) is allowed too: the program is then specialised, and the
trace notes the value as a guard.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from engine.errors import TraceError, message
from engine.locate import user_location
from engine.modes import modes
from ir import make
from ir.graph import Node
from ir.types import F64


class Scalar:
    """A float64 run-time value: its node, and the Python value it has in this call."""

    __slots__ = ("node", "root", "seen")

    def __init__(self, node: Node, seen: float, root: frozenset[Scalar] | None = None) -> None:
        self.node, self.seen = node, seen
        self.root = root if root is not None else frozenset((self,))

    def __float__(self) -> float:
        return self._specialise()

    def __bool__(self) -> bool:
        return bool(self._specialise())

    def __int__(self) -> int:
        return int(self._specialise())

    def __hash__(self) -> int:
        return id(self) >> 4

    def __eq__(self, other: object) -> bool:
        return self._specialise() == other

    def __lt__(self, other: float) -> bool:
        return self._specialise() < other

    def __le__(self, other: float) -> bool:
        return self._specialise() <= other

    def __gt__(self, other: float) -> bool:
        return self._specialise() > other

    def __ge__(self, other: float) -> bool:
        return self._specialise() >= other

    def __repr__(self) -> str:
        return f"Scalar({self.seen})"

    def _specialise(self) -> float:
        if modes.trace is None:
            text = "this number belongs to a jitted step that has ended"
            raise TraceError(message(user_location(), text))
        for source in self.root:
            modes.trace.guard_scalar(source)
        return self.seen

    def _combine(self, name: str, other: Any, swap: bool, value: Callable[..., float]) -> Any:
        if isinstance(other, Scalar):
            node, seen, root = other.node, other.seen, self.root | other.root
        elif isinstance(other, int | float):
            node, seen, root = make.constant(other, F64), float(other), self.root
        else:
            return NotImplemented
        nodes = (node, self.node) if swap else (self.node, node)
        seens = (seen, self.seen) if swap else (self.seen, seen)
        try:
            result = float(value(*seens))
        except (ArithmeticError, ValueError):
            result = math.nan
        return Scalar(make.apply(name, *nodes, loc=user_location()), result, root)

    def __add__(self, other: Any) -> Any:
        return self._combine("add", other, False, lambda a, b: a + b)

    def __radd__(self, other: Any) -> Any:
        return self._combine("add", other, True, lambda a, b: a + b)

    def __sub__(self, other: Any) -> Any:
        return self._combine("sub", other, False, lambda a, b: a - b)

    def __rsub__(self, other: Any) -> Any:
        return self._combine("sub", other, True, lambda a, b: a - b)

    def __mul__(self, other: Any) -> Any:
        return self._combine("mul", other, False, lambda a, b: a * b)

    def __rmul__(self, other: Any) -> Any:
        return self._combine("mul", other, True, lambda a, b: a * b)

    def __truediv__(self, other: Any) -> Any:
        return self._combine("div", other, False, lambda a, b: a / b)

    def __rtruediv__(self, other: Any) -> Any:
        return self._combine("div", other, True, lambda a, b: a / b)

    def __pow__(self, other: Any) -> Any:
        return self._combine("pow", other, False, lambda a, b: a**b)

    def __rpow__(self, other: Any) -> Any:
        return self._combine("pow", other, True, lambda a, b: a**b)

    def __neg__(self) -> Scalar:
        return Scalar(make.neg(self.node), -self.seen, self.root)

    def __pos__(self) -> Scalar:
        return self
