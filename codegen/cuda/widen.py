"""Nests in launch order in, the same without those that only widen halves out.

A CPU reads an operand of a product many times, and widens it once. A GPU's blocks read it from
memory, where a half is half as long, and widen it as they load it: tensor cores take it as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from codegen.cuda.rewrite import put_all, substituted
from codegen.cuda.web import Web, plain_axes
from codegen.nest import Apply, Buffer, Expr, Load, Nest, Root
from ir.types import is_half


def widened(nests: Sequence[Nest], kept: frozenset[Buffer]) -> list[Nest | None]:
    """The nests, None in the place of each whose readers widen its halves for themselves."""
    found: list[Nest | None] = list(nests)
    for at, nest in enumerate(nests):
        root = _widening(nest)
        if root is None or root.buffer in kept:
            continue
        web = Web([one or _NOTHING for one in found], kept)
        readers = web.readers.get(root.buffer, set())
        half = [load.buffer for load in nest.loads]
        if web.maker(root.buffer) != at or not readers:
            continue
        if not web.quiet(half, at + 1, max(readers) + 1, ()):
            continue
        for reader in readers:
            changed = found[reader]
            assert changed is not None
            found[reader] = _reading(changed, root)
        found[at] = None
    return found


_NOTHING = Nest("nothing", (), ())


def _widening(nest: Nest) -> Root | None:
    """The root of a nest that casts one half at every point and does nothing else."""
    if len(nest.roots) != 1 or nest.roots[0].within:
        return None
    (root,) = nest.roots
    value = root.value
    if not isinstance(value, Apply) or value.op != "cast" or not is_half(value.args[0].dtype):
        return None
    places = plain_axes(root.index)
    return root if isinstance(value.args[0], Load) and places is not None else None


def _reading(nest: Nest, root: Root) -> Nest:
    """``nest`` with the cast in the place of every element that it reads of the root's buffer."""
    stands: dict[Expr, Expr] = {}
    for load in nest.loads:
        if load.buffer is root.buffer:
            axes = plain_axes(root.index)
            assert axes is not None
            pairs = zip(axes, load.index, strict=True)
            places = {axis: part for axis, part in pairs if axis is not None}
            stands[load] = substituted(root.value, places, {})
    values = put_all([one.value for one in nest.roots], stands)
    changed = zip(nest.roots, values, strict=True)
    return replace(nest, roots=tuple(replace(one, value=value) for one, value in changed))
