"""A nest over few long rows in, kernels that many blocks share out.

A nest whose reductions and results go along rows (a norm) is one kernel on a CPU, and on a GPU
where there are rows enough for all blocks. A batch norm has as many rows as channels, each as long
as the batch and its maps: then each reduction is a nest of its own, which can go in stages, and
what lies along the rows is a nest over all elements.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from codegen.cuda.product import steps
from codegen.cuda.rewrite import replaced
from codegen.index import Axis, axes_of, of_axis
from codegen.nest import Buffer, Expr, Load, Nest, Reduce, Root, free_axes, walk

FEW = 128  # rows that leave multiprocessors idle
LONG = 4096  # elements of a row that several blocks should share


def rows_apart(nest: Nest) -> list[Nest]:
    """The nest, or several that do the same."""
    along = [root for root in nest.roots if root.within]
    plain = [root for root in nest.roots if not root.within]
    reduces = _in_order(nest)
    if not along or not _is_long(nest, along) or reduces is None:
        return [nest]
    early = not _reads(along) & _writes(plain)  # nothing is overwritten that is still to be read
    if not early and _reads(plain) & _writes(along):
        return [nest]
    here = tuple(of_axis(axis) for axis in nest.axes)
    shape = tuple(axis.extent for axis in nest.axes)
    loads: dict[Expr, Expr] = {}
    nests: list[Nest] = []
    for at, reduce in enumerate(reduces):
        name = f"{nest.name}_{reduce.kind}{at}"
        total = Buffer(f"{name}.total", reduce.dtype, shape)
        value = Reduce(reduce.kind, reduce.axes, replaced(reduce.body, loads), reduce.dtype)
        roots = [Root(total, here, value)]
        if early and reduce is reduces[-1]:
            roots += _over(plain, {**loads, reduce: value})
        nests.append(replace(nest, name=name, roots=tuple(roots)))
        loads[reduce] = Load(total, here)
    last = [replace(root, within=()) for root in _over(along, loads)]
    nests.append(replace(nest, axes=_every_axis(nest, along[0]), roots=tuple(last)))
    if plain and not early:
        nests.append(replace(nest, name=f"{nest.name}_rows", roots=tuple(_over(plain, loads))))
    return nests


def _over(roots: list[Root], stands: Mapping[Expr, Expr]) -> list[Root]:
    return [replace(root, value=replaced(root.value, stands)) for root in roots]


def _reads(roots: list[Root]) -> set[Buffer]:
    return {e.buffer for e in walk([root.value for root in roots]) if isinstance(e, Load)}


def _writes(roots: list[Root]) -> set[Buffer]:
    return {root.buffer for root in roots}


def _every_axis(nest: Nest, root: Root) -> tuple[Axis, ...]:
    """The points' and the rows' axes, in the order of the result's dimensions."""
    free = [axis for axis in (*nest.axes, *root.within) if axis.extent != 1]
    order = {
        axis: at for at, part in enumerate(root.index) for axis in free if axis in axes_of(part)
    }
    return tuple(sorted(free, key=lambda axis: order.get(axis, -1)))


def _is_long(nest: Nest, along: list[Root]) -> bool:
    axes = (*nest.axes, *along[0].within)
    if any(not isinstance(axis.extent, int) for axis in axes):
        return False
    if any(root.within != along[0].within for root in along):
        return False
    return steps(nest.axes) < FEW and steps(along[0].within) >= LONG


def _in_order(nest: Nest) -> list[Reduce] | None:
    """The nest's reductions, each after those it needs; None where one depends on a loop."""
    memo: dict[int, frozenset[Axis]] = {}
    found = [e for e in walk([root.value for root in nest.roots]) if isinstance(e, Reduce)]
    if any(not free_axes(reduce, memo) <= set(nest.axes) for reduce in found):
        return None
    depth = {id(r): sum(isinstance(e, Reduce) for e in walk([r.body])) for r in found}
    return sorted(found, key=lambda reduce: depth[id(reduce)])
