"""A kernel and its sizes in, the arithmetic it does and the bytes it must move out.

Arithmetic is counted once for every point that an expression depends on: a multiply-add counts
two, any other op one, whatever it costs the machine. Bytes are those of a perfect cache: every
buffer that is read comes in once, every buffer that is written goes out once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from codegen.index import Axis
from codegen.nest import Apply, Load, Nest, Reduce, Root, free_axes, walk
from ir.dims import evaluate

FREE = frozenset({"cast", "select"})  # moves or converts; no arithmetic


@dataclass(frozen=True)
class Work:
    """Floating-point operations and bytes to and from memory."""

    flops: int
    bytes: int

    def __add__(self, other: Work) -> Work:
        return Work(self.flops + other.flops, self.bytes + other.bytes)


def work_of(nest: Nest, env: Mapping[str, int]) -> Work:
    """The work of one launch for the symbols' values in ``env``."""
    return Work(_flops(nest, env), _bytes(nest, env))


def _flops(nest: Nest, env: Mapping[str, int]) -> int:
    memo: dict[int, frozenset[Axis]] = {}
    total = 0
    for expr in walk([root.value for root in nest.roots]):
        if isinstance(expr, Apply) and expr.op not in FREE:
            total += _points(free_axes(expr, memo), env)
        elif isinstance(expr, Reduce):
            total += _points(free_axes(expr.body, memo) | set(expr.axes), env)
    return total


def _bytes(nest: Nest, env: Mapping[str, int]) -> int:
    memo: dict[int, frozenset[Axis]] = {}
    read: dict[object, int] = {}
    for load in nest.loads:
        whole = _size(load, env)
        touched = _points(free_axes(load, memo), env) * load.dtype.itemsize
        read[load.buffer] = min(whole, read.get(load.buffer, 0) + touched)
    return sum(read.values()) + sum(_written(root, env) for root in nest.roots)


def _written(root: Root, env: Mapping[str, int]) -> int:
    return _size(Load(root.buffer, root.index), env)


def _size(load: Load, env: Mapping[str, int]) -> int:
    total = load.dtype.itemsize
    for size in load.buffer.shape:
        total *= evaluate(size, env)
    return total


def _points(axes: frozenset[Axis] | set[Axis], env: Mapping[str, int]) -> int:
    total = 1
    for axis in axes:
        total *= evaluate(axis.extent, env)
    return total
