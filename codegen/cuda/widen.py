"""Nests in launch order in, the same without results that only widen halves out.

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
    """The nests without the results whose readers widen halves for themselves; None in the place
    of each that has no other result."""
    found: list[Nest | None] = list(nests)
    for at, nest in enumerate(nests):
        for root in nest.roots:
            web = Web([one or _NOTHING for one in found], kept)
            readers = web.readers.get(root.buffer, set())
            half = _widening(root)
            if half is None or not readers or at in readers or web.maker(root.buffer) != at:
                continue
            if not web.quiet([half], at, max(readers) + 1, ()):
                continue
            for reader in readers:
                found[reader] = _reading(found[reader] or _NOTHING, root)
            left = tuple(one for one in (found[at] or _NOTHING).roots if one is not root)
            found[at] = replace(found[at] or _NOTHING, roots=left) if left else None
    return found


_NOTHING = Nest("nothing", (), ())


def _widening(root: Root) -> Buffer | None:
    """The halves that a root only casts, at every point."""
    value = root.value
    if not isinstance(value, Apply) or value.op != "cast" or not is_half(value.args[0].dtype):
        return None
    (load,) = value.args
    plain = isinstance(load, Load) and plain_axes(root.index) is not None and not root.within
    return load.buffer if plain and isinstance(load, Load) else None


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
