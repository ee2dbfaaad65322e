"""Nests in launch order in, who makes and who reads each buffer out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from codegen.index import ZERO, Axis, Index, axes_of, of_axis
from codegen.nest import Buffer, Nest


class Web:
    """The makers and readers of all buffers; ``kept`` are read from outside, too."""

    def __init__(self, nests: Sequence[Nest], kept: frozenset[Buffer]) -> None:
        self.nests, self.kept = nests, kept
        self.readers: dict[Buffer, set[int]] = {}
        self.makers: dict[Buffer, list[int]] = {}
        for at, nest in enumerate(nests):
            for load in nest.loads:
                self.readers.setdefault(load.buffer, set()).add(at)
            for buffer in dict.fromkeys(root.buffer for root in nest.roots):
                self.makers.setdefault(buffer, []).append(at)

    def maker(self, buffer: Buffer) -> int | None:
        """The only nest that makes what nobody outside reads."""
        made = self.makers.get(buffer, [])
        return made[0] if len(made) == 1 and buffer not in self.kept else None

    def only(self, buffer: Buffer, reader: int) -> int | None:
        """The nest that makes one thing alone, which ``reader`` alone reads."""
        at = self.maker(buffer)
        alone = at is not None and self.readers.get(buffer) == {reader}
        return at if alone and len(self.nests[at or 0].roots) == 1 else None

    def quiet(self, buffers: Iterable[Buffer], first: int, last: int, own: Iterable[int]) -> bool:
        """Whether nobody but ``own`` writes any of ``buffers`` from ``first`` until ``last``."""
        asked, among = set(buffers), set(own)
        return not any(
            root.buffer in asked
            for at in range(first, last)
            if at not in among
            for root in self.nests[at].roots
        )


def plain_axes(index: Sequence[Index]) -> list[Axis | None] | None:
    """The axis that each part of an index is (None: it does not move); None for anything else."""
    found: list[Axis | None] = []
    for part in index:
        axes = axes_of(part)
        if len(axes) > 1 or (not axes and part != ZERO):
            return None
        axis = next(iter(axes), None)
        if axis is not None and (part != of_axis(axis) or axis in found):
            return None
        found.append(axis)
    return found
