"""Nests in, roughly how much work a run of them is out: whether it is worth sharing.

Waking a thread and meeting it again takes some 40 microseconds where it sleeps. A run that takes
little longer on one thread is done sooner, and leaves the other cores alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from codegen.index import Axis
from codegen.nest import Apply, Nest, Reduce, free_axes, walk
from codegen.scatter import scatter_of
from codegen.work import FREE, price_of
from ir.dims import Size, evaluate

LITTLE = 5e6  # multiplications: some 60 microseconds of one thread that has 16 lanes
NEAR = 1 << 19  # bytes of arrays that one core's caches hold


@dataclass(frozen=True)
class Effort:
    """The arithmetic of one nest in multiplications, guards taken to hold."""

    known: float
    open: tuple[tuple[float, tuple[Size, ...]], ...]  # prices, and the sizes each is paid along

    @classmethod
    def of(cls, nest: Nest) -> Effort:
        """What the nest's expressions cost."""
        memo: dict[int, frozenset[Axis]] = {}
        scatter = scatter_of(nest)
        dropped = frozenset[Axis]() if scatter is None else frozenset({scatter.row})
        prices: dict[frozenset[Axis], float] = {}
        for expr in walk([root.value for root in nest.roots]):
            if isinstance(expr, Reduce):
                axes = free_axes(expr.body, memo) | set(expr.axes)
            elif isinstance(expr, Apply) and expr.op not in FREE:
                axes = free_axes(expr, memo)
            else:
                continue
            axes = (axes | set(nest.turns)) - dropped
            prices[axes] = prices.get(axes, 0.0) + price_of(expr)
        known, symbolic = 0.0, list[tuple[float, tuple[Size, ...]]]()
        for axes, price in prices.items():
            sizes = tuple(axis.extent for axis in axes)
            if all(isinstance(size, int) for size in sizes):
                known += price * prod(evaluate(size, {}) for size in sizes)
            else:
                symbolic.append((price, sizes))
        return cls(known, tuple(symbolic))

    def at(self, env: Mapping[str, int]) -> float:
        """The price for the symbols' values in ``env``."""
        return self.known + sum(p * prod(evaluate(n, env) for n in ns) for p, ns in self.open)


class Efforts:
    """Those of all kernels of a program, each found when it is first asked for."""

    def __init__(self, nests: Sequence[Nest]) -> None:
        self._nests = nests
        self._found: dict[int, Effort] = {}

    def little(self, launches: Sequence[tuple[int, int]], env: Mapping[str, int]) -> bool:
        """Whether one thread should do all of the ``launches`` (kernel, turn)."""
        total = 0.0
        for kernel, _ in launches:
            effort = self._found.get(kernel)
            if effort is None:
                effort = self._found[kernel] = Effort.of(self._nests[kernel])
            total += effort.at(env)
            if total > LITTLE:
                return False
        return True
