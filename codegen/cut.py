"""The nests of a group in, the same nests run a strip at a time out.

A strip is a point of the axes that all nests of the group share: one head, or a block of its rows
of queries. Arrays that live within a strip shrink to one strip, and every thread has its own. A
nest that sums over queries adds the sums of its blocks up, in order, where the blocks of a head are
strips of their own; its head's blocks then stay on one thread, so that results do not depend on how
many threads there are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from codegen.alike import can_rename
from codegen.index import ZERO, Axis, Index, add, of_axis, replaced, scale
from codegen.lanes import contraction_axis
from codegen.nest import (
    Apply,
    Buffer,
    Condition,
    Const,
    Expr,
    Guard,
    Load,
    Nest,
    Position,
    Reduce,
    Root,
    walk,
)

NEAR = 512 * 1024  # bytes of a strip's own arrays: they share the second cache with operands
FEWEST_ROWS = 8  # of a block: fewer leave the register tiles half empty


@dataclass(frozen=True)
class Frame:
    """The axes of a nest on which the arrays of scores lie: heads, and the row of a query.

    ``sums``: the nest's one sum goes over the rows.
    """

    heads: tuple[Axis | None, ...]  # None: there is one
    row: Axis
    sums: bool


def cut(nests: Sequence[Nest], between: Collection[Buffer], own: Collection[Buffer]) -> list[Nest]:
    """The nests in strips; none where they do not fit together.

    ``between`` are the arrays of scores that they hand on, ``own`` those of them that nobody else
    reads.
    """
    if any(buffer.batch is not None for buffer in between):
        return []
    frames = [_frame(nest, between) for nest in nests]
    found = [frame for frame in frames if frame is not None]
    if len(found) < len(nests) or not _in_step(nests, found, between):
        return []
    queries = next(iter(between)).shape[-2]
    assert isinstance(queries, int)
    rows = _rows(queries, own) if all(map(_can_block, nests, found)) else queries
    block = Axis("block", queries // rows)
    strips = {buffer: _strip(buffer, rows) for buffer in own}
    chained = queries // rows if any(frame.sums for frame in found) else 1
    cutters = [
        _Cutter(nest, frame, rows, block, strips) for nest, frame in zip(nests, found, strict=True)
    ]
    done = [cutter.nest(chained) for cutter in cutters]
    return done if done[0].turns else []


def _strip(buffer: Buffer, rows: int) -> Buffer:
    return Buffer(buffer.name, buffer.dtype, (rows, buffer.shape[-1]), own=True)


def _frame(nest: Nest, between: Collection[Buffer]) -> Frame | None:
    """Where the arrays of scores lie in the nest; None where they do not lie all alike."""
    if not can_rename(nest):
        return None
    places = {
        tuple(index[:-1]) for buffer, index in (*_loaded(nest), *_stored(nest)) if buffer in between
    }
    if len(places) != 1:
        return None
    *parts, row_part = places.pop()
    if any(part != ZERO and _axis(part) is None for part in (*parts, row_part)):
        return None
    heads, row = tuple(map(_axis, parts)), _axis(row_part)
    real = [axis for axis in heads if axis is not None]
    apart = len({*real, row}) == len(real) + 1
    if any(not isinstance(axis.extent, int) for axis in nest.axes if axis not in real):
        return None
    if not apart or row is None or any(axis not in nest.axes for axis in real):
        return None
    return Frame(heads, row, row not in nest.axes)


def _axis(index: Index) -> Axis | None:
    """The axis that the index is; None for anything else."""
    (atom, _), *_ = index.terms or ((None, 0),)
    return atom if isinstance(atom, Axis) and index == of_axis(atom) else None


def _loaded(nest: Nest) -> Iterator[tuple[Buffer, tuple[Index, ...]]]:
    return ((load.buffer, load.index) for load in nest.loads)


def _stored(nest: Nest) -> Iterator[tuple[Buffer, tuple[Index, ...]]]:
    return ((root.buffer, root.index) for root in nest.roots)


def _in_step(nests: Sequence[Nest], frames: Sequence[Frame], between: Collection[Buffer]) -> bool:
    """Whether a nest reads, of what the group makes, only what its own strip has made."""
    made = {buffer for nest in nests for buffer, _ in _stored(nest)} - set(between)
    for nest, frame in zip(nests, frames, strict=True):
        for buffer, index in (*_loaded(nest), *_stored(nest)):
            read = any(load.buffer is buffer for other in nests for load in other.loads)
            wanted = tuple(ZERO if a is None else of_axis(a) for a in (*frame.heads, frame.row))
            if buffer in made and read and tuple(index[: len(wanted)]) != wanted:
                return False
    return True


def _can_block(nest: Nest, frame: Frame) -> bool:
    """Whether the nest may be run a block of queries at a time: a sum over them is all it does."""
    if not frame.sums:
        return True
    reduces = [e for e in walk([root.value for root in nest.roots]) if isinstance(e, Reduce)]
    whole = all(root.value in reduces for root in nest.roots)
    return whole and all(e.kind == "sum" and frame.row in e.axes for e in reduces)


def _rows(queries: int, own: Collection[Buffer]) -> int:
    """How many queries a block has: it divides all of them, eights for the register tiles."""
    keys = [buffer.shape[-1] * buffer.dtype.itemsize for buffer in own]
    wide = sum(size for size in keys if isinstance(size, int))
    most = NEAR // max(wide, 1)
    if queries <= most:
        return queries
    fits = [n for n in range(FEWEST_ROWS, max(most, FEWEST_ROWS) + 1) if queries % n == 0]
    return max(fits, key=lambda n: (n % FEWEST_ROWS == 0, n), default=queries)


class _Cutter:
    """Rewrites one nest."""

    def __init__(
        self,
        nest: Nest,
        frame: Frame,
        rows: int,
        block: Axis,
        strips: Mapping[Buffer, Buffer],
    ) -> None:
        self.old, self.frame, self.block, self.strips = nest, frame, block, strips
        self.axes: dict[Axis, Axis] = {}
        self.to: dict[Axis, Index] = {}
        if block.extent != 1:
            inner = self.axes[frame.row] = Axis(frame.row.name, rows)
            self.to[frame.row] = add(scale(of_axis(block), rows), of_axis(inner))
        self.done: dict[int, Expr] = {}

    def nest(self, chained: int) -> Nest:
        old, frame = self.old, self.frame
        heads = [axis for axis in frame.heads if axis is not None]
        turns = (*heads, *([self.block] if self.block.extent != 1 else []))
        inside = tuple(self.axes.get(axis, axis) for axis in old.axes if axis not in heads)
        roots = tuple(map(self._root, old.roots))
        new = replace(
            old, axes=inside, roots=roots, batch=None, rows=None, turns=turns, chained=chained
        )
        return replace(new, rows=contraction_axis(new)) if old.rows is not None else new

    def _root(self, root: Root) -> Root:
        buffer, index = self._place(root.buffer, root.index)
        value = self._expr(root.value)
        if self.frame.sums and self.block.extent != 1:
            before = Load(buffer, index)
            later = Condition(add(of_axis(self.block), -1), self.block.extent)
            zero = Const(0.0, value.dtype)
            value = Apply("add", (Guard((later,), before, zero), value), value.dtype)
        return Root(buffer, index, value, root.phase, root.within)

    def _place(self, buffer: Buffer, index: Sequence[Index]) -> tuple[Buffer, tuple[Index, ...]]:
        """Where an element lies now: in the strip, or where it was."""
        strip = self.strips.get(buffer)
        if strip is None:
            return buffer, tuple(self._index(part) for part in index)
        row = self.axes.get(self.frame.row, self.frame.row)
        return strip, (of_axis(row), self._index(index[-1]))

    def _index(self, index: Index) -> Index:
        return replaced(index, self.to) if self.to else index

    def _expr(self, expr: Expr) -> Expr:
        """The expression over the strip; what is shared in it stays shared."""
        found = self.done.get(id(expr))
        if found is None:
            found = self.done[id(expr)] = self._made(expr)
        return found

    def _made(self, expr: Expr) -> Expr:
        match expr:
            case Load():
                return Load(*self._place(expr.buffer, expr.index))
            case Position():
                return Position(self._index(expr.index), expr.dtype)
            case Apply():
                return Apply(expr.op, tuple([self._expr(a) for a in expr.args]), expr.dtype)
            case Reduce():
                axes = tuple(self.axes.get(axis, axis) for axis in expr.axes)
                return Reduce(expr.kind, axes, self._expr(expr.body), expr.dtype)
            case Guard():
                where = tuple(
                    Condition(self._index(c.index), c.size, c.divisor) for c in expr.conditions
                )
                return Guard(where, self._expr(expr.body), self._expr(expr.fill))
        return expr
