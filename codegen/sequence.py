"""Planned nests in, a program's nests in launch order out: copies before what reads them, and what
takes turns cut into strips."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace

from codegen.cut import cut
from codegen.heads import Heads
from codegen.nest import Buffer, Nest
from codegen.relayout import Copy
from codegen.strips import Chain
from ir.graph import Node

Planned = tuple[Nest, Sequence[Copy]]  # with the copies in another order that it reads


class NestSequence:
    """The nests so far, and (first nest, how many) of those that take turns."""

    def __init__(self) -> None:
        self.nests: list[Nest] = []
        self.groups: list[tuple[int, int]] = []
        self._copied: set[Buffer] = set()
        self._striped: dict[Hashable, Nest] = {}

    def append(
        self,
        found: Sequence[Planned],
        group: Chain | Heads | None,
        buffers: Mapping[Node, Buffer],
    ) -> None:
        """Nests, by turns where they are a ``group`` and fit together."""
        strips = [] if group is None else self._in_strips(found, group, buffers)
        for nest, copies in found:
            for copy in copies:
                if copy.buffer not in self._copied:
                    self.nests.append(copy.nest)
                    self._copied.add(copy.buffer)
            if not strips:
                self.nests.append(nest)
        if strips:
            self.groups.append((len(self.nests), len(strips)))
            self.nests += strips

    def _in_strips(
        self, found: Sequence[Planned], group: Chain | Heads, buffers: Mapping[Node, Buffer]
    ) -> list[Nest]:
        """The nests, each run a strip at a time; what is alike stays alike. None if they cannot."""
        nests = [nest for nest, _ in found]
        if isinstance(group, Chain):
            pairs = zip(nests, group.axes, strict=True)
            new = [replace(nest, strips=axes) for nest, axes in pairs]
        else:
            made = {root.buffer for nest in nests for root in nest.roots}
            copied = {b for _, copies in found for copy in copies for b in copy.nest.buffers}
            if made & copied:
                return []  # all of an array is wanted in another order
            between, own = ({buffers[n] for n in part} for part in (group.between, group.own))
            new = cut(nests, between, own)
        return [self._alike(old, one) for old, one in zip(nests, new, strict=False)]

    def _alike(self, old: Nest, new: Nest) -> Nest:
        """``new``, which was made of ``old``, likened to the same of a nest like ``old``."""
        shapes = tuple((buffer.shape, buffer.own) for buffer in new.buffers)
        key = old.first, new.strips, new.turns, new.chained, shapes
        first = self._striped.setdefault(key, new)
        return new if first is new else new.likened(first)
