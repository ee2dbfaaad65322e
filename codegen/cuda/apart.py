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
from codegen.cuda.rewrite import put, put_all
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
    for at, group in enumerate(reduces):
        name = f"{nest.name}_{group[0].kind}{at}"
        values: dict[Expr, Expr] = {}
        totals: dict[Expr, Expr] = {}
        for number, reduce in enumerate(group):
            total = Buffer(f"{name}.total{number or ''}", reduce.dtype, shape)
            body = put(reduce.body, loads)
            values[reduce] = Reduce(reduce.kind, reduce.axes, body, reduce.dtype)
            totals[reduce] = Load(total, here)
        roots = [
            Root(load.buffer, here, value)
            for load, value in zip(totals.values(), values.values(), strict=True)
            if isinstance(load, Load)
        ]
        if early and group is reduces[-1]:
            roots += _over(plain, {**loads, **values})
        nests.append(replace(nest, name=name, roots=tuple(roots)))
        loads |= totals
    last = [replace(root, within=()) for root in _over(along, loads)]
    nests.append(replace(nest, axes=_every_axis(nest, along[0]), roots=tuple(last)))
    if plain and not early:
        nests.append(replace(nest, name=f"{nest.name}_rows", roots=tuple(_over(plain, loads))))
    return nests


def _over(roots: list[Root], stands: Mapping[Expr, Expr]) -> list[Root]:
    values = put_all([root.value for root in roots], stands)
    return [replace(root, value=value) for root, value in zip(roots, values, strict=True)]


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


def _in_order(nest: Nest) -> list[list[Reduce]] | None:
    """The nest's reductions in groups over the same axes, each after those it needs; None where
    one depends on a loop."""
    memo: dict[int, frozenset[Axis]] = {}
    found = list(
        dict.fromkeys(e for e in walk([root.value for root in nest.roots]) if isinstance(e, Reduce))
    )
    if any(not free_axes(reduce, memo) <= set(nest.axes) for reduce in found):
        return None
    groups: dict[tuple[int, tuple[Axis, ...]], list[Reduce]] = {}
    for reduce in found:
        depth = sum(isinstance(e, Reduce) for e in walk([reduce.body]))
        groups.setdefault((depth, reduce.axes), []).append(reduce)
    return [groups[key] for key in sorted(groups, key=lambda key: key[0])]
