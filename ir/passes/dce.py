"""Graph in, an equal graph out in which no element is computed only to be sliced away.

A node that no output needs does not exist in this IR (a graph is what its outputs reach), so
that dead code is dead elements: a slice moves before what assembles or repeats its operand, and
what it does not keep is never made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ir import make
from ir.graph import Graph, Node
from ir.passes.rewrite import Rules, rewrite

_WHOLE = (0, 1)


def dce(graph: Graph) -> Graph:
    """Slices move before concatenations, paddings, broadcasts and other slices."""
    return rewrite(graph, _RULES)


def _slice_of_slice(node: Node) -> Node | None:
    (x,) = node.inputs
    if x.op.name != "slice":
        return None
    (source,) = x.inputs
    ranges = []
    for axis, size in enumerate(node.shape):
        (a, _, s), (b, _, t) = _range(x, axis), _range(node, axis)
        if (b, t) == _WHOLE and size == x.shape[axis]:
            ranges.append(_range(x, axis))
            continue
        start, step = a + b * s, s * t
        ranges.append((start, start + (size - 1) * step + 1 if size else start, step))
    return _slice(source, ranges)


def _slice_of_concatenate(node: Node) -> Node | None:
    """A slice that stays within one part reads that part alone."""
    (x,) = node.inputs
    if x.op.name != "concatenate":
        return None
    axis, at = x.attrs["axis"], 0
    start, stop, step = _range(node, axis)
    for part in x.inputs:
        size = part.shape[axis]
        if not isinstance(size, int) or not isinstance(stop, int):
            return None
        if at <= start and stop <= at + size:
            ranges = [_range(node, a) for a in range(node.type.rank)]
            ranges[axis] = (start - at, stop - at, step)
            return _slice(part, ranges)
        at += size
    return None


def _slice_of_pad(node: Node) -> Node | None:
    """A slice that keeps none of the padding needs none."""
    (x,) = node.inputs
    if x.op.name != "pad":
        return None
    (source,), ranges = x.inputs, []
    for axis, size in enumerate(source.shape):
        low, high, interior = (x.attrs[side][axis] for side in ("low", "high", "interior"))
        start, stop, step = _range(node, axis)
        if (low, high, interior) != (0, 0, 0):
            if interior or not isinstance(size, int) or start < low or stop > low + size:
                return None
            start, stop = start - low, stop - low
        ranges.append((start, stop, step))
    return _slice(source, ranges)


def _slice_of_broadcast(node: Node) -> Node | None:
    (x,) = node.inputs
    if x.op.name != "broadcast":
        return None
    (source,), axes = x.inputs, x.attrs["axes"]
    ranges = [
        _range(node, axis) if size == x.shape[axis] else (0, size, 1)
        for axis, size in zip(axes, source.shape, strict=True)
    ]
    return make.broadcast(_slice(source, ranges), node.shape, axes)


def _range(node: Node, axis: int) -> tuple[int, Any, int]:
    attrs = node.attrs
    return attrs["start"][axis], attrs["stop"][axis], attrs["step"][axis]


def _slice(x: Node, ranges: Sequence[tuple[int, Any, int]]) -> Node:
    start, stop, step = zip(*ranges, strict=True) if ranges else ((), (), ())
    return make.slice(x, start, stop, step)


_RULES: Rules = {
    "slice": (_slice_of_slice, _slice_of_concatenate, _slice_of_pad, _slice_of_broadcast)
}
